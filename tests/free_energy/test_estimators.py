"""Estimators against works whose free energy is known, and against other implementations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from softatoms.free_energy.diagnostics import (
    convergence_of_windows,
    convergence_of_works,
    diagnose,
    overlap_of_works,
    window_warnings,
)
from softatoms.free_energy.estimators import (
    Estimate,
    EstimateError,
    bar,
    dissipation_mean,
    jarzynski,
    mbar,
)
from softatoms.free_energy.pymbar_quietly import calling_pymbar
from softatoms.units import BOLTZMANN_EV_PER_K

TEMPERATURE = 400.0
KT = BOLTZMANN_EV_PER_K * TEMPERATURE
DELTA = 1.234
REPEATS = 250


def gaussian_works(
    dissipation: float, counts: tuple[int, int], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Works that obey Crooks exactly: normal, with a variance of 2 kT times the dissipation.

    Args:
        dissipation: In kT.
        counts: Forward and backward works.
        seed: Of the random numbers.
    """
    random = np.random.default_rng(seed)
    width = np.sqrt(2.0 * dissipation) * KT
    return (
        random.normal(DELTA + dissipation * KT, width, counts[0]),
        random.normal(-DELTA + dissipation * KT, width, counts[1]),
    )


def test_all_estimators_find_the_free_energy_of_many_works() -> None:
    forward, backward = gaussian_works(1.0, (20_000, 10_000), seed=0)
    found = [
        bar(forward, backward, temperature=TEMPERATURE),
        jarzynski(forward, temperature=TEMPERATURE),
        jarzynski(backward, temperature=TEMPERATURE, backward=True),
        dissipation_mean(forward, backward),
    ]
    for estimate in found:
        assert abs(estimate.value - DELTA) < 3.5 * estimate.stderr
    # Variances of the exponential average and of the mean of normal works are known.
    exact = [np.sqrt(np.expm1(2.0) / count) for count in (20_000, 10_000)]
    exact.append(np.sqrt(0.25 * 2.0 * (1 / 20_000 + 1 / 10_000)))
    for estimate, error in zip(found[1:], exact, strict=True):
        assert estimate.stderr == pytest.approx(KT * error, rel=0.25, abs=0.0)
    # Bennett's estimator has the least variance of all.
    assert found[0].stderr < min(other.stderr for other in found[1:])


def test_error_of_bar_is_that_of_pymbar_where_there_are_many_works() -> None:
    forward, backward = gaussian_works(2.0, (5000, 3000), seed=1)
    own = bar(forward, backward, temperature=TEMPERATURE)
    with calling_pymbar() as module:
        other = module.bar((forward - DELTA) / KT, (backward + DELTA) / KT)
    assert own.value == pytest.approx(DELTA + KT * other["Delta_f"], rel=1e-9, abs=1e-9)
    assert own.stderr == pytest.approx(KT * other["dDelta_f"], rel=0.03, abs=0.0)


def test_bootstrap_and_analytic_errors_agree() -> None:
    forward, backward = gaussian_works(0.5, (60, 40), seed=2)
    for estimator in (
        lambda **options: bar(forward, backward, temperature=TEMPERATURE, **options),
        lambda **options: dissipation_mean(forward, backward, **options),
        lambda **options: jarzynski(forward, temperature=TEMPERATURE, **options),
    ):
        plain, drawn = estimator(), estimator(bootstrap=4000, seed=3)
        assert drawn.value == plain.value
        assert drawn.stderr == pytest.approx(plain.stderr, rel=0.08, abs=0.0)
        assert (plain.interval, drawn.interval) == ("analytic", "bootstrap")


@pytest.mark.parametrize(("dissipation", "counts"), [(0.1, (3, 3)), (2.0, (8, 5)), (6.0, (4, 16))])
def test_values_are_those_of_pymbar(dissipation: float, counts: tuple[int, int]) -> None:
    forward, backward = gaussian_works(dissipation, counts, seed=7)
    with calling_pymbar() as module:
        of_bar = module.bar(forward / KT, backward / KT, DeltaF=DELTA / KT)["Delta_f"]
        of_exp = module.exp(forward / KT)["Delta_f"]
    found = bar(forward, backward, temperature=TEMPERATURE)
    assert found.value == pytest.approx(KT * of_bar, rel=1e-9, abs=1e-9)
    found = jarzynski(forward, temperature=TEMPERATURE)
    assert found.value == pytest.approx(KT * of_exp, rel=1e-9, abs=1e-9)


def test_works_without_any_overlap_are_refused_or_bounded() -> None:
    forward, backward = gaussian_works(40.0, (6, 6), seed=0)
    found = bar(forward, backward, temperature=TEMPERATURE)
    assert -backward.max() < found.value < forward.max()
    with pytest.raises(EstimateError, match="do not overlap at all: switch more slowly"):
        bar(forward + 200.0, backward + 200.0, temperature=TEMPERATURE)


@pytest.mark.parametrize(("count", "dissipation"), [(4, 0.05), (4, 1.0), (16, 0.5), (16, 1.0)])
def test_intervals_of_few_works_cover_as_often_as_they_say(count: int, dissipation: float) -> None:
    covered = {"bar": 0, "bar_bootstrap": 0, "dissipation_mean": 0}
    for seed in range(REPEATS):
        forward, backward = gaussian_works(dissipation, (count, count), seed)
        found = {
            "bar": bar(forward, backward, temperature=TEMPERATURE),
            "bar_bootstrap": bar(
                forward, backward, temperature=TEMPERATURE, bootstrap=100, seed=seed
            ),
            "dissipation_mean": dissipation_mean(forward, backward),
        }
        for name, estimate in found.items():
            covered[name] += estimate.contains(DELTA)
    low, high = binom.interval(0.999, REPEATS, 0.95)
    assert all(low <= each <= high for each in covered.values()), covered


def test_intervals_of_dissipative_works_cover_as_often_as_they_say() -> None:
    # Without the error of the mean as the least one 0.88 to 0.93 of the intervals do.
    covered, lower = 0, 0
    for seed in range(REPEATS):
        forward, backward = gaussian_works(4.0, (8, 8), seed)
        found = bar(forward, backward, temperature=TEMPERATURE, bootstrap=100, seed=seed)
        covered += found.contains(DELTA)
        least = dissipation_mean(forward, backward).stderr
        assert found.stderr >= least
        lower += found.stderr == least
    # It does come into play, and does not always.
    assert 0 < lower < REPEATS
    low, high = binom.interval(0.999, REPEATS, 0.95)
    assert low <= covered <= high


def test_intervals_of_jarzynski_cover_where_little_is_dissipated() -> None:
    covered = 0
    for seed in range(REPEATS):
        forward, _ = gaussian_works(0.2, (16, 2), seed)
        covered += jarzynski(forward, temperature=TEMPERATURE).contains(DELTA)
    low, high = binom.interval(0.999, REPEATS, 0.95)
    assert low <= covered <= high


STIFFNESS = np.array([1.0, 1.6, 2.5, 4.0])
EXACT = 0.5 * np.log(STIFFNESS[-1] / STIFFNESS[0])


def oscillators(count: int, seed: int, memory: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Reduced energies of samples of harmonic oscillators of growing stiffness.

    Args:
        count: Samples of each state.
        seed: Of the random numbers.
        memory: Correlation of a sample with the one before.
    """
    random = np.random.default_rng(seed)
    positions = []
    for stiffness in STIFFNESS:
        steps = random.normal(size=count)
        for index in range(1, count):
            steps[index] = memory * steps[index - 1] + np.sqrt(1 - memory**2) * steps[index]
        positions.append(steps / np.sqrt(stiffness))
    joined = np.concatenate(positions)
    return 0.5 * STIFFNESS[:, None] * joined**2, np.full(len(STIFFNESS), count)


def test_mbar_finds_the_free_energy_of_oscillators() -> None:
    reduced, counts = oscillators(2000, seed=0)
    found = mbar(reduced, counts, temperature=TEMPERATURE)
    assert abs(found.difference.value - KT * EXACT) < 3.0 * found.difference.stderr
    assert found.difference.stderr < 0.05 * KT
    exact = 0.5 * KT * np.log(STIFFNESS / STIFFNESS[0])
    np.testing.assert_allclose(found.free_energies, exact, rtol=0.0, atol=0.05 * KT)
    np.testing.assert_allclose(found.overlap.sum(axis=1), 1.0, rtol=1e-6, atol=1e-6)
    assert window_warnings(found) == []


def test_error_of_mbar_grows_with_correlation_and_covers() -> None:
    covered, errors = 0, []
    for seed in range(40):
        parts = [oscillators(60, seed=1000 * seed + r, memory=0.8)[0] for r in range(4)]
        # Samples of a state of all replicas follow each other.
        blocks = [part.reshape(len(STIFFNESS), len(STIFFNESS), 60) for part in parts]
        reduced = np.concatenate(blocks, axis=2).reshape(len(STIFFNESS), -1)
        replicas = np.tile(np.repeat(np.arange(4), 60), len(STIFFNESS))
        counts = np.full(len(STIFFNESS), 240)
        found = mbar(reduced, counts, temperature=TEMPERATURE, replicas=replicas)
        assert found.difference.interval == "replicas"
        covered += found.difference.contains(KT * EXACT)
        errors.append(found.difference.stderr)
    low, high = binom.interval(0.999, 40, 0.95)
    assert low <= covered <= high
    reduced, counts = oscillators(240, seed=5, memory=0.8)
    alone = mbar(reduced, counts, temperature=TEMPERATURE)
    assert alone.difference.interval == "samples"
    assert alone.inefficiencies.mean() > 3.0
    assert alone.difference.stderr == pytest.approx(np.mean(errors), rel=0.5, abs=0.0)


def test_parts_of_windows_drift_if_the_windows_do() -> None:
    reduced, counts = oscillators(300, seed=1)
    settled = convergence_of_windows(reduced, counts, temperature=TEMPERATURE)
    assert settled.is_settled
    assert settled.from_start[-1] == settled.from_end[-1]
    late = np.tile(np.arange(300) >= 150, len(STIFFNESS))
    moving = reduced + late * np.linspace(0.0, 2.0, len(STIFFNESS))[:, None]
    drifting = convergence_of_windows(moving, counts, temperature=TEMPERATURE)
    assert not drifting.is_settled
    found = mbar(moving, counts, temperature=TEMPERATURE)
    assert "drifting" in window_warnings(found, drifting)


def test_overlap_of_works_is_that_of_the_matrix_of_mbar() -> None:
    forward, backward = gaussian_works(1.0, (30, 20), seed=3)
    with calling_pymbar() as module:
        expected = module.bar_overlap((forward - DELTA) / KT, (backward + DELTA) / KT)
    own = overlap_of_works(forward, backward, temperature=TEMPERATURE)
    assert own == pytest.approx(expected, rel=1e-6, abs=1e-6)
    far = [overlap_of_works(*gaussian_works(d, (8, 8), 0), temperature=TEMPERATURE) for d in (0, 9)]
    assert far[0] == pytest.approx(1.0, rel=1e-9, abs=0.0)
    assert far[1] < 0.1


def test_diagnostics_tell_dissipation_and_what_is_wrong() -> None:
    forward, backward = gaussian_works(1.0, (4000, 4000), seed=0)
    found = diagnose(forward, backward, temperature=TEMPERATURE, value=DELTA)
    assert found.warnings == ()
    for lost in (found.dissipation, found.forward_dissipation, found.backward_dissipation):
        assert lost == pytest.approx(KT, rel=0.08, abs=0.0)
    assert found.hysteresis == pytest.approx(2.0 * found.dissipation, rel=1e-12, abs=0.0)
    assert found.gaussianity == pytest.approx(1.0, rel=0.08, abs=0.0)

    def words(one: np.ndarray, two: np.ndarray) -> tuple[str, ...]:
        return diagnose(one, two, temperature=TEMPERATURE, value=DELTA).warnings

    assert words(forward[:3], backward[:3]) == ("few_works",)
    far = gaussian_works(20.0, (8, 8), seed=2)
    assert {"high_dissipation", "low_overlap"} <= set(words(*far))
    assert "negative_dissipation" in words(forward - 3 * KT, backward - 3 * KT)
    assert "asymmetric" in words(forward + 3 * KT, backward)
    later = np.where(np.arange(4000) < 2000, 0.0, 2.0 * KT)
    assert "drifting" in words(forward + later, backward - later)


def test_works_converge_to_the_estimate_of_all() -> None:
    forward, backward = gaussian_works(0.5, (16, 16), seed=4)
    parts = convergence_of_works(forward, backward, temperature=TEMPERATURE)
    every = bar(forward, backward, temperature=TEMPERATURE)
    assert parts.shares[-1] == 1.0
    assert parts.from_start[-1] == parts.from_end[-1] == every
    assert parts.is_settled


@pytest.mark.parametrize(
    ("works", "message"),
    [
        ([0.1], "forward works must be a list of at least two numbers in eV, got shape"),
        ([0.1, float("nan")], "forward works must be finite, got nan"),
    ],
)
def test_unusable_works_are_refused(works: list[float], message: str) -> None:
    with pytest.raises(EstimateError, match=message):
        bar(works, [0.1, 0.2], temperature=TEMPERATURE)


def test_unusable_windows_are_refused() -> None:
    reduced, counts = oscillators(5, seed=0)
    with pytest.raises(EstimateError, match="every window needs two samples"):
        mbar(reduced, [1, 9, 5, 5], temperature=TEMPERATURE)
    with pytest.raises(EstimateError, match=r"must have shape \(n_states, n_samples\)"):
        mbar(reduced[:2], counts, temperature=TEMPERATURE)
    with pytest.raises(EstimateError, match="replicas must be one per sample: 20"):
        mbar(reduced, counts, temperature=TEMPERATURE, replicas=[0, 1])


def test_an_estimate_knows_its_interval() -> None:
    estimate = Estimate(1.0, 0.1, 0.7, 1.3, "bar", "analytic", 3.0, 4, 4)
    assert estimate.half_width == pytest.approx(0.3, rel=1e-12, abs=0.0)
    assert estimate.contains(0.75)
    assert not estimate.contains(1.31)
