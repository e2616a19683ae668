"""Checks what a caller from Python gives to a config, before anything is loaded."""

from __future__ import annotations

import dataclasses
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vitconv.foundation.errors import InputError


def check_types(config: Any) -> None:
    """To be called first in `__post_init__` of a frozen dataclass: a path may be given as text and a tuple as a
    list, and are then replaced. Raises InputError that names the field, the value and what it must be.
    """
    hints = get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, wanted = getattr(config, field.name), hints[field.name]
        fitting, found = _fit(value, wanted)
        if not fitting:
            raise InputError(f"{field.name} must be {_described(wanted)}, not {value!r} ({type(value).__name__}).")
        if found is not value:
            object.__setattr__(config, field.name, found)


def _fit(value: Any, wanted: Any) -> tuple[bool, Any]:
    """Whether the value is of the type, and what it becomes."""
    origin = get_origin(wanted)
    if origin in (Union, types.UnionType):
        for one in get_args(wanted):
            fitting, found = _fit(value, one)
            if fitting:
                return True, found
        return False, value
    if wanted is Path:
        path = isinstance(value, Path) or (isinstance(value, str) and value != "" and "\0" not in value)
        return path, Path(value) if path else value
    if origin is tuple:
        return _fit_tuple(value, get_args(wanted))
    if origin is Literal:
        return isinstance(value, str), value  # which names there are is checked, and said, by whoever reads it
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    if wanted is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool), value
    if wanted is type(None):
        return value is None, value
    return not isinstance(wanted, type) or isinstance(value, wanted), value


def _fit_tuple(value: Any, inner: tuple[Any, ...]) -> tuple[bool, Any]:
    if not isinstance(value, (tuple, list)):
        return False, value
    wanted = [inner[0]] * len(value) if inner[1:] == (...,) else list(inner)
    if len(wanted) != len(value):
        return False, value
    pairs = [_fit(one, kind) for one, kind in zip(value, wanted, strict=True)]
    fitting = all(fits for fits, _ in pairs)
    found = tuple(one for _, one in pairs)
    return fitting, found if fitting and found != value else value


def _described(wanted: Any) -> str:
    names = {Path: "a path", str: "a text", int: "a whole number", float: "a number", bool: "True or False"}
    origin = get_origin(wanted)
    if origin in (Union, types.UnionType):
        return " or ".join(_described(one) for one in get_args(wanted))
    if origin is Literal:
        return f"one of {', '.join(map(str, get_args(wanted)))}"
    if origin is tuple:
        inner = get_args(wanted)
        if inner[1:] == (...,):
            return f"several, each {_described(inner[0])}"
        return f"{len(inner)} of them, each {_described(inner[0])}"
    if wanted is type(None):
        return "None"
    return names.get(wanted, getattr(wanted, "__name__", str(wanted)))
