"""What the user sees of long work, on a terminal and elsewhere."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.cells import cell_len

from vitconv.cli.terminal.progress import ConsoleProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def screen(text: str) -> list[str]:
    """The lines a terminal shows of this: \\r goes back to the line's start, ESC [2K clears it. Nothing else may
    steer it."""
    lines = [""]
    for piece in re.split("(\r|\n|\x1b\\[2K)", text):
        if piece == "\n":
            lines.append("")
        elif piece in ("\r", "\x1b[2K"):
            lines[-1] = ""
        else:
            assert "\x1b" not in piece
            lines[-1] += piece
    return lines


def test_elsewhere_each_stage_is_one_plain_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as some build servers have it
    stream = io.StringIO()
    progress = ConsoleProgress(stream)
    for what in ("decoding", "comparing"):
        for done in range(51):
            progress(what, done, 50)
    progress.close()
    assert stream.getvalue() == "decoding (50)\ncomparing (50)\n"


def test_a_terminal_that_cannot_redraw_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    progress = ConsoleProgress(stream)
    for done in range(51):
        progress("decoding", done, 50)
    progress.close()
    assert stream.getvalue() == "decoding (50)\n"


def test_a_terminal_shows_one_line_a_stage_that_ends_full() -> None:
    stream = Terminal()
    progress = ConsoleProgress(stream)
    for what in ("decoding", "comparing"):
        for done in range(501):
            progress(what, done, 500)
    progress.close()
    first, second, after = screen(stream.getvalue())
    assert re.fullmatch(r"decoding ━{20} 500/500 00:0\d", first)
    assert re.fullmatch(r"comparing ━{20} 500/500 00:0\d", second)
    assert after == ""


def test_colours_only_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    for wanted in (True, False):
        if wanted:
            monkeypatch.delenv("NO_COLOR")
        else:
            monkeypatch.setenv("NO_COLOR", "1")
        stream = Terminal()
        ConsoleProgress(stream)("decoding", 1, 1)
        assert bool(re.search(r"\x1b\[[\d;]+m", stream.getvalue())) == wanted
        assert "\x1b[?25" not in stream.getvalue(), "the cursor stays: a kill would leave it hidden"


def test_a_terminal_is_drawn_at_most_ten_times_a_second() -> None:
    stream = Terminal()
    progress = ConsoleProgress(stream)
    started = time.monotonic()
    for done in range(20_000):
        progress("decoding", done, 20_000)
    progress("decoding", 20_000, 20_000)
    most = (time.monotonic() - started) * 10 + 3
    assert 1 <= stream.getvalue().count("\r") <= most


def test_nothing_is_drawn_but_when_it_is_told() -> None:
    """No thread of its own draws while native code's output is caught."""
    stream = Terminal()
    progress = ConsoleProgress(stream)
    progress("decoding", 0, 40)
    drawn = stream.getvalue()
    time.sleep(0.5)
    assert stream.getvalue() == drawn
    progress.close()


def test_the_bar_and_the_time_left_follow_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    progress = ConsoleProgress(stream)
    for done in range(0, 1_000, 100):  # takes a second, so that the other 3,000 take at least three
        progress("decoding", done, 4_000)
        time.sleep(0.11)
    progress("decoding", 1_000, 4_000)
    (line,) = screen(stream.getvalue())
    found = re.fullmatch(r"decoding (━+)╸? +1000/4000 (\d\d):(\d\d)", line)
    assert found, line
    assert len(found[1]) == 7
    assert 60 * int(found[2]) + int(found[3]) >= 3


def test_a_stage_that_was_left_unfinished_keeps_its_line() -> None:
    stream = Terminal()
    progress = ConsoleProgress(stream)
    progress("decoding", 1, 3)
    progress("comparing", 1, 3)
    progress.close()
    progress.close()
    assert [line.split(" ")[0] for line in screen(stream.getvalue())] == ["decoding", "comparing", ""]


def test_a_stage_of_nothing_is_finished_at_once() -> None:
    stream = Terminal()
    ConsoleProgress(stream)("decoding", 0, 0)
    first, after = screen(stream.getvalue())
    assert "0/0" in first
    assert after == ""


@pytest.mark.parametrize("columns", [20, 30, 40, 60, 80, 120])
@pytest.mark.parametrize(
    "what",
    ["timing", "building the app: linking resources and models", "x" * 70, "猫" * 40, "a\nb\x1b[2J [red]c"],
    ids=range(5),
)
def test_a_line_is_never_broken_and_no_number_cut(
    what: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for done in (0, 17, 4999, 5000):
        stream = Terminal()
        progress = ConsoleProgress(stream)
        progress(what, done, 5000)
        progress.close()
        line, after = screen(stream.getvalue())
        assert cell_len(line) <= columns
        assert f"{done}/5000 " in line
        assert after == ""
        if columns >= 40 and done == 5000:
            assert "━━━━" in line
