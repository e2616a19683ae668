"""Training on several replicas: the same training as on one, each worker with its part, and none waits for ever.

The workers are real processes on the loopback address. They train EANet with one block on 8×8 digits, without what
is random (dropout, augmentation): then the losses of two workers are those of one process, but for rounding.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shared
from commands import Call, refused
from vitconv.checkpoints import pictures
from vitconv.checkpoints.checkpoint import CARD, open_checkpoint, read_tensors
from vitconv.foundation.errors import InputError, UnknownNameError, WorkerLostError
from vitconv.training.distributed.cluster import Cluster
from vitconv.training.distributed.distribution import LOST_SECONDS, STRATEGIES
from vitconv.training.keeper import CURVES, HISTORY
from vitconv.training.state import STATE
from vitconv.training.train import TrainConfig

pytestmark = pytest.mark.filterwarnings(
    # Raised inside TensorFlow, Keras and matplotlib while they are imported.
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
)

EPOCHS = 3
BATCHES = 20  # of 64 images, in 1,257
PATIENCE = 300  # seconds for anything here, on a busy machine

# Two workers and one process add the same numbers in another order. Measured over three epochs: 2e-4 in the loss.
# With gradients that are not summed, or one worker's images alone, it is above 0.05.
ROUNDING = 0.005
# Two runs of the same workers were equal to the last bit.
NOISE = 1e-5

# The real command, but for the depth and the recipe of the network, which sends itself a signal when it makes its
# N-th batch, where N is not 0.
COMMAND = """
import os, signal, sys
from dataclasses import replace
nth, sent = int(sys.argv[1]), int(sys.argv[2])
del sys.argv[1:3]
from vitconv.foundation.quiet import import_tensorflow
import_tensorflow()
from vitconv.training.distributed import trainer as distributed_training
from vitconv.models import catalogue, eanet
eanet.BLOCKS = 1
entry = catalogue.CATALOGUE["eanet"]
plain = replace(entry.recipe, dropout=0.0, rotation=0.0, zoom=0.0, contrast=0.0, average=0.9)
catalogue.CATALOGUE["eanet"] = replace(entry, recipe=plain)
make = distributed_training.augment
def count(*given):
    global nth
    nth -= 1
    if nth == 0:
        os.kill(os.getpid(), sent)
    return make(*given)
distributed_training.augment = count
from vitconv.cli.main import main
main()
"""


def arguments(out: Path, *more: object) -> list[str]:
    fixed = ["train", "eanet", "--dataset", "digits", "--image-size", "8", "--batch-size", "64", "--seed", "3"]
    return [*fixed, "--out", str(out), *map(str, more)]


def tf_config(ports: list[int], index: int) -> str:
    workers = [f"127.0.0.1:{port}" for port in ports]
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Workers:
    """Two `vitconv train --strategy multi-worker` that know each other. At the end of the block both are gone."""

    def __init__(self, *commands: list[str], stops: int = 0, sent: signal.Signals = signal.SIGKILL) -> None:
        """`stops`: the batch at which the second one sends itself `sent`."""
        ports = free_ports(2)
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-c", COMMAND, str(stops * index), str(sent.value), *command],
                env={**os.environ, "TF_CONFIG": tf_config(ports, index)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for index, command in enumerate(commands)
        ]

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *what: object) -> None:
        for process in self.processes:
            process.kill()
            process.communicate(timeout=PATIENCE)

    def end(self, index: int) -> tuple[int, str, str]:
        """Status, standard output and error of one of them."""
        out, err = self.processes[index].communicate(timeout=PATIENCE)
        return self.processes[index].returncode, out, err


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / HISTORY).open() as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


def assert_same_values(file: Path, other: Path, tolerance: float) -> None:
    values, expected = read_tensors(file)[0], read_tensors(other)[0]
    assert values.keys() == expected.keys()
    for name, value in values.items():
        np.testing.assert_allclose(value, expected[name], atol=tolerance, err_msg=name)


@shared.made_once
def _trained_pair(name: str) -> dict[str, Any]:
    folder = shared.new_folder(name)
    outs = folder / "chief", folder / "other"
    command = ("--strategy", "multi-worker", "--epochs", EPOCHS, "--json")
    with Workers(*(arguments(out, *command) for out in outs)) as workers:
        ends = [workers.end(index) for index in range(2)]
    for status, _, err in ends:
        assert status == 0, err
    return {"outs": outs, "ends": ends}


@pytest.fixture(scope="module")
def pair() -> dict[str, Any]:
    """Two workers that trained to the end: the chief's folder, the other's, and how each ended. Not to be
    changed."""
    return _trained_pair("trained/pair")


# --- several workers ---


@shared.made_once
def _trained_alone(name: str) -> str:
    command = [sys.executable, "-c", COMMAND, "0", "0", *arguments(shared.new_folder(name), "--epochs", EPOCHS)]
    alone = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert alone.returncode == 0, alone.stderr
    return name


def test_two_workers_train_as_one_process_does(pair: dict[str, Any]) -> None:
    out = shared.folder() / _trained_alone("trained/alone")
    found, expected = rows(pair["outs"][0]), rows(out)
    assert [list(row) for row in found] == [list(row) for row in expected]
    for row, other in zip(found, expected, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], abs=ROUNDING)
        assert row["val_loss"] == pytest.approx(other["val_loss"], abs=ROUNDING)
        assert row["accuracy"] == pytest.approx(other["accuracy"], abs=0.02)
        assert row["val_accuracy"] == pytest.approx(other["val_accuracy"], abs=0.02)
    assert found[-1]["loss"] < found[0]["loss"] - 0.1  # else nothing was learnt, and all are alike


def test_the_chief_alone_writes_and_tells_of_progress_and_both_give_the_same_result(pair: dict[str, Any]) -> None:
    (chief, other), ends = pair["outs"], pair["ends"]
    checkpoint = open_checkpoint(chief)
    assert sorted(path.name for path in chief.iterdir()) == sorted(
        [CARD, CURVES, HISTORY, pictures.FILE, STATE, checkpoint.weights.name]
    )
    assert not other.exists()
    assert "Epoch 3/3" in ends[0][2]
    assert ends[1][2].splitlines() == ["loading TensorFlow (1)"]
    results = [json.loads(out) for _, out, _ in ends]
    assert [result.pop("checkpoint") for result in results] == [str(chief), str(other)]
    assert results[0] == results[1]
    assert results[0]["card"] == checkpoint.card.to_json()


@shared.made_once
def _killed_and_resumed(name: str) -> tuple[int, str, str]:
    """One of two workers is killed in the second epoch, which leaves killed/; both go on, which makes resumed/.
    How the other one ended."""
    folder = shared.new_folder(name)
    command = arguments(folder / "resumed", "--strategy", "multi-worker", "--epochs", EPOCHS)
    with Workers(command, command, stops=BATCHES * 3 // 2) as workers:
        status, _, err = workers.end(1)
        assert status == -signal.SIGKILL, err
        killed = time.monotonic()
        other = workers.end(0)
        assert time.monotonic() - killed < 6 * LOST_SECONDS
    shutil.copytree(folder / "resumed", folder / "killed")
    command = [*command, "--resume"]
    with Workers(command, command) as workers:
        for index in range(2):
            status, _, err = workers.end(index)
            assert status == 0, err
    return other


def test_a_killed_worker_ends_the_others_soon_and_the_training_resumes(pair: dict[str, Any]) -> None:
    name = "trained/killed-worker"
    status, out, err = _killed_and_resumed(name)
    assert (status, out) == (1, ""), err
    assert "Traceback" not in err
    message = err.splitlines()[-1]
    assert message.startswith("vitconv: worker 1 of 2 (127.0.0.1:")
    assert "lost another worker" in message
    assert "--resume" in message
    assert len(rows(shared.folder() / name / "killed")) == 1
    resumed, whole = shared.folder() / name / "resumed", pair["outs"][0]
    assert rows(resumed) == [pytest.approx(row, abs=NOISE) for row in rows(whole)]
    assert_same_values(resumed / STATE, whole / STATE, NOISE)


def test_workers_that_were_started_otherwise_are_refused(tmp_path: Path) -> None:
    command = arguments(tmp_path, "--strategy", "multi-worker", "--epochs", 1)
    with Workers(command, [*command, "--seed", "4"]) as workers:
        status, out, err = workers.end(1)
        assert (status, out) == (2, ""), err
        assert "seed is 3, here 4" in err.splitlines()[-1]
        status, out, err = workers.end(0)
        assert (status, out) == (1, ""), err
        assert "lost another worker" in err.splitlines()[-1]


# --- several replicas in one process ---

# A network with all that replicas keep apart: batch norm's statistics, their average, dropout's random states.
MIRRORED = """
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path
from vitconv.foundation.quiet import import_tensorflow
import_tensorflow()
import keras
import numpy as np
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from vitconv.training.distributed.trainer import Trainer
from vitconv.models import catalogue
from vitconv.models.layers.batch_norm import BatchNorm
from vitconv.models.layers.dropout import Dropout
from vitconv.training.train import TrainConfig, train

def small(spec, classes):
    inputs = keras.Input(spec.shape, name="image")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = BatchNorm(momentum=0.8, name="norm")(keras.layers.Conv2D(8, 3, activation="relu", name="conv")(x))
    x = Dropout(0.5, seed=1, name="dropout")(keras.layers.Flatten()(x))
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax", name="head")(x), name="eanet")

entry = catalogue.CATALOGUE["eanet"]
recipe = replace(entry.recipe, average=0.9)
catalogue.CATALOGUE["eanet"] = replace(entry, recipe=recipe, _build=small)
folder = Path(sys.argv[1])
made = []
init = Trainer.__init__
Trainer.__init__ = lambda self, model, *rest: (made.append(model), init(self, model, *rest))[1]

def run(name, epochs, resume=False):
    return train(TrainConfig("eanet", "digits", folder / name, 8, epochs, 64, 3, resume, strategy="mirrored"))

whole = run("whole", 3)
run("parts", 1)
run("parts", 3, resume=True)
assert all(len(model.get_layer("norm").moving_mean.value.values) == 2 for model in made)

# Each replica drops elements of its own.
strategy = made[0].distribute_strategy
layer = made[0].get_layer("dropout")
first, second = strategy.run(lambda: layer(tf.ones([200]), training=True)).values
assert not np.array_equal(first, second)
assert 50 < np.count_nonzero(np.asarray(first) != np.asarray(second)) < 150
"""


@shared.made_once
def _mirrored(name: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", MIRRORED, str(shared.new_folder(name))],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return name


def test_a_mirrored_training_is_kept_and_resumes_as_if_it_had_not_stopped() -> None:
    folder = shared.folder() / _mirrored("trained/mirrored")
    whole, parts = folder / "whole", folder / "parts"
    assert rows(whole)[-1]["val_accuracy"] > 0.5
    assert rows(parts) == [pytest.approx(row, abs=NOISE) for row in rows(whole)]
    assert_same_values(parts / STATE, whole / STATE, NOISE)


def test_every_image_is_in_one_share_and_every_share_has_one() -> None:
    from vitconv.training.distributed.trainer import batch_starts

    for images in range(1, 40):
        for size in range(1, 12):
            for replicas in range(1, size + 1):
                if images < replicas:
                    continue
                starts = batch_starts(images, size, replicas)
                parts = [range(start, end) for start, end in zip(starts, [*starts[1:], images], strict=True)]
                shares = [list(part[number::replicas]) for part in parts for number in range(replicas)]
                assert all(shares)
                assert sorted(chain.from_iterable(shares)) == list(range(images))
    assert batch_starts(130, 64, 2) == [0, 64, 128]
    assert batch_starts(129, 64, 2) == [0, 64]


# --- TF_CONFIG ---

WORKERS = {"worker": ["a:1", "b:2"]}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "needs the variable TF_CONFIG"),
        ("{cluster", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is [], not an object"),
        ({}, "has no cluster"),
        ({"cluster": []}, "has the cluster []"),
        ({"cluster": {"worker": ["a:1"], "ps": ["b:1"]}}, "has a 'ps' in its cluster"),
        ({"cluster": {"worker": "a:1"}}, "has 'a:1' as its worker"),
        ({"cluster": {"worker": []}}, "has [] as its worker"),
        ({"cluster": {"worker": ["a"]}}, "has ['a'] as its worker"),
        ({"cluster": {"worker": ["a:70000"]}}, "has ['a:70000'] as its worker"),
        ({"cluster": {"worker": ["a:1", "a:1"]}}, "has an address twice"),
        ({"cluster": {"chief": ["a:1", "b:1"]}}, "has 2 chiefs"),
        ({"cluster": WORKERS}, "has no task"),
        ({"cluster": WORKERS, "task": 1}, "has the task 1"),
        ({"cluster": WORKERS, "task": {"index": 0}}, "has the task type None"),
        ({"cluster": WORKERS, "task": {"type": "chief", "index": 0}}, "has the task type 'chief'"),
        ({"cluster": WORKERS, "task": {"type": "worker"}}, "has the task index None"),
        (
            {"cluster": WORKERS, "task": {"type": "worker", "index": 2}},
            "has the task index 2, but worker has only 0 to 1",
        ),
        ({"cluster": WORKERS, "task": {"type": "worker", "index": True}}, "has the task index True"),
    ],
)
def test_a_wrong_tf_config_is_refused_with_what_is_wrong(
    value: Any, words: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", value if isinstance(value, str) else json.dumps(value))
    refused(call(*arguments(tmp_path / "out", "--strategy", "multi-worker")), "TF_CONFIG", words)
    assert not (tmp_path / "out").exists()


def test_the_chief_comes_first_or_else_the_first_worker_is_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def cluster(jobs: dict[str, list[str]], job: str, index: int) -> Cluster:
        value = {"cluster": jobs, "task": {"type": job, "index": index}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(value))
        return Cluster.from_environment()

    assert [cluster(WORKERS, "worker", index).is_chief for index in range(2)] == [True, False]
    three = {**WORKERS, "chief": ["c:3"]}
    assert cluster(three, "chief", 0).is_chief
    assert cluster(three, "chief", 0).addresses == ("c:3", "a:1", "b:2")
    assert not cluster(three, "worker", 0).is_chief
    assert cluster(three, "worker", 1).name == "worker 3 of 3 (b:2)"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_in_use_is_said(taken_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", tf_config([taken_port, 1], 0))
    with pytest.raises(InputError, match=r"worker 1 of 2 .* cannot listen on its port"):
        Cluster.from_environment().wait_for_others(1)


def test_a_worker_that_does_not_come_is_named(taken_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    free, missing = free_ports(2)
    monkeypatch.setenv("TF_CONFIG", tf_config([free, taken_port, missing], 0))
    with pytest.raises(
        WorkerLostError, match=rf"waited 1 seconds for 127\.0\.0\.1:{missing}, and it did not come"
    ):
        Cluster.from_environment().wait_for_others(1)


def test_strategies_go_by_their_names() -> None:
    assert STRATEGIES == ("none", "mirrored", "multi-worker")
    config = TrainConfig("eanet", "digits", Path("out"))
    assert config.strategy == "none"
    with pytest.raises(UnknownNameError, match="mirrored"):
        replace(config, strategy="mirored")


def test_a_batch_too_small_to_share_is_refused() -> None:
    from vitconv.training.distributed.distribution import Distribution

    class Eight:
        num_replicas_in_sync = 8

    Distribution(Eight()).check_batch(8, 100)
    with pytest.raises(InputError, match="7 images cannot be shared among 8 replicas"):
        Distribution(Eight()).check_batch(7, 100)
