"""Tables of pair parameters: one value per combination of two species."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import OptionError, suggest
from .options import check_positive


def geometric_mean(a: float, b: float) -> float:
    """√(ab)."""
    return (a * b) ** 0.5


def arithmetic_mean(a: float, b: float) -> float:
    """(a + b)/2."""
    return 0.5 * (a + b)


def split_pair(pair: str, species: Sequence[str], option: str) -> tuple[int, int]:
    """Indices of the two species in a name such as ``Cu-Au``.

    Raises:
        OptionError: If it is no pair of two of the species.
    """
    parts = pair.split("-")
    if len(parts) != 2 or any(part not in species for part in parts):
        names = [f"{a}-{b}" for i, a in enumerate(species) for b in species[i:]]
        raise OptionError(f"{option} has no pair '{pair}': {suggest(pair, names)}")
    return species.index(parts[0]), species.index(parts[1])


def pair_table(
    values: Sequence[float],
    species: Sequence[str],
    *,
    mix: Callable[[float, float], float],
    overrides: Mapping[str, Any],
    option: str,
) -> Tensor:
    """Symmetric table of a pair parameter.

    Args:
        values: Value for each species with itself.
        species: The species, in the same order.
        mix: Mixing rule for unlike species.
        overrides: Values for pairs named like ``Cu-Au``, which replace mixed ones.
        option: Name of the option the overrides came from, for error messages.

    Returns:
        Table of shape (n_species, n_species), float64.
    """
    table = torch.tensor(
        [[a if i == j else mix(a, b) for j, b in enumerate(values)] for i, a in enumerate(values)],
        dtype=torch.float64,
    )
    given: set[frozenset[int]] = set()
    for pair, value in overrides.items():
        i, j = split_pair(pair, species, option)
        if frozenset((i, j)) in given:
            raise OptionError(f"{option} names the pair '{pair}' twice")
        given.add(frozenset((i, j)))
        table[i, j] = table[j, i] = check_positive(value, f"{option} of '{pair}'")
    return table
