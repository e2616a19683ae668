"""LiteRT's interpreter of a file with every tensor kept, for those who look inside."""

from __future__ import annotations

from typing import Any

from vitconv.foundation.cores import litert_threads


def interpreter_of(data: bytes) -> Any:
    """Ready to run, on TFLite's own kernels: XNNPACK keeps nothing between its operators."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=data,
        num_threads=litert_threads(),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    return interpreter
