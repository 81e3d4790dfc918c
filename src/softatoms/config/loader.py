"""From a YAML file to a checked configuration, or to messages that say what to change."""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import suggest
from .base import ConfigError, Key, Problem
from .root import CampaignConfig
from .yaml_source import dotted, read_yaml

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


def load_config(path: str | Path) -> CampaignConfig:
    """Read and check the configuration of a campaign.

    Args:
        path: YAML file.

    Raises:
        ConfigError: With one line per problem, each naming file and key.
    """
    source = Path(path)
    values, lines = read_yaml(source)
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: must be a mapping of sections, got {_shown(values)}")
    try:
        config = CampaignConfig.model_validate(values)
        problems = config.problems()
    except ValidationError as error:
        problems = [_problem(detail) for detail in error.errors(include_url=False)]
    if problems:
        ordered = sorted(dict.fromkeys(problems), key=lambda p: _line(p.key, lines))
        raise ConfigError("\n".join(_message(source, problem, lines) for problem in ordered))
    return config


def _message(source: Path, problem: Problem, lines: dict[Key, int]) -> str:
    where = f" (line {_line(problem.key, lines)})" if problem.key in lines else ""
    return f"{source}: {dotted(problem.key)}: {problem.message}{where}"


def _line(key: Key, lines: dict[Key, int]) -> int:
    while key and key not in lines:
        key = key[:-1]
    return lines.get(key, 0)


def _problem(detail: ErrorDetails) -> Problem:
    kind, key, context = detail["type"], detail["loc"], detail.get("ctx", {})
    if key and key[-1] == "[key]":
        return Problem(key[:-1], "keys must be texts")
    if kind == "extra_forbidden":
        return Problem(key, f"unknown key: {suggest(str(key[-1]), _known_keys(key[:-1]))}")
    if kind == "missing":
        return Problem(key, "is required and missing")
    given = detail["input"]
    if kind == "literal_error":
        known = [str(value).strip("'") for value in _literals(context.get("expected", ""))]
        hint = suggest(str(given), known)
        return Problem(key, f"must be one of a fixed set, got {_shown(given)}: {hint}")
    if kind in _EXPECTED:
        return Problem(key, f"{_EXPECTED[kind].format(**context)}, got {_shown(given)}")
    message = " ".join(detail["msg"].split())
    return Problem(key, f"{message[:1].lower()}{message[1:]}, got {_shown(given)}")


def _literals(expected: str) -> list[str]:
    return expected.replace(" or ", ", ").split(", ")


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _known_keys(key: Key) -> list[str]:
    """Keys that exist in the section at ``key``."""
    kind: Any = CampaignConfig
    for part in key:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(part)].annotation
        else:
            kind = typing.get_args(kind)[-1]
        if typing.get_origin(kind) in (types.UnionType, typing.Union):
            kind = next(a for a in typing.get_args(kind) if a is not type(None))
    return list(kind.model_fields)
