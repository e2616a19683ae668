"""LiteRT's GPU accelerator: drivers are found, files are run in a process of their own, the log is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpu_files import classifier, driver, leaky, unary
from handmade import run
from vitconv.foundation.errors import MissingToolError, ModelFileError
from vitconv.runtimes.gpu import drivers, log, probe
from vitconv.runtimes.gpu.drivers import Driver, candidates
from vitconv.runtimes.gpu.runner import GpuRunner, RefusedByGpuError

# As ai-edge-litert 2.3 prints it.
REFUSED = """INFO: [accelerator_registry.cc:54] RegisterAccelerator: ptr=0x5629, name=GPU WebGPU
I0000 00:00:1796009349.223146   19681 environment.cc:532] Selected adapter: SwiftShader Device (Subzero), \
arch=swiftshader, vendor=google, backend=Vulkan, adapterType=CPU / Software
ERROR: Following operations are not supported by GPU delegate:
L2_NORMALIZATION: Operation is not supported.
TOPK_V2: Operation is not supported.
21 operations will run on the GPU, and the remaining 211 operations will run on the CPU.
INFO: [compiled_model.cc:829] Flatbuffer model initialized directly from incoming litert model.
"""
INVALID = """E0000 00:00:1796010625.035932 12197 environment.cc:105] Validation error: Error while parsing WGSL: \
:39:13 error: cannot assign 'vec4<f32>' to 'vec4<i32>'
  src_final = src + second_value;}
 - While calling [Device].CreateShaderModule([ShaderModuleDescriptor]).
E0000 00:00:1796010625.035995   12197 environment.cc:105] Validation error: [Invalid ComputePipeline \
(unlabeled)] is invalid due to a previous error.
E0000 00:00:1796010625.035995   12197 environment.cc:105] Validation error: [Invalid ComputePipeline \
(unlabeled)] is invalid due to a previous error.
E0000 00:00:1796010625.035995   12197 environment.cc:105] Validation error: [Invalid CommandBuffer] is invalid.
"""


def picture() -> np.ndarray:
    """uint8 [1, 8, 8, 3]"""
    return np.random.default_rng(3).integers(0, 256, (1, 8, 8, 3), np.uint8)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of a system without Vulkan: drivers' manifests go to share/vulkan/icd.d."""
    for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path / "share"))
    monkeypatch.setattr(drivers, "_SYSTEM", str(tmp_path / "etc"))
    monkeypatch.setattr(drivers, "_BROWSERS", (str(tmp_path / "chromium"),))
    monkeypatch.setattr(drivers, "find_library", lambda name: None)
    (tmp_path / "share" / "vulkan" / "icd.d").mkdir(parents=True)
    (tmp_path / "chromium").mkdir()
    return tmp_path


def test_the_log_tells_the_adapter_what_is_refused_and_what_is_invalid() -> None:
    assert log.adapter(REFUSED) == "SwiftShader Device (Subzero)"
    assert log.refused(REFUSED) == {
        "L2_NORMALIZATION": "Operation is not supported",
        "TOPK_V2": "Operation is not supported",
    }
    assert log.operations(REFUSED) == (21, 232)
    assert log.validation_errors(REFUSED) == ()
    first, *more = log.validation_errors(INVALID)
    assert "cannot assign 'vec4<f32>' to 'vec4<i32>'" in first
    assert more == [
        "[Invalid ComputePipeline (unlabeled)] is invalid due to a previous error",
        "[Invalid CommandBuffer] is invalid",
    ]
    assert log.refused(INVALID) == {}
    assert log.adapter(INVALID) is None
    assert log.operations("No operations will run on the GPU, and all 7 operations will run on the CPU.") == (0, 7)


def test_where_nothing_is_installed_no_driver_is_tried(installed: Path) -> None:
    assert candidates() == ()
    probe.find_driver.cache_clear()
    try:
        with pytest.raises(MissingToolError, match=r"no Vulkan driver was found.*apt install chromium"):
            probe.find_driver()
    finally:
        probe.find_driver.cache_clear()


def test_a_card_is_tried_before_a_browsers_software_and_that_before_llvmpipe(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = installed / "share" / "vulkan" / "icd.d"
    for name in ("lvp_icd.x86_64.json", "radeon_icd.x86_64.json"):
        (manifests / name).write_text("{}")
    (installed / "chromium" / "vk_swiftshader_icd.json").write_text("{}")
    (installed / "chromium" / "libvulkan.so.1").write_bytes(b"")
    # Without a loader of the system's only the browser's own one is there.
    assert [driver.loader for driver in candidates()] == [str(installed / "chromium" / "libvulkan.so.1")]
    monkeypatch.setattr(drivers, "find_library", lambda name: "libvulkan.so.1")
    assert [[one.name for one in driver.manifests] for driver in candidates()] == [
        ["radeon_icd.x86_64.json"],
        ["vk_swiftshader_icd.json"],
        ["lvp_icd.x86_64.json"],
    ]
    assert candidates()[0].environment["VK_DRIVER_FILES"] == str(manifests / "radeon_icd.x86_64.json")


def test_what_the_user_names_is_tried_alone(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (installed / "chromium" / "vk_swiftshader_icd.json").write_text("{}")
    (installed / "chromium" / "libvulkan.so.1").write_bytes(b"")
    monkeypatch.setenv("VK_DRIVER_FILES", "/opt/card.json:/opt/other.json")
    monkeypatch.setattr(drivers, "find_library", lambda name: "libvulkan.so.1")
    (only,) = candidates()
    assert only.manifests == (Path("/opt/card.json"), Path("/opt/other.json"))


def test_a_driver_that_does_not_work_is_named(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VK_ICD_FILENAMES", "/opt/card.json")
    monkeypatch.setattr(drivers, "find_library", lambda name: "libvulkan.so.1")
    assert probe.adapter_of(Driver("card", (Path("/opt/card.json"),), "/opt/libvulkan.so.1")) is None
    probe.find_driver.cache_clear()
    try:
        with pytest.raises(MissingToolError, match=r"cannot use the Vulkan driver found here \(/opt/card.json\)"):
            probe.find_driver()
    finally:
        probe.find_driver.cache_clear()


def test_a_file_gives_on_the_gpu_what_the_processor_gives(tmp_path: Path) -> None:
    chosen = driver()
    graph, path = classifier(unary("ABS")), tmp_path / "abs.tflite"
    path.write_bytes(graph.data)
    with GpuRunner(path, chosen) as runner:
        answers = runner.probabilities(picture())
        assert runner.fully_accelerated
        assert runner.adapter == chosen.adapter
        assert runner.operations is None
        assert runner.validation_errors == ()
    np.testing.assert_allclose(answers, run(graph, picture())[0].reshape(1, 3), atol=1e-6)


def test_gpus_compute_a_leaky_relu_of_slope_minus_one_as_a_relu(tmp_path: Path) -> None:
    """The smallest file that shows why our integer files are not for GPUs; one day an accelerator may mend it."""
    answers = {}
    for slope in (-1.0, 0.0):
        path = tmp_path / "leaky.tflite"
        path.write_bytes(classifier(leaky(slope)).data)
        with GpuRunner(path, driver()) as runner:
            answers[slope] = runner.probabilities(picture())
    np.testing.assert_allclose(answers[-1.0], answers[0.0], atol=1e-6)
    right = run(classifier(leaky(-1.0)), picture())[0].reshape(1, 3)
    assert np.abs(answers[-1.0] - right).max() > 0.1


def test_what_the_gpu_refuses_is_named_and_runs_with_the_processor_beside_it(tmp_path: Path) -> None:
    graph, path = classifier(unary("L2_NORMALIZATION")), tmp_path / "l2.tflite"
    path.write_bytes(graph.data)
    with pytest.raises(RefusedByGpuError, match="refuses L2_NORMALIZATION") as refused:
        GpuRunner(path, driver())
    assert list(refused.value.operators) == ["L2_NORMALIZATION"]
    assert refused.value.counts is not None
    with GpuRunner(path, driver(), with_cpu=True) as runner:
        answers = runner.probabilities(picture())
        assert not runner.fully_accelerated
        assert runner.operations == refused.value.counts
    np.testing.assert_allclose(answers, run(graph, picture())[0].reshape(1, 3), atol=1e-6)


def test_a_file_that_is_none_is_not_said_to_be_refused_by_the_gpu(tmp_path: Path) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(range(200)))
    with pytest.raises(ModelFileError) as failed:
        GpuRunner(path, driver())
    assert not isinstance(failed.value, RefusedByGpuError)


def test_a_named_driver_that_does_not_exist_is_named_though_only_a_browser_has_a_loader(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (installed / "chromium" / "vk_swiftshader_icd.json").write_text("{}")
    (installed / "chromium" / "libvulkan.so.1").write_bytes(b"")
    monkeypatch.setenv("VK_DRIVER_FILES", "/opt/card.json")
    (only,) = candidates()
    assert (only.name, only.loader) == ("/opt/card.json", str(installed / "chromium" / "libvulkan.so.1"))
