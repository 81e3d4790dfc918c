"""Checks of the options that potentials are made with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from ..errors import OptionError
from ..weight_groups import atomic_number


def check_finite(value: Any, name: str) -> float:
    """Return ``value`` as a float if it is a finite number.

    Raises:
        OptionError: Naming the option.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise OptionError(f"{name} must be a finite number, got {value!r}")
    return float(value)


def check_positive(value: Any, name: str) -> float:
    """Return ``value`` as a float if it is a positive number.

    Raises:
        OptionError: Naming the option.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0.0 < float(value) < math.inf:
        raise OptionError(f"{name} must be a positive number, got {value!r}")
    return float(value)


def check_whole(value: Any, name: str, *, least: int) -> int:
    """Return ``value`` as an integer if it is a whole number of at least ``least``.

    Raises:
        OptionError: Naming the option.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise OptionError(f"{name} must be a whole number of at least {least}, got {value!r}")
    if int(value) >= 2**64:
        raise OptionError(f"{name} must be below 2⁶⁴, got {value!r}")
    return int(value)


def check_mapping(value: Any, name: str) -> dict[str, Any]:
    """Return ``value`` as a dictionary if it is a mapping.

    Raises:
        OptionError: Naming the option.
    """
    if not isinstance(value, Mapping):
        raise OptionError(f"{name} must be a mapping such as {{'Cu': ...}}, got {value!r}")
    return dict(value)


def check_pairs(pairs: Any, fields: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return parameters of pairs, such as ``{"Cu-Au": {"epsilon": ..., "sigma": ...}}``.

    Args:
        pairs: What was given as the option ``pairs``; None stands for no pair.
        fields: The parameters that every pair needs.

    Raises:
        OptionError: Naming the pair and what is wrong with it.
    """
    checked: dict[str, dict[str, float]] = {}
    for pair, values in check_mapping(pairs or {}, "pairs").items():
        given = check_mapping(values, f"pairs: '{pair}'")
        if set(given) != set(fields):
            raise OptionError(f"pairs: '{pair}' needs {', '.join(fields)}, got {sorted(given)}")
        checked[pair] = {
            field: check_positive(given[field], f"pairs: {field} of '{pair}'") for field in fields
        }
    return checked


def check_elements(elements: Sequence[str]) -> tuple[str, ...]:
    """Return the chemical symbols as a tuple if there is at least one and all are known.

    Raises:
        OptionError: If it is not a list of symbols.
    """
    if not isinstance(elements, list | tuple) or not elements:
        raise OptionError(f"elements must be a list of chemical symbols, got {elements!r}")
    for symbol in elements:
        atomic_number(symbol)
    return tuple(elements)
