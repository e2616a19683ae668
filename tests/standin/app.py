"""A stand-in for the demo app's task activity: does what it is told, writes the result, then the line in the log.

It refuses what the app's TaskRequest refuses, and waits for its turn where a task is running. Whether it is seen
is the phone's file `screen`: it wakes one that is "off" or "locked", as the app's flags do, and gives up where it
is "covered". The phone's file app.json says how it goes on: {"mode": "ok" | "die" | "hang" | "fail" | "broken" |
"no-file", "models": a folder, "selftest": the files of the self-test's document, or "real"}. Benchmarks really run
the models with LiteRT, and so does a self-test that is "real": those of the APK that is installed, on the golden
images in it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from standin.android import write_log

_SOURCE = Path(__file__).parents[2] / "android-app/app/src/main/kotlin/org/vitconv/demo/TaskActivity.kt"
_TAKES = {"selftest": {"task", "id"}, "benchmark": {"task", "id", "model", "threads", "runs", "delegate"}}
PLACE = "sdcard/Android/data/org.vitconv.demo/files/results"


def program() -> str:
    """The text of the phone's app.py."""
    return f"import runpy\nrunpy.run_path({str(Path(__file__).resolve())!r}, run_name='__main__')\n"


def main() -> None:
    phone = Path(os.environ["STANDIN"])
    settings = json.loads((phone / "app.json").read_text())
    extras = _extras(sys.argv[1:])
    name = extras.get("id")

    def log(line: str) -> None:
        write_log(phone, "I", "vitconv", line)

    if problem := _problem(extras):
        log(f"done {name} failed {problem}")
        return
    with (phone / "app.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        write_log(phone, "V", "tflite", "a line of the runtime's, for nobody here")
        if (phone / "screen").read_text().strip() == "covered":
            log(f"done {name} failed {unseen()}")
        else:
            (phone / "screen").write_text("on\n")
            _work(phone, settings, extras, log)


def unseen() -> str:
    """What the app says where it is not seen: its own sentence."""
    found = re.search(r'IOException\("(the screen is off or locked[^"]*)"\)', _SOURCE.read_text(encoding="utf-8"))
    assert found, _SOURCE
    return found[1]


def _extras(words: list[str]) -> dict[str, Any]:
    """--es KEY TEXT, --ei KEY NUMBER."""
    extras: dict[str, Any] = {}
    for at, word in enumerate(words):
        if word in ("--es", "--ei"):
            extras[words[at + 1]] = words[at + 2] if word == "--es" else int(words[at + 2])
    return extras


def _problem(extras: dict[str, Any]) -> str | None:
    """What TaskRequest.kt says of a request that it refuses."""
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", str(extras.get("id", ""))):
        return "id must be 1 to 64 letters, digits and hyphens"
    allowed = _TAKES.get(extras.get("task", ""))
    if allowed is None:
        return f"task must be one of {', '.join(_TAKES)}"
    if not allowed >= set(extras):
        return f"{extras['task']} takes nothing but {', '.join(sorted(allowed))}"
    for key, most in (("threads", 64), ("runs", 10_000)):
        value = extras.get(key, 1)
        if not isinstance(value, int) or not 1 <= value <= most:
            return f"{key} must be a whole number from 1 to {most}"
    return None


def _work(phone: Path, settings: dict[str, Any], extras: dict[str, Any], log: Callable[[str], None]) -> None:
    name, mode = extras["id"], settings["mode"]
    log(f"starting {extras['task']}")
    time.sleep(0.2)
    if mode == "hang":
        while (phone / "app.py").exists():  # until the phone is taken away
            time.sleep(0.2)
    if mode == "die":
        text = "java.lang.OutOfMemoryError: Failed to allocate a 12 byte allocation"
        write_log(phone, "E", "AndroidRuntime", text, "crash")
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


def _benchmark(settings: dict[str, Any], extras: dict[str, Any]) -> dict[str, Any]:
    from vitconv.benchmarking.benchmark import BenchmarkConfig, benchmark

    folder = Path(settings["models"])
    path = folder / extras["model"] if "model" in extras else folder
    result = benchmark(BenchmarkConfig((path,), extras["threads"], extras["runs"]))
    return {**result.to_json(), "device": {"model": "as the app sees it"}, "delegate": extras["delegate"]}


if __name__ == "__main__":
    main()
