"""The process that holds one interpreter, so that a file that crashes it does not crash the caller.

Started by `vitconv.runtimes.litert.Runner`, which calls `main` in a new Python. It reads requests from standard
input and writes one answer to each to standard output. A message is two little-endian 32-bit lengths, then
that many bytes of JSON, then that many raw bytes:

    {"do": "start"}                               → {}, when the runtime is there
    {"do": "load", "path", "threads", "xnnpack"}  → {"inputs", "outputs", "nodes", "delegated_nodes",
                                                     "partitions", "init_ms"}
    {"do": "run", "dtype"} + one image's pixels   → {} + the output's bytes
    {"do": "time"}                                → {"ms"}
    {"do": "memory"}                              → {"peak_mb"}, null where the system does not tell

Anything that goes wrong is answered with {"error": reason}, a missing library with {"missing": reason}.
The worker ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import signal
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Message = tuple[dict[str, Any], bytes]

_LENGTHS = struct.Struct("<II")
_MEBIBYTE = 1 << 20
_ADDRESS_SPACE = 8 << 30  # bytes; a sane model of this package needs well under 1 GiB
_LOG_SIZE = 64 << 20  # bytes a file may grow to: the worker writes none but its log
_LARGEST_HEADER = 16 << 20  # bytes; a length beyond it can only be rubbish


def send(stream: BinaryIO, header: dict[str, Any], data: bytes = b"") -> None:
    """Writes one message."""
    text = json.dumps(header).encode()
    stream.write(_LENGTHS.pack(len(text), len(data)))
    stream.write(text)
    stream.write(data)
    stream.flush()


def receive(stream: BinaryIO) -> Message | None:
    """Reads one message; None where the stream ends. Raises ValueError for what is no message."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    header_size, data_size = _LENGTHS.unpack(lengths)
    if header_size > _LARGEST_HEADER:
        raise ValueError(f"a message header of {header_size} bytes")
    text, data = stream.read(header_size), stream.read(data_size)
    if len(text) < header_size or len(data) < data_size:
        return None
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError("a message header that is no JSON object")
    return header, data


class Worker:
    """One interpreter and what is asked of it."""

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._memory_before = _forget_peak_memory()
        kind = "AUTO" if request["xnnpack"] else "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
        start = perf_counter()
        interpreter = Interpreter(
            model_path=request["path"],
            num_threads=request["threads"],
            experimental_op_resolver_type=OpResolverType[kind],
        )
        interpreter.allocate_tensors()
        init_ms = (perf_counter() - start) * 1000
        self._interpreter = interpreter
        self._inputs = interpreter.get_input_details()
        self._outputs = interpreter.get_output_details()
        self._plausible: list[NDArray[Any]] | None = None
        return {
            "inputs": [detail_of(tensor) for tensor in self._inputs],
            "outputs": [detail_of(tensor) for tensor in self._outputs],
            **count_delegated(interpreter._get_ops_details()),
            "init_ms": init_ms,
        }

    def run(self, request: dict[str, Any], data: bytes) -> bytes:
        (tensor,) = self._inputs
        # Cast here, not by the parent: uint8 pixels are a quarter of the bytes through the pipe.
        pixels = cast_pixels(np.frombuffer(data, request["dtype"]), tensor["dtype"])
        self._interpreter.set_tensor(tensor["index"], pixels.reshape(tensor["shape"]))
        self._interpreter.invoke()
        output: NDArray[Any] = self._interpreter.get_tensor(self._outputs[0]["index"])
        return output.tobytes()

    def time(self) -> float:
        if self._plausible is None:
            self._plausible = [_plausible(tensor) for tensor in self._inputs]
        for tensor, value in zip(self._inputs, self._plausible, strict=True):
            self._interpreter.set_tensor(tensor["index"], value)
        start = perf_counter()
        self._interpreter.invoke()
        return (perf_counter() - start) * 1000

    def memory(self) -> float | None:
        now = _peak_memory()
        return None if now is None or self._memory_before is None else max(0.0, now - self._memory_before)

    def answer(self, request: dict[str, Any], data: bytes) -> Message:
        if request["do"] == "start":
            import ai_edge_litert.interpreter  # noqa: F401

            return {}, b""
        if request["do"] == "load":
            return self.load(request), b""
        if request["do"] == "run":
            return {}, self.run(request, data)
        if request["do"] == "time":
            return {"ms": self.time()}, b""
        if request["do"] == "memory":
            return {"peak_mb": self.memory()}, b""
        raise ValueError(f"an unknown request {request['do']!r}")


def count_delegated(ops: list[dict[str, Any]]) -> dict[str, int]:
    """What the runtime itself logs as "Replacing N out of M node(s) … yielding P partitions".

    The interpreter keeps the file's nodes and appends a DELEGATE node for each part that it handed over, with
    the tensors that cross the part's border. The nodes of a part are found by walking back from its outputs
    to its inputs. A file that runs wholly on one side is one partition.
    """
    nodes = [op for op in ops if op["op_name"] != "DELEGATE"]
    parts = [op for op in ops if op["op_name"] == "DELEGATE"]
    producer = {int(tensor): index for index, op in enumerate(nodes) for tensor in op["outputs"]}
    delegated: set[int] = set()
    for part in parts:
        border = {int(tensor) for tensor in part["inputs"]}
        wanted = [int(tensor) for tensor in part["outputs"]]
        while wanted:
            tensor = wanted.pop()
            index = producer.get(tensor)
            if tensor not in border and index is not None and index not in delegated:
                delegated.add(index)
                wanted.extend(int(source) for source in nodes[index]["inputs"])
    if not parts:
        return {"nodes": len(nodes), "delegated_nodes": 0, "partitions": min(1, len(nodes))}
    # The runtime gathers nodes of one side for as long as any is ready, so the sides alternate: only whether
    # something stays outside before the first part and after the last one has to be found out.
    last = {int(tensor) for tensor in parts[-1]["outputs"]}
    before = 0 not in delegated
    after = any(
        index not in delegated and last.intersection(map(int, op["inputs"])) for index, op in enumerate(nodes)
    )
    return {
        "nodes": len(nodes),
        "delegated_nodes": len(delegated),
        "partitions": 2 * len(parts) - 1 + before + after,
    }


def detail_of(tensor: dict[str, Any]) -> dict[str, Any]:
    """What an interpreter says of an input or output, as `process.TensorDetail` has it."""
    scale, zero_point = tensor["quantization"]
    return {
        "name": tensor["name"],
        "shape": [int(size) for size in tensor["shape"]],
        "dtype": np.dtype(tensor["dtype"]).name,
        "scale": float(scale) or None,
        "zero_point": int(zero_point) if scale else None,
    }


def cast_pixels(pixels: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """Pixels as an input of that type takes them: rounded and clipped for uint8."""
    if dtype == np.uint8 and pixels.dtype != np.uint8:
        pixels = np.rint(pixels).clip(0, 255)
    return pixels.astype(dtype, copy=False)


def _plausible(tensor: dict[str, Any]) -> NDArray[Any]:
    """Always the same pixels for a tensor that can hold some, zeros (a valid index, a flag) for any other."""
    dtype, shape = np.dtype(tensor["dtype"]), tuple(tensor["shape"])
    random = np.random.default_rng(0)
    if dtype in (np.uint8, np.int8):
        limits = np.iinfo(dtype)
        return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    if dtype.kind == "f":
        return random.uniform(0.0, 255.0, shape).astype(dtype)
    if dtype.kind in "iub":
        return np.zeros(shape, dtype)
    raise ValueError(f"input {tensor['name']!r} is of type {dtype}, which no image model has")


def _limit_resources(address_space: int | None) -> None:
    """So that a corrupt file can neither fill the machine's memory or disk nor leave a core dump."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {resource.RLIMIT_FSIZE: _LOG_SIZE, resource.RLIMIT_CORE: 0}
    if address_space is not None:
        limits[resource.RLIMIT_AS] = address_space
    for kind, limit in limits.items():
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        with suppress(ValueError, OSError):  # macOS knows RLIMIT_AS but refuses to set it
            resource.setrlimit(kind, (limit, hard))


def _forget_peak_memory() -> float | None:
    """Starts the count of the peak afresh where that is possible, so that imports hide no part of it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak_memory()


def _peak_memory() -> float | None:
    """Peak resident set of this process, MiB.

    Not ru_maxrss on Linux: there it starts at the peak of the parent, which may hold all of TensorFlow.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MEBIBYTE  # bytes on macOS


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, MemoryError):
        text = "it asks for more memory than a model may have"
    return text


def main() -> None:
    """Serves LiteRT's interpreter."""
    serve(Worker().answer, _ADDRESS_SPACE)


def serve(answer: Callable[[dict[str, Any], bytes], Message], address_space: int | None) -> None:
    """Answers requests until there are no more, and ends the process.

    `answer` gets a request's header and bytes, and may raise. address_space: the bytes of virtual memory that the
    process may have; None for no limit.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it ends this process
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the runtime prints must not get between the answers
    _limit_resources(address_space)
    with suppress(BrokenPipeError):  # the parent is gone
        while message := receive(requests):
            try:
                header, data = answer(*message)
            except ImportError as error:
                header, data = {"missing": str(error)}, b""
            except Exception as error:
                header, data = {"error": _reason(error)}, b""
            send(answers, header, data)
    os._exit(0)  # the interpreter of a corrupt file may crash on its way out, too
