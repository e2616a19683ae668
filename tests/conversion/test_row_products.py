"""Products of rows with rows: the same answers, and nothing else changed."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converted import converted
from handmade import Handmade, operators, run
from vitconv.conversion.row_products import as_row_products
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

RANDOM = np.random.default_rng(3)


def products(shape: tuple[int, ...], adj: bool = False) -> Graph:
    """x → x · xᵀ → that times x (or, `adj`, times the rows of itself)."""
    made = Handmade()
    *outer, rows, _ = shape
    image = made.tensor(*shape, name="net_1/tokens_1/x")
    scores, given = made.tensor(*outer, rows, rows), made.tensor(*([*outer, rows, rows] if adj else shape))
    made.operator("BATCH_MATMUL", [image, image], [scores], schema.BatchMatMulOptionsT(adjY=True))
    second = scores if adj else image
    made.operator("BATCH_MATMUL", [scores, second], [given], schema.BatchMatMulOptionsT(adjY=adj))
    return made.graph([given])


@pytest.mark.parametrize("shape", [(1, 6, 4), (2, 6, 4), (1, 3, 6, 4)])
def test_columns_are_turned_into_rows(shape: tuple[int, ...]) -> None:
    graph = products(shape)
    result = as_row_products(graph)
    assert operators(result) == ["BATCH_MATMUL", "TRANSPOSE", "BATCH_MATMUL"]
    assert all(op.builtinOptions.adjY for op in result.model.subgraphs[0].operators[::2])
    picture = RANDOM.normal(0, 1, shape).astype(np.float32)
    for given, expected in zip(run(result, picture), run(graph, picture), strict=True):
        np.testing.assert_allclose(given, expected, atol=1e-5)


def test_products_of_rows_constants_and_single_columns_stay_as_they_are() -> None:
    graph = products((1, 6, 4), adj=True)
    assert operators(as_row_products(graph)) == ["BATCH_MATMUL", "BATCH_MATMUL"]
    made = Handmade()
    image, given = made.tensor(1, 6, 4), made.tensor(1, 6, 3)
    kernel = made.constant(RANDOM.normal(0, 1, (1, 4, 3)))
    made.operator("BATCH_MATMUL", [image, kernel], [given], schema.BatchMatMulOptionsT())
    assert operators(as_row_products(made.graph([given]))) == ["BATCH_MATMUL"]


@pytest.mark.parametrize("scheme", ["float32", "float16", "dynamic"])
def test_float_files_multiply_rows_with_rows(scheme: str) -> None:
    model = flatbuffer.parse(converted("mobilevit_xxs", scheme), scheme)
    names = flatbuffer.operator_names(model)
    found = [op for op in model.subgraphs[0].operators if names[op.opcodeIndex] == "BATCH_MATMUL"]
    assert len(found) == 18
    assert all(op.builtinOptions.adjY for op in found)
