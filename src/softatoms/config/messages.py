"""What the checks of pydantic found, in the words of this package."""

from __future__ import annotations

import types
import typing
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import suggest
from .base import Key, Problem

if typing.TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_EXPECTED = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be a text",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}


def problems_of(error: ValidationError, model: type[BaseModel], above: Key = ()) -> list[Problem]:
    """What a model refused.

    Args:
        error: As pydantic raised it.
        model: The model.
        above: Where the values of the model stand in the file.
    """
    return [_problem(detail, model, above) for detail in error.errors(include_url=False)]


def shown(value: Any) -> str:
    """A value as messages show it, shortened."""
    try:
        text = "nothing" if value is None else repr(value)
    except ValueError:  # a whole number of too many digits
        return "a number of very many digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _problem(detail: ErrorDetails, model: type[BaseModel], above: Key) -> Problem:
    kind, own, context = detail["type"], detail["loc"], detail.get("ctx", {})
    key = (*above, *own)
    if own and own[-1] == "[key]":
        return Problem(key[:-1], "keys must be texts")
    if kind == "extra_forbidden":
        return Problem(key, f"unknown key: {suggest(str(own[-1]), _known_keys(model, own[:-1]))}")
    if kind == "missing":
        return Problem(key, "is required and missing")
    given = detail["input"]
    if kind == "literal_error":
        known = [str(value).strip("'") for value in _literals(context.get("expected", ""))]
        hint = suggest(str(given), known)
        return Problem(key, f"must be one of a fixed set, got {shown(given)}: {hint}")
    if kind in _EXPECTED:
        return Problem(key, f"{_EXPECTED[kind].format(**context)}, got {shown(given)}")
    message = " ".join(detail["msg"].split())
    return Problem(key, f"{message[:1].lower()}{message[1:]}, got {shown(given)}")


def _literals(expected: str) -> list[str]:
    return expected.replace(" or ", ", ").split(", ")


def _known_keys(model: type[BaseModel], key: Key) -> list[str]:
    """Keys that exist in the section at ``key``."""
    kind: Any = model
    for part in key:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(part)].annotation
        else:
            kind = typing.get_args(kind)[-1]
        if typing.get_origin(kind) in (types.UnionType, typing.Union):
            kind = next(a for a in typing.get_args(kind) if a is not type(None))
    return list(kind.model_fields)
