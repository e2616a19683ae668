"""What the user sees of long work, on a terminal and elsewhere."""

from __future__ import annotations

import io
import re
import time

import pytest

from vitconv.cli.progress import ConsoleProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(text: str) -> list[str]:
    """The lines a terminal shows of this: \\r goes back to the line's start, ESC [K clears the rest of it."""
    lines = [""]
    for piece in re.split("(\r|\n|\x1b\\[K)", text):
        if piece == "\n":
            lines.append("")
        elif piece == "\r":
            lines[-1] = ""
        elif piece != "\x1b[K":
            lines[-1] += piece
    return lines


def test_elsewhere_each_stage_is_one_plain_line() -> None:
    stream = io.StringIO()
    progress = ConsoleProgress(stream)
    for what in ("decoding", "comparing"):
        for done in range(51):
            progress(what, done, 50)
    progress.close()
    assert stream.getvalue() == "decoding (50)\ncomparing (50)\n"


def test_a_terminal_shows_one_line_a_stage_that_ends_full() -> None:
    stream = Terminal()
    progress = ConsoleProgress(stream)
    for what in ("decoding", "comparing"):
        for done in range(501):
            progress(what, done, 500)
    progress.close()
    first, second, after = screen(stream.getvalue())
    assert re.fullmatch(r"decoding \[#+\] 500/500, \d+ s", first)
    assert re.fullmatch(r"comparing \[#+\] 500/500, \d+ s", second)
    assert after == ""


def test_a_terminal_is_drawn_at_most_ten_times_a_second() -> None:
    stream = Terminal()
    progress = ConsoleProgress(stream)
    started = time.monotonic()
    for done in range(20_000):
        progress("decoding", done, 20_000)
    most = (time.monotonic() - started) * 10 + 2
    assert 1 <= stream.getvalue().count("\r") <= most


def test_the_bar_and_the_time_left_follow_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    clock = iter([0.0, 100.0, 130.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    stream = Terminal()
    progress = ConsoleProgress(stream)
    progress("decoding", 0, 40)
    progress("decoding", 10, 40)
    assert screen(stream.getvalue()) == [f"decoding [{'#' * 7}{'.' * 23}] 10/40, 90 s left"]


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
    assert stream.getvalue().endswith("0/0, 0 s\x1b[K\n")


def test_a_narrow_terminal_still_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    ConsoleProgress(stream)("decoding", 5, 10)
    assert re.search(r"decoding \[(#+)\.+\] 5/10, 0 s left", stream.getvalue())
    assert len(screen(stream.getvalue())[0]) < 40
