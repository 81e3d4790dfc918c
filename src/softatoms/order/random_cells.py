"""Supercells in which the elements of the mixed sites look random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from ..composition.lattices import shell_counts
from ..composition.sqs import Decoration, decorate_sites

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .parents import Supercell

_SAME_SHELL = 0.05
"""Distances closer than this, in units of the mean distance of mixed sites, belong to one shell:
the sites of a distorted crystal lie only about on a lattice."""


def random_cell(
    supercell: Supercell,
    kind: Literal["random", "sqs"],
    *,
    shells: int,
    swaps: int,
    rng: np.random.Generator,
) -> Decoration:
    """Elements of the mixed sites of a supercell with the composition of its parent.

    Args:
        supercell: The supercell.
        kind: ``random`` for a shuffle, ``sqs`` to exchange atoms until pairs are as random as the
            supercell allows.
        shells: Neighbour shells that are looked at.
        swaps: Exchanges that are tried at most.
        rng: Source of randomness.

    Raises:
        OrderError: If the composition gives no whole numbers of atoms.
    """
    supercell.parent.counts(len(supercell.mixed))
    return decorate_sites(
        np.zeros(len(supercell.mixed), dtype=np.int64),
        [supercell.parent.fractions],
        pair_counts(supercell, shells),
        swaps=swaps if kind == "sqs" else 0,
        rng=rng,
    )


def pair_counts(supercell: Supercell, shells: int) -> NDArray[np.float64]:
    """How often mixed sites see each other in the first shells, images included.

    Returns:
        Shape (shells, n_mixed, n_mixed).
    """
    positions = (supercell.scaled @ supercell.cell)[supercell.mixed]
    spacing = (abs(np.linalg.det(supercell.cell)) / len(positions)) ** (1.0 / 3.0)
    one = np.zeros(len(positions), dtype=np.int64)
    return shell_counts(positions, supercell.cell, one, shells, apart=_SAME_SHELL * spacing)
