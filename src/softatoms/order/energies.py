"""Relaxed energies of the states of one composition, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.units import kB

from ..relax import relax_batch

if TYPE_CHECKING:
    from ..potentials.base import Potential
    from ..relax import Relaxation
    from .variants import State, Variant

BOLTZMANN = float(kB)
"""In eV/K."""


@dataclass(frozen=True)
class Settings:
    """How states are relaxed.

    Attributes:
        cell: ``full``, ``isotropic`` or ``fixed``.
        sites: Whether sites move.
        fmax: Tolerance of forces in eV/Å.
        smax: Tolerance of stresses in eV/Å³.
        max_steps: Most steps.
        dtype: Precision of the potential.
        device: Where to compute.
    """

    cell: str = "full"
    sites: bool = True
    fmax: float = 0.03
    smax: float = 1e-3
    max_steps: int = 150
    dtype: str = "float64"
    device: str = "cpu"


@dataclass(frozen=True)
class Relaxed:
    """One state after its relaxation.

    Attributes:
        variant: What it was before.
        energy: Energy in eV per mixed site; nan if there is none.
        volume: Volume in Å³ per mixed site; nan if there is none.
        lengths: Lengths of the cell's vectors in Å.
        n_sites: Number of sites.
        fmax: Largest force in eV/Å.
        evaluations: How often its energy was computed.
        status: ``ok``, ``unconverged`` or ``failed``.
        error: What went wrong.
    """

    variant: Variant
    energy: float
    volume: float
    lengths: tuple[float, float, float]
    n_sites: int
    fmax: float
    evaluations: int
    status: str
    error: str


def relax_variants(
    potential: Potential, variants: Sequence[Variant], settings: Settings
) -> list[Relaxed]:
    """Relax all states of one composition; those of one coupling and kind in one batch.

    A state that fails does so alone.

    Args:
        potential: The energy function.
        variants: The states.
        settings: How to relax.

    Returns:
        One result per state, in order.
    """
    batches: dict[tuple[str, bool], list[int]] = {}
    for index, variant in enumerate(variants):
        is_soft = variant.state in ("mean_field", "replica")
        batches.setdefault((variant.coupling, is_soft), []).append(index)
    found: dict[int, Relaxed] = {}
    for (coupling, _), members in batches.items():
        systems = [variants[index].soft for index in members]
        fixed = None if settings.sites else [np.ones(len(soft), dtype=bool) for soft in systems]
        results = relax_batch(
            potential,
            systems,
            coupling=coupling,
            cell=settings.cell,
            fixed_sites=fixed,
            fmax=settings.fmax,
            smax=settings.smax,
            max_steps=settings.max_steps,
            dtype=settings.dtype,
            device=settings.device,
        )
        for index, result in zip(members, results, strict=True):
            found[index] = _relaxed(variants[index], result)
    return [found[index] for index in range(len(variants))]


def _relaxed(variant: Variant, result: Relaxation) -> Relaxed:
    cell = result.soft.cell
    a, b, c = (float(length) for length in np.linalg.norm(cell, axis=1))
    volume = float(abs(np.linalg.det(cell)))
    status, error = str(result.status), result.error
    if status == "ok" and not math.isfinite(result.energy):
        status, error = "failed", "energy is not finite"
    return Relaxed(
        variant=variant,
        energy=float(result.energy) / variant.n_mixed,
        volume=volume / variant.n_mixed,
        lengths=(a, b, c),
        n_sites=len(result.soft),
        fmax=float(result.fmax),
        evaluations=result.evaluations,
        status=status,
        error=error,
    )


@dataclass(frozen=True)
class Ordering:
    """What the energies of one composition say about order.

    Attributes:
        best: Name of the ordered structure of lowest energy, empty if there is none.
        energies: Energy of each disordered state above the best order, in eV per mixed site.
        errors: Standard errors of these over replicates; missing for soft states.
        reference: The disordered state that counts.
        temperature: Estimated ordering temperature in K.
        temperature_error: Its standard error over replicates; None if there is no spread.
        classification: Name of the order, or ``disordered``.
        status: ``ok`` or ``failed``.
        error: Why there is no result.
    """

    best: str = ""
    energies: Mapping[str, float] | None = None
    errors: Mapping[str, float] | None = None
    reference: str = ""
    temperature: float | None = None
    temperature_error: float | None = None
    classification: str = ""
    status: str = "failed"
    error: str = ""


def mixing_entropy(fractions: Mapping[str, float]) -> float:
    """Ideal entropy of mixing in eV/K per mixed site."""
    return -BOLTZMANN * sum(x * math.log(x) for x in fractions.values() if x > 0.0)


def ordering(
    results: Sequence[Relaxed],
    fractions: Mapping[str, float],
    *,
    reference: State,
    threshold: float,
) -> Ordering:
    """Ordering energy, estimated temperature and class of one composition.

    The estimate is where the ideal entropy of mixing makes up for the ordering energy, with the
    ordered state free of defects and the disordered one without short-range order. A composition
    counts as ordered if that is above ``threshold``. A state that did not end well is not left out:
    it could be the best, so there is no result.

    Args:
        results: All relaxed states.
        fractions: Shares of the elements on the mixed sites.
        reference: The disordered state that counts.
        threshold: Temperature in K.
    """
    bad = [r for r in results if r.status != "ok"]
    if bad:
        first = bad[0]
        where = f"{first.variant.name} {first.variant.replicate}".removesuffix(" 0")
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        return Ordering(reference=reference, error=f"{where}: {first.error}{more}")
    ordered = [r for r in results if r.variant.state == "ordered"]
    if not ordered:
        return Ordering(reference=reference, error="there is no ordered structure")
    best = min(ordered, key=lambda r: r.energy)
    by_state: dict[str, list[float]] = {}
    for result in results:
        if result.variant.state != "ordered":
            by_state.setdefault(result.variant.state, []).append(result.energy - best.energy)
    if reference not in by_state:
        return Ordering(reference=reference, error=f"the state '{reference}' was not computed")
    energies = {state: float(np.mean(values)) for state, values in by_state.items()}
    errors = {
        state: float(np.std(values, ddof=1) / math.sqrt(len(values)))
        for state, values in by_state.items()
        if len(values) > 1
    }
    entropy = mixing_entropy(fractions)
    temperature = energies[reference] / entropy
    spread = errors.get(reference)
    return Ordering(
        best=best.variant.name,
        energies=energies,
        errors=errors,
        reference=reference,
        temperature=temperature,
        temperature_error=None if spread is None else spread / entropy,
        classification=best.variant.name if temperature > threshold else "disordered",
        status="ok",
    )


def relative_energy(result: Relaxed, results: Sequence[Relaxed]) -> float | None:
    """Energy above the best ordered structure in eV per mixed site; None if unknown."""
    known = [r.energy for r in results if r.variant.state == "ordered" and r.status == "ok"]
    if result.status != "ok" or not known:
        return None
    return result.energy - min(known)


def numbers(ordering_of: Ordering) -> dict[str, Any]:
    """Ordering energies and their errors as columns of the table ``order_summary``."""
    energies, errors = ordering_of.energies or {}, ordering_of.errors or {}
    row: dict[str, Any] = {}
    for state in ("mean_field", "replica", "sqs", "random"):
        row[f"ordering_{state}_ev"] = energies.get(state)
    for state in ("sqs", "random"):
        row[f"stderr_{state}_ev"] = errors.get(state)
    return row
