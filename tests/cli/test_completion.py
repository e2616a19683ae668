"""What Tab offers, asked as the shells ask."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from commands import Call, executable
from vitconv.checkpoints import pretrained
from vitconv.cli.main import cli
from vitconv.cli.terminal import completion
from vitconv.conversion import schemes
from vitconv.models.catalogue import CATALOGUE


def offered(line: str) -> list[str]:
    """For a line whose last word is being typed."""
    *words, typed = line.split(" ")
    items = ShellComplete(cli, {}, "vitconv", completion._VARIABLE).get_completions(words, typed)
    return [item.value if item.type == "plain" else f"<{item.type}>" for item in items]


def test_names_are_offered_where_a_command_takes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cifar100" / "3.0.2").mkdir(parents=True)
    (tmp_path / "cifar100" / "3.0.2" / "features.json").write_text("{}")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert offered("train ") == list(CATALOGUE)
    assert offered("train eane") == [name for name in CATALOGUE if name.startswith("eane")]
    assert offered("train eanet --dataset ") == ["digits", "cifar100"]
    assert offered("verify folder --dataset c") == ["cifar100"]
    assert offered("train eanet --recipe ") == list(CATALOGUE["eanet"].recipes)
    assert offered("export ") == list(pretrained.names())
    assert offered("export eanet --quant ") == [*schemes.SCHEMES, "all"]
    assert offered("export eanet --quant int8,fl") == ["int8,float32", "int8,float16"]
    assert "int8,int8" not in offered("export eanet --quant int8,i")
    assert offered("calibrate eanet --method m") == ["minmax", "mse"]
    assert offered("verify x --runtime a") == ["android"]
    assert offered("app b") == ["benchmark", "build"]


@pytest.mark.parametrize("line", ["export ./", "train eanet --dataset ./pho", "export runs/"])
def test_folders_are_left_to_the_shell(line: str) -> None:
    assert offered(line) == ["<dir>"]


def test_paths_are_left_to_the_shell() -> None:
    assert offered("run ") == offered("inspect mod") == ["<file>"]


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_the_script_is_printed(shell: str, call: Call) -> None:
    ended = call("completion", shell)
    assert (ended.status, ended.err) == (0, "")
    assert f"_VITCONV_COMPLETE={shell}_complete" in ended.out
    assert json.loads(call("completion", shell, "--json").out) == {"shell": shell, "script": ended.out[:-1]}


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_bash_completes() -> None:
    commands = """
        eval "$(vitconv completion bash)"
        COMP_WORDS=(vitconv train eanet --dataset dig) COMP_CWORD=4
        _vitconv_completion vitconv
        echo "${COMPREPLY[@]}"
        complete -p vitconv
    """
    path = os.pathsep.join((str(Path(executable()).parent), os.environ["PATH"]))
    # compopt, which click's script calls for files and folders, works only where bash itself completes.
    done = subprocess.run(
        ["bash", "--norc", "-c", commands], capture_output=True, text=True, env={**os.environ, "PATH": path}
    )
    assert done.stdout.splitlines()[0] == "digits", done.stderr
    assert "_vitconv_completion" in done.stdout


def test_nothing_heavy_is_loaded() -> None:
    code = """
import sys
from click.shell_completion import ShellComplete
from vitconv.cli.main import cli
for words in (["train"], ["export"], ["train", "eanet", "--dataset"], ["export", "x", "--quant"]):
    ShellComplete(cli, {}, "vitconv", "_VITCONV_COMPLETE").get_completions(words, "")
assert not {"tensorflow", "keras", "tensorflow_datasets"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
