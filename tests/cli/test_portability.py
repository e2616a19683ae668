"""`vitconv run`, `inspect` and `models` need nothing that only Unix has, so that they work on Windows."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vitconv
from runtimes.test_classification import write_model

PACKAGE = Path(vitconv.__file__).parent
# Of the standard library, what its documentation calls "Availability: Unix".
UNIX_ONLY = (
    "fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty",
)  # fmt: skip


def imported(tree: ast.Module) -> Iterator[str]:
    """What is imported when the module is: anywhere but in a function."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


def test_no_module_needs_one_of_unix_to_be_imported() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 100
    for file in files:
        assert not set(imported(ast.parse(file.read_text(encoding="utf-8")))) & set(UNIX_ONLY), file


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """The environment of a Python that has nothing of these, in its child processes neither."""
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nfor name in {UNIX_ONLY}: sys.modules[name] = None\n")
    path = os.pathsep.join([str(tmp_path), str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep), "VITCONV_CACHE": str(tmp_path / "cache")}


def vitconv_elsewhere(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    code = "from vitconv.cli.main import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")


def test_elsewhere_is_really_without(elsewhere: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", "import fcntl"], env=elsewhere, capture_output=True, text=True)
    assert "import of fcntl halted" in done.stderr


def test_run_and_inspect_work(elsewhere: dict[str, str], tiny_tflite: dict[str, bytes], tmp_path: Path) -> None:
    write_model(tmp_path / "model.tflite", tiny_tflite["int8"])
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / "photo.png")
    for arguments in (
        ["run", tmp_path / "model.tflite", tmp_path / "photo.png"],
        ["inspect", tmp_path / "model.tflite"],
    ):
        done = vitconv_elsewhere(elsewhere, *arguments)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr


@pytest.mark.parametrize("line", ["--help", "models", "datasets", "doctor", "run absent.tflite absent.png"])
def test_the_light_commands_work(line: str, elsewhere: dict[str, str]) -> None:
    done = vitconv_elsewhere(elsewhere, *line.split())
    assert done.returncode == (2 if "absent" in line else 0), done.stderr
    assert len(done.stderr.splitlines()) == done.returncode // 2


def test_the_cache_is_locked_there_too(elsewhere: dict[str, str], tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from vitconv.foundation.disk.cache import lock_beside\n"
        "with lock_beside(Path(sys.argv[1])): print('locked')\n"
        "with lock_beside(Path(sys.argv[1])): print('again')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "entry")]
    done = subprocess.run(command, env=elsewhere, capture_output=True, text=True, timeout=60)
    assert done.stdout == "locked\nagain\n", done.stderr
