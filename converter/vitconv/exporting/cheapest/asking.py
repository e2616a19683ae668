"""What a file answers to a search's pictures, asked for no more than it takes to see whether it keeps a limit.

Only where the float network is unsure does a file name another class. So those pictures come first, and a file is
asked no further where

- the limit cannot be shown to be kept any more, even if all answers to come were the float network's; or
- the network is surer of all pictures to come than twice the most that the file has been less sure than it so far,
  and the file names its class on a sample of them. It then counts as naming it on all of them.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitconv.exporting.cheapest.limits import AccuracyLimit, Shown
from vitconv.exporting.cheapest.pictures import Pictures
from vitconv.foundation.cores import usable_cores
from vitconv.quantization.answer_errors import answer_errors
from vitconv.runtimes.litert import Runner
from vitconv.tflite.graph import Graph

_FIRST = 20  # one picture in so many, which are asked at once
_FEWEST_FIRST, _MOST_FIRST = 48, 250
_GROWTH = 2  # after each further part so many times as many have been asked
_SURE = 2.0  # times the most that the file has been less sure
_SAMPLE = 50  # pictures
_SMALLEST = 1e-7  # probability of a file that does not round it
_MOST_RUNNERS = 4


class Asking:
    """A file that answers; a context manager.

    error: mean squared error of log(p₁ / p₂), in nats², on the pictures that are asked at once, of which the float
    network is least sure.
    """

    def __init__(self, graph: Graph, pictures: Pictures, limit: AccuracyLimit) -> None:
        count = len(pictures)
        self._graph, self._pictures, self._limit = graph, pictures, limit
        self._front = 0  # all before it have been asked
        self._asked = np.zeros(count, bool)
        self._best = pictures.answers.argmax(axis=1)
        self._named = self._best.copy()  # what it is not asked, it counts as agreeing on
        self._less_sure = np.zeros(count)  # nats

    def __enter__(self) -> Asking:
        with ExitStack() as stack:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "candidate.tflite"
            path.write_bytes(self._graph.data)
            self._runners = [stack.enter_context(Runner(path)) for _ in range(min(usable_cores(), _MOST_RUNNERS))]
            self._pool = stack.enter_context(ThreadPoolExecutor(len(self._runners)))
            # Below half a step a probability is nothing, in a file that rounds it.
            self._floor = (self._runners[0].outputs[0].scale or 2 * _SMALLEST) / 2
            self._margins = _margins(self._pictures.answers, self._best, self._floor)
            first = min(max(len(self._pictures) // _FIRST, _FEWEST_FIRST), _MOST_FIRST, len(self._pictures))
            answers = self._ask(np.arange(first))
            self._front = first
            self.error = float(answer_errors(answers, self._pictures.answers[:first], self._floor).mean())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def asked(self) -> int:
        """So many pictures so far."""
        return int(self._asked.sum())

    def judge(self) -> Shown:
        """Whether it keeps the limit, after as many answers as that takes."""
        count = len(self._pictures)
        while self._front < count and self._shown().outcome == "kept" and not self._is_sure():
            end = min(self._front * _GROWTH, count)
            self._ask(np.arange(self._front, end))
            self._front = end
        return self._shown()

    def _shown(self) -> Shown:
        right, before = (named == self._pictures.labels for named in (self._named, self._best))
        return self._limit.judge(
            len(self._pictures),
            lost=int(np.sum(before & ~right)),
            gained=int(np.sum(right & ~before)),
            agreeing=int(np.sum(self._named == self._best)),
            labelled=self._pictures.labelled,
        )

    def _is_sure(self) -> bool:
        """Whether it agrees on all pictures to come."""
        if not self._are_clear():
            return False
        rest = np.arange(self._front, len(self._pictures))
        sample = rest[:: -(-len(rest) // _SAMPLE)]
        self._ask(sample)
        return self._are_clear() and bool(np.array_equal(self._named[sample], self._best[sample]))

    def _are_clear(self) -> bool:
        return bool(self._margins[self._front :].min() > _SURE * self._less_sure.max())

    def _ask(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """The answers to the pictures of these places, float64 [N, classes]; each process gets every n-th."""
        images, count = self._pictures.images[places], len(self._runners)
        parts = self._pool.map(
            lambda number: self._runners[number].probabilities(images[number::count]), range(count)
        )
        answers = np.zeros((len(places), self._pictures.answers.shape[1]))
        for number, part in enumerate(parts):
            answers[number::count] = part
        whole = np.isfinite(answers).all(axis=1)
        answers[~whole] = 0.0
        self._asked[places] = True
        self._named[places] = np.where(whole, answers.argmax(axis=1), -1)
        margins = _margins(answers, self._best[places], self._floor)
        self._less_sure[places] = self._margins[places] - margins
        return answers


def _margins(answers: NDArray[np.float64], classes: NDArray[np.int64], floor: float) -> NDArray[np.float64]:
    """By how many nats each answer, float [N, classes], has its class of `classes`, int [N], before all others;
    negative where another is likelier."""
    rows = np.arange(len(answers))
    logs = np.log(np.maximum(answers, floor))
    own = logs[rows, classes]
    logs[rows, classes] = -np.inf
    return np.asarray(own - logs.max(axis=1))
