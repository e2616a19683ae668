"""Training on several devices or machines at once, by TensorFlow's tf.distribute.

A replica is one copy of the network on one device; a worker is one process with its replicas. Every worker runs
the same command and takes the same steps; the chief alone reads and writes the checkpoint folder.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vitconv.foundation.errors import InputError, WorkerLostError
from vitconv.foundation.quiet import native_output
from vitconv.training.distributed.cluster import Cluster

if TYPE_CHECKING:
    import numpy as np

STRATEGIES = ("none", "mirrored", "multi-worker")

JOIN_SECONDS = 300  # how long workers wait for each other at the start
LOST_SECONDS = 10  # how long a worker may give no sign of life; TensorFlow sends one every few seconds


@dataclass(frozen=True)
class Distribution:
    """A strategy of tf.distribute, and this process's part in it. Without a `strategy` there is one replica, on a
    single machine there is no `cluster`."""

    strategy: Any = None
    cluster: Cluster | None = None

    @property
    def is_chief(self) -> bool:
        """Whether this process reads and writes the checkpoint folder."""
        return self.cluster is None or self.cluster.is_chief

    @property
    def replicas(self) -> int:
        """Of all workers together."""
        return int(self.strategy.num_replicas_in_sync) if self.strategy is not None else 1

    def scope(self) -> AbstractContextManager[Any]:
        """Where a network and its optimizer are made, so that each replica gets them."""
        scope: AbstractContextManager[Any] = self.strategy.scope() if self.strategy is not None else nullcontext()
        return scope

    def check_batch(self, batch_size: int, images: int) -> None:
        """Raises InputError where a step has too few images to give every replica one."""
        if min(batch_size, images) < self.replicas:
            raise InputError(
                f"a batch of {min(batch_size, images)} images cannot be shared among {self.replicas} replicas. "
                "--batch-size counts the images of all replicas together: give a larger one."
            )

    def batches(self, local: Callable[[list[int]], Iterator[Any]], signature: Any) -> Iterator[Any]:
        """An endless iterator of what each replica gets at each step.

        `local` is given the numbers of this worker's replicas, among those of all workers, and yields what they
        get in turn, of the given `signature`, on and on.
        """
        import tensorflow as tf

        def make(context: Any) -> Any:
            here = context.num_replicas_in_sync // context.num_input_pipelines
            first = context.input_pipeline_id * here
            numbers = list(range(first, first + here))
            data = tf.data.Dataset.from_generator(lambda: local(numbers), output_signature=signature)
            # Endless: otherwise the workers would ask each other before every step whether there is one.
            endless = tf.data.experimental.assert_cardinality(tf.data.experimental.INFINITE_CARDINALITY)
            return data.apply(endless).prefetch(2 * here)

        batches: Iterator[Any] = iter(self.strategy.distribute_datasets_from_function(make))
        return batches

    def from_chief(self, data: bytes | None) -> bytes:
        """The chief's `data`, on every worker; what another worker gives is not looked at."""
        import numpy as np

        sent = data if self.is_chief and data is not None else b""
        if self.cluster is None:
            return sent
        length = int(self._chief_s(np.array([len(sent)], np.int32))[0])
        padded = np.zeros(-(-length // 4) * 4, np.uint8)
        padded[: len(sent)] = np.frombuffer(sent, np.uint8)
        return self._chief_s(padded.view(np.int32)).tobytes()[:length] if length else b""

    def _chief_s(self, value: np.ndarray) -> np.ndarray:
        """tf.distribute gives a new variable the value that it has at the chief."""
        import numpy as np
        import tensorflow as tf

        with self.strategy.scope():
            return np.asarray(tf.Variable(value, trainable=False).numpy())

    def settle(self, variables: list[Any]) -> None:
        """Gives all replicas the mean of each variable that they keep apart, such as batch norm's statistics."""
        import tensorflow as tf

        for variable in variables:
            if variable.synchronization == tf.VariableSynchronization.ON_READ:
                variable.assign(variable.read_value())

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Turns what TensorFlow raises in this block when another worker is gone into a WorkerLostError."""
        if self.cluster is None:
            yield
            return
        import tensorflow as tf

        lost = (
            tf.errors.UnavailableError,
            tf.errors.AbortedError,
            tf.errors.CancelledError,
            tf.errors.DeadlineExceededError,
            tf.errors.FailedPreconditionError,
            tf.errors.InternalError,
        )
        try:
            yield
        except lost as error:
            raise WorkerLostError(
                f"{self.cluster.name} lost another worker, which stopped or cannot be reached. Read what that "
                f"worker said, and start all workers again with --resume. (TensorFlow: {_first_line(error)})"
            ) from error


def open_distribution(name: str) -> Distribution:
    """The strategy of that name, of STRATEGIES. "multi-worker" waits until all workers of TF_CONFIG are there.

    Must come before TensorFlow computes anything. Raises InputError, and WorkerLostError where a worker does not
    come.
    """
    if name == "none":
        return Distribution()
    import tensorflow as tf

    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return Distribution(tf.distribute.MirroredStrategy([device.name for device in devices]))
    cluster = Cluster.from_environment()
    cluster.wait_for_others(JOIN_SECONDS)
    try:
        with native_output(), _terminable():
            _watch_for_signs_of_life(cluster)
            return Distribution(tf.distribute.MultiWorkerMirroredStrategy(), cluster)
    except RuntimeError as error:
        raise InputError(
            "--strategy multi-worker must be set up before TensorFlow computes anything in this process, but "
            f"TensorFlow has already computed something ({_first_line(error)}). Train in a new process."
        ) from error
    except tf.errors.OpError as error:
        raise WorkerLostError(
            f"{cluster.name} could not connect to the other workers ({', '.join(cluster.addresses)}). Start all "
            "of them again. Their TF_CONFIGs must be equal except for the task. (TensorFlow: "
            f"{_first_line(error)})"
        ) from error


@contextmanager
def _terminable() -> Iterator[None]:
    """Restores the handler of SIGTERM. TensorFlow's service replaces it to notify the other workers, and the
    process would then no longer end."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _watch_for_signs_of_life(cluster: Cluster) -> None:
    """Has TensorFlow's coordination service give up on a worker in time. tf.distribute leaves a service alone that
    is set up already; there is no public way to set the times."""
    from tensorflow.python.eager import context

    job_of = context.coordination_config_pb2.CoordinatedJob

    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader=f"/job:{'chief' if 'chief' in cluster.jobs else 'worker'}/replica:0/task:0",
        cluster_register_timeout_in_ms=JOIN_SECONDS * 1000,
        heartbeat_timeout_in_ms=LOST_SECONDS * 1000,
        coordinated_jobs=[job_of(name=job, num_tasks=len(places)) for job, places in cluster.jobs.items()],
    )


def _first_line(error: Exception) -> str:
    text = re.sub(r"\{\{.*?\}\}\s*", "", str(getattr(error, "message", error)))  # names of nodes of the graph
    return (text.strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
