"""What is read from the two tools' output: every number that is printed, and none that is not."""

from __future__ import annotations

import re
from dataclasses import astuple
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitconv.phone.benchmark_output import Delegation, Log, ToolOutput, parse

CORPUS = {path.stem: path.read_text() for path in sorted((Path(__file__).parent / "outputs").glob("*.txt"))}

EXPECTED = {
    "tflite-2019": Log(
        ToolOutput(50, 17.187, 3512.391, 2950.34, 2727.568, 3189.954, 109.798, None, None, 46.0859), (), None, None
    ),
    "tflite-2021-gpu": Log(
        ToolOutput(412, 512.07, 4.331, 2.4162, 2.198, 5.02, 0.211, None, None, 21.4219),
        (Delegation("TfLiteGpuDelegateV2", 98, None, 2),),
        "part",
        None,
    ),
    "tflite-2024-xnnpack": Log(
        ToolOutput(74, 12.75, 14.744, 13.5202, 13.105, 15.765, 0.47, 13.48, 14.3, 18.7227),
        (Delegation("TfLiteXNNPackDelegate", 390, 477, 115),),
        None,
        None,
    ),
    "tflite-2024-gpu-takes-nothing": Log(
        ToolOutput(50, 31.002, 23.441, 22104.4 / 1000, 21.9, 22.817, 0.161, 22.09, 22.4, 24.1016),
        (Delegation("TfLiteXNNPackDelegate", 539, 548, 19),),
        "none",
        None,
    ),
    "tflite-2024-nnapi-all": Log(
        ToolOutput(50, 104.9, 3.1, 2.2, 2.2, 2.2, None, 2.2, 2.2, 9.5),
        (Delegation("TfLiteNnapiDelegate", 64, 64, 1),),
        "all",
        None,
    ),
    "tflite-one-run": Log(ToolOutput(1, 9.5, 8.2, 7.1, 7.1, 7.1, None, 7.1, 7.1, 3.25), (), None, None),
    "tflite-unknown-flag": Log(
        ToolOutput(10, 9.5, 8.2, 7.104, 7.0, 7.3, 0.1, 7.1, 7.2, 3.25), (), None, "--use_npu=true --frobnicate"
    ),
    "tflite-delegate-fails": Log(None, (), None, None),
    "tflite-cut-short": Log(None, (Delegation("TfLiteXNNPackDelegate", 5, 5, 1),), None, None),
    "tflite-no-model": Log(None, (), None, None),
    "litert-cpu": Log(
        ToolOutput(2112, 4.48, 1.03, 464.545 / 1000, 0.442, 0.979, 0.013, 0.462, 0.478, 12.06),
        (Delegation("TfLiteXNNPackDelegate", 1, 1, 1),),
        None,
        None,
    ),
    "litert-block-only": Log(
        ToolOutput(14, 586.76, 74.4, 71.45, 70.02, 75.9, 1.2, None, None, None), (), None, None
    ),
}


def test_the_whole_corpus_is_expected() -> None:
    assert set(CORPUS) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_corpus(name: str) -> None:
    assert parse(CORPUS[name]) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_line_ends_and_the_prefixes_of_a_log_change_nothing(name: str) -> None:
    assert parse(CORPUS[name].replace("\n", "\r\n")) == EXPECTED[name]
    lines = CORPUS[name].splitlines()
    assert (
        parse("\n".join(f"11-25 02:00:00.000  4000  4000 I tflite  : {line}" for line in lines)) == EXPECTED[name]
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("count=74", "count=0"),
        ("avg=13520.2", "avg=99520.2"),  # not the mean of the summary
        ("Inference (avg): 13520.2", "Inference (avg): nan"),
        ("min=13105", "min=14105"),  # above the mean
        ("max=15765", "max=13105"),
        ("median=13480", "median=1348000"),
        ("curr=13315", "curr="),
        ("Init: 12750", "Init: 12x50"),
    ],
)
def test_contradictions_are_no_result(old: str, new: str) -> None:
    text = CORPUS["tflite-2024-xnnpack"]
    assert old in text
    assert parse(text.replace(old, new)).result is None


PEAK = "INFO: Overall peak memory footprint (MB) via periodic monitoring: 93.2383\n"


def memory(text: str) -> tuple[float | None, float | None]:
    """What the process has grown by, and its peak."""
    result = parse(text).result
    assert result
    return result.memory_mb, result.peak_memory_mb


def test_the_peak_and_what_the_process_has_grown_by_are_two_things() -> None:
    text = CORPUS["tflite-2024-xnnpack"].rstrip("\n") + "\n"
    assert memory(text) == (18.7227, None)
    assert memory(text + PEAK) == memory(text + PEAK.removeprefix("INFO: ")) == (18.7227, 93.2383)
    assert memory(PEAK + text) == (18.7227, None), "of something else, before"
    without = "\n".join(line for line in (text + PEAK).splitlines() if "footprint delta" not in line)
    assert memory(without) == (None, 93.2383)
    absent = "Peak memory usage not available. (peak_mem_mb <= 0)"
    assert absent in CORPUS["litert-cpu"]
    assert memory(CORPUS["litert-cpu"]) == (12.06, None)
    assert memory(CORPUS["litert-cpu"].replace(absent, "Peak memory:          61.50 MB")) == (12.06, 61.5)


def test_mutations_of_real_outputs_give_a_consistent_result_or_none() -> None:
    random, texts = Random(18), [text + PEAK for text in CORPUS.values()]
    read = 0
    for number in range(1500):
        mutant = list(texts[number % len(texts)])
        for _ in range(random.randint(1, 8)):
            at = random.randrange(len(mutant) or 1)
            match random.randrange(5):
                case 0:
                    mutant[at : at + 1] = random.choice("0123456789.e-=,() \n\r\0\x1b٣∞")
                case 1:
                    del mutant[at : at + random.randint(1, 40)]
                case 2:
                    mutant[at:at] = mutant[at : at + random.randint(1, 200)]
                case 3:
                    mutant[at:at] = "9" * random.randint(1, 400)
                case _:
                    del mutant[at + 400 :]
        result = parse("".join(mutant)).result
        if result is None:
            continue
        read += 1
        values = [value for value in astuple(result) if value is not None]
        assert all(0 <= value < float("inf") for value in values)
        assert result.runs >= 1
        assert result.mean_ms > 0
    assert read > 50


def test_two_results_in_one_output_are_none() -> None:
    for name in ("tflite-2024-xnnpack", "litert-block-only"):
        assert parse(CORPUS[name] * 2).result is None


# --- no text crashes it, and no number is invented ---

_FRAGMENTS = st.sampled_from(sorted({line for text in CORPUS.values() for line in text.splitlines()}))
_DIGITS = st.from_regex(r"-?[0-9]{1,20}(\.[0-9]{0,5})?(e[+-]?[0-9]{1,4})?|nan|inf|٣", fullmatch=True)


@st.composite
def damaged_lines(draw: st.DrawFn) -> str:
    """A line of the corpus, perhaps cut, perhaps with other numbers, perhaps with rubbish in it."""
    line = draw(_FRAGMENTS)
    how = draw(st.integers(0, 3))
    if how == 1:
        return line[draw(st.integers(0, len(line))) :]
    if how == 2:
        numbers = list(re.finditer(r"[0-9]+", line))
        if numbers:
            found = draw(st.sampled_from(numbers))
            return line[: found.start()] + draw(_DIGITS) + line[found.end() :]
    if how == 3:
        at = draw(st.integers(0, len(line)))
        return line[:at] + draw(st.text(max_size=5)) + line[at:]
    return line


def check_nothing_is_invented(text: str) -> None:
    log = parse(text)
    printed = set()
    for number in re.findall(r"[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]{1,2})?", text):
        printed |= {float(number), float(number) / 1000}
    found = [value for value in astuple(log.result) if value is not None] if log.result else []
    for one in log.delegations:
        found += [value for value in (one.nodes, one.total, one.partitions) if value is not None]
    assert all(value in printed for value in found), (found, text)
    if log.result:
        assert log.result.runs >= 1
        assert log.result.mean_ms > 0
    for one in log.delegations:
        assert one.delegate in text
    assert log.unconsumed is None or log.unconsumed in text.replace("\r", "")


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    check_nothing_is_invented(text)
    assert parse(text).result is None


@settings(max_examples=600, deadline=None)
@given(st.lists(damaged_lines() | _FRAGMENTS | st.text(max_size=40), max_size=25))
def test_any_mixture_of_damaged_lines(lines: list[str]) -> None:
    check_nothing_is_invented("\n".join(lines))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(CORPUS)), st.data())
def test_a_damaged_output(name: str, data: st.DataObject) -> None:
    text = CORPUS[name]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    check_nothing_is_invented(text[:start] + data.draw(_DIGITS | st.text(max_size=5)) + text[end:])
