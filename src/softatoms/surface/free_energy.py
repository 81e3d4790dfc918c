"""Ω of atoms that exist in part, its derivatives, and how it changes while an atom appears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import OptionError
from ..evaluation import evaluate_batch
from ..potentials.base import Potential
from ..structure import SoftAtoms
from .evaluator import Pool, PoolEvaluator
from .problem import Problem, Reservoir

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FreeEnergy:
    """Ω = E − E_reference − Σ_c μ_c Σ_a w_ac at one place, and its slopes.

    Attributes:
        omega: In eV.
        omega_per_area: In eV/Å²; nan where the region has no area.
        by_positions: dΩ/dr in eV/Å, shape (n_substrate + n_pool, 3).
        by_weights: dΩ/dw in eV, shape (n_pool, n_species).
    """

    omega: float
    omega_per_area: float
    by_positions: Floats
    by_weights: Floats


def free_energies(
    problem: Problem, pools: Sequence[Pool], reservoirs: Sequence[Reservoir]
) -> list[FreeEnergy | str]:
    """Ω of many pools in one pass.

    Args:
        problem: What is searched.
        pools: Positions and weights of each.
        reservoirs: Where the atoms of each come from.

    Returns:
        For each pool Ω and its slopes, or a text saying what went wrong.
    """
    if len(pools) != len(reservoirs):
        raise OptionError(f"{len(pools)} pools need as many reservoirs, got {len(reservoirs)}")
    evaluator = PoolEvaluator(problem, [len(pool.weights) for pool in pools])
    found: list[FreeEnergy | str] = []
    slopes = evaluator.evaluate(range(len(pools)), pools)
    for pool, reservoir, out in zip(pools, reservoirs, slopes, strict=True):
        if isinstance(out, str):
            found.append(out)
            continue
        omega = problem.omega(out.energy, pool.weights.sum(axis=0), reservoir)
        found.append(
            FreeEnergy(
                omega=omega,
                omega_per_area=omega / problem.region.area,
                by_positions=-out.forces,
                by_weights=out.by_weights - reservoir.potentials_of(problem.species),
            )
        )
    return found


@dataclass(frozen=True)
class ExistenceCurve:
    """Energy while some atoms appear.

    Attributes:
        existence: q, shape (n,).
        energies: E(q) in eV, shape (n,).
        slopes: dE/dq in eV, shape (n,).
        without: Energy of the structure without the atoms in eV, what E(0) must be.
        whole: Energy of the structure with whole atoms in eV, what E(1) must be.
    """

    existence: Floats
    energies: Floats
    slopes: Floats
    without: float
    whole: float


def existence_curve(
    potential: Potential,
    soft: SoftAtoms,
    sites: Sequence[int],
    existence: ArrayLike,
    *,
    dtype: str = "float64",
    device: str = "cpu",
) -> ExistenceCurve:
    """Energy of a structure while some of its atoms appear together, at fixed positions.

    Args:
        potential: The energy function.
        soft: The structure with all its atoms.
        sites: The atoms that appear; not all there are.
        existence: Values of q in [0, 1], shape (n,).
        dtype: Precision of the potential.
        device: Where to compute.
    """
    values = np.atleast_1d(np.asarray(existence, dtype=np.float64))
    left = np.setdiff1d(np.arange(len(soft)), np.asarray(sites))
    if len(left) == 0:
        raise OptionError("sites of an existence curve must leave some atom of the structure")
    partly = [soft.with_existence(list(sites), float(q)) for q in values]
    with_slopes = evaluate_batch(
        potential, partly, properties=("weight_gradient",), dtype=dtype, device=device
    )
    without, whole = evaluate_batch(
        potential, [soft.select(left), soft], properties=(), dtype=dtype, device=device
    )
    slopes = [out.weight_gradient for out in with_slopes]
    return ExistenceCurve(
        existence=values,
        energies=np.array([float(out.energy) for out in with_slopes]),
        slopes=np.array([float(slope.sum()) for slope in slopes if slope is not None]),
        without=float(without.energy),
        whole=float(whole.energy),
    )
