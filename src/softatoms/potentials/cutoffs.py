"""Functions that switch an interaction off smoothly."""

from __future__ import annotations

from torch import Tensor


def polynomial_switch(distance: Tensor, onset: Tensor | float, cutoff: Tensor | float) -> Tensor:
    """1 up to ``onset``, 0 from ``cutoff`` on, twice continuously differentiable.

    Args:
        distance: Distances in Å, any shape.
        onset: Where the switch starts, in Å.
        cutoff: Where it ends, in Å.
    """
    x = ((distance - onset) / (cutoff - onset)).clamp(0.0, 1.0)
    return 1.0 - x * x * x * (10.0 + x * (6.0 * x - 15.0))


def squared_switch(distance_squared: Tensor, onset: float, cutoff: float) -> Tensor:
    """The switch of ASE's and HOOMD's Lennard-Jones potentials, in squared distances.

    It is once continuously differentiable.

    Args:
        distance_squared: Squared distances in Å², any shape.
        onset: Where the switch starts, in Å.
        cutoff: Where it ends, in Å.
    """
    inner, outer = onset**2, cutoff**2
    r2 = distance_squared.clamp(inner, outer)
    return (outer - r2) ** 2 * (outer + 2.0 * r2 - 3.0 * inner) / (outer - inner) ** 3
