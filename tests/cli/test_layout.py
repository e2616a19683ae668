"""Tables and paragraphs: they line up and fit, and nothing of them is ever cut."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from vitconv.cli.tables.layout import padded, table, wrapped

WIDE = 10_000


def test_the_columns_of_a_table_line_up() -> None:
    rows = [("a", "1.5", "x"), ("longer name", "100.25", ""), ("b", "", "y")]
    assert table(("file", "ms", "note"), rows, WIDE).splitlines() == [
        "file             ms  note",
        "-----------  ------  ----",
        "a               1.5     x",
        "longer name  100.25",
        "b                       y",
    ]


def test_a_table_without_rows_is_its_header() -> None:
    assert table(("file", "ms"), [], WIDE) == "file  ms\n----  --"


def test_a_table_that_is_too_wide_goes_on_below() -> None:
    rows = [("a", "1111", "2222", "3333"), ("b", "4444", "5555", "6666")]
    folded = table(("name", "one", "two", "three"), rows, 16)
    assert folded.split("\n\n") == [
        "name   one   two\n----  ----  ----\na     1111  2222\nb     4444  5555",
        "name  three\n----  -----\na      3333\nb      6666",
    ]


def test_a_table_with_a_cell_too_wide_to_stand_beside_the_first_is_a_list_a_row() -> None:
    long = "a" * 40
    rows = [(long, "123.45", "train 1257, test 360"), ("b", "", "x")]
    assert table(("file", "p50 ms", "images"), rows, 44).splitlines() == [
        long,
        "  p50 ms                123.45",
        "  images  train 1257, test 360",
        "",
        "b",
        "  p50 ms",
        "  images  x",
    ]
    narrow = table(("file", "p50 ms", "images"), rows, 24).splitlines()
    assert narrow[1:4] == ["  p50 ms          123.45", "  images     train 1257,", "                test 360"]


@pytest.mark.parametrize("width", [1, 13, 20, 40, 60, WIDE])
def test_no_cell_is_cut_at_any_width(width: int) -> None:
    rows = [("mobilevit", "12345.678", "1e-05", "528/539"), ("x" * 30, "0.5", "", "none")]
    words = re.findall(r"\S+", table(("file", "p50 ms", "max error", "delegated"), rows, width))
    assert {cell for row in rows for cell in row if cell} <= set(words)


def test_characters_of_two_columns_line_up() -> None:
    header, _, first, second = table(("label", "score"), [("猫と犬", "1.0"), ("cat", "22.5")], WIDE).splitlines()
    assert cell_len(header) == cell_len(first) == cell_len(second)
    assert wrapped("猫 " * 30, 40, "  ").count("\n") == 2
    assert max(map(cell_len, wrapped("猫 " * 30, 40, "  ").splitlines())) <= 40
    assert [cell_len(text) for text in padded(["猫", "cats", ""])] == [4, 4, 4]


def test_what_could_steer_a_terminal_or_be_markup_is_shown_as_it_is() -> None:
    evil = "a\x1b[2J\rb\nc [red]x[/red] :cat: \x07"
    shown = table(("name", "n"), [(evil, "1")], WIDE)
    assert "a\ufffd[2J\ufffdb\ufffdc [red]x[/red] :cat: \ufffd" in shown
    assert len(shown.splitlines()) == 3
    assert wrapped("[bold]a[/bold] \x1b[31m :cat:", 22) == "[bold]a[/bold] \ufffd[31m\n:cat:"


@pytest.mark.parametrize(
    "environment", [{"FORCE_COLOR": "1"}, {"TERM": "dumb"}, {"COLUMNS": "10"}, {"NO_COLOR": ""}]
)
def test_the_environment_changes_no_table(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("a name", "1.5"), ("b", "100.25")]
    plain = table(("file", "ms"), rows, 60)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert table(("file", "ms"), rows, 60) == plain


@pytest.mark.parametrize("width", [1, 20, 33, 60])
def test_a_paragraph_is_broken_at_words_only(width: int) -> None:
    text = "vitconv: cannot read /a/path/that/is/longer/than/any/terminal/is.png, 12345.6789 of it: well-formed?"
    lines = wrapped(text, width, "    ").splitlines()
    assert " ".join(line.strip() for line in lines) == text
    assert all(line.startswith("    ") and len(line) > 4 for line in lines[1:])
    room = max(width, 20)
    assert all(len(line) <= room or len(line.split()) == 1 for line in lines)
    assert not any(line.endswith(" ") for line in lines)


def test_line_ends_in_a_paragraph_are_blanks_and_its_first_blanks_stay() -> None:
    assert wrapped("  one\ntwo\tthree  ", WIDE) == "  one two three"
    assert wrapped("  one\ntwo three four five six", 20, "    ") == "  one two three four\n    five six"
    assert wrapped("", 20) == ""
