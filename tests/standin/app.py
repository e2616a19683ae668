"""A stand-in for the demo app's task activity: does what it is told, writes the result, then the line in the log.

The phone's file app.json says how: {"mode": "ok" | "die" | "hang" | "fail" | "broken" | "no-file", "models": a
folder, "selftest": the files of the self-test's document, or "real"}. Benchmarks really run the models with
LiteRT, and so does a self-test that is "real": those of the APK that is installed, on the golden images in it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

PLACE = "sdcard/Android/data/org.vitconv.demo/files/results"


def program() -> str:
    """The text of the phone's app.py."""
    return f"import runpy\nrunpy.run_path({str(Path(__file__).resolve())!r}, run_name='__main__')\n"


def main() -> None:
    phone = Path(os.environ["STANDIN"])
    settings = json.loads((phone / "app.json").read_text())
    words = sys.argv[1:]
    extras = dict(zip(words[words.index("--es") + 1 :: 3], words[words.index("--es") + 2 :: 3], strict=False))
    name, mode = extras["id"], settings["mode"]

    def log(line: str) -> None:
        with (phone / "log").open("a") as stream:
            stream.write(f"{line}\n")

    log(f"starting {extras['task']}")
    time.sleep(0.2)
    if mode == "hang":
        while (phone / "app.py").exists():  # until the phone is taken away
            time.sleep(0.2)
    if mode == "die":
        log("java.lang.OutOfMemoryError: Failed to allocate a 12 byte allocation")
        return
    if mode == "fail":
        log(f"done {name} failed there is no model of that name in the app")
        return
    document = _selftest(settings) if extras["task"] == "selftest" else _benchmark(settings, extras)
    (phone / PLACE).mkdir(parents=True, exist_ok=True)
    if mode != "no-file":
        text = json.dumps(document)
        (phone / PLACE / f"{name}.json").write_text(text[:50] if mode == "broken" else text)
    log("done 00000000-0000-0000-0000-000000000000 ok")  # of somebody else's task
    log(f"done {name} ok")


def _selftest(settings: dict[str, Any]) -> dict[str, Any]:
    files = settings["selftest"]
    if files == "real":
        files = _tested(Path(os.environ["STANDIN"]) / "installed")
    return {
        "task": "selftest",
        "passed": all(isinstance(file, dict) and file.get("passed") for file in files),
        "device": {"model": "as the app sees it"},
        "files": files,
    }


def _tested(apk: Path) -> list[dict[str, Any]]:
    """What the app finds of the models in it, in LiteRT, by the limits that stand beside them."""
    import tempfile
    import zipfile

    import numpy as np
    from PIL import Image

    from vitconv.runtimes.litert import Runner

    found = []
    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(apk) as archive:
        archive.extractall(temporary)
        models = Path(temporary) / "assets/models"
        for name in json.loads((models / "index.json").read_text()):
            document = json.loads((models / name / "manifest.json").read_text())
            images = json.loads((models / name / document["golden"]).read_text())["images"]
            pixels = np.stack([np.asarray(Image.open(models / name / "golden" / one["file"])) for one in images])
            expected = np.array([one["probabilities"] for one in images])
            for file in document["files"]:
                with Runner(models / name / file["path"]) as runner:
                    actual = runner.probabilities(pixels)
                agreement = float((actual.argmax(1) == expected.argmax(1)).mean())
                error = float(np.abs(actual - expected).max())
                limits = file["limits"]
                passed = agreement >= limits["min_agreement"] and error <= limits["max_error"]
                found.append({
                    "path": file["path"], "scheme": file["scheme"], "agreement": agreement, "max_abs_error": error,
                    "images": len(images), "passed": passed,
                    "reasons": [] if passed else [f"agrees with Keras on {agreement:.1%}, off by {error:.2g}"],
                })  # fmt: skip
    return found


def _benchmark(settings: dict[str, Any], extras: dict[str, str]) -> dict[str, Any]:
    from vitconv.benchmarking.benchmark import BenchmarkConfig, benchmark

    folder = Path(settings["models"])
    path = folder / extras["model"] if "model" in extras else folder
    result = benchmark(BenchmarkConfig((path,), int(extras["threads"]), int(extras["runs"])))
    return {**result.to_json(), "device": {"model": "as the app sees it"}, "delegate": extras["delegate"]}


if __name__ == "__main__":
    main()
