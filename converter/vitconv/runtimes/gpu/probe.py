"""Finds the Vulkan driver with which LiteRT's GPU accelerator starts, by trying."""

from __future__ import annotations

import platform
import sys
import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from vitconv.foundation.errors import MissingToolError, ModelFileError
from vitconv.runtimes.gpu.drivers import HOW_TO_GET, Driver, candidates
from vitconv.runtimes.gpu.runner import GpuRunner
from vitconv.tflite import flatbuffer


@lru_cache(maxsize=1)
def find_driver() -> Driver:
    """The first candidate with which the accelerator starts. Raises MissingToolError with what to install."""
    if sys.platform != "linux":
        raise MissingToolError(
            f"LiteRT's GPU accelerator is run on Linux only, not on {platform.system()}. Use such a machine, a "
            "virtual one for example."
        )
    tried = []
    for driver in candidates():
        if adapter := adapter_of(driver):
            return replace(driver, adapter=adapter)
        tried.append(driver.name)
    if tried:
        raise MissingToolError(
            f"LiteRT's GPU accelerator cannot use the Vulkan driver found here ({', '.join(tried)}). {HOW_TO_GET}"
        )
    raise MissingToolError(f"no Vulkan driver was found, which LiteRT's GPU accelerator needs. {HOW_TO_GET}")


def adapter_of(driver: Driver) -> str | None:
    """The name of what computes with this driver; None where the accelerator cannot use it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.tflite"
        path.write_bytes(_smallest())
        try:
            with GpuRunner(path, driver) as runner:
                return runner.adapter
        except (ModelFileError, MissingToolError):  # the latter where its loader cannot be loaded
            return None


def _smallest() -> bytes:
    """A file that takes one number and doubles it."""

    def tensor(name: str) -> Any:
        return schema.TensorT(shape=np.array([1, 1, 1, 1], np.int32), type=schema.TensorType.FLOAT32, name=name)

    add = schema.BuiltinOperator.ADD
    operator = schema.OperatorT(
        inputs=np.array([0, 0], np.int32),
        outputs=np.array([1], np.int32),
        builtinOptions=schema.AddOptionsT(),
        builtinOptionsType=schema.BuiltinOptions.AddOptions,
    )
    graph = schema.SubGraphT(
        tensors=[tensor("number"), tensor("sum")],
        inputs=np.array([0], np.int32),
        outputs=np.array([1], np.int32),
        operators=[operator],
    )
    code = schema.OperatorCodeT(builtinCode=add, deprecatedBuiltinCode=add, version=1)
    return flatbuffer.serialize(
        schema.ModelT(version=3, operatorCodes=[code], subgraphs=[graph], buffers=[schema.BufferT()])
    )
