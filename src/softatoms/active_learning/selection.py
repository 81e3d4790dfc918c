"""Which of the structures that were found get a label."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..dataset.frames import Split
from ..dataset.selection import farthest_points

Describe = Callable[[Sequence[int]], NDArray[np.float64]]
"""Descriptors of some candidates by index, shape (n_chosen, n_values)."""


def chosen(
    spreads: Sequence[float],
    count: int,
    *,
    pool: int,
    how: Literal["uncertain", "random"],
    describe: Describe,
    rng: np.random.Generator,
) -> list[int]:
    """Candidates to label, in the order of choice.

    ``uncertain`` takes the ``count * pool`` candidates of the largest spreads; the most uncertain
    one comes first, then whichever of them is farthest from all chosen before. ``random`` draws
    from all candidates alike.

    Args:
        spreads: Disagreement about each candidate.
        count: How many to choose at most.
        pool: Candidates per choice among which distance decides.
        how: ``uncertain`` or ``random``.
        describe: Gives descriptors; asked only where distance decides.
        rng: For ``random``.

    Returns:
        Different indices into ``spreads``, min(count, number of candidates) of them.
    """
    values = np.asarray(spreads, dtype=np.float64)
    if how == "random":
        order: list[int] = rng.permutation(len(values))[:count].tolist()
        return order
    # Stable: of equal candidates the first one comes first.
    ranked: list[int] = np.argsort(-values, kind="stable")[: count * pool].tolist()
    if len(ranked) <= count or count == 0:
        return ranked[:count]
    first = np.zeros(1, dtype=np.int64)
    others = farthest_points(describe(ranked), count - 1, chosen=first)
    return [ranked[0], *(ranked[row] for row in others.tolist())]


def parts(names: Sequence[str], share: float, seed: int) -> dict[str, Split]:
    """Part of each trajectory: a share of them validates, at least one trains.

    Args:
        names: Names of the trajectories.
        share: Share of those that validate, rounded to whole trajectories.
        seed: Another seed takes others.
    """

    def place(name: str) -> bytes:
        return hashlib.sha256(f"{seed}\n{name}".encode()).digest()

    held_out = min(int(share * len(names) + 0.5), len(names) - 1)
    validates = set(sorted(names, key=place)[: max(held_out, 0)])
    return {name: "validation" if name in validates else "train" for name in names}
