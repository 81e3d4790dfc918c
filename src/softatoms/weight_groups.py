"""The weights of a soft structure: candidates, ties and the parameters θ."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from numbers import Real

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from .errors import StructureError

WEIGHT_TOLERANCE = 1e-4
"""How far a weight may lie outside [0, 1], or a sum above 1: occupancies in files are rounded to
four decimals, and finite-difference steps leave the simplex by their own size."""

PLAIN = -1
"""Group and parameter index of what carries no weight."""


def atomic_number(symbol: str) -> int:
    """Atomic number of a chemical symbol.

    Raises:
        StructureError: If there is no such element.
    """
    number = atomic_numbers.get(symbol, 0) if isinstance(symbol, str) else 0
    if number == 0:
        raise StructureError(
            f"unknown species {symbol!r}; give a chemical symbol such as 'Cu' "
            "(a vacancy is what is missing from a sum of weights, not a species)"
        )
    return int(number)


@dataclasses.dataclass(frozen=True)
class WeightGroups:
    """The simplexes of weights of a soft structure, stored flat.

    Attributes:
        ties: Name of each group's tie, or None for a site that is tied to nothing.
        sizes: Number of candidates of each group, shape (n_groups,).
        numbers: Atomic number behind each parameter, shape (n_parameters,).
        theta: Weight of each parameter, shape (n_parameters,), float64.
    """

    ties: tuple[str | None, ...]
    sizes: NDArray[np.int64]
    numbers: NDArray[np.int64]
    theta: NDArray[np.float64]

    @staticmethod
    def empty() -> WeightGroups:
        """No soft site at all."""
        whole = np.zeros(0, dtype=np.int64)
        return WeightGroups((), whole, whole, np.zeros(0))

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Index of the first parameter of each group, shape (n_groups,)."""
        return np.cumsum(self.sizes) - self.sizes

    @cached_property
    def parameter_group(self) -> NDArray[np.int64]:
        """Group that each parameter belongs to, shape (n_parameters,)."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def candidates(self, group: int) -> dict[str, float]:
        """Candidates of one group with their weights, in order."""
        part = slice(self.offsets[group], self.offsets[group] + self.sizes[group])
        return {
            chemical_symbols[number]: float(weight)
            for number, weight in zip(self.numbers[part], self.theta[part], strict=True)
        }

    def keep(self, kept: NDArray[np.int64]) -> WeightGroups:
        """The groups with these indices, in this order."""
        parameters = np.concatenate(
            [np.zeros(0, dtype=np.int64)]
            + [np.arange(self.offsets[g], self.offsets[g] + self.sizes[g]) for g in kept]
        )
        return WeightGroups(
            tuple(self.ties[g] for g in kept),
            self.sizes[kept],
            self.numbers[parameters],
            self.theta[parameters],
        )

    def append(self, ties: Sequence[str | None], weights: Mapping[str, float]) -> WeightGroups:
        """Add one group per entry of ``ties``, all with the same candidates and weights."""
        count = len(ties)
        numbers = [atomic_number(symbol) for symbol in weights]
        return WeightGroups(
            (*self.ties, *ties),
            np.concatenate([self.sizes, np.full(count, len(weights), dtype=np.int64)]),
            np.concatenate([self.numbers, np.tile(np.array(numbers, dtype=np.int64), count)]),
            np.concatenate([self.theta, np.tile(np.array(list(weights.values())), count)]),
        )

    def check(self, names: Sequence[str]) -> None:
        """Raise unless all weights are in [0, 1] and sum to at most 1 in every group.

        Args:
            names: What to call each group.

        Raises:
            StructureError: Naming the weight or the group.
        """
        theta = self.theta

        def label(index: int) -> str:
            group = names[self.parameter_group[index]]
            return f"{group}:{chemical_symbols[self.numbers[index]]}"

        if not np.isfinite(theta).all():
            index = np.flatnonzero(~np.isfinite(theta))[0]
            raise StructureError(f"weight {label(index)} is nan or infinite")
        outside = (theta < -WEIGHT_TOLERANCE) | (theta > 1 + WEIGHT_TOLERANCE)
        if outside.any():
            index = np.flatnonzero(outside)[0]
            raise StructureError(f"weight {label(index)} = {theta[index]:g} lies outside [0, 1]")
        sums = np.bincount(self.parameter_group, weights=theta, minlength=len(self.sizes))
        if (sums > 1 + WEIGHT_TOLERANCE * (1 + 1e-6)).any():
            group = int(np.argmax(sums))
            raise StructureError(
                f"weights of {names[group]} sum to {sums[group]:g}, more than 1: "
                f"{self.candidates(group)}"
            )


def renumbered_groups(
    site_group: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number groups in the order of their first sites, and drop those without any.

    The order of θ is then a property of the structure, not of the calls that made it.

    Returns:
        The new group of each site, and the old index of each new group.
    """
    soft = site_group != PLAIN
    used, first, member = np.unique(site_group[soft], return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    renumbered = np.full(len(site_group), PLAIN)
    renumbered[soft] = rank[member]
    return renumbered, used[order]


def checked_candidates(weights: Mapping[str, float], where: str) -> dict[str, float]:
    """Return candidates and weights as plain numbers.

    Raises:
        StructureError: If it is no mapping from known species to numbers.
    """
    if not isinstance(weights, Mapping):
        raise StructureError(
            f"weights of {where} must be a mapping such as {{'Al': 0.8, 'Sc': 0.2}}, got "
            f"{weights!r}: a species named twice would be a duplicate candidate"
        )
    if not weights:
        raise StructureError(f"{where} need at least one candidate")
    for symbol, weight in weights.items():
        atomic_number(symbol)
        if isinstance(weight, bool) or not isinstance(weight, Real):
            raise StructureError(f"weight of {symbol} at {where} must be a number: {weight!r}")
    return {symbol: float(weight) for symbol, weight in weights.items()}


def check_tie_name(tie: str | None) -> None:
    """Raise unless ``tie`` can name a tie.

    Raises:
        StructureError: Quoting it.
    """
    if tie is None:
        return
    if not isinstance(tie, str) or not tie.isprintable() or not tie or set(tie) & set(" :,\"'="):
        raise StructureError(
            f"tie must be a name without spaces, quotes, ':', ',' or '=', got {tie!r}"
        )
    if tie == "-" or re.fullmatch(r"site\d+", tie):
        raise StructureError(
            f"tie must not be called {tie!r}: '-' and 'site<index>' stand for sites without a tie"
        )
