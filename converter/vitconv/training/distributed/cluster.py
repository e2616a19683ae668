"""TF_CONFIG: which processes train together, and which of them this is. Read before TensorFlow is loaded."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any

from vitconv.foundation.errors import InputError, WorkerLostError

EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Cluster:
    """The processes of one training. `jobs` has the addresses ("host:port") under "chief", which may be missing,
    and "worker"; this process is number `index` of `job`."""

    jobs: Mapping[str, tuple[str, ...]]
    job: str
    index: int

    @classmethod
    def from_environment(cls) -> Cluster:
        """What TF_CONFIG says. Raises InputError that names what is wrong with it."""
        text = os.environ.get("TF_CONFIG", "")
        if not text:
            raise InputError(f"--strategy multi-worker needs the variable TF_CONFIG, like {EXAMPLE}.")
        try:
            return _cluster(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise InputError(f"TF_CONFIG is not JSON ({error}). It must be like {EXAMPLE}.") from None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of all processes, the chief's first."""
        return (*self.jobs.get("chief", ()), *self.jobs.get("worker", ()))

    @property
    def position(self) -> int:
        """This process's place among `addresses`."""
        before = len(self.jobs.get("chief", ())) if self.job == "worker" else 0
        return before + self.index

    @property
    def is_chief(self) -> bool:
        """Whether this process keeps the checkpoint: the chief, or the first worker where there is none."""
        return self.position == 0

    @property
    def name(self) -> str:
        """This process, for people: "worker 1 of 2 (127.0.0.1:2222)"."""
        return f"worker {self.position + 1} of {len(self.addresses)} ({self.addresses[self.position]})"

    def wait_for_others(self, seconds: float) -> None:
        """Listens on this process's own port until every other process listens on its own, or has begun to train.

        TensorFlow waits too, but the chief waits without a limit and does not react to signals. Raises InputError
        where the port cannot be listened on, WorkerLostError where somebody does not come in time.
        """
        own = self.addresses[self.position]
        end = time.monotonic() + seconds
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("", int(own.rpartition(":")[2])))
                listener.listen(len(self.addresses) * 16)
            except OSError as error:
                raise InputError(
                    f"{self.name} cannot listen on its port: {error.strerror}. End what uses it, or change "
                    "TF_CONFIG on every worker."
                ) from None
            missing = [address for address in self.addresses if address != own]
            while missing := [address for address in missing if not _listens(address)]:
                if time.monotonic() > end:
                    raise WorkerLostError(
                        f"{self.name} waited {seconds:.0f} seconds for {', '.join(missing)}, and it did not "
                        "come. Start all workers. Their TF_CONFIGs must be equal except for the task."
                    )
                time.sleep(0.2)


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def _cluster(value: Any) -> Cluster:
    """Raises InputError for anything but a cluster of workers and a task in it."""
    if not isinstance(value, dict):
        raise _wrong(f"is {short(value)}, not an object")
    jobs = value.get("cluster")
    if not isinstance(jobs, dict) or not jobs:
        raise _wrong(
            "has no cluster" if jobs is None else f"has the cluster {short(jobs)}, not an object of lists"
        )
    if unknown := sorted(set(jobs) - {"chief", "worker"}):
        raise _wrong(f"has a {unknown[0]!r} in its cluster, where only chief and worker can be")
    addresses: list[str] = []
    for job, places in jobs.items():
        if not isinstance(places, list) or not places or not all(_is_address(place) for place in places):
            raise _wrong(f"has {short(places)} as its {job}, not a list of host:port")
        addresses += places
    if len(set(addresses)) < len(addresses):
        raise _wrong("has an address twice")
    if len(jobs.get("chief", "1")) > 1:
        raise _wrong(f"has {len(jobs['chief'])} chiefs, but there can be only one")
    task = value.get("task")
    if not isinstance(task, dict):
        raise _wrong("has no task" if task is None else f"has the task {short(task)}, not an object")
    job, index = task.get("type"), task.get("index")
    if not isinstance(job, str) or job not in jobs:
        raise _wrong(f"has the task type {short(job)}, which is not in its cluster ({', '.join(jobs)})")
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(jobs[job]):
        raise _wrong(f"has the task index {short(index)}, but {job} has only 0 to {len(jobs[job]) - 1}")
    return Cluster({name: tuple(places) for name, places in jobs.items()}, job, index)


def _is_address(value: Any) -> bool:
    found = re.fullmatch(r"(\S+):(\d{1,5})", value) if isinstance(value, str) else None
    return found is not None and 0 < int(found[2]) < 65536


def _wrong(what: str) -> InputError:
    return InputError(f"TF_CONFIG {what}. It must be like {EXAMPLE}.")
