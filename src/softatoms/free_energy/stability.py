"""Which of two polymorphs is stable, from free energies of changing their composition.

Both polymorphs are changed from x = 0 to the same compositions x. With ΔG between them known at one
end, the cycle

    first(0) → first(x) → second(x) → second(0) → first(0)

gives it everywhere: ΔG(x) = ΔG(0) + G₂(x) − G₁(x), all per atom or all per formula unit, ΔG that of
the second minus the first. The entropy of mixing on a sublattice is the same in both and cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .estimators import EstimateError

Floats = NDArray[np.float64]

SAMPLES = 20_000
"""Random curves by which errors are carried to the crossing."""

_LEVEL_ENDS = (0.025, 0.975)


@dataclass(frozen=True)
class Energy:
    """A free energy and its standard error, both in eV."""

    value: float
    stderr: float


@dataclass(frozen=True)
class Leg:
    """Change of one polymorph from x = 0.

    Attributes:
        share: The composition x that it ends at, above 0 and at most 1.
        energy: Free energy of the change, in eV per atom or per formula unit.
    """

    share: float
    energy: Energy


@dataclass(frozen=True)
class Stability:
    """Two polymorphs at several compositions.

    Attributes:
        shares: Compositions x, 0 included, shape (n,).
        differences: ΔG of the second minus the first polymorph, positive where the first is stable,
            shape (n,).
        stderrs: Their standard errors; those of different x share that of ΔG(0), shape (n,).
        crossing: Composition at which both are as stable; None if none is between 0 and 1.
        crossing_low: Lower end of its 95 % interval, or None.
        crossing_high: Upper end of it, or None.
        crossing_probability: Probability, given all errors, that there is a crossing.
    """

    shares: Floats
    differences: Floats
    stderrs: Floats
    crossing: float | None
    crossing_low: float | None
    crossing_high: float | None
    crossing_probability: float


def stability(
    reference: Energy, first: Sequence[Leg], second: Sequence[Leg], *, seed: int = 0
) -> Stability:
    """ΔG between two polymorphs along composition, and where it changes sign.

    Between the compositions ΔG is the polynomial through all of them.

    Args:
        reference: ΔG at x = 0, second minus first polymorph.
        first: Changes of the first polymorph.
        second: Changes of the second, to the same compositions.
        seed: Of the random curves that carry errors to the crossing.

    Raises:
        EstimateError: If compositions differ, come twice or lie outside 0 to 1.
    """
    ordered = [sorted(legs, key=lambda leg: leg.share) for legs in (first, second)]
    shares = [[leg.share for leg in legs] for legs in ordered]
    if shares[0] != shares[1] or not shares[0]:
        raise EstimateError(
            f"both polymorphs need the same compositions, got {shares[0]} and {shares[1]}"
        )
    if len(set(shares[0])) < len(shares[0]) or shares[0][0] <= 0.0 or shares[0][-1] > 1.0:
        raise EstimateError(f"compositions must be different ones up to 1, got {shares[0]}")
    points = np.array([0.0, *shares[0]])
    steps = np.array(
        [two.energy.value - one.energy.value for one, two in zip(*ordered, strict=True)]
    )
    errors = np.array(
        [np.hypot(one.energy.stderr, two.energy.stderr) for one, two in zip(*ordered, strict=True)]
    )
    differences = reference.value + np.concatenate([[0.0], steps])
    stderrs = np.hypot(reference.stderr, np.concatenate([[0.0], errors]))
    random = np.random.default_rng(seed)
    starts = reference.value + reference.stderr * random.standard_normal(SAMPLES)
    draws = steps + errors * random.standard_normal((SAMPLES, len(steps)))
    curves = np.concatenate([starts[:, None], starts[:, None] + draws], axis=1)
    found = _crossings(points, curves)
    crossing = float(_crossings(points, differences[None])[0])
    has_one = np.isfinite(found)
    ends = np.quantile(found[has_one], _LEVEL_ENDS) if has_one.any() else None
    is_known = np.isfinite(crossing) and ends is not None
    return Stability(
        shares=points,
        differences=differences,
        stderrs=stderrs,
        crossing=crossing if is_known else None,
        crossing_low=float(ends[0]) if is_known and ends is not None else None,
        crossing_high=float(ends[1]) if is_known and ends is not None else None,
        crossing_probability=float(has_one.mean()),
    )


def closure(legs: Sequence[Energy], signs: ArrayLike) -> Energy:
    """What is left after going round a cycle: 0 within its error if all legs are right.

    Args:
        legs: Free energies of the legs in eV.
        signs: 1 for legs that are walked in their direction, −1 for the others, shape (n_legs,).

    Raises:
        EstimateError: If signs are anything else, or not one per leg.
    """
    directions = np.asarray(signs, np.float64)
    if directions.shape != (len(legs),) or not np.isin(directions, (-1.0, 1.0)).all():
        raise EstimateError(f"signs must be 1 or −1, one for each of {len(legs)} legs")
    values = np.array([leg.value for leg in legs])
    errors = np.array([leg.stderr for leg in legs])
    return Energy(float(directions @ values), float(np.sqrt(np.sum(errors**2))))


def _crossings(points: Floats, curves: Floats) -> Floats:
    """First zero of each curve between 0 and 1, nan if there is none.

    Args:
        points: Compositions, shape (n,).
        curves: ΔG at them, shape (n_curves, n).
    """
    # Lagrange's polynomial is linear in the values, so one matrix serves all curves.
    grid = np.linspace(points[0], points[-1], 401)
    basis = np.stack(
        [
            np.prod([(grid - other) / (own - other) for other in points if other != own], axis=0)
            for own in points
        ]
    )
    values = curves @ basis
    change = np.signbit(values[:, 1:]) != np.signbit(values[:, :-1])
    first = change.argmax(axis=1)
    rows = np.arange(len(curves))
    low, high = values[rows, first], values[rows, first + 1]
    at = grid[first] + (grid[1] - grid[0]) * low / np.where(change[rows, first], low - high, 1.0)
    return np.where(change.any(axis=1), at, np.nan)
