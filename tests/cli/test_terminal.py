"""On a terminal of 60 columns every line fits; elsewhere, nothing steers a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.test_cli import COMMANDS
from commands import COLUMNS, executable, on_terminal, run
from runtimes.test_classification import write_model
from vitconv.cli.terminal import console
from vitconv.cli.terminal.console import draws_bars

DEMO = Path(__file__).resolve().parents[2] / "scripts" / "demo"


def too_wide(text: str, columns: int = COLUMNS) -> list[str]:
    """Lines that could have been shorter: paths and other long words are never broken."""
    return [line for line in text.splitlines() if len(line) > columns and not re.search(r"\S{30,}", line)]


@pytest.fixture(scope="module")
def place(tiny_tflite: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.tflite and photo.png."""
    folder = tmp_path_factory.mktemp("place")
    write_model(folder / "model.tflite", tiny_tflite["int8"])
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(folder / "photo.png")
    return folder


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_fits(name: str) -> None:
    status, shown = on_terminal([executable(), *name.split(), "--help"])
    assert status == 0
    # An example is a line to be copied.
    examples = re.compile(r"\s+(vitconv|eval) ")
    assert [line for line in too_wide(shown) if not examples.match(line)] == []
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    "line", ["models", "datasets", "doctor", "inspect model.tflite", "run model.tflite photo.png photo.png"]
)
def test_results_fit(line: str, place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    status, shown = on_terminal([executable(), *line.split()])
    assert status == 0
    # A terminal's own means are used to draw over the line of progress, and for its colours.
    drawn_over, colours = "\x1b[2K", re.compile(r"\x1b\[[\d;]*m")
    plain = colours.sub("", shown)
    assert set(re.findall(r"\x1b[^A-Za-z]*[A-Za-z]", plain)) <= {drawn_over}
    assert too_wide(plain.rpartition(drawn_over)[2]) == []
    assert not colours.search(on_terminal([executable(), *line.split()], NO_COLOR="1")[1])
    piped = run(*line.split())
    assert not re.search(r"[^\n -~–×…−·→]", piped.out + piped.err)


def test_messages_are_broken_at_words(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    status, shown = on_terminal([executable(), "verify", "nowhere"])
    assert status == 2
    assert too_wide(shown) == []
    assert len(shown.splitlines()) > 1
    assert " ".join(shown.split()) == run("verify", "nowhere").err.strip()


def test_keras_draws_its_bar_only_where_colours_are_wanted_and_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    main, terminal = pty.openpty()
    monkeypatch.setenv("LINES", "40")
    with os.fdopen(terminal, "w") as stream:
        monkeypatch.setenv("COLUMNS", "120")
        monkeypatch.delenv("NO_COLOR", raising=False)
        assert draws_bars(stream)
        monkeypatch.setenv("NO_COLOR", "1")
        assert not draws_bars(stream)
        monkeypatch.setenv("NO_COLOR", "")
        monkeypatch.setenv("COLUMNS", str(console._KERAS_COLUMNS - 1))
        assert not draws_bars(stream)
    os.close(main)


@pytest.mark.parametrize(("terminal", "environment", "bold"), [
    (True, {}, True), (True, {"NO_COLOR": "1"}, False), (False, {}, False),
])  # fmt: skip
def test_the_demos_steps_are_bold_on_a_terminal_that_wants_it(
    terminal: bool, environment: dict[str, str], bold: bool
) -> None:
    (first,) = re.findall(r"^bold=.*?^step\(\).*?$", DEMO.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    command = ["bash", "-c", f"set -eu\n{first}\nstep true"]
    if terminal:
        status, shown = on_terminal(command, **environment)
    else:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        status, shown = done.returncode, done.stdout
    assert status == 0
    assert shown == ("\n\x1b[1m$ true\x1b[0m\n" if bold else "\n$ true\n")


def test_a_library_that_logs_for_itself_does_not_repeat_our_words() -> None:
    code = (
        "import logging; from vitconv.cli.terminal.console import prepare_streams; prepare_streams(); "
        "logging.warning('a library'); logging.getLogger('vitconv').warning('ours')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [line for line in ended.stderr.splitlines() if "ours" in line] == ["vitconv: ours"]
