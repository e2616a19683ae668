"""Graphs of one operator each, for what a GPU delegate takes and what it refuses.

`gpu_delegate_2_16_1.json` beside this file has what TFLite 2.16.1's own library for Android
(libtensorflowlite_gpu_jni.so, x86_64) said of each: null where it took the operation, or its reason. It was asked
on a desktop, without a GPU: it chooses operations, and builds its own graph of them, before it looks for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph


@dataclass(frozen=True)
class Given:
    """An input: its shape and type, and its values where it is a constant."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    values: Any = None


def image(*shape: int, dtype: str = "float32") -> Given:
    return Given(shape, dtype)


def constant(values: Any, dtype: str = "float32") -> Given:
    array = np.asarray(values, dtype)
    return Given(array.shape, dtype, array)


def weights(*shape: int, dtype: str = "float32") -> Given:
    return constant(np.ones(shape), dtype)


def axes(*values: int) -> Given:
    return constant(values, "int32")


@dataclass(frozen=True)
class Case:
    name: str
    operator: str
    inputs: tuple[Given, ...]
    outputs: tuple[Given, ...]
    options: Any = None
    version: int = 1
    twice: bool = False  # the second input is the first one

    @property
    def graph(self) -> Graph:
        tensors: list[Any] = []
        buffers = [schema.BufferT()]

        def add(given: Given, name: str) -> int:
            tensor = schema.TensorT(
                shape=np.array(given.shape, np.int32),
                type=getattr(schema.TensorType, given.dtype.upper()),
                name=name,
            )
            if given.dtype in ("int8", "uint8", "int16"):
                zero = 128 if given.dtype == "uint8" else 0
                tensor.quantization = schema.QuantizationParametersT(
                    scale=np.array([1 / 128], np.float32), zeroPoint=np.array([zero], np.int64)
                )
            if given.values is not None:
                buffers.append(schema.BufferT(data=flatbuffer.data_vector(np.asarray(given.values).tobytes())))
                tensor.buffer = len(buffers) - 1
            tensors.append(tensor)
            return len(tensors) - 1

        given_inputs = self.inputs[:1] if self.twice else self.inputs
        inputs = [add(given, f"input{number}") for number, given in enumerate(given_inputs)]
        outputs = [add(given, f"layer|{number}") for number, given in enumerate(self.outputs)]
        builtin = getattr(schema.BuiltinOperator, self.operator)
        read = inputs * 2 if self.twice else inputs
        operator = schema.OperatorT(
            inputs=np.array(read, np.int32), outputs=np.array(outputs, np.int32), builtinOptions=self.options
        )
        if self.options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(self.options).__name__[:-1])
        code = schema.OperatorCodeT(
            builtinCode=builtin, deprecatedBuiltinCode=min(builtin, 127), version=self.version
        )
        fed = [index for index, given in zip(inputs, given_inputs, strict=True) if given.values is None]
        subgraph = schema.SubGraphT(
            tensors=tensors,
            inputs=np.array(fed, np.int32),
            outputs=np.array(outputs, np.int32),
            operators=[operator],
        )
        model = schema.ModelT(version=3, operatorCodes=[code], subgraphs=[subgraph], buffers=buffers)
        return Graph.parse(flatbuffer.serialize(model), self.name)


def cases() -> dict[str, Case]:
    """All of them, by name."""
    found: dict[str, Case] = {}
    for case in _cases():
        assert case.name not in found, case.name
        found[case.name] = case
    return found


_UNARY = """
ABS CEIL COS ELU EXP FLOOR GELU LOG LOGISTIC NEG RSQRT SIGN SIN SQRT SQUARE TANH ROUND HARD_SWISH RELU RELU6
RELU_N1_TO_1 RELU_0_TO_1 L2_NORMALIZATION LOG_SOFTMAX ZEROS_LIKE
"""
_BINARY = [
    "ADD",
    "SUB",
    "MUL",
    "DIV",
    "MAXIMUM",
    "MINIMUM",
    "POW",
    "SQUARED_DIFFERENCE",
    "FLOOR_DIV",
    "FLOOR_MOD",
    "ATAN2",
]
_COMPARED = ["EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"]
_REDUCED = ["MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"]
_MAPS = image(1, 4, 4, 8)
_OPTIONS = {
    "ADD": schema.AddOptionsT, "SUB": schema.SubOptionsT, "MUL": schema.MulOptionsT, "DIV": schema.DivOptionsT,
    "GELU": schema.GeluOptionsT, "L2_NORMALIZATION": schema.L2NormOptionsT,
}  # fmt: skip


def _options(name: str) -> Any:
    return _OPTIONS[name]() if name in _OPTIONS else None


def _cases() -> Iterator[Case]:
    for name in _UNARY.split():
        yield Case(name, name, (_MAPS,), (_MAPS,), _options(name))
    for name in ("ABS", "EXP", "LOGISTIC", "TANH", "ELU", "RELU", "L2_NORMALIZATION"):
        eight = image(1, 4, 4, 8, dtype="int8")
        yield Case(f"{name} int8", name, (eight,), (eight,), _options(name), 2)
    yield Case("LEAKY_RELU", "LEAKY_RELU", (_MAPS,), (_MAPS,), schema.LeakyReluOptionsT(alpha=0.1))
    for beta in (1.0, 2.0):
        yield Case(f"SOFTMAX beta {beta:g}", "SOFTMAX", (_MAPS,), (_MAPS,), schema.SoftmaxOptionsT(beta=beta))
    yield Case("PRELU", "PRELU", (_MAPS, weights(1, 1, 8)), (_MAPS,))
    for name in _BINARY:
        yield Case(name, name, (_MAPS, _MAPS), (_MAPS,), _options(name))
        yield Case(f"{name} constant", name, (_MAPS, weights(8)), (_MAPS,), _options(name))
    for name in ("ADD", "MUL", "SUB"):
        for first, second in (
            ((1, 4, 4, 8), (4, 4, 8)), ((1, 4, 4, 8), (4, 8)), ((1, 4, 4, 8), (1, 8)), ((1, 4, 4, 8), (1, 1)),
            ((2, 4, 4, 8), (4, 4, 8)), ((4, 8), (1, 4, 1, 8)), ((1, 4, 1, 8), (1, 1, 4, 8)),
            ((1, 4, 4, 8), (1, 1, 1, 8)), ((1, 4, 4, 8), (1, 4, 4, 1)), ((4, 8), (4, 1)), ((1, 4, 4), (4, 4)),
        ):  # fmt: skip
            shape = np.broadcast_shapes(first, second)
            words = f"{name} {'×'.join(map(str, first))} and {'×'.join(map(str, second))}"
            yield Case(words, name, (image(*first), image(*second)), (image(*shape),), _options(name))
    yield Case("ADD rank 5", "ADD", (image(1, 2, 2, 2, 4),) * 2, (image(1, 2, 2, 2, 4),), schema.AddOptionsT())
    yield Case("ABS rank 5", "ABS", (image(1, 2, 2, 2, 4),), (image(1, 2, 2, 2, 4),))
    for name in _COMPARED:
        yield Case(name, name, (_MAPS, _MAPS), (image(1, 4, 4, 8, dtype="bool"),))
    bools = image(1, 4, 4, 8, dtype="bool")
    for name in ("LOGICAL_AND", "LOGICAL_OR"):
        yield Case(name, name, (bools, bools), (bools,))
    yield Case("LOGICAL_NOT", "LOGICAL_NOT", (bools,), (bools,))
    whole = image(1, 4, 4, 8, dtype="int32")
    yield Case("ADD int32", "ADD", (whole, whole), (whole,), schema.AddOptionsT())
    for source, target in (
        ("float32", "int32"), ("int32", "float32"), ("bool", "float32"), ("float32", "bool"), ("int32", "int64"),
        ("float32", "int8"),
    ):  # fmt: skip
        options = schema.CastOptionsT(
            inDataType=getattr(schema.TensorType, source.upper()),
            outDataType=getattr(schema.TensorType, target.upper()),
        )
        given = (image(1, 4, 4, 8, dtype=source),)
        yield Case(f"CAST {source} {target}", "CAST", given, (image(1, 4, 4, 8, dtype=target),), options)
    yield from _constants()
    yield from _reductions()
    yield from _products()
    yield from _shapes()
    yield from _choices()


def _constants() -> Iterator[Case]:
    """Constants of other shapes than the computed input, and in its place."""
    for name in ("ADD", "MUL", "SUB", "MAXIMUM"):
        for shape in ((4, 4, 8), (1, 4, 4, 8), (4, 8), (1, 8), (1, 1, 1, 8), (1, 4, 4, 1), (1,), ()):
            words = f"{name} constant {'×'.join(map(str, shape)) or 'scalar'}"
            yield Case(words, name, (_MAPS, weights(*shape)), (_MAPS,), _options(name))
        small = image(1, 1, 1, 8)
        yield Case(f"{name} constant that is larger", name, (small, weights(1, 4, 4, 8)), (_MAPS,), _options(name))
    for name in ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "SQUARED_DIFFERENCE"):
        yield Case(f"{name} of one tensor", name, (_MAPS, _MAPS), (_MAPS,), _options(name), twice=True)
    yield Case(
        "CONCATENATION of one tensor", "CONCATENATION", (_MAPS, _MAPS), (image(1, 4, 4, 16),),
        schema.ConcatenationOptionsT(axis=3), twice=True,
    )  # fmt: skip
    yield Case(
        "BATCH_MATMUL of one tensor", "BATCH_MATMUL", (image(1, 1, 4, 8),) * 2, (image(1, 1, 4, 4),),
        schema.BatchMatMulOptionsT(adjY=True), twice=True,
    )  # fmt: skip
    for name in ("SUB", "DIV", "ADD"):
        yield Case(f"{name} from a constant", name, (weights(8), _MAPS), (_MAPS,), _options(name))
    for name in _COMPARED:
        yield Case(f"{name} constant", name, (_MAPS, constant(0.5)), (image(1, 4, 4, 8, dtype="bool"),))
    yield Case(
        "CONCATENATION constant", "CONCATENATION", (_MAPS, weights(1, 4, 4, 8)), (image(1, 4, 4, 16),),
        schema.ConcatenationOptionsT(axis=3),
    )  # fmt: skip
    yield Case(
        "RESHAPE by options alone",
        "RESHAPE",
        (_MAPS,),
        (image(1, 16, 8),),
        schema.ReshapeOptionsT(newShape=np.array([1, 16, 8], np.int32)),
    )
    yield Case(
        "FULLY_CONNECTED of a constant",
        "FULLY_CONNECTED",
        (weights(1, 8), image(6, 8)),
        (image(1, 6),),
        schema.FullyConnectedOptionsT(),
        6,
    )
    yield Case(
        "BATCH_MATMUL of a constant",
        "BATCH_MATMUL",
        (weights(1, 1, 4, 8), image(1, 1, 8, 6)),
        (image(1, 1, 4, 6),),
        schema.BatchMatMulOptionsT(),
    )
    eight = image(1, 4, 4, 8, dtype="int8")
    for name in ("ADD", "MUL", "SUB", "MAXIMUM"):
        yield Case(f"{name} int8", name, (eight, eight), (eight,), _options(name), 2)
    yield Case("TRANSPOSE by a computed order", "TRANSPOSE", (_MAPS, image(4, dtype="int32")), (_MAPS,))
    sixteen = image(1, 4, 4, 8, dtype="int16")
    yield Case("DEQUANTIZE int16", "DEQUANTIZE", (sixteen,), (_MAPS,), None, 3)
    for block in (1, 2):
        side = 4 // block
        yield Case(
            f"SPACE_TO_DEPTH block {block}",
            "SPACE_TO_DEPTH",
            (_MAPS,),
            (image(1, side, side, 8 * block * block),),
            schema.SpaceToDepthOptionsT(blockSize=block),
        )


def _reductions() -> Iterator[Case]:
    for name in _REDUCED:
        for over, shape in (
            ((1, 2), (1, 1, 1, 8)),
            ((3,), (1, 4, 4, 1)),
            ((1, 2, 3), (1, 1, 1, 1)),
            ((2,), (1, 4, 1, 8)),
        ):
            yield Case(
                f"{name} over {over}",
                name,
                (_MAPS, axes(*over)),
                (image(*shape),),
                schema.ReducerOptionsT(keepDims=True),
            )
        yield Case(
            f"{name} dropping axes",
            name,
            (_MAPS, axes(1, 2)),
            (image(1, 8),),
            schema.ReducerOptionsT(keepDims=False),
        )
        moving = image(2, dtype="int32")
        yield Case(
            f"{name} over axes that are computed", name, (_MAPS, moving), (image(1, 1, 1, 8),),
            schema.ReducerOptionsT(keepDims=True),
        )  # fmt: skip
    bools = image(1, 4, 4, 8, dtype="bool")
    yield Case(
        "REDUCE_ANY",
        "REDUCE_ANY",
        (bools, axes(3)),
        (image(1, 4, 4, 1, dtype="bool"),),
        schema.ReducerOptionsT(keepDims=True),
    )
    yield Case("CUMSUM", "CUMSUM", (_MAPS, axes(3)), (_MAPS,), schema.CumsumOptionsT())
    yield Case(
        "ARG_MAX",
        "ARG_MAX",
        (_MAPS, axes(3)),
        (image(1, 4, 4, dtype="int64"),),
        schema.ArgMaxOptionsT(outputType=schema.TensorType.INT64),
    )
    yield Case(
        "TOPK_V2", "TOPK_V2", (image(1, 8), constant(3, "int32")), (image(1, 3), image(1, 3, dtype="int32"))
    )


def _products() -> Iterator[Case]:
    for shape, second, out in (
        ((1, 1, 4, 8), (1, 1, 8, 6), (1, 1, 4, 6)), ((1, 4, 8), (1, 8, 6), (1, 4, 6)), ((4, 8), (8, 6), (4, 6)),
        ((1, 2, 4, 8), (1, 2, 8, 6), (1, 2, 4, 6)), ((1, 2, 4, 8), (8, 6), (1, 2, 4, 6)),
        ((2, 2, 4, 8), (2, 2, 8, 6), (2, 2, 4, 6)), ((1, 2, 2, 4, 8), (1, 2, 2, 8, 6), (1, 2, 2, 4, 6)),
    ):  # fmt: skip
        words = f"BATCH_MATMUL {'×'.join(map(str, shape))} and {'×'.join(map(str, second))}"
        options = schema.BatchMatMulOptionsT()
        yield Case(words, "BATCH_MATMUL", (image(*shape), image(*second)), (image(*out),), options)
        yield Case(f"{words} constant", "BATCH_MATMUL", (image(*shape), weights(*second)), (image(*out),), options)
    eight = image(1, 1, 4, 8, dtype="int8"), image(1, 1, 8, 6, dtype="int8")
    yield Case(
        "BATCH_MATMUL int8",
        "BATCH_MATMUL",
        eight,
        (image(1, 1, 4, 6, dtype="int8"),),
        schema.BatchMatMulOptionsT(),
        2,
    )
    for keep, shape, out in (
        (False, (1, 8), (1, 6)),
        (True, (1, 4, 8), (1, 4, 6)),
        (True, (1, 4, 4, 8), (1, 4, 4, 6)),
        (False, (1, 4, 8), (4, 6)),
    ):
        yield Case(
            f"FULLY_CONNECTED {'×'.join(map(str, shape))} to {'×'.join(map(str, out))}", "FULLY_CONNECTED",
            (image(*shape), weights(6, 8), weights(6)),
            (image(*out),), schema.FullyConnectedOptionsT(keepNumDims=keep), 5,
        )  # fmt: skip
    yield Case(
        "FULLY_CONNECTED computed weights", "FULLY_CONNECTED", (image(1, 8), image(6, 8)), (image(1, 6),),
        schema.FullyConnectedOptionsT(), 6,
    )  # fmt: skip
    valid = schema.Padding.VALID
    conv = schema.Conv2DOptionsT(padding=valid, strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1)
    yield Case("CONV_2D", "CONV_2D", (_MAPS, weights(6, 2, 2, 8), weights(6)), (image(1, 3, 3, 6),), conv)
    yield Case(
        "CONV_2D computed weights", "CONV_2D", (_MAPS, image(6, 2, 2, 8), weights(6)), (image(1, 3, 3, 6),), conv
    )
    depthwise = schema.DepthwiseConv2DOptionsT(
        padding=valid, strideW=1, strideH=1, depthMultiplier=1, dilationWFactor=1, dilationHFactor=1
    )
    yield Case(
        "DEPTHWISE_CONV_2D",
        "DEPTHWISE_CONV_2D",
        (_MAPS, weights(1, 2, 2, 8), weights(8)),
        (image(1, 3, 3, 8),),
        depthwise,
    )
    double = schema.DepthwiseConv2DOptionsT(
        padding=valid, strideW=1, strideH=1, depthMultiplier=2, dilationWFactor=1, dilationHFactor=1
    )
    yield Case(
        "DEPTHWISE_CONV_2D multiplier 2",
        "DEPTHWISE_CONV_2D",
        (_MAPS, weights(1, 2, 2, 16), weights(16)),
        (image(1, 3, 3, 16),),
        double,
    )
    pool = schema.Pool2DOptionsT(padding=valid, strideW=2, strideH=2, filterWidth=2, filterHeight=2)
    for name in ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"):
        yield Case(name, name, (_MAPS,), (image(1, 2, 2, 8),), pool)
    transposed = schema.TransposeConvOptionsT(padding=valid, strideW=2, strideH=2)
    given = axes(1, 8, 8, 6), weights(6, 2, 2, 8), _MAPS
    yield Case("TRANSPOSE_CONV", "TRANSPOSE_CONV", given, (image(1, 8, 8, 6),), transposed)


def _shapes() -> Iterator[Case]:
    def reshape(*shape: int) -> Any:
        return schema.ReshapeOptionsT(newShape=np.array(shape, np.int32))

    yield Case("RESHAPE", "RESHAPE", (_MAPS, axes(1, 16, 8)), (image(1, 16, 8),), reshape(1, 16, 8))
    yield Case(
        "RESHAPE to rank 5",
        "RESHAPE",
        (_MAPS, axes(1, 2, 2, 4, 8)),
        (image(1, 2, 2, 4, 8),),
        reshape(1, 2, 2, 4, 8),
    )
    yield Case("RESHAPE to a computed shape", "RESHAPE", (_MAPS, image(3, dtype="int32")), (image(1, 16, 8),))
    yield Case("TRANSPOSE", "TRANSPOSE", (_MAPS, axes(0, 2, 1, 3)), (_MAPS,))
    yield Case("TRANSPOSE rank 3", "TRANSPOSE", (image(2, 3, 4), axes(1, 0, 2)), (image(3, 2, 4),))
    yield Case(
        "TRANSPOSE rank 5", "TRANSPOSE", (image(1, 2, 2, 2, 4), axes(0, 2, 1, 3, 4)), (image(1, 2, 2, 2, 4),)
    )
    yield Case(
        "SQUEEZE",
        "SQUEEZE",
        (image(1, 1, 4, 8),),
        (image(4, 8),),
        schema.SqueezeOptionsT(squeezeDims=np.array([0, 1], np.int32)),
    )
    yield Case("EXPAND_DIMS", "EXPAND_DIMS", (image(4, 8), axes(0)), (image(1, 4, 8),))
    yield Case(
        "SHAPE",
        "SHAPE",
        (_MAPS,),
        (image(4, dtype="int32"),),
        schema.ShapeOptionsT(outType=schema.TensorType.INT32),
    )
    yield Case(
        "PACK",
        "PACK",
        (image(1, 4, 8), image(1, 4, 8)),
        (image(1, 2, 4, 8),),
        schema.PackOptionsT(valuesCount=2, axis=1),
    )
    yield Case(
        "UNPACK", "UNPACK", (image(1, 2, 4, 8),), (image(1, 4, 8),) * 2, schema.UnpackOptionsT(num=2, axis=1)
    )
    yield Case(
        "SPLIT",
        "SPLIT",
        (constant(3, "int32"), _MAPS),
        (image(1, 4, 4, 4),) * 2,
        schema.SplitOptionsT(numSplits=2),
    )
    yield Case(
        "SPLIT_V",
        "SPLIT_V",
        (_MAPS, axes(3, 5), constant(3, "int32")),
        (image(1, 4, 4, 3), image(1, 4, 4, 5)),
        schema.SplitVOptionsT(numSplits=2),
    )
    yield Case(
        "CONCATENATION",
        "CONCATENATION",
        (_MAPS, _MAPS),
        (image(1, 4, 4, 16),),
        schema.ConcatenationOptionsT(axis=3),
    )
    for shape in ((1, 4, 4, 8), (1, 4, 8), (4, 8)):
        words = f"rank {len(shape)}"
        half = (*shape[:-1], shape[-1] // 2)
        begin, size = axes(*(0 for _ in shape)), axes(*half)
        yield Case(f"SLICE {words}", "SLICE", (image(*shape), begin, size), (image(*half),))
        ones = axes(*(1 for _ in shape))
        yield Case(
            f"STRIDED_SLICE {words}",
            "STRIDED_SLICE",
            (image(*shape), begin, axes(*half), ones),
            (image(*half),),
            schema.StridedSliceOptionsT(),
        )
    for mask in ("ellipsisMask", "newAxisMask", "shrinkAxisMask"):
        given = _MAPS, axes(0, 0, 0, 0), axes(1, 4, 4, 8), axes(1, 1, 1, 1)
        out = {"ellipsisMask": (1, 4, 4, 8), "newAxisMask": (1, 1, 4, 4, 8), "shrinkAxisMask": (4, 4, 8)}[mask]
        yield Case(
            f"STRIDED_SLICE {mask}",
            "STRIDED_SLICE",
            given,
            (image(*out),),
            schema.StridedSliceOptionsT(**{mask: 1}),
        )
    yield Case("TILE", "TILE", (_MAPS, axes(1, 2, 2, 1)), (image(1, 8, 8, 8),))
    yield Case("BROADCAST_TO", "BROADCAST_TO", (image(1, 1, 1, 8), axes(1, 4, 4, 8)), (_MAPS,), None, 2)
    for rank in (4, 3, 2):
        shape, pads = (1, 4, 4, 8)[4 - rank :], np.array([[0, 0]] * (rank - 1) + [[1, 1]])
        yield Case(
            f"PAD rank {rank}",
            "PAD",
            (image(*shape), constant(pads, "int32")),
            (image(*shape[:-1], shape[-1] + 2),),
        )
    pads = constant([[0, 0], [1, 1], [1, 1], [0, 0]], "int32")
    yield Case("PADV2", "PADV2", (_MAPS, pads, constant([0.5])), (image(1, 6, 6, 8),))
    for mode in (0, 1):
        yield Case(
            f"MIRROR_PAD mode {mode}",
            "MIRROR_PAD",
            (_MAPS, pads),
            (image(1, 6, 6, 8),),
            schema.MirrorPadOptionsT(mode=mode),
        )
    yield Case("GATHER", "GATHER", (image(4, 8), axes(0, 2)), (image(2, 8),), schema.GatherOptionsT(axis=0))
    yield Case(
        "GATHER computed",
        "GATHER",
        (image(4, 8), image(2, dtype="int32")),
        (image(2, 8),),
        schema.GatherOptionsT(axis=0),
    )
    yield Case(
        "GATHER rank 2 indices",
        "GATHER",
        (image(4, 8), constant([[0, 2]], "int32")),
        (image(1, 2, 8),),
        schema.GatherOptionsT(axis=0),
    )
    yield Case(
        "GATHER int32",
        "GATHER",
        (image(4, 8, dtype="int32"), axes(0, 2)),
        (image(2, 8, dtype="int32"),),
        schema.GatherOptionsT(axis=0),
    )
    yield Case("GATHER_ND", "GATHER_ND", (image(4, 8), constant([[0]], "int32")), (image(1, 8),))
    for name, options, out in (
        ("DEPTH_TO_SPACE", schema.DepthToSpaceOptionsT, (1, 8, 8, 2)),
        ("SPACE_TO_DEPTH", schema.SpaceToDepthOptionsT, (1, 2, 2, 32)),
    ):
        yield Case(name, name, (_MAPS,), (image(*out),), options(blockSize=2))
    yield Case(
        "SPACE_TO_BATCH_ND",
        "SPACE_TO_BATCH_ND",
        (_MAPS, axes(2, 2), constant([[0, 0], [0, 0]], "int32")),
        (image(4, 2, 2, 8),),
    )
    yield Case(
        "BATCH_TO_SPACE_ND",
        "BATCH_TO_SPACE_ND",
        (image(4, 2, 2, 8), axes(2, 2), constant([[0, 0], [0, 0]], "int32")),
        (_MAPS,),
    )
    yield Case("REVERSE_V2", "REVERSE_V2", (_MAPS, axes(3)), (_MAPS,))


def _choices() -> Iterator[Case]:
    bools = image(1, 4, 4, 8, dtype="bool")
    yield Case("SELECT_V2", "SELECT_V2", (bools, _MAPS, _MAPS), (_MAPS,))
    yield Case("SELECT_V2 scalar", "SELECT_V2", (bools, _MAPS, constant(0.0)), (_MAPS,))
    yield Case("SELECT_V2 broadcast", "SELECT_V2", (bools, _MAPS, image(4, 8)), (_MAPS,))
    yield Case(
        "ONE_HOT",
        "ONE_HOT",
        (image(1, dtype="int32"), constant(8, "int32"), constant(1.0), constant(0.0)),
        (image(1, 8),),
        schema.OneHotOptionsT(axis=-1),
    )
    for name, options in (
        ("RESIZE_BILINEAR", schema.ResizeBilinearOptionsT),
        ("RESIZE_NEAREST_NEIGHBOR", schema.ResizeNearestNeighborOptionsT),
    ):
        yield Case(name, name, (_MAPS, axes(8, 8)), (image(1, 8, 8, 8),), options())
    eight = image(1, 4, 4, 8, dtype="int8")
    yield Case("QUANTIZE", "QUANTIZE", (_MAPS,), (eight,))
    yield Case("DEQUANTIZE", "DEQUANTIZE", (eight,), (_MAPS,), None, 2)
    yield Case("DEQUANTIZE float16", "DEQUANTIZE", (image(1, 4, 4, 8, dtype="float16"),), (_MAPS,), None, 3)
    yield Case(
        "LOCAL_RESPONSE_NORMALIZATION",
        "LOCAL_RESPONSE_NORMALIZATION",
        (_MAPS,),
        (_MAPS,),
        schema.LocalResponseNormalizationOptionsT(radius=1, bias=1.0, alpha=1.0, beta=0.5),
    )
    yield Case("FILL", "FILL", (axes(1, 8), image(dtype="float32")), (image(1, 8),))
