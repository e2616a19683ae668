"""Which file of an export is for GPUs, in its manifest and its report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from gpu_files import Middle, classifier, leaky, unary, write_export
from made_documents import digest, write_json
from vitconv.exporting import gpu, manifest
from vitconv.exporting.gpu import choose, entry
from vitconv.reporting.advice.recommendation import recommend
from vitconv.reporting.reading import read_export

RIGHT, WRONG, REFUSED = unary("ABS"), leaky(-1.0), unary("ROUND")


def export_of(folder: Path, **middles: Middle) -> Path:
    """An export with a file for each scheme: float16=…"""
    write_export(folder, classifier(unary("ABS")))
    document = json.loads((folder / "manifest.json").read_text())
    (folder / document["files"][0]["path"]).unlink()
    document["files"] = []
    for scheme, middle in middles.items():
        path, data = folder / f"eanet-flowers-{scheme}.tflite", classifier(middle).data
        path.write_bytes(data)
        document["files"].append({
            "scheme": scheme, "path": path.name, "bytes": len(data), "sha256": digest(data),
        })  # fmt: skip
    write_json(folder / "manifest.json", document)
    return folder


def tried(folder: Path, scheme: str, status: str, error: float | None = 2e-7) -> None:
    """Has `verify --runtime gpu` found that of a file."""
    path = folder / f"eanet-flowers-{scheme}.tflite"
    check = {
        "path": path.name,
        "sha256": digest(path.read_bytes()),
        "status": status,
        "images": 2,
        "max_abs_error": error,
        "half": {"images": 2, "max_abs_error": 5e-4, "layers": []},
        "reasons": [] if status == "right" else ["is off by 0.3 in a probability"],
    }
    write_json(folder / "results" / "gpu.json", {"adapter": "SwiftShader", "files": [check]})


def test_an_entry_says_whether_gpus_compute_all_of_a_file() -> None:
    assert entry(classifier(RIGHT)) == gpu.GpuEntry(5, 5, True, ())
    assert entry(classifier(WRONG)).reasons == (
        "the delegate gives wrong values for LEAKY_RELU in middle (GPUs compute it right for slopes from 0 to 1 "
        "only, and its slope is -1)",
    )
    refused = entry(classifier(REFUSED))
    assert (refused.fit, refused.taken, refused.operations) == (False, 2, 5)
    assert refused.reasons == ("the delegate refuses ROUND in middle (the delegate does not know it)",)


def test_float16_is_chosen_before_float32_and_dynamic_and_no_integer_file() -> None:
    def entries(*schemes: str) -> list[dict[str, object]]:
        return [{"scheme": scheme, "path": scheme, "gpu": {"fit": True}} for scheme in schemes]

    assert choose(entries("float32", "float16", "dynamic", "int8")) == "float16"
    assert choose(entries("float32", "dynamic")) == "float32"
    assert choose(entries("dynamic")) == "dynamic"
    assert choose(entries("int8", "int8-hybrid")) is None
    unfit = [{"scheme": "float16", "path": "float16", "gpu": {"fit": False}}]
    assert choose([*unfit, *entries("float32")]) == "float32"
    assert choose([{"scheme": "float16", "path": "of an earlier version"}]) is None


def test_a_manifest_names_the_file_and_may_have_fewer_files_than_were_written(tmp_path: Path) -> None:
    folder = export_of(tmp_path / "export", float16=RIGHT)
    document = json.loads((folder / "manifest.json").read_text())
    for value in (None, "eanet-flowers-float16.tflite", "eanet-flowers-float32.tflite"):
        write_json(folder / "manifest.json", {**document, "gpu_file": value})
        assert manifest.read(folder).gpu_file == value
        assert manifest.read(folder).to_json()["gpu_file"] == value


def test_the_report_recommends_a_file_for_gpus(tmp_path: Path) -> None:
    folder = export_of(tmp_path / "export", float32=RIGHT, float16=RIGHT, int8=WRONG)
    found = recommend(read_export(folder)).gpu
    assert found is not None
    assert found.sentence == "On a GPU: eanet-flowers-float16.tflite."
    assert "computes all 5 operations" in found.reason
    assert f"It was not tried on a GPU: run `vitconv verify {folder} --runtime gpu`." in found.reason
    assert "Not int8: the delegate gives wrong values for LEAKY_RELU in middle" in found.reason
    tried(folder, "float16", "right")
    found = recommend(read_export(folder)).gpu
    assert found is not None
    assert "LiteRT's GPU accelerator on SwiftShader is within 2.0e-07 of Keras's" in found.reason
    assert "with every value rounded to 16 bits the file is within 5.0e-04" in found.reason
    assert recommend(read_export(folder)).to_json()["gpu"]["file"] == "eanet-flowers-float16.tflite"


def test_a_file_that_failed_on_a_gpu_is_not_recommended(tmp_path: Path) -> None:
    folder = export_of(tmp_path / "export", float32=unary("EXP"), float16=RIGHT)
    tried(folder, "float16", "failed", None)
    found = recommend(read_export(folder)).gpu
    assert found is not None
    assert found.file == "eanet-flowers-float32.tflite"
    assert "Not float16: is off by 0.3 in a probability." in found.reason


def test_where_no_file_is_for_gpus_the_report_says_so(tmp_path: Path) -> None:
    folder = export_of(tmp_path / "export", float16=REFUSED, int8=RIGHT)
    found = recommend(read_export(folder)).gpu
    assert found is not None
    assert (found.file, found.sentence) == (None, "None of these files is for GPUs.")
    assert "Not float16: the delegate refuses ROUND in middle" in found.reason
    assert "Not int8: GPUs compute integer files in floats, so that nothing is gained." in found.reason


def test_what_was_found_of_other_contents_is_left_out(tmp_path: Path) -> None:
    folder = export_of(tmp_path / "export", float32=RIGHT, float16=RIGHT)
    tried(folder, "float16", "failed", None)
    results = shutil.copytree(folder / "results", tmp_path / "results")
    changed = export_of(tmp_path / "changed", float16=unary("EXP"))
    shutil.copytree(results, changed / "results")
    found = read_export(changed)
    assert found.files[0].gpu is None
    assert any("results/gpu.json has figures of eanet-flowers-float16.tflite" in note for note in found.notes)
