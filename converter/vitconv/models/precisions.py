"""What layers can compute in while a network is trained. Loads nothing, for `vitconv train --help` lists them."""

from __future__ import annotations

from typing import Literal, get_args

Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
