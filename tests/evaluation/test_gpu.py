"""Every file of an export on LiteRT's GPU accelerator: right, refused by name, or failed."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from gpu_files import Middle, classifier, driver, leaky, unary, write_export
from handmade import Handmade
from vitconv.cli.tables.gpu import gpu_table
from vitconv.evaluation.other_runtimes import gpu
from vitconv.evaluation.other_runtimes.gpu import GpuCheck, GpuVerification, verify_gpu
from vitconv.exporting import manifest
from vitconv.runtimes.gpu.drivers import Driver
from vitconv.runtimes.gpu.runner import RefusedByGpuError
from vitconv.tflite.gpu_support import GpuSupport, gpu_support


def verified(folder: Path, middle: Middle, **more: float) -> tuple[GpuCheck, GpuVerification]:
    write_export(folder, classifier(middle))
    result = verify_gpu(folder, manifest.read(folder), driver(), **more)
    (check,) = result.checks
    return check, result


def reshape(graph: Handmade, source: int, *shape: int) -> int:
    output = graph.tensor(*shape)
    options = schema.ReshapeOptionsT(newShape=np.array(shape, np.int32))
    graph.operator("RESHAPE", [source], [output], options)
    return output


def same_tensor_twice(graph: Handmade, source: int) -> int:
    """A product of a tensor with itself, over which the accelerator aborts."""
    rows = reshape(graph, source, 1, 1, 36, 4)
    product = graph.tensor(1, 1, 36, 36)
    graph.operator("BATCH_MATMUL", [rows, rows], [product], schema.BatchMatMulOptionsT(adjY=True))
    mixed = graph.tensor(1, 1, 36, 4)
    graph.operator("BATCH_MATMUL", [product, rows], [mixed], schema.BatchMatMulOptionsT())
    return reshape(graph, mixed, 1, 6, 6, 4)


def test_a_right_file_passes(tmp_path: Path) -> None:
    check, result = verified(tmp_path / "export", unary("ABS"))
    assert (check.status, check.fully_accelerated, check.images) == ("right", True, 3)
    assert check.max_abs_error is not None
    assert check.max_abs_error < 1e-5
    assert result.passed
    document = result.to_json()
    assert document["gpu_adapter"] == driver().adapter
    assert document["gpu"][0]["passed"] is True
    assert document["gpu"][0]["fully_accelerated"] is True
    assert "passed" in gpu_table(result, 100)


def test_with_little_time_one_image_is_run(tmp_path: Path) -> None:
    check, _ = verified(tmp_path / "export", unary("ABS"), seconds=0.001)
    assert check.images == 1


@pytest.mark.parametrize("slope", [-1.0, 1.5])
def test_a_file_that_gpus_get_wrong_is_refused_without_running_it(tmp_path: Path, slope: float) -> None:
    check, result = verified(tmp_path / "export", leaky(slope))
    assert (check.status, check.images, result.passed) == ("refused", 0, True)
    (refused,) = check.refused
    assert (refused.operator, refused.layer, refused.count) == ("LEAKY_RELU", "middle", 1)
    assert f"its slope is {slope:g}" in refused.reason
    assert "not for GPUs: LEAKY_RELU in middle" in gpu_table(result, 200)


def test_a_slope_from_0_to_1_is_no_fault() -> None:
    for slope in (0.0, 0.5, 1.0):
        assert gpu_support(classifier(leaky(slope))).whole


def test_a_file_that_is_wrong_and_unknown_fails_with_the_first_wrong_operation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "gpu_support", lambda graph: GpuSupport(5, 5, ()))
    check, result = verified(tmp_path / "export", leaky(-1.0))
    assert check.status == "failed"
    assert not result.passed
    assert "is off by" in check.reasons[0]
    assert check.fault is not None
    assert (check.fault.operator, check.fault.layer, check.fault.index) == ("LEAKY_RELU", "middle", 2)
    assert "the first wrong operation is number 2, LEAKY_RELU in middle" in gpu_table(result, 200)
    assert result.to_json()["gpu"][0]["fault"]["layer"] == "middle"


def test_what_the_gpu_refuses_is_named_and_the_rest_is_compared(tmp_path: Path) -> None:
    check, result = verified(tmp_path / "export", unary("L2_NORMALIZATION"))
    assert (check.status, check.fully_accelerated, check.images) == ("partly", False, 3)
    assert [(one.operator, one.layer) for one in check.refused] == [("L2_NORMALIZATION", "middle")]
    assert result.passed


def test_a_file_that_is_refused_as_a_whole_is_refused_and_not_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> NoReturn:
        raise RefusedByGpuError("the file is refused as a whole.", "")

    monkeypatch.setattr(gpu, "_run", refuse)
    folder = write_export(tmp_path / "export", classifier(unary("ABS")))
    result = verify_gpu(folder, manifest.read(folder), Driver("none", (), ""))
    (check,) = result.checks
    assert (check.status, check.reasons) == ("refused", ("the file is refused as a whole.",))
    assert result.passed


def test_a_file_over_which_the_accelerator_aborts_has_failed(tmp_path: Path) -> None:
    check, _ = verified(tmp_path / "export", same_tensor_twice)
    assert check.status == "failed"
    assert "the worker that ran it" in check.reasons[0]


def test_an_invalid_shader_fails_whatever_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.GpuRunner, "validation_errors", ("[Invalid ComputePipeline (unlabeled)] is invalid",))
    check, result = verified(tmp_path / "export", unary("ABS"))
    assert check.status == "failed"
    assert check.reasons == ("the accelerator says: [Invalid ComputePipeline (unlabeled)] is invalid",)
    assert check.fault is None
    assert not result.passed
