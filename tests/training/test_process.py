"""The command prepares its process; `vitconv.train` leaves the process that it is called in as it is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import shared

CODE = """
import ctypes, sys
from pathlib import Path
import tensorflow as tf
import vitconv
from vitconv.foundation import memory
from vitconv.models import eanet
from vitconv.training.steps import batch_parts

eanet.BLOCKS = 1
asked = []
real = ctypes.CDLL
class Library:
    def __init__(self, name):
        self.real = real(name)
    def __getattr__(self, name):
        if name == "mallopt":
            asked.append(name)
        return getattr(self.real, name)
memory.ctypes.CDLL = lambda name: Library(name) if name is None else real(name)
def threads():
    threading = tf.config.threading
    return threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads()
before = threads()
# As on a machine of few cores, where batches are computed in parts.
batch_parts.usable_cores = lambda: 2
config = vitconv.TrainConfig("eanet", "digits", sys.argv[1], image_size=8, epochs=1, batch_size=128)
if sys.argv[2] == "command":
    from vitconv.training.process import prepare_process
    prepare_process(config)
else:
    vitconv.train(config)
print(len(asked) > 0, threads() != before)
"""


@shared.made_once
def changed(how: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", CODE, str(Path(folder) / "out"), how],
            capture_output=True, text=True, env=environment,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_train_changes_neither_the_allocator_nor_tensorflow_s_threads() -> None:
    assert changed("train") == "False False"


def test_the_command_changes_both() -> None:
    assert changed("command") == "True True"
