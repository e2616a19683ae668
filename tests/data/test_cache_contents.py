"""What the cache holds, and its removal."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from commands import Call, refused
from vitconv.data import cache_contents
from vitconv.data.cache_contents import contents, prune
from vitconv.data.datasets import open_dataset
from vitconv.data.pictures.images import ImageSpec
from vitconv.foundation.disk.cache import lock_beside


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VITCONV_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_entries_are_listed_with_their_size_and_removed_by_their_age(cache: Path) -> None:
    assert contents() == []
    for size in (8, 12):
        open_dataset("digits").split("validation", ImageSpec(size, size))
    entries = contents()
    assert {(entry.dataset, entry.split, entry.image) for entry in entries} == {
        ("digits", "validation", "8×8"),
        ("digits", "validation", "12×12"),
    }
    assert all(entry.bytes > 180 * 8 * 8 * 3 for entry in entries)
    old = next(entry for entry in entries if entry.image == "12×12")
    os.utime(old.path / "card.json", (1, 1))
    assert [entry.image for entry in contents()] == ["8×8", "12×12"]
    (cache / "mine").mkdir()
    (cache / "mine" / "card.json").write_text("[]")  # of somebody else
    assert [entry.image for entry in prune(10)] == ["12×12"]
    assert [entry.image for entry in contents()] == ["8×8"]
    open_dataset("digits").split("validation", ImageSpec(12, 12))
    assert len(prune()) == 2
    assert [path.name for path in cache.iterdir() if path.is_dir()] == ["mine"]


def test_an_entry_that_another_process_is_making_stays(cache: Path) -> None:
    open_dataset("digits").split("validation", ImageSpec(8, 8))
    (entry,) = contents()
    with lock_beside(entry.path):
        assert prune() == []
        assert contents()[0].path == entry.path
    assert [removed.path for removed in prune()] == [entry.path]
    assert list(cache.glob("*/card.json")) == list(cache.glob(".*.lock")) == []


def test_an_entry_that_goes_meanwhile_is_not_listed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_dataset("digits").split("validation", ImageSpec(8, 8))
    found = list(cache_contents.entries(cache))
    monkeypatch.setattr(cache_contents, "entries", lambda _: iter(found))
    shutil.rmtree(found[0][0])
    assert contents() == []
    assert prune() == []


def test_using_an_entry_makes_it_young_again() -> None:
    open_dataset("digits").split("validation", ImageSpec(8, 8))
    os.utime(contents()[0].path / "card.json", (1, 1))
    open_dataset("digits").split("validation", ImageSpec(8, 8))
    assert contents()[0].days < 1


def test_the_command(call: Call, cache: Path) -> None:
    open_dataset("digits").split("validation", ImageSpec(8, 8))
    listed = json.loads(call("cache", "--json").out)
    assert (listed["folder"], len(listed["entries"]), listed["removed"]) == (str(cache), 1, [])
    assert "digits validation, 8×8" in call("cache").out
    refused(call("cache", "--older-than", 3), "--older-than is for --prune")
    assert len(json.loads(call("cache", "--prune", "--json").out)["removed"]) == 1
    assert contents() == []
