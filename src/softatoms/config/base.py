"""What all sections of a configuration share."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from ..errors import SoftatomsError, suggest
from .elements import SYMBOLS

Key = tuple[str | int, ...]
"""Where a value stands in the file: names of mappings and positions in lists."""

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]
"""A name that is safe in paths: small letters, digits, ``-`` and ``_``."""

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]


class ConfigError(SoftatomsError):
    """A configuration file that cannot be used; the message has one line per problem."""


class Problem(NamedTuple):
    """Something wrong at one key.

    Attributes:
        key: Where it stands.
        message: What is wrong and what would be right.
    """

    key: Key
    message: str


class Section(BaseModel):
    """A section of a configuration: no unknown key, no silent conversion, no change afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def element_problem(symbol: str, key: Key) -> list[Problem]:
    """A problem if ``symbol`` is no chemical element."""
    if symbol in SYMBOLS:
        return []
    if symbol.capitalize() in SYMBOLS:
        hint = f"did you mean '{symbol.capitalize()}'?"
    else:
        hint = "give a chemical symbol such as 'Cu'"
    return [Problem(key, f"unknown element '{symbol}': {hint}")]


def unknown_name(kind: str, given: str, known: tuple[str, ...], key: Key) -> list[Problem]:
    """A problem if ``given`` is not among the known names."""
    return (
        []
        if given in known
        else [Problem(key, f"unknown {kind} '{given}': {suggest(given, known)}")]
    )


def repeated(values: list[str], key: Key) -> list[Problem]:
    """A problem for every entry of a list that stands in it before."""
    return [
        Problem((*key, index), f"'{value}' is named twice")
        for index, value in enumerate(values)
        if value in values[:index]
    ]
