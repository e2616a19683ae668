"""A stand-in for the demo app's task activity: does what it is told, writes the result, then the line in the log.

The phone's file app.json says how: {"mode": "ok" | "die" | "hang" | "fail" | "broken" | "no-file", "models": a
folder, "selftest": the files of the self-test's document}. Benchmarks really run the models with LiteRT.
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
    return {
        "task": "selftest",
        "passed": all(isinstance(file, dict) and file.get("passed") for file in files),
        "device": {"model": "as the app sees it"},
        "files": files,
    }


def _benchmark(settings: dict[str, Any], extras: dict[str, str]) -> dict[str, Any]:
    from vitconv.benchmarking.benchmark import BenchmarkConfig, benchmark

    folder = Path(settings["models"])
    path = folder / extras["model"] if "model" in extras else folder
    result = benchmark(BenchmarkConfig((path,), int(extras["threads"]), int(extras["runs"])))
    return {**result.to_json(), "device": {"model": "as the app sees it"}, "delegate": extras["delegate"]}


if __name__ == "__main__":
    main()
