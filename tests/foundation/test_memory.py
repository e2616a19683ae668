"""Freed memory stays in the process, and in huge pages."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
PROGRAM = """
import sys
from vitconv.foundation.memory import keep_freed_memory

def kilobytes(name):
    with open("/proc/self/smaps_rollup") as file:
        return int(file.read().split(name + ":")[1].split()[0])

if sys.argv[1] == "kept":
    keep_freed_memory()
arrays = [b"x" * 2**25 for _ in range(8)]
print(kilobytes("AnonHugePages"))
del arrays
print(kilobytes("Rss"))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc lets itself be asked")
def test_what_is_freed_is_kept_in_huge_pages() -> None:
    huge, resident = {}, {}
    for how in ("kept", "left"):
        done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
        huge[how], resident[how] = map(int, done.stdout.split())
    assert resident["kept"] > 8 * 2**15 > resident["left"]
    if HUGE_PAGES.is_file() and "[madvise]" in HUGE_PAGES.read_text():
        assert huge["kept"] > 6 * 2**15  # seven of the eight where memory is in pieces
        assert huge["left"] == 0
