"""One .tflite file in a worker process: whatever the file does there, here it is an answer or an error.

A runtime trusts its file: a corrupt one can crash it, hang it, or make it ask for all memory there is. Here that
costs a child process and becomes a ModelFileError. `runtimes.litert` runs LiteRT so, `runtimes.android` Android's
own library.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Timer
from types import TracebackType
from typing import IO, Any, BinaryIO, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from vitconv.foundation.errors import InputError, MissingToolError, ModelFileError
from vitconv.runtimes.worker import Message, receive, send

Self = TypeVar("Self", bound="ModelProcess")

INPUT_TYPES = ("float32", "uint8", "int8")
MOST_THREADS = 256  # far beyond it the runtime itself crashes, and the file would get the blame
_MOST_CLASSES = 1 << 20  # a corrupt file may announce any number, and the answer is held in this process
_LONGEST_REASON = 400  # characters

# A busy machine may take its time to start a process and find the runtime on a cold disk; that is not the file's
# fault, and has a limit of its own.
_START_SECONDS = 120.0


@dataclass(frozen=True)
class TensorDetail:
    """An input or output. `dtype` is numpy's name; real value = (stored − zero_point) · scale.

    `scale` and `zero_point` are None where the tensor is not quantized.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None


class ModelProcess:
    """A worker that has loaded one file; a context manager, and `close` ends it.

    `command` starts the worker, which speaks the protocol of vitconv.runtimes.worker and answers "start", "load"
    and "run". `threads` is what the runtime may use (1–256), `xnnpack` whether it may hand nodes to XNNPACK,
    `timeout` how many seconds the load, and later each single run, may take. `where` says in errors what runs the
    file, and `remedy` what to do about one that cannot be run.

    inputs, outputs      what the file takes and gives
    loaded               all that the worker said about it

    Raises ModelFileError where the file is missing, the runtime refuses it, or the worker died or hung over it;
    InputError for a thread count out of range; MissingToolError where the worker cannot be started.
    """

    def __init__(
        self,
        path: Path,
        command: list[str],
        *,
        threads: int,
        xnnpack: bool,
        timeout: float,
        environment: dict[str, str] | None = None,
        where: str = "",
        remedy: str = "The file is corrupt, or made for another runtime: export it again.",
    ) -> None:
        if not 1 <= threads <= MOST_THREADS:
            raise InputError(f"threads must be 1 to {MOST_THREADS}, not {threads}.")
        if not path.is_file():
            raise ModelFileError(f"there is no model file {path}. Check the path.")
        self.path = path
        self._cannot = f"{path} cannot be run{where}"
        self._remedy = remedy
        self._timeout = timeout
        self._gone: str | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed by close()
        try:
            self._process = _start(command, environment, self._log)
        except BaseException:
            self._log.close()
            raise
        request = {"do": "load", "path": str(path.absolute()), "threads": threads, "xnnpack": xnnpack}
        try:
            self._ask({"do": "start"}, seconds=_START_SECONDS)
            self.loaded, _ = self._ask(request)
        except BaseException:
            self.close()
            raise
        self.inputs = tuple(_tensor(detail) for detail in self.loaded["inputs"])
        self.outputs = tuple(_tensor(detail) for detail in self.loaded["outputs"])

    def run(self, images: NDArray[Any]) -> NDArray[Any]:
        """Raw pixels 0–255, uint8 or float32 [N, H, W, 3] → the model's outputs [N, classes], its own dtype.

        One image per run of the interpreter. Pixels are only cast (rounded and clipped for a uint8 input): a
        uint8 input takes raw pixels even where its scale is not exactly 1. An int8 input takes int8 that the
        caller has made of the pixels.
        Raises InputError where the images do not fit the model, ModelFileError where the model does not take
        one image and give one row of classes, or fails.
        """
        source, target = self._image_input(), self._class_output()
        if images.ndim != 4 or images.shape[1:] != source.shape[1:]:
            height, width, _ = source.shape[1:]
            raise InputError(
                f"images of shape {list(images.shape)} do not fit {self.path}, "
                f"which takes [N, {height}, {width}, 3]. Resize them first."
            )
        takes = ("int8",) if source.dtype == "int8" else ("uint8", "float32")
        if images.dtype.name not in takes:
            kind = "int8 values" if takes == ("int8",) else "uint8 or float32 raw pixels"
            raise InputError(f"images for {self.path} must be {kind}, not {images.dtype}.")
        dtype = np.dtype(target.dtype)
        outputs = np.empty((len(images), target.shape[-1]), dtype)
        for index, image in enumerate(images):
            _, data = self._ask(*self._run_request(image))
            if len(data) != outputs[index].nbytes:
                raise ModelFileError(
                    f"{self.path} gave {len(data)} bytes for one image instead of the "
                    f"{outputs[index].nbytes} it announced. Export it again with a fixed output shape."
                )
            outputs[index] = np.frombuffer(data, dtype)
        return outputs

    def probabilities(self, images: NDArray[Any]) -> NDArray[Any]:
        """Like `run`, dequantized: float32 [N, classes]."""
        return self.dequantized(self.run(images))

    def dequantized(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """What `run` gave, as float32 [N, classes]."""
        output = self._class_output()
        values = outputs.astype(np.float32)
        if output.scale is not None and output.zero_point is not None:
            return (values - np.float32(output.zero_point)) * np.float32(output.scale)
        return values

    def close(self) -> None:
        """Ends the worker at once. Closing again does nothing."""
        self._gone = self._gone or "was closed"
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with suppress(OSError):  # bytes that the worker no longer took
                cast(IO[bytes], stream).close()

    def kill(self) -> None:
        """Ends the worker from another thread; whoever waits for its answer gets ModelFileError."""
        self._process.kill()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def logged(self) -> str:
        """What the runtime has printed so far."""
        # By position: the worker goes on writing where the shared file stands.
        number = self._log.fileno()
        return os.pread(number, os.fstat(number).st_size, 0).decode(errors="replace")

    def _run_request(self, image: NDArray[Any]) -> Message:
        """The request to run the file on raw pixels [H, W, 3], uint8 or float32, which the worker casts."""
        return {"do": "run", "dtype": image.dtype.name}, image.tobytes()

    def _ask(self, request: dict[str, Any], data: bytes = b"", seconds: float | None = None) -> Message:
        """One request, one answer, within `seconds`, or else the file's own limit.

        Every way to fail but a refusal ends the worker.
        """
        if self._gone:
            raise ModelFileError(f"{self.path} can no longer be run: its worker {self._gone}.")
        late = Event()

        def expire() -> None:
            late.set()
            self._process.kill()  # the reads and writes below then end

        # A timer works where select does not (pipes on Windows), and for a write into a full pipe, too.
        limit = seconds or self._timeout
        timer = Timer(limit, expire)
        timer.daemon = True
        timer.start()
        rubbish = False
        try:
            send(cast(BinaryIO, self._process.stdin), request, data)
            answer = receive(cast(BinaryIO, self._process.stdout))
        except OSError:
            answer = None
        except ValueError:
            answer, rubbish = None, True
        except BaseException:  # Ctrl-C: an answer may still come, so the pipe is of no more use
            self.close()
            raise
        finally:
            timer.cancel()
        if answer is None:
            self._process.kill()
            how = self._how_it_ended(limit if late.is_set() else None)
            self._gone = "sent an answer that cannot be read" if rubbish else how
            self.close()
            if request["do"] == "start":
                raise MissingToolError(f"the runtime cannot be started: its worker {self._gone}.")
            remedy = f"Try again where the machine was busy. {self._remedy}" if late.is_set() else self._remedy
            raise ModelFileError(f"{self._cannot}: the worker that ran it {self._gone}. {remedy}")
        header, _ = answer
        if "missing" in header:
            raise MissingToolError(
                f"the LiteRT runtime cannot be loaded: {_one_line(header['missing'])}. "
                "Install it with: pip install ai-edge-litert"
            )
        if "error" in header:
            raise self._failed(_one_line(header["error"]))
        return answer

    def _failed(self, reason: str) -> ModelFileError:
        """What to raise where the runtime refuses the file or fails over it, and says so."""
        return ModelFileError(f"{self._cannot}: the runtime says: {reason}. {self._remedy}")

    def _how_it_ended(self, limit: float | None) -> str:
        """`limit`: the seconds in which it did not answer, if that is how."""
        status = self._process.wait()
        if limit is not None:
            return f"did not answer within {limit:g} s and was stopped"
        ending = f"ended with status {status}"
        if status < 0:
            ending = f"died of {_signal_name(-status)}"
        self._log.seek(0)
        lines = [line for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        last = next((line for line in reversed(lines) if not line.startswith(("INFO:", "VERBOSE:"))), "")
        return f"{ending} ({_one_line(last)})" if last else ending

    def _image_input(self) -> TensorDetail:
        if len(self.inputs) == 1:
            tensor = self.inputs[0]
            shape = tensor.shape
            if len(shape) == 4 and shape[0] == 1 and shape[3] == 3 and tensor.dtype in INPUT_TYPES:
                return tensor
        raise ModelFileError(
            f"{self.path} takes {_shapes(self.inputs)}, not one image [1, height, width, 3] of "
            f"{', '.join(INPUT_TYPES[:-1])} or {INPUT_TYPES[-1]}."
        )

    def _class_output(self) -> TensorDetail:
        if len(self.outputs) == 1:
            tensor = self.outputs[0]
            shape = tensor.shape
            if (
                shape
                and set(shape[:-1]) <= {1}  # [1, classes], and [1, 1, 1, classes] of a last convolution
                and 1 <= shape[-1] <= _MOST_CLASSES
                and np.dtype(tensor.dtype).kind in "fiu"
            ):
                return tensor
        raise ModelFileError(f"{self.path} gives {_shapes(self.outputs)}, not one row [1, classes].")


def python_worker(module: str) -> list[str]:
    """The command that runs a module's `main` in a new Python.

    It looks for modules where this process does, in the same order, whatever its folder and environment.
    """
    start = f"import json, sys; sys.path[:] = json.loads(sys.argv[1])\nfrom {module} import main; main()"
    search = [str(Path(entry).absolute()) for entry in sys.path]
    return [sys.executable, "-I", "-c", start, json.dumps(search)]


def _start(command: list[str], environment: dict[str, str] | None, log: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment
        )
    except OSError as error:
        raise MissingToolError(
            f"cannot start {command[0]!r} to run a model: {error.strerror or error}."
        ) from error


def _tensor(detail: dict[str, Any]) -> TensorDetail:
    return TensorDetail(**{**detail, "shape": tuple(detail["shape"])})


def _shapes(tensors: tuple[TensorDetail, ...]) -> str:
    return ", ".join(f"{tensor.dtype} {list(tensor.shape)}" for tensor in tensors) or "nothing"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _one_line(text: str) -> str:
    """A message that may come out of a corrupt file, fit for a terminal."""
    words = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return words[:_LONGEST_REASON].rstrip(".")
