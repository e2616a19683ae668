"""The process in which LiteRT's GPU accelerator runs one file.

Started by `runtimes.gpu.runner`; it speaks the protocol of `runtimes.worker`:

    {"do": "start"}                               → {}, when runtime and Vulkan's loader are there
    {"do": "load", "path", …}                     → {"inputs", "outputs", "fully_accelerated"}
    {"do": "run"} + the inputs' bytes, in order   → {} + the outputs' bytes, in order
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.runtimes.worker import Message, detail_of, serve

# What the parent says beside the file: the loader's path, and whether the CPU may take what the GPU refuses.
LOADER, WITH_CPU = "VITCONV_VULKAN_LOADER", "VITCONV_GPU_WITH_CPU"


class GpuWorker:
    """One compiled model and what is asked of it."""

    def start(self) -> None:
        # By path, for the accelerator then finds it by its name; it looks into no folder of ours.
        ctypes.CDLL(os.environ[LOADER], mode=ctypes.RTLD_GLOBAL)
        import ai_edge_litert.compiled_model
        import ai_edge_litert.interpreter  # noqa: F401

    def load(self, path: str) -> dict[str, Any]:
        from ai_edge_litert.compiled_model import CompiledModel, GpuOptions, HardwareAccelerator, Options
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=path)  # which says what the tensors are, and computes nothing
        self._outputs = interpreter.get_output_details()
        self._inputs = interpreter.get_input_details()
        accelerators = HardwareAccelerator.GPU
        if os.environ.get(WITH_CPU):
            accelerators |= HardwareAccelerator.CPU
        self._model = CompiledModel.from_file(
            path,
            # Phones compute in 16 bits; what that does is another question than whether the accelerator is right.
            options=Options(hardware_accelerators=accelerators, gpu_options=GpuOptions(enforce_f32=True)),
        )
        self._sources = self._model.create_input_buffers(0)
        self._targets = self._model.create_output_buffers(0)
        return {
            "inputs": [detail_of(tensor) for tensor in self._inputs],
            "outputs": [detail_of(tensor) for tensor in self._outputs],
            "fully_accelerated": self._model.is_fully_accelerated(),
        }

    def run(self, data: bytes) -> bytes:
        place = 0
        for tensor, buffer in zip(self._inputs, self._sources, strict=True):
            size = _count(tensor) * np.dtype(tensor["dtype"]).itemsize
            buffer.write(np.frombuffer(data[place : place + size], tensor["dtype"]).reshape(tensor["shape"]))
            place += size
        self._model.run_by_index(0, self._sources, self._targets)
        values: list[NDArray[Any]] = [
            buffer.read(_count(tensor), tensor["dtype"])
            for tensor, buffer in zip(self._outputs, self._targets, strict=True)
        ]
        return b"".join(value.tobytes() for value in values)

    def answer(self, request: dict[str, Any], data: bytes) -> Message:
        if request["do"] == "start":
            self.start()
            return {}, b""
        if request["do"] == "load":
            return self.load(request["path"]), b""
        if request["do"] == "run":
            return {}, self.run(data)
        raise ValueError(f"an unknown request {request['do']!r}")


def _count(tensor: dict[str, Any]) -> int:
    return int(np.prod(tensor["shape"], dtype=np.int64))


def main() -> None:
    # Without a limit on virtual memory: graphics drivers reserve far more than they use.
    serve(GpuWorker().answer, None)
