"""Free-energy differences from works of switching runs and from equilibrium windows.

Forward is λ from 0 to 1 and ΔF = F(1) − F(0). Works of forward and of backward runs are both the
work that was done on the system, in eV. All works are independent of each other.

A handful of works is the rule, since each is a molecular dynamics run. So standard errors come from
the variance among the works themselves, and intervals from Student's t with as many degrees of
freedom as these variances have (Welch and Satterthwaite for two directions).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logsumexp
from scipy.stats import norm, t

from ..errors import SoftatomsError
from ..potentials.options import check_positive, check_whole
from ..units import BOLTZMANN_EV_PER_K
from .pymbar_quietly import calling_pymbar

Floats = NDArray[np.float64]

LEVEL = 0.95
"""Confidence of intervals."""

FEWEST_REPLICAS = 3
"""Replicas from which on their spread says more of the error of MBAR than the samples do."""

_BEYOND = 40.0
"""Distance in kT beyond which the Fermi function is 0 or 1 for any number of works."""

_HALVINGS = 70
"""Steps of a bisection, enough for all digits of an interval of thousands of kT."""


class EstimateError(SoftatomsError):
    """Works or samples that no free energy can be estimated from."""


@dataclass(frozen=True)
class Estimate:
    """A free-energy difference F(1) − F(0).

    Attributes:
        value: In eV.
        stderr: Standard error in eV.
        low: Lower end of the 95 % interval in eV.
        high: Upper end of it in eV.
        estimator: ``bar``, ``jarzynski_forward``, ``jarzynski_backward``, ``dissipation_mean`` or
            ``mbar``.
        interval: Where error and interval come from: ``analytic`` (variance of the works, Student's
            t), ``bootstrap``, ``replicas`` (jackknife over replicas, Student's t) or ``samples``
            (asymptotic covariance of samples taken as independent, normal distribution).
        degrees: Degrees of freedom of Student's t; infinite for the normal distribution.
        n_forward: Forward works, or samples of all windows.
        n_backward: Backward works.
    """

    value: float
    stderr: float
    low: float
    high: float
    estimator: str
    interval: str
    degrees: float
    n_forward: int
    n_backward: int

    @property
    def half_width(self) -> float:
        """Half the width of the interval in eV."""
        return 0.5 * (self.high - self.low)

    def contains(self, value: float) -> bool:
        """Whether a number in eV lies in the interval."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class WindowEstimate:
    """What MBAR makes of equilibrium windows.

    Attributes:
        difference: Of the last state minus the first.
        free_energies: Of every state relative to the first in eV, shape (n_states,).
        overlap: Probability that a sample of one state (row) is found in another (column), shape
            (n_states, n_states).
        inefficiencies: Correlated samples per independent one of each state, shape (n_states,).
    """

    difference: Estimate
    free_energies: Floats
    overlap: Floats
    inefficiencies: Floats


def interval_of(
    value: float, stderr: float, degrees: float, *, level: float = LEVEL
) -> tuple[float, float]:
    """Ends of the interval of a value with a standard error.

    Args:
        value: The value.
        stderr: Its standard error.
        degrees: Degrees of freedom of Student's t; infinite for the normal distribution.
        level: Confidence.
    """
    upper = 0.5 * (1.0 + level)
    quantile = float(norm.ppf(upper) if np.isinf(degrees) else t.ppf(upper, degrees))
    return value - quantile * stderr, value + quantile * stderr


def bar(
    forward: ArrayLike,
    backward: ArrayLike,
    *,
    temperature: float,
    bootstrap: int = 0,
    seed: int = 0,
) -> Estimate:
    """Bennett's acceptance ratio for works of both directions (Crooks).

    Args:
        forward: Works of runs from λ = 0 to 1 in eV, shape (n_forward,).
        backward: Works of runs from λ = 1 to 0 in eV, shape (n_backward,).
        temperature: In K.
        bootstrap: Samples of a bootstrap that replaces the analytic error; 0 for none. Its error is
            never below that of the mean of works.
        seed: Of the bootstrap.

    Raises:
        EstimateError: If there are fewer than two works of a direction, or they are not finite.
    """
    first, second = _works(forward, "forward"), _works(backward, "backward")
    kt = _kt(temperature)
    # Works around 0 keep exponentials in range.
    shift = 0.5 * (first.mean() - second.mean())
    one, two = (first - shift) / kt, (second + shift) / kt
    # pymbar's own search stops without a result where the root lies close to its start, as it does
    # for works around 0; on all others both agree to the last digits.
    centre = float(bar_roots(one[None], two[None], float(np.log(one.size / two.size)))[0])
    value = kt * centre + float(shift)
    if bootstrap:
        roots = _resampled(one, two, bar_roots, bootstrap, seed)
        # Where much is dissipated BAR rests on the few works that reach across, and draws of a
        # handful do not show how far off it may be. Normal works tell ΔF by their mean at least as
        # well as BAR does, so an error below that of the mean is one that was not seen.
        stderr = max(kt * float(roots.std(ddof=1)), dissipation_mean(first, second).stderr)
        degrees = _variance_of_bar(one, two, centre)[1]
        return _estimate(value, stderr, degrees, "bar", "bootstrap", first.size, second.size)
    variance, degrees = _variance_of_bar(one, two, centre)
    stderr = kt * float(np.sqrt(variance))
    return _estimate(value, stderr, degrees, "bar", "analytic", first.size, second.size)


def jarzynski(
    works: ArrayLike,
    *,
    temperature: float,
    backward: bool = False,
    bootstrap: int = 0,
    seed: int = 0,
) -> Estimate:
    """Exponential average of works of one direction; biased as soon as they spread by more than kT.

    Args:
        works: In eV, shape (n_works,).
        temperature: In K.
        backward: Whether they are works of runs from λ = 1 to 0.
        bootstrap: Samples of a bootstrap that replaces the analytic error; 0 for none.
        seed: Of the bootstrap.

    Raises:
        EstimateError: If there are fewer than two works, or they are not finite.
    """
    name = "jarzynski_backward" if backward else "jarzynski_forward"
    own = _works(works, "backward" if backward else "forward")
    kt = _kt(temperature)
    shift = own.min()
    reduced = (own - shift) / kt
    value = kt * float(np.log(own.size) - logsumexp(-reduced)) + float(shift)
    if bootstrap:
        draws = np.random.default_rng(seed).integers(own.size, size=(bootstrap, own.size - 1))
        means = np.log(own.size - 1) - logsumexp(-reduced[draws], axis=1)
        stderr = kt * float(means.std(ddof=1))
    else:
        weights = np.exp(-reduced)
        stderr = kt * float(weights.std(ddof=1) / (weights.mean() * np.sqrt(own.size)))
    how = "bootstrap" if bootstrap else "analytic"
    counts = (0, own.size) if backward else (own.size, 0)
    sign = -1.0 if backward else 1.0
    return _estimate(sign * value, stderr, own.size - 1.0, name, how, *counts)


def dissipation_mean(
    forward: ArrayLike,
    backward: ArrayLike,
    *,
    bootstrap: int = 0,
    seed: int = 0,
) -> Estimate:
    """(W_f − W_b)/2 of the mean works: right if both directions dissipate the same.

    They do so in linear response, where works are normally distributed with a variance of 2 kT
    times the dissipation.

    Args:
        forward: Works of runs from λ = 0 to 1 in eV, shape (n_forward,).
        backward: Works of runs from λ = 1 to 0 in eV, shape (n_backward,).
        bootstrap: Samples of a bootstrap that replaces the analytic error; 0 for none.
        seed: Of the bootstrap.

    Raises:
        EstimateError: If there are fewer than two works of a direction, or they are not finite.
    """
    first, second = _works(forward, "forward"), _works(backward, "backward")
    value = 0.5 * float(first.mean() - second.mean())
    parts = (0.25 * first.var(ddof=1) / first.size, 0.25 * second.var(ddof=1) / second.size)
    degrees = _satterthwaite(parts, (first.size, second.size))
    if bootstrap:
        means = _resampled(
            first, second, lambda one, two, _: 0.5 * (one.mean(1) - two.mean(1)), bootstrap, seed
        )
        stderr = float(means.std(ddof=1))
    else:
        stderr = float(np.sqrt(sum(parts)))
    how = "bootstrap" if bootstrap else "analytic"
    return _estimate(value, stderr, degrees, "dissipation_mean", how, first.size, second.size)


def mbar(
    reduced: ArrayLike,
    counts: ArrayLike,
    *,
    temperature: float,
    replicas: ArrayLike | None = None,
) -> WindowEstimate:
    """MBAR of equilibrium windows.

    Samples of a window that follow each other in time are correlated. With three replicas or more
    the error comes from leaving out one replica at a time; otherwise samples are thinned
    by their statistical inefficiency and taken as independent.

    Args:
        reduced: Energy over kT of every sample in every state, shape (n_states, n_samples); samples
            of the first state come first, and those of one replica in the order of time.
        counts: Samples of each state, shape (n_states,).
        temperature: In K.
        replicas: Replica of each sample, shape (n_samples,); one only if None.

    Raises:
        EstimateError: If shapes do not fit, energies are not finite or a state has no samples.
    """
    kt = _kt(temperature)
    energies = np.asarray(reduced, dtype=np.float64)
    numbers = np.asarray(counts, dtype=np.int64)
    if energies.ndim != 2 or numbers.shape != energies.shape[:1] or len(numbers) < 2:
        raise EstimateError(
            "energies of windows must have shape (n_states, n_samples) for at least two states, "
            f"with one count per state; got {energies.shape} and {numbers.shape}"
        )
    if numbers.sum() != energies.shape[1] or (numbers < 2).any():
        raise EstimateError("every window needs two samples at least, and counts must sum to all")
    if not np.isfinite(energies).all():
        raise EstimateError("energies of windows must be finite")
    labels = np.zeros(energies.shape[1], np.int64)
    if replicas is not None:
        labels = np.asarray(replicas, dtype=np.int64)
        if labels.shape != energies.shape[1:]:
            raise EstimateError(
                f"replicas must be one per sample: {energies.shape[1]}, got {labels.shape}"
            )
    names = np.unique(labels)
    state = np.repeat(np.arange(len(numbers)), numbers)
    inefficiencies = _inefficiencies(energies, state, labels)
    solved = _solve_mbar(energies, numbers)
    value = float(solved.free_energies[-1])
    if len(names) >= FEWEST_REPLICAS:
        parts = []
        for name in names:
            kept = labels != name
            own = np.bincount(state[kept], minlength=len(numbers))
            if (own < 1).any():
                raise EstimateError("every replica must have samples of every window")
            parts.append(_solve_mbar(energies[:, kept], own).free_energies[-1])
        count = len(names)
        stderr = float(np.sqrt((count - 1) / count * np.sum((parts - np.mean(parts)) ** 2)))
        how, degrees = "replicas", count - 1.0
    else:
        kept = _thinned(state, labels, inefficiencies)
        own = np.bincount(state[kept], minlength=len(numbers))
        thin = _solve_mbar(energies[:, kept], own)
        value, stderr = float(thin.free_energies[-1]), float(thin.errors[0, -1])
        how, degrees = "samples", np.inf
    difference = _estimate(kt * value, kt * stderr, degrees, "mbar", how, int(numbers.sum()), 0)
    return WindowEstimate(difference, kt * solved.free_energies, solved.overlap, inefficiencies)


@dataclass(frozen=True)
class _Solved:
    free_energies: Floats
    errors: Floats
    overlap: Floats


def _solve_mbar(energies: Floats, counts: NDArray[np.int64]) -> _Solved:
    # A constant per sample changes nothing but keeps exponentials in range.
    centred = energies - energies.min(axis=0)
    with calling_pymbar() as module:
        solver = module.MBAR(centred, counts, solver_protocol="robust")
        found = solver.compute_free_energy_differences()
        overlap = solver.compute_overlap()["matrix"]
    return _Solved(
        np.asarray(found["Delta_f"][0], dtype=np.float64),
        np.asarray(found["dDelta_f"], dtype=np.float64),
        np.asarray(overlap, dtype=np.float64),
    )


def _inefficiencies(
    energies: Floats, state: NDArray[np.int64], labels: NDArray[np.int64]
) -> Floats:
    """Correlated samples per independent one of each state, from the energy of its neighbour."""
    found = np.ones(len(energies))
    for own in range(len(energies)):
        other = own + 1 if own + 1 < len(energies) else own - 1
        series = energies[other] - energies[own]
        parts = [series[(state == own) & (labels == name)] for name in np.unique(labels)]
        parts = [part for part in parts if part.size > 2 and part.std() > 0.0]
        if parts:
            with calling_pymbar() as module:
                each = [module.timeseries.statistical_inefficiency(part) for part in parts]
            found[own] = float(np.mean(each))
    return found


def _thinned(
    state: NDArray[np.int64], labels: NDArray[np.int64], inefficiencies: Floats
) -> NDArray[np.bool_]:
    kept = np.zeros(len(state), dtype=np.bool_)
    for own, factor in enumerate(inefficiencies):
        for name in np.unique(labels):
            indices = np.flatnonzero((state == own) & (labels == name))
            chosen = np.arange(0, len(indices), factor).astype(np.int64)
            kept[indices[chosen]] = True
    return kept


def bar_roots(forward: Floats, backward: Floats, ratio: float) -> Floats:
    """Solutions of Bennett's equation for many sets of works, by bisection.

    Args:
        forward: Works over kT, shape (n_sets, n_forward).
        backward: Works over kT, shape (n_sets, n_backward).
        ratio: Logarithm of the number of forward over backward works.

    Returns:
        Free-energy differences over kT, shape (n_sets,).
    """
    every = np.concatenate([forward, -backward], axis=1)
    low = every.min(axis=1) - abs(ratio) - _BEYOND
    high = every.max(axis=1) + abs(ratio) + _BEYOND
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        excess = expit(middle[:, None] - ratio - forward).sum(1)
        excess -= expit(ratio - middle[:, None] - backward).sum(1)
        is_above = excess > 0.0
        high = np.where(is_above, middle, high)
        low = np.where(is_above, low, middle)
    return 0.5 * (low + high)


def _variance_of_bar(one: Floats, two: Floats, value: float) -> tuple[float, float]:
    """Variance of ΔF/kT and its degrees of freedom, from the spread of the Fermi functions."""
    ratio = float(np.log(one.size / two.size))
    accepted = expit(value - ratio - one)
    returned = expit(ratio - value - two)
    slope = (accepted * (1.0 - accepted)).sum() + (returned * (1.0 - returned)).sum()
    if slope <= 0.0:
        raise EstimateError("forward and backward works do not overlap at all: switch more slowly")
    parts = (
        one.size * accepted.var(ddof=1) / slope**2,
        two.size * returned.var(ddof=1) / slope**2,
    )
    return float(sum(parts)), _satterthwaite(parts, (one.size, two.size))


def _satterthwaite(parts: tuple[float, float], counts: tuple[int, int]) -> float:
    total = sum(parts)
    if total <= 0.0:
        return float(sum(counts) - 2)
    return float(
        total**2 / sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    )


def _resampled(
    one: Floats,
    two: Floats,
    statistic: Callable[[Floats, Floats, float], Floats],
    samples: int,
    seed: int,
) -> Floats:
    """A statistic of works drawn again and again.

    One work fewer than there are is drawn of each direction: the variance of the result is then
    unbiased, where as many would make it too small by (n − 1)/n.
    """
    check_whole(samples, "bootstrap", least=2)
    random = np.random.default_rng(seed)
    first = one[random.integers(one.size, size=(samples, one.size - 1))]
    second = two[random.integers(two.size, size=(samples, two.size - 1))]
    return statistic(first, second, float(np.log((one.size - 1) / (two.size - 1))))


def _estimate(
    value: float,
    stderr: float,
    degrees: float,
    estimator: str,
    interval: str,
    n_forward: int,
    n_backward: int,
) -> Estimate:
    low, high = interval_of(value, stderr, degrees)
    return Estimate(value, stderr, low, high, estimator, interval, degrees, n_forward, n_backward)


def _kt(temperature: float) -> float:
    return BOLTZMANN_EV_PER_K * check_positive(temperature, "temperature")


def _works(works: ArrayLike, which: str) -> Floats:
    own = np.asarray(works, dtype=np.float64)
    if own.ndim != 1 or own.size < 2:
        raise EstimateError(
            f"{which} works must be a list of at least two numbers in eV, got shape {own.shape}"
        )
    if not np.isfinite(own).all():
        raise EstimateError(f"{which} works must be finite, got {own[~np.isfinite(own)][0]}")
    return own
