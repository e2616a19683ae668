"""The documents say what is so: the commands in them exist with these options, and run; links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from commands import run, script
from vitconv.cli.main import cli

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path
    for pattern in (
        "*.md",
        "calibration/*.md",
        "converter/**/*.md",
        "android-app/*.md",
        "android-app/*/*.md",
        "scripts/*.md",
    )
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)
README, DOCS = ROOT / "README.md", ROOT / "converter" / "docs"
COMMANDS, TRAINING = DOCS / "commands.md", DOCS / "training.md"
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


# --- the figures ---


def test_the_tables_of_the_readme_are_those_of_the_kept_results() -> None:
    results = script("readme-results")
    text = README.read_text(encoding="utf-8")
    assert results.with_tables(text, results.documents_in(results.RESULTS)) == text
    other = re.sub(r"(\| int8 \| \d+\.)\d+", r"\g<1>00", text)
    assert other != text
    assert results.with_tables(other, results.documents_in(results.RESULTS)) == text


def test_the_table_of_trainings_is_that_of_the_kept_cards() -> None:
    results = script("readme-results")
    text = TRAINING.read_text(encoding="utf-8")
    assert results.with_trainings(text) == text
    other = re.sub(r"\| \d+×\d+ \| \d+\.", "| 1×1 | 0.", text)
    assert other != text
    assert results.with_trainings(other) == text


def test_the_table_of_other_tools_is_that_of_the_kept_comparisons() -> None:
    results = script("readme-results")
    text, documents = README.read_text(encoding="utf-8"), results.documents_in(results.PEERS)
    assert results.with_peers(text, documents) == text
    assert {"eanet", "mobilevit_xxs"} <= {document["model"] for document in documents}
    other = re.sub(r"(\| vitconv, int8 \| \d+\.)\d", r"\g<1>0", text)
    assert other != text
    assert results.with_peers(other, documents) == text
    without = [{**one, "ways": [{**way, "p50_ms": None} for way in one["ways"]]} for one in documents]
    none = "| ONNX Runtime, int8 | no file that runs | – | – | no file that runs | – | – |"
    assert none in results.with_peers(text, without)


def test_the_tables_of_the_readme_say_which_scheme_not_to_use() -> None:
    """Where a file is slower than float32, or fails, the line below its table says so."""
    results = script("readme-results")
    for document in results.documents_in(results.RESULTS):
        tables = results.with_tables(
            f"{results.BEGIN.format('results')}{results.END.format('results')}", [document]
        )
        timings = {file["scheme"]: file["p50_ms"] for file in document["benchmark"]["files"]}
        for file in document["verify"]["files"]:
            slower = timings[file["scheme"]] > results.SLOWER * timings["float32"]
            assert (f"**Do not use {file['scheme']} on a desktop like this:**" in tables) == slower
            assert (f"**Do not use {file['scheme']}:**" in tables) == (file["verdict"] == "failed")


def test_the_tables_of_the_readme_have_the_instructions_that_were_counted() -> None:
    results = script("readme-results")
    empty = f"{results.BEGIN.format('results')}{results.END.format('results')}"
    document = {**results.documents_in(results.RESULTS)[0], "android": None}
    before = results.with_tables(empty, [document])
    assert "arm64" not in before
    shares = {"float32": 1.0, "float16": 1.0, "dynamic": 0.75, "int8": 0.5, "int8-hybrid": 1.25}
    files = [
        {
            "scheme": scheme, "android": {"partitions": 147},
            "arm64": [
                {"cpu": cpu, "instructions": round(share * million), "relative": share}
                for cpu, million in (("max", 10**8), ("cortex-a53", 2 * 10**8))
            ],
        }
        for scheme, share in shares.items()
    ]  # fmt: skip
    table = results.with_tables(empty, [{**document, "android": {"runtime": "TFLite", "files": files}}])
    header, line, *_ = (row for row in table.splitlines() if row.startswith("|"))
    assert (
        "| partitions | arm64 M, max | ÷ float32 | arm64 M, cortex-a53 | ÷ float32 | Android's partitions |"
        in header
    )
    assert header.count("|") == line.count("|")
    (int8,) = (row for row in table.splitlines() if row.startswith("| int8 |"))
    verdict = results.VERDICTS[document["verify"]["files"][3]["verdict"]]
    assert int8.endswith(f"| 50.0 | 0.50 | 100.0 | 0.50 | 147 | {verdict} |")
    assert int8.count("|") == header.count("|")
    assert "**Do not use int8-hybrid on phones:** on arm64 it takes 1.25 times as many instructions" in table
    assert "counted under QEMU; they are not milliseconds." in table


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


# --- the commands ---


def shell_lines(text: str) -> Iterator[str]:
    """The lines of indented or fenced blocks that call vitconv, without comments, one for each call."""
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            for call in re.split(r"&&|\|", re.sub(r"\s#.*| {2,}in ~.*", "", line)):
                if call.strip().startswith("vitconv "):
                    yield call.strip()


def check_line(line: str) -> None:
    """Has click read a whole command line. Raises what the command would end with."""
    command: click.Command = cli
    words = shlex.split(re.sub(r"\s>\s*\S+", "", line))[1:]
    # With its settings: a command keeps the help option of the first context that it sees.
    context = click.Context(cli, info_name="vitconv", **cli.context_settings)
    while isinstance(command, click.Group):
        name = words.pop(0)
        assert name in command.commands, f"{line}: there is no command {name}"
        command = command.commands[name]
    command.make_context(command.name, words, parent=context)


def check_mention(span: str) -> None:
    """Of a command that is named in a sentence: it exists, and has these options."""
    words = shlex.split(span)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"{span}: there is no command {words[0]}"
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {
        "--help",
        "-h",
        "--version",
    }
    assert {word for word in words if word.startswith("-")} <= known, span


def every_option(command: click.Command = cli) -> set[str]:
    found = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return found.union(*map(every_option, below))


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_every_command_in_a_document_is_one(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    if document == COMMANDS:
        return  # made from the commands themselves; the examples in them are looked at below
    for line in shell_lines(text):
        check_line(line)
    # Of paragraphs, which may break a span over two lines.
    spans = [" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
    options = every_option() | {"--help"}
    for span in spans:
        if span.startswith("vitconv "):
            check_mention(span)
        elif span.startswith("--"):
            assert span.split()[0] in options, span
        elif span.startswith("scripts/"):
            assert (ROOT / span.split()[0]).exists(), span


def test_the_examples_of_help_texts_are_commands() -> None:
    lines = list(shell_lines(COMMANDS.read_text(encoding="utf-8")))
    assert len(lines) > 10
    for line in lines:
        check_line(line)


@pytest.mark.parametrize(
    "line",
    ["vitconv verify export --max-dropp 1", "vitconv verifi export", "vitconv calibrate x", "vitconv run f"],
)
def test_a_line_that_would_not_run_is_found(line: str) -> None:
    with pytest.raises((click.ClickException, AssertionError)):
        check_line(line)
    assert list(shell_lines(f"Words.\n\n    {line}   # why\n")) == [line]


def test_an_option_that_does_not_exist_is_found() -> None:
    with pytest.raises(AssertionError):
        check_mention("vitconv verify --layer")


# --- the reference ---


def test_the_reference_is_what_the_commands_say() -> None:
    """scripts/command-reference writes it."""
    assert COMMANDS.read_text(encoding="utf-8") == script("command-reference").reference()


def test_every_command_and_every_option_is_in_the_reference() -> None:
    sections = dict(
        re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", COMMANDS.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    )

    def check(command: click.Command, name: str) -> None:
        for parameter in command.params:
            # --debug is hidden behind a command: the group's help says that it may stand there.
            shown = isinstance(parameter, click.Option) and not parameter.hidden
            for option in parameter.opts if shown else ():
                assert re.search(rf"(?<![\w-]){option}(?![\w-])", sections[name]), f"{name} {option}"
        for below, its in command.commands.items() if isinstance(command, click.Group) else ():
            check(its, f"{name} {below}")

    check(cli, "vitconv")


# --- links ---


def anchors(document: Path) -> set[str]:
    """As the usual viewers make them of headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CHANGELOG.md"], ids=[*NAMES, "CHANGELOG.md"])
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"^```[^`]*^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text))
    assert document != README or len(targets) >= 7
    for target in targets:
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        place = document.parent / path if path else document
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


def test_the_map_names_files_that_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files = set(re.findall(r"\b[a-z_]+\.py\b", text))
    there = {path.name for folder in ("converter", "tests") for path in (ROOT / folder).rglob("*.py")}
    assert len(files) > 25
    assert files <= there | {"NAME.py", "NAME_command.py"}


def test_the_map_names_every_room_with_what_is_in_it() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    package = ROOT / "converter" / "vitconv"
    rows = dict(re.findall(r"^\| `(\w+)/` \| (.+?) \|", text, re.MULTILINE))
    assert set(rows) == {path.parent.name for path in package.glob("*/__init__.py")}
    for room, row in rows.items():
        for name in re.findall(r"\b[a-z_]+\.py\b", row):
            assert (package / room / name).is_file(), f"{room}/{name}"


# --- README's tour, really ---

TRAINED = "vitconv train mobilevit_xxs --dataset tf_flowers --out runs/flowers"
EXPORTED = "vitconv export runs/flowers --quant all --out export/flowers"


def tour() -> list[str]:
    text = README.read_text(encoding="utf-8")
    return list(shell_lines(re.findall(r"^## A tour\n(.*?)\n\n`train` keeps", text, re.MULTILINE | re.DOTALL)[0]))


def test_the_tour_begins_with_what_the_session_has_done() -> None:
    """`train` and `export` take minutes: the session has run both once, on digits, in the place of tf_flowers."""
    lines = tour()
    assert {TRAINED, EXPORTED} <= set(lines)
    assert len(lines) >= 8


@pytest.mark.parametrize("line", [line for line in tour() if line not in (TRAINED, EXPORTED)])
def test_the_tour_runs(
    line: str, digits_export: Path, digits_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    for link, target in (("runs/flowers", digits_checkpoint), ("export/flowers", digits_export)):
        (there / link).parent.mkdir(parents=True)
        (there / link).symlink_to(target)
    monkeypatch.chdir(there)
    words = []
    for word in shlex.split(line)[1:]:
        found = sorted(str(path) for path in Path().glob(word)) if "*" in word else [word]
        assert found, f"nothing is called {word}"
        words += found
    ended = run(*words)
    assert (ended.status, "Traceback" in ended.err) == (0, False), ended.err
    assert ended.out


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_scripts_that_the_readme_names_can_be_read() -> None:
    for name in set(re.findall(r"scripts/([\w-]+)", README.read_text(encoding="utf-8"))) - {"results"}:
        path = ROOT / "scripts" / name
        assert path.is_file(), name
        if path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash"):
            subprocess.run(["bash", "-n", str(path)], check=True)
