from __future__ import annotations

import io
import json
import random
import time
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from graphs import metadata_of, with_metadata
from vitconv.data.pictures.images import ImageSpec
from vitconv.foundation.errors import InputError, ModelFileError
from vitconv.tflite import flatbuffer
from vitconv.tflite.metadata import ModelMetadata

SCHEMES = ("float32", "float16", "dynamic", "int8")

TINY_LABELS = ("tulip", "Gänseblümchen", "ひまわり", "dent-de-lion", "rose, red")

TINY = ModelMetadata(
    name="tiny",
    description="Names five flowers — größer als gedacht.",
    version="1.2.3",
    author="A. Gardener",
    licence="Apache-2.0",
    labels=TINY_LABELS,
    image=ImageSpec(16, 16, resize="center_crop"),
)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_everything_written_is_read_back(tiny_tflite: dict[str, bytes], scheme: str) -> None:
    assert metadata_of(with_metadata(tiny_tflite[scheme], TINY)) == TINY


def test_a_file_without_metadata_reads_as_none(tiny_tflite: dict[str, bytes]) -> None:
    assert metadata_of(tiny_tflite["float32"]) is None


def test_writing_twice_gives_identical_bytes(
    tiny_tflite: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = with_metadata(tiny_tflite["int8"], TINY)
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    assert with_metadata(tiny_tflite["int8"], TINY) == first


def test_metadata_already_there_is_replaced(tiny_tflite: dict[str, bytes]) -> None:
    old = replace(TINY, labels=("a", "b", "c", "d", "e"), name="old")
    assert with_metadata(with_metadata(tiny_tflite["int8"], old), TINY) == with_metadata(tiny_tflite["int8"], TINY)


@pytest.mark.parametrize("description", ["", "Ends in a gap.\n\n", "Input: raw RGB pixels"])
def test_any_description_survives(tiny_tflite: dict[str, bytes], description: str) -> None:
    described = replace(TINY, description=description)
    assert metadata_of(with_metadata(tiny_tflite["float32"], described)) == described


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_model_itself_stays_the_same(tiny_tflite: dict[str, bytes], scheme: str) -> None:
    before = flatbuffer.parse(tiny_tflite[scheme], "before")
    after = flatbuffer.parse(with_metadata(tiny_tflite[scheme], TINY), "after")
    assert after.metadata[-1].name == b"TFLITE_METADATA"
    after.metadata.pop()
    after.buffers.pop()
    assert flatbuffer.serialize(after) == flatbuffer.serialize(before)


def test_fields_newer_than_tflite_support_survive(tiny_tflite: dict[str, bytes]) -> None:
    model = flatbuffer.parse(tiny_tflite["float32"], "tiny")
    options = _first_dense(model).builtinOptions
    options.quantizedBiasType = schema.TensorType.INT16
    written = flatbuffer.parse(with_metadata(flatbuffer.serialize(model), TINY), "written")
    assert _first_dense(written).builtinOptions.quantizedBiasType == schema.TensorType.INT16


def test_weights_stay_aligned(tiny_tflite: dict[str, bytes]) -> None:
    data = with_metadata(tiny_tflite["float32"], TINY)
    start = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    for buffer in flatbuffer.parse(data, "tiny").buffers:
        if buffer.data is not None and len(buffer.data):
            assert (buffer.data.__array_interface__["data"][0] - start) % 16 == 0


def test_tflite_supports_own_reader_finds_it_all(tiny_tflite: dict[str, bytes]) -> None:
    record, files = _read_with_tflite_support(with_metadata(tiny_tflite["float32"], TINY))
    assert (record["name"], record["version"], record["author"], record["license"]) == (
        "tiny", "1.2.3", "A. Gardener", "Apache-2.0",
    )  # fmt: skip
    graph = record["subgraph_metadata"][0]
    (source,), (output,) = graph["input_tensor_metadata"], graph["output_tensor_metadata"]
    assert source["content"]["content_properties"]["color_space"] == "RGB"
    assert source["process_units"][0]["options"] == {"mean": [0.0], "std": [1.0]}
    assert source["stats"] == {"min": [0.0], "max": [255.0]}
    assert output["stats"] == {"min": [0.0], "max": [1.0]}
    assert [(file["name"], file["type"]) for file in output["associated_files"]] == [
        ("labels.txt", "TENSOR_AXIS_LABELS")
    ]
    assert files["labels.txt"].decode("utf-8").splitlines() == list(TINY_LABELS)
    assert json.loads(files["vitconv.json"]) == {"image": TINY.image.to_json()}


def test_the_int8_description_says_what_its_numbers_mean(tiny_tflite: dict[str, bytes]) -> None:
    record, _ = _read_with_tflite_support(with_metadata(tiny_tflite["int8"], TINY))
    assert record["description"] == (
        TINY.description + "\n\nInput: raw RGB pixels 0–255 as uint8 (scale 1, zero point 0). "
        "Output: uint8, probability = value / 256."
    )


def test_the_description_follows_the_real_quantization(tiny_tflite: dict[str, bytes]) -> None:
    model = flatbuffer.parse(tiny_tflite["int8"], "tiny")
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].quantization.scale = [0.5]
    output = graph.tensors[graph.outputs[0]].quantization
    output.scale, output.zeroPoint = [0.003], [7]
    record, _ = _read_with_tflite_support(with_metadata(flatbuffer.serialize(model), TINY))
    assert "(scale 0.5, zero point 0)" in record["description"]
    assert record["description"].endswith("probability = (value − 7) × 0.003.")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (TINY_LABELS[:4], "4 labels do not fit a model with 5 outputs"),
        ((*TINY_LABELS, "more"), "6 labels do not fit a model with 5 outputs"),
        (("", *TINY_LABELS[1:]), "label 0 must be one line of text, not ''"),
        ((*TINY_LABELS[:4], "  "), "label 4 must be one line"),
        (("two\nlines", *TINY_LABELS[1:]), "label 0 must be one line"),
        (("ends\n", *TINY_LABELS[1:]), "label 0 must be one line"),
        (("ends\r", *TINY_LABELS[1:]), "label 0 must be one line"),
        (("paragraph\u2029", *TINY_LABELS[1:]), "label 0 must be one line"),
        (("half \ud83d", *TINY_LABELS[1:]), "label 0 cannot be written as UTF-8"),
        (("a\0b", *TINY_LABELS[1:]), "label 0 must not hold a zero character"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    tiny_tflite: dict[str, bytes], labels: tuple[str, ...], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        with_metadata(tiny_tflite["float32"], replace(TINY, labels=labels))


def test_a_picture_size_that_is_not_the_models_is_refused(tiny_tflite: dict[str, bytes]) -> None:
    with pytest.raises(InputError, match=r"\(32, 16, 3\) do not fit the model's input \(1, 16, 16, 3\)"):
        with_metadata(tiny_tflite["float32"], replace(TINY, image=ImageSpec(32, 16)))


def test_a_corrupt_model_gets_no_metadata(tiny_tflite: dict[str, bytes]) -> None:
    with pytest.raises(ModelFileError, match="tiny is corrupt"):
        with_metadata(tiny_tflite["float32"][:20_000], TINY)


def test_a_file_of_another_tool_has_the_inputs_size_and_stretches(tiny_tflite: dict[str, bytes]) -> None:
    theirs = with_archive(bare(tiny_tflite["float32"]), {"labels.txt": "1\r\n2\r\n3\r\n4\r\n5"})
    found = metadata_of(theirs)
    assert found is not None
    assert found.image == ImageSpec(16, 16, resize="stretch")
    assert found.labels == ("1", "2", "3", "4", "5")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "labels.txt"),
        ({"labels.txt": "a", "vitconv.json": "{"}, r"\(it is no JSON \(.* at line 1, column 2\)\). Export"),
        ({"labels.txt": "a", "vitconv.json": '{"image": {"height": 16}}'}, "`image.width` is missing"),
        ({"labels.txt": "a", "vitconv.json": "[]"}, "it must be a JSON object"),
        ({"labels.txt": "a", "vitconv.json": '{"image": 1, "image": 2}'}, "has the key 'image' twice"),
        ({"labels.txt": "a" * (17 << 20)}, "hold more than"),
        ({f"{number}.txt": "" for number in range(70)}, "70 files are attached"),
    ],
)
def test_an_archive_that_is_not_whole_is_corrupt(
    tiny_tflite: dict[str, bytes], files: dict[str, str], words: str
) -> None:
    broken = with_archive(bare(tiny_tflite["float32"]), files)
    with pytest.raises(ModelFileError, match=words):
        metadata_of(broken)


def test_metadata_without_their_archive_are_corrupt(tiny_tflite: dict[str, bytes]) -> None:
    model = bare(tiny_tflite["float32"])
    with pytest.raises(ModelFileError, match="metadata cannot be read"):
        metadata_of(model)


def test_random_damage_gives_an_answer_or_a_clear_error(tiny_tflite: dict[str, bytes]) -> None:
    sound = with_metadata(tiny_tflite["int8"], TINY)
    # Half of the hits into the record and the archive at the file's ends, where metadata stand.
    chance = random.Random(20)
    answers = 0
    for _ in range(600):
        try:
            found = metadata_of(damage(sound, chance))
        except ModelFileError:
            continue
        assert found is None or isinstance(found, ModelMetadata)
        answers += 1
    assert 0 < answers < 600


def test_any_label_file_gives_its_lines_or_a_clear_error(tiny_tflite: dict[str, bytes]) -> None:
    model = bare(tiny_tflite["int8"])
    chance = random.Random(33)
    pieces = [b"a", b"b c", "größe".encode(), b"\n", b"\r", b"\r\n", b"\0", b"\x1b[2J", b"\xef\xbb\xbf",
              b"\xff\xfe", b"\xfe\xff", b"\xff", b"\xd8\x00", b" ", b"\t", "\u2028".encode(),
              b"x" * 5000]  # fmt: skip
    outcomes, messages = {"read": 0, "named": 0}, []
    for _ in range(400):
        labels = b"".join(chance.choices(pieces, k=chance.randrange(12)))
        try:
            found = metadata_of(with_archive(model, {"labels.txt": labels}))
        except ModelFileError as error:
            messages.append(str(error))
            outcomes["named"] += 1
        else:
            assert found
            assert all(isinstance(label, str) for label in found.labels)
            outcomes["read"] += 1
    assert min(outcomes.values()) > 20, outcomes
    assert all(message.isprintable() for message in messages)


def damage(data: bytes, chance: random.Random) -> bytes:
    """A copy with some bytes overwritten, or cut off, or with a stretch left out."""
    mutant = bytearray(data)
    # Structure stands mostly at both ends of a file, weights between them.
    region = chance.choice([len(data), 2000])

    def place() -> int:
        position = chance.randrange(region)
        return position if chance.random() < 0.5 else len(data) - 1 - position

    kind = chance.random()
    if kind < 0.7:
        for _ in range(chance.choice([1, 1, 2, 8, 32])):
            mutant[place()] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
    elif kind < 0.85:
        del mutant[place() :]
    else:
        start = place()
        del mutant[start : start + chance.choice([1, 4, 64])]
    return bytes(mutant)


def _first_dense(model: Any) -> Any:
    return next(
        operator
        for operator in model.subgraphs[0].operators
        if flatbuffer.operator_name(model.operatorCodes[operator.opcodeIndex]) == "FULLY_CONNECTED"
    )


def _read_with_tflite_support(model: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    from tensorflow_lite_support.metadata.python.metadata import MetadataDisplayer

    displayer = MetadataDisplayer.with_model_buffer(model)
    names = displayer.get_packed_associated_file_list()
    record: dict[str, Any] = json.loads(displayer.get_metadata_json())
    return record, {name: displayer.get_associated_file_buffer(name) for name in names}


def bare(model: bytes) -> bytes:
    """With metadata that name an archive, and without the archive."""
    return flatbuffer.serialize(flatbuffer.parse(with_metadata(model, TINY), "tiny"))


def with_archive(model: bytes, files: Mapping[str, str | bytes]) -> bytes:
    """A model without archive, with one behind it."""
    stream = io.BytesIO(model)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()
