"""What scripts and people get from the command line: documents, words, exit statuses, and nothing else."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import commands
from commands import Call, Ended, executable, on_terminal, processes, run, started, wait_for_line, wait_until
from tflite.test_inspection import FIELDS as INSPECTION
from vitconv import __version__
from vitconv.cli.main import cli
from vitconv.exporting import manifest

TENSOR = ["name", "shape", "dtype", "scale", "zero_point"]
VERIFIED = [
    "path", "scheme", "top1", "top5", "top1_drop", "agreement", "max_abs_error", "mean_abs_error", "psnr_db", "kl",
    "lost", "gained", "top1_drop_interval", "agreement_interval", "reasons", "doubts", "enough", "sha256",
    "verdict", "passed", "top1_interval", "top5_interval",
]  # fmt: skip
TIMED = {
    "path", "scheme", "sha256", "threads", "runs", "init_ms", "first_ms", "mean_ms", "p50_ms", "p90_ms", "p95_ms",
    "peak_memory_mb", "nodes", "delegated_nodes", "partitions", "quantiles_ms",
}  # fmt: skip
SCHEMES = ["float32", "float16", "dynamic", "int8", "int8-hybrid"]
HEAVY = {
    "tensorflow", "keras", "tensorflow_datasets", "ai_edge_litert", "flatbuffers", "sklearn", "matplotlib",
    "scipy", "safetensors", "tensorflow_lite_support",
}  # fmt: skip

unix = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


def document(ended: Ended, status: int = 0) -> Any:
    """The one JSON document on standard output, with words on standard error that no terminal is steered by."""
    assert ended.status == status, ended
    assert ended.out.isascii()
    assert not re.search(r"[^\n -~–×…]", ended.err), ended.err

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    return json.loads(ended.out, parse_constant=refuse)


# --- help ---


def commands_of(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command with its whole name ("app install"), and the groups themselves."""
    for name, command in group.commands.items():
        yield f"{before}{name}", command
        if isinstance(command, click.Group):
            yield from commands_of(command, f"{before}{name} ")


COMMANDS = dict(commands_of(cli))


def test_every_command_and_every_option_is_documented() -> None:
    assert {"benchmark", "report", "app", "app install"} <= COMMANDS.keys()
    for name, command in COMMANDS.items():
        assert command.help, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.opts}"
            else:
                words = re.findall("[A-Z]+", parameter.make_metavar(click.Context(command)))
                assert all(word in command.help for word in words), f"{name} {words}"


@pytest.mark.parametrize("name", [None, *COMMANDS])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_on_standard_output(call: Call, name: str | None, flag: str) -> None:
    ended = call(*(name or "").split(), flag)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith(f"Usage: vitconv {name or '[OPTIONS]'}")
    assert max(map(len, ended.out.splitlines())) <= 80


def test_every_command_can_give_a_document() -> None:
    for name, command in COMMANDS.items():
        if not isinstance(command, click.Group):
            assert any("--json" in parameter.opts for parameter in command.params), name


def test_version() -> None:
    assert run("--version").out == f"vitconv, version {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["models"], ["models", "--json"], ["export", "--help"], ["app", "--help"], ["doctor"]],
)
def test_help_and_the_list_of_models_load_nothing_heavy(arguments: list[str]) -> None:
    code = """
import json, sys
from vitconv.cli.main import main
sys.argv[0] = "vitconv"
try:
    main()
finally:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stderr))
    assert not HEAVY & loaded
    if "--help" in arguments or "--json" in arguments:
        assert "rich" not in loaded
    if "--help" in arguments:
        assert not {"numpy", "filelock", "jinja2", "msgspec", "platformdirs"} & loaded


# --- documents ---


def test_models_json() -> None:
    entries = document(run("models", "--json"))
    assert entries[0]["name"] == "mobilevit_xxs"
    for entry in entries:
        assert set(entry) == {"name", "summary", "image", "sizes_divide_by", "recipe", "recipes", "trained"}
        assert set(entry["image"]) == {"height", "width", "channels", "resize"}
        assert entry["recipe"]["epochs"] > 0


def test_datasets_json(tmp_path: Path) -> None:
    (digits,) = document(run("datasets", "--json", TFDS_DATA_DIR=str(tmp_path)))
    assert (digits["name"], digits["classes"]) == ("digits", 10)
    assert digits["splits"] == {"train": 1257, "validation": 180, "test": 360}


def test_train_json(train_command: Ended) -> None:
    result = document(train_command)
    assert set(result) == {"checkpoint", "card", "history", "classes"}
    assert [row["epoch"] for row in result["history"]] == list(range(1, 10))
    assert result["card"]["model"] == "mobilevit_xxs"
    assert result["card"]["image"] == {"height": 32, "width": 32, "channels": 3, "resize": "stretch"}
    assert result["card"] == json.loads(Path(result["checkpoint"], "card.json").read_text())
    assert "Epoch 9/9" in train_command.err


def test_export_json_is_the_manifest(export_command: tuple[Path, Ended]) -> None:
    folder, ended = export_command
    result = document(ended)
    assert result == json.loads((folder / "manifest.json").read_text())
    assert {
        "model", "checkpoint", "dataset", "labels", "image", "versions", "calibration", "files", "golden",
    } <= set(result)  # fmt: skip
    assert set(result["checkpoint"]) == {"name", "sha256"}
    assert set(result["calibration"]) == {"file", "sha256"}
    assert [file["scheme"] for file in result["files"]] == SCHEMES
    for file in result["files"]:
        hybrid = {"keep_float", "sensitivity"} if file["scheme"] == "int8-hybrid" else set()
        assert set(file) == {"scheme", "path", "bytes", "sha256", "gpu"} | hybrid
        assert file["path"] == f"mobilevit_xxs-digits-{file['scheme']}.tflite"
    assert "exporting int8" in ended.err


def test_calibrate_json_is_the_file(calibrate_command: tuple[Path, Ended]) -> None:
    file, ended = calibrate_command
    result = document(ended)
    assert result == json.loads(file.read_text())
    assert len(result["images"]) == 40
    assert "calibrating (40)" in ended.err


def test_inspect_json_is_an_object_for_one_file_and_a_list_for_several(exported_digits: Path) -> None:
    first, second = sorted(exported_digits.glob("*.tflite"))[:2]
    one = document(run("inspect", first, "--json"))
    assert list(one) == INSPECTION
    assert (one["path"], one["bytes"]) == (str(first), first.stat().st_size)
    for tensor in (*one["inputs"], *one["outputs"]):
        assert list(tensor) == TENSOR
    both = document(run("inspect", first, second, "--json"))
    assert both[0] == one
    assert both[1]["path"] == str(second)


def test_verify_json(digits_export: Path) -> None:
    ended = run("verify", digits_export, "--json")
    result = document(ended)
    assert set(result) == {"dataset", "examples", "chose_epoch", "reference", "files", "passed", "folder_problems"}
    assert set(result["reference"]) == {"top1", "top5", "loss", "top1_interval", "top5_interval"}
    assert (result["examples"], result["passed"]) == (360, True)
    assert [file["scheme"] for file in result["files"]] == SCHEMES
    for file in result["files"]:
        assert list(file) == VERIFIED
        assert (file["passed"], file["reasons"]) == (True, [])
        assert file["verdict"] == ("passed" if file["scheme"] == "float32" else "unsure")
    assert "CANNOT TELL with 360 images" in ended.err
    assert "verifying int8 (360)" in ended.err


def test_benchmark_json(digits_export: Path) -> None:
    ended = run("benchmark", digits_export, "--runs", 3, "--threads", 2, "--json")
    result = document(ended)
    assert set(result) == {"machine", "runtime", "files"}
    assert sorted(file["scheme"] for file in result["files"]) == sorted(SCHEMES)
    for file in result["files"]:
        assert set(file) >= TIMED
        assert (file["runs"], file["threads"]) == (3, 2)
    assert "timing (3)" in ended.err


# --- words ---


def test_verify_in_words(call: Call, digits_export: Path) -> None:
    ended = call("verify", digits_export)
    assert ended.status == 0
    title, _, _, keras, *rows = ended.out.splitlines()
    assert title.endswith(", 360 images, which chose nothing")
    assert keras.startswith("Keras")
    # So few images show neither that a rounded file keeps its limit of lost answers nor that it breaks it.
    assert rows[0].split()[:2] == ["float32", "passed"]
    assert [row.split()[:3] for row in rows[1 : len(SCHEMES)]] == [
        [name, "cannot", "tell"] for name in SCHEMES[1:]
    ]
    assert f"CANNOT TELL with 360 images: {', '.join(SCHEMES[1:])}." in " ".join(ended.out.split())
    assert "Use at least " in ended.out


def test_a_file_that_is_another_in_disguise_fails_with_reasons(call: Call, digits_export: Path) -> None:
    # Whole in itself and by its digest, but not what its name and the manifest say.
    document_ = json.loads((digits_export / manifest.MANIFEST).read_text())
    entries = {entry["scheme"]: entry for entry in document_["files"]}
    int8 = digits_export / entries["int8"]["path"]
    (digits_export / entries["float32"]["path"]).write_bytes(int8.read_bytes())
    entries["float32"]["sha256"] = entries["int8"]["sha256"]
    (digits_export / "manifest.json").write_text(json.dumps(document_))
    ended = call("verify", digits_export, "--json")
    result = document(ended, status=1)
    assert not result["passed"]
    failed = {file["scheme"]: file["reasons"] for file in result["files"] if not file["passed"]}
    assert list(failed) == ["float32"]
    assert any("in a probability" in reason for reason in failed["float32"])
    ended = call("verify", digits_export)
    assert ended.status == 1
    assert re.search(r"^float32 +FAILED ", ended.out, re.MULTILINE)
    # Which reason comes first hangs on how well this session's network stands int8.
    said = f"mobilevit_xxs-digits-float32.tflite {'; '.join(failed['float32'])}."
    assert said in " ".join(ended.out.split())


def test_a_control_character_in_a_name_never_reaches_the_terminal(call: Call, exported_digits: Path) -> None:
    source = exported_digits / "mobilevit_xxs-digits-float32.tflite"
    data = source.read_bytes()
    assert data.count(b"Identity") >= 1
    evil = exported_digits.parent / "evil\x1b[2J.tflite"
    evil.write_bytes(data.replace(b"Identity", b"I\x1b[31mty"))
    shown = call("inspect", evil)
    assert shown.status == 0
    assert "I\ufffd[31mty" in shown.out
    assert "\x1b" not in shown.out
    assert document(call("inspect", evil, "--json"))["outputs"][0]["name"] == "I\x1b[31mty"
    evil.write_bytes(b"")
    assert "\x1b" not in call("inspect", evil).err


# --- streams ---


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C"},
        {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"},
        {"PYTHONIOENCODING": "ascii"},
    ],
)
def test_an_encoding_without_the_characters_stops_nothing(environment: dict[str, str]) -> None:
    ended = run("models", **environment)
    assert ended.status == 0
    assert re.search(r"256.+256", ended.out)
    assert document(run("models", "--json", **environment)) == document(run("models", "--json"))


@pytest.mark.parametrize("arguments", [("models",), ("models", "--json"), ("inspect", "FILE")])
def test_a_reader_that_leaves_early_changes_nothing(arguments: tuple[str, ...], exported_digits: Path) -> None:
    file = exported_digits / "mobilevit_xxs-digits-float32.tflite"
    read, write = os.pipe()
    os.close(read)
    command = [executable(), *(str(file) if word == "FILE" else word for word in arguments)]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_device_as_standard_output_is_an_error() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([executable(), "models"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "vitconv: cannot write to standard output: No space left on device.\n"


def test_closed_streams_stop_nothing(digits_export: Path) -> None:
    command = f"exec '{executable()}' benchmark '{digits_export}' --runs 1 <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", command]).returncode == 0


def test_on_a_narrow_terminal_tables_are_folded_and_progress_redraws_its_line(digits_export: Path) -> None:
    status, text = on_terminal([executable(), "benchmark", str(digits_export), "--runs", "2"])
    assert status == 0
    assert re.search(r"\r\x1b\[2Ktiming ", text)
    _, *result = re.sub(r"\x1b\[[\d;]*m", "", text).rpartition("\x1b[2K")[2].splitlines()
    assert all(len(line) <= 60 or str(digits_export) in line for line in result)
    assert sum(line.startswith("mobilevit_xxs-digits-int8.tflite") for line in result) > 1


# --- Ctrl-C ---

FLOAT_SCHEMES = ("--quant", "float32,float16,dynamic")  # which need no calibration


@unix
@pytest.mark.parametrize(
    ("command", "marker"),
    [
        ("export", "loading TensorFlow"),
        ("export", "exporting float16"),
        ("verify", "verifying float32"),
        ("benchmark", "warming up"),
    ],
)
def test_ctrl_c_says_so_and_leaves_nothing(
    command: str, marker: str, tiny_keras: tuple[Path, tuple[object, ...]], exported_digits: Path, tmp_path: Path
) -> None:
    out = tmp_path / "export"
    network, told = tiny_keras
    arguments = {
        "export": (network, *told, *FLOAT_SCHEMES, "--out", out),
        "verify": (exported_digits,),
        "benchmark": (exported_digits, "--runs", 100_000),
    }[command]
    before = sorted(exported_digits.rglob("*"))
    with started(command, *arguments) as process:
        wait_for_line(process, marker)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: the workers get it, too
        shown, said = process.communicate(timeout=commands.SECONDS)
        assert process.returncode == 130
        assert shown == ""
        assert said.splitlines()[-1] == "vitconv: stopped. No half-written file was left."
        assert "Traceback" not in said
        assert wait_until(lambda: not processes(process.pid))
    assert not out.exists() or list(out.iterdir()) == []
    assert sorted(exported_digits.rglob("*")) == before


@unix
def test_an_export_that_was_killed_leaves_no_trace_in_the_next_one(
    call: Call, tiny_keras: tuple[Path, tuple[object, ...]], tmp_path: Path
) -> None:
    out = tmp_path / "export"
    network, told = tiny_keras
    with started("export", network, *told, *FLOAT_SCHEMES, "--out", out) as process:
        assert wait_until(lambda: any(out.rglob("*-float32.tflite")), seconds=commands.SECONDS)
        process.kill()
        process.wait()
        assert wait_until(lambda: not processes(process.pid)), "the worker outlived the command"
    assert not (out / "manifest.json").exists()
    ended = call("export", network, *told, "--quant", "float32", "--out", out)
    assert ended.status == 0
    assert [line.split()[0] for line in ended.out.splitlines() if "---" not in line] == [
        str(out), "file", "tiny-digits-float32.tflite",
    ]  # fmt: skip
    assert {path.name for path in out.iterdir()} == {
        "manifest.json", "labels.txt", "golden", "tiny-digits-float32.tflite",
    }  # fmt: skip
