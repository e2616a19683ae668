"""Rules prove themselves, foreign graphs get fixed shapes, and constants are computed."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from handmade import Handmade, operators
from vitconv.conversion.rewriting import LARGEST_ERROR, answers, fixed, rewrite
from vitconv.conversion.rules import FLOAT_RULES, INTEGER_RULES, Rule
from vitconv.conversion.sketch import Sketch
from vitconv.foundation.errors import ModelFileError
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 1, 1, 4), np.uint8)


def graph() -> Graph:
    made = Handmade()
    rows = made.reshaped(made.tensor(1, 1, 1, 4), 1, 4)
    scaled = made.arithmetic("MUL", rows, made.constant([0.01]), (1, 4))
    return made.graph([made.computed("NEG", [scaled], (1, 4))])


def with_factor(factor: float) -> Rule:
    """NEG as a product with another number than −1."""

    def apply(sketch: Sketch) -> int:
        (operator,) = [one for one in sketch.operators if sketch.kind(one) == "NEG"]
        source, target = flatbuffer.inputs(operator)[0], flatbuffer.outputs(operator)[0]
        sketch.add(operator, "MUL", [source, sketch.put([factor])], sketch.shape(target), "n", into=target)
        sketch.remove(operator)
        return 1

    return Rule("a product", (apply,))


def test_a_rule_that_changes_answers_is_taken_back_and_said() -> None:
    result, (applied,) = rewrite(graph(), [with_factor(-1.001)], PICTURES)
    assert (applied.kept, applied.places) == (False, 1)
    assert applied.error > LARGEST_ERROR
    assert operators(result) == operators(graph())


def test_a_rule_that_gives_no_number_is_taken_back() -> None:
    result, (applied,) = rewrite(graph(), [with_factor(float("nan"))], PICTURES)
    assert not applied.kept
    assert np.isfinite(answers(result, PICTURES)).all()


def test_of_a_rule_s_forms_the_first_that_computes_the_same_is_taken() -> None:
    rule = Rule("a product", (*with_factor(-1.1).forms, *with_factor(-1.0).forms, *with_factor(-2.0).forms))
    result, (applied,) = rewrite(graph(), [rule], PICTURES)
    assert applied.kept
    assert applied.error == 0
    assert "NEG" not in operators(result)
    np.testing.assert_array_equal(answers(result, PICTURES), answers(graph(), PICTURES))


def test_a_rule_without_its_pattern_is_not_named() -> None:
    made = Handmade()
    plain = made.graph([made.computed("EXP", [made.tensor(1, 1, 1, 4)], (1, 1, 1, 4))])
    result, applied = rewrite(plain, (*FLOAT_RULES, *INTEGER_RULES), PICTURES)
    assert applied == ()
    assert result is plain


def test_what_does_not_depend_on_the_picture_is_computed_now() -> None:
    made = Handmade()
    given = made.tensor(1, 1, 1, 4)
    table = made.computed("EXP", [made.constant([0.0, 1.0, 2.0, 3.0])], (4,))
    result = fixed(made.graph([made.arithmetic("ADD", given, table, (1, 1, 1, 4))]), (1, 1, 1, 4))
    assert operators(result) == ["ADD"]
    np.testing.assert_allclose(answers(result, PICTURES)[0], PICTURES[0].ravel() + np.exp(np.arange(4.0)), 1e-5)


def test_an_open_batch_becomes_one_picture() -> None:
    made = Handmade()
    given = made.tensor(1, 2, 2, 3)
    made.tensors[given].shapeSignature = np.array([-1, 2, 2, 3], np.int32)
    sizes = made.computed("SHAPE", [given], (4,), schema.ShapeOptionsT(outType=schema.TensorType.INT32))
    made.tensors[sizes].type = schema.TensorType.INT32
    flat = made.tensor(1, 12)
    made.tensors[flat].shapeSignature = np.array([-1, -1], np.int32)
    made.operator("RESHAPE", [given, made.integers(1, -1)], [flat], schema.ReshapeOptionsT())
    result = fixed(made.graph([flat, sizes]), (1, 2, 2, 3))
    assert operators(result) == ["RESHAPE"]
    main = result.model.subgraphs[0]
    assert all(tensor.shapeSignature is None for tensor in main.tensors)
    assert flatbuffer.tensor_shape(main.tensors[main.outputs[0]]) == (1, 12)


def test_control_flow_is_refused() -> None:
    made, other = Handmade(), Handmade()
    given = made.tensor(1, 1, 1, 4)
    inner = other.subgraph([other.tensor(1)], [0], "loop")
    with pytest.raises(ModelFileError, match="has control flow"):
        Sketch(made.graph([made.computed("EXP", [given], (1, 1, 1, 4))], others=(inner,)))
