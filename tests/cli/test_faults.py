"""An exception that nobody raised on purpose: a line and a log for a bug, a line for what the machine lacks."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from commands import Call
from vitconv.cli.terminal import faults
from vitconv.data import datasets

LACKS_MEMORY = "vitconv: there is not enough memory for this. Try a smaller image size or batch.\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VITCONV_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch, cause: BaseException | None = None) -> None:
    """Has `vitconv datasets` raise it."""

    def available() -> NoReturn:
        raise error from cause

    monkeypatch.setattr(datasets, "available", available)


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_a_bug_is_one_line_and_a_log_with_the_traceback(
    arguments: tuple[str, ...], call: Call, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    fail_with(KeyError("colour"), monkeypatch)
    ended = call("datasets", *arguments)
    (log,) = cache.rglob("*.log")
    assert (ended.status, ended.out) == (3, "")
    assert ended.err == (
        "vitconv: unexpected error, most likely a bug in vitconv: KeyError: 'colour'. "
        f"The log is {log}; --debug prints the traceback. Please report it.\n"
    )
    text = log.read_text()
    assert "Traceback (most recent call last)" in text
    assert text.endswith("KeyError: 'colour'\n")
    assert str(["vitconv", "datasets", *arguments]) in text


@pytest.mark.parametrize(
    "line", [("--debug", "datasets"), ("datasets", "--debug"), ("datasets", "--debug", "--json")]
)
def test_debug_prints_the_traceback_wherever_it_stands(
    line: tuple[str, ...], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(KeyError("colour"), monkeypatch)
    ended = call(*line)
    assert (ended.status, ended.out) == (3, "")
    first, *_, last = ended.err.splitlines()
    assert first == "Traceback (most recent call last):"
    assert last.startswith("vitconv: unexpected error")


def test_debug_stands_behind_a_command_of_a_group_too(call: Call) -> None:
    for line in (("app", "--debug", "build", "absent"), ("app", "build", "absent", "--debug")):
        ended = call(*line)
        assert ended.status == 2
        assert "absent" in ended.err


def test_a_wrong_input_has_no_traceback_and_no_log_with_debug_either(call: Call, cache: Path) -> None:
    ended = call("inspect", "absent.tflite", "--debug")
    assert ended.status == 2
    assert len(ended.err.splitlines()) == 1
    assert not cache.exists()


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError(), None),
        (type("_ArrayMemoryError", (MemoryError,), {})("Unable to allocate 1.0 TiB"), None),
        (RuntimeError("a library's own words"), MemoryError()),
    ],
)
def test_too_little_memory_is_no_bug(
    error: Exception, cause: Exception | None, call: Call, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    fail_with(error, monkeypatch, cause)
    ended = call("datasets")
    assert (ended.status, ended.err) == (2, LACKS_MEMORY)
    assert not cache.exists()


def test_neither_is_tensorflow_s_own_word_for_it(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    fail_with(tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\nof 3 TB"), monkeypatch)
    ended = call("datasets")
    assert (ended.status, ended.err) == (2, LACKS_MEMORY)
    fail_with(tf.errors.InvalidArgumentError(None, None, "shapes"), monkeypatch)
    assert call("datasets").status == 3


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ModuleNotFoundError("No module named 'jinja2.x'", name="jinja2.x"),
            ["jinja2 is missing", "doctor"],
        ),
        (FileNotFoundError(errno.ENOENT, "No such file", "/a/place"), ["No such file: /a/place."]),
        (OSError("image file is truncated"), ["image file is truncated."]),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), ["memory"]),
    ],
)
def test_what_the_machine_lacks_is_no_bug(
    error: Exception, words: list[str], call: Call, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    fail_with(error, monkeypatch)
    ended = call("datasets")
    assert ended.status == 2
    assert len(ended.err.splitlines()) == 1
    assert all(word in ended.err for word in words)
    assert not cache.exists()


def test_a_module_of_our_own_that_is_missing_is_a_bug(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(ModuleNotFoundError("No module named 'vitconv.gone'", name="vitconv.gone"), monkeypatch)
    assert call("datasets").status == 3


def test_a_long_or_hostile_message_stays_one_plain_line(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(ValueError("a\nb \x1b[2J \udcff " + "c" * 10_000), monkeypatch)
    ended = call("datasets")
    assert ended.status == 3
    assert len(ended.err.splitlines()) == 1
    assert "ValueError: a b \ufffd[2J" in ended.err
    assert len(ended.err) < 1000
    assert "\x1b" not in call("--debug", "datasets").err


def test_without_a_place_for_the_log_the_error_is_still_said(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITCONV_CACHE", "/dev/null/cache")
    fail_with(KeyError("colour"), monkeypatch)
    ended = call("datasets")
    assert ended.status == 3
    assert len(ended.err.splitlines()) == 1
    assert "No log of it could be kept (cannot write /dev/null/cache/logs/" in ended.err


def test_only_the_newest_logs_are_kept(call: Call, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    for number in range(faults._KEPT_LOGS + 3):
        fail_with(KeyError(number), monkeypatch)
        assert call("datasets").status == 3
    logs = sorted(cache.rglob("*.log"))
    assert [log.read_text().splitlines()[-1] for log in logs] == [
        f"KeyError: {number}" for number in range(3, faults._KEPT_LOGS + 3)
    ]
