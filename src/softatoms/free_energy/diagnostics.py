"""How far a free energy from switching runs or windows can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..units import BOLTZMANN_EV_PER_K
from .estimators import Estimate, WindowEstimate, bar, bar_roots, dissipation_mean, mbar

Floats = NDArray[np.float64]

FEWEST_WORKS = 4
"""Works of a direction below which no interval says much."""

LEAST_OVERLAP = 0.03
"""Overlap from which on windows count as connected (Klimovich, Shirts, Mobley 2015)."""

LARGEST_DISSIPATION = 2.0
"""Mean dissipation in kT beyond which a handful of works no longer reaches where both directions
overlap, so that BAR rests on its tails."""

LARGEST_DEVIATION = 3.0
"""Combined standard errors by which two numbers for the same thing may differ."""

_ROUNDING = 1e-9
"""Energy in eV below which differences mean nothing."""


@dataclass(frozen=True)
class WorkDiagnostics:
    """What the works of switching runs say of themselves.

    Attributes:
        overlap: Of the distributions of forward works and of minus the backward works, 1 for the
            same and 0 for separate ones: one minus the second eigenvalue of the overlap matrix.
        dissipation: Mean of both directions, (W_f + W_b)/2 of the mean works, in eV.
        forward_dissipation: Mean forward work minus ΔF in eV.
        backward_dissipation: Mean backward work plus ΔF in eV.
        hysteresis: W_f + W_b of the mean works in eV: what a cycle there and back costs.
        hysteresis_stderr: Its standard error in eV.
        gaussianity: Variance of the works over 2 kT times the dissipation: 1 in linear response;
            None without dissipation.
        warnings: Words, in a fixed order; see :func:`diagnose`.
    """

    overlap: float
    dissipation: float
    forward_dissipation: float
    backward_dissipation: float
    hysteresis: float
    hysteresis_stderr: float
    gaussianity: float | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Convergence:
    """Estimates from growing parts of the data.

    Attributes:
        shares: Part of the data, ascending, shape (n_parts,).
        from_start: Estimate from the first of it.
        from_end: Estimate from the last of it.
    """

    shares: Floats
    from_start: tuple[Estimate, ...]
    from_end: tuple[Estimate, ...]

    @property
    def is_settled(self) -> bool:
        """Whether the first and the last half agree within their errors."""
        middle = int(np.argmin(np.abs(self.shares - 0.5)))
        return agree(self.from_start[middle], self.from_end[middle])


def agree(one: Estimate, two: Estimate) -> bool:
    """Whether two estimates differ by no more than three combined standard errors."""
    error = float(np.hypot(one.stderr, two.stderr))
    return abs(one.value - two.value) <= LARGEST_DEVIATION * error + _ROUNDING


def overlap_of_works(forward: ArrayLike, backward: ArrayLike, *, temperature: float) -> float:
    """Overlap of two distributions of work, between 0 and 1.

    Args:
        forward: Works of runs from λ = 0 to 1 in eV, shape (n_forward,).
        backward: Works of runs from λ = 1 to 0 in eV, shape (n_backward,).
        temperature: In K.
    """
    kt = BOLTZMANN_EV_PER_K * temperature
    one, two = np.asarray(forward, np.float64) / kt, np.asarray(backward, np.float64) / kt
    ratio = float(np.log(one.size / two.size))
    value = float(bar_roots(one[None], two[None], ratio)[0])
    # Probability of every work to be one of the first state, were it not known.
    from_first = np.concatenate([value - ratio - one, two - ratio + value])
    first = 1.0 / (1.0 + np.exp(np.clip(from_first, -700.0, 700.0)))
    weights = np.stack([first / one.size, (1.0 - first) / two.size], axis=1)
    matrix = (weights.T @ weights) * np.array([one.size, two.size])
    # Rows sum to 1, so the eigenvalues are 1 and the trace less 1.
    return float(np.clip(2.0 - np.trace(matrix), 0.0, 1.0))


def diagnose(
    forward: ArrayLike, backward: ArrayLike, *, temperature: float, value: float
) -> WorkDiagnostics:
    """Overlap, dissipation and hysteresis of works, and what is wrong with them.

    The warnings are ``few_works`` (fewer than 4 of a direction), ``high_dissipation`` (more than
    2 kT), ``low_overlap`` (below 0.03), ``negative_dissipation`` (by more than three standard
    errors, which the second law forbids), ``asymmetric`` (one direction dissipates more than the
    other by more than three standard errors and kT/2), ``estimators_differ`` (BAR and mean) and
    ``drifting`` (first and second half of the replicas differ).

    Args:
        forward: Works of runs from λ = 0 to 1 in eV, shape (n_forward,).
        backward: Works of runs from λ = 1 to 0 in eV, shape (n_backward,).
        temperature: In K.
        value: The free-energy difference in eV.
    """
    one, two = np.asarray(forward, np.float64), np.asarray(backward, np.float64)
    kt = BOLTZMANN_EV_PER_K * temperature
    hysteresis = float(one.mean() + two.mean())
    error = float(np.sqrt(one.var(ddof=1) / one.size + two.var(ddof=1) / two.size))
    dissipation = 0.5 * hysteresis
    lost_forward, lost_backward = float(one.mean() - value), float(two.mean() + value)
    overlap = overlap_of_works(one, two, temperature=temperature)
    spread = 0.5 * float(one.var(ddof=1) + two.var(ddof=1))
    ratio = spread / (2.0 * kt * dissipation) if dissipation > _ROUNDING else None
    both = bar(one, two, temperature=temperature)
    skew = abs(lost_forward - lost_backward)
    found = {
        "few_works": min(one.size, two.size) < FEWEST_WORKS,
        "high_dissipation": dissipation > LARGEST_DISSIPATION * kt,
        "low_overlap": overlap < LEAST_OVERLAP,
        "negative_dissipation": dissipation < -0.5 * LARGEST_DEVIATION * error - _ROUNDING,
        "asymmetric": skew > LARGEST_DEVIATION * error + 0.5 * kt,
        "estimators_differ": abs(both.value - dissipation_mean(one, two).value)
        > LARGEST_DEVIATION * both.stderr + _ROUNDING,
        "drifting": _drifts(one, two, temperature),
    }
    return WorkDiagnostics(
        overlap=overlap,
        dissipation=dissipation,
        forward_dissipation=lost_forward,
        backward_dissipation=lost_backward,
        hysteresis=hysteresis,
        hysteresis_stderr=error,
        gaussianity=ratio,
        warnings=tuple(name for name, holds in found.items() if holds),
    )


def convergence_of_works(
    forward: ArrayLike, backward: ArrayLike, *, temperature: float, parts: int = 10
) -> Convergence:
    """BAR from growing numbers of replicas, the first ones and the last ones.

    Args:
        forward: Works of runs from λ = 0 to 1 in eV, in the order of replicas.
        backward: Works of runs from λ = 1 to 0 in eV, likewise.
        temperature: In K.
        parts: How many parts at most; two works of each direction are the least.
    """
    one, two = np.asarray(forward, np.float64), np.asarray(backward, np.float64)
    fewest = min(one.size, two.size)
    shares = np.unique(np.rint(np.linspace(2, fewest, parts)).astype(np.int64)) / fewest

    def part(of: Floats, share: float, *, last: bool) -> Floats:
        count = max(2, round(share * of.size))
        return of[of.size - count :] if last else of[:count]

    def estimates(*, last: bool) -> tuple[Estimate, ...]:
        return tuple(
            bar(part(one, s, last=last), part(two, s, last=last), temperature=temperature)
            for s in shares
        )

    return Convergence(shares, estimates(last=False), estimates(last=True))


def convergence_of_windows(
    reduced: ArrayLike,
    counts: ArrayLike,
    *,
    temperature: float,
    replicas: ArrayLike | None = None,
    parts: int = 5,
) -> Convergence:
    """MBAR from growing parts of the time of every window, from its start and from its end.

    Args:
        reduced: Energy over kT of every sample in every state, shape (n_states, n_samples).
        counts: Samples of each state, shape (n_states,).
        temperature: In K.
        replicas: Replica of each sample, shape (n_samples,); one only if None.
        parts: How many parts.
    """
    energies = np.asarray(reduced, np.float64)
    numbers = np.asarray(counts, np.int64)
    state = np.repeat(np.arange(len(numbers)), numbers)
    labels = np.zeros(len(state), np.int64) if replicas is None else np.asarray(replicas)
    shares = np.linspace(1.0 / parts, 1.0, parts)

    def estimate(share: float, *, last: bool) -> Estimate:
        kept = np.zeros(len(state), np.bool_)
        for own in range(len(numbers)):
            for name in np.unique(labels):
                indices = np.flatnonzero((state == own) & (labels == name))
                count = max(2, round(share * len(indices)))
                kept[indices[-count:] if last else indices[:count]] = True
        own_counts = np.bincount(state[kept], minlength=len(numbers))
        found = mbar(energies[:, kept], own_counts, temperature=temperature, replicas=labels[kept])
        return found.difference

    return Convergence(
        shares,
        tuple(estimate(share, last=False) for share in shares),
        tuple(estimate(share, last=True) for share in shares),
    )


def window_warnings(found: WindowEstimate, convergence: Convergence | None = None) -> list[str]:
    """What is wrong with windows: ``low_overlap`` of neighbours, ``few_samples``, ``drifting``.

    Args:
        found: What MBAR made of them.
        convergence: Estimates from parts of their time, if there are any.
    """
    beside = np.diagonal(found.overlap, 1)
    effective = found.difference.n_forward / (len(found.free_energies) * found.inefficiencies.max())
    words = {
        "low_overlap": bool((beside < LEAST_OVERLAP).any()),
        "few_samples": effective < 10.0,
        "drifting": convergence is not None and not convergence.is_settled,
    }
    return [name for name, holds in words.items() if holds]


def _drifts(one: Floats, two: Floats, temperature: float) -> bool:
    """Whether the first half of the replicas says something else than the second."""
    if min(one.size, two.size) < 2 * FEWEST_WORKS:
        return False
    cut, other = one.size // 2, two.size // 2
    first = bar(one[:cut], two[:other], temperature=temperature)
    last = bar(one[cut:], two[other:], temperature=temperature)
    return not agree(first, last)
