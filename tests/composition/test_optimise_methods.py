"""Optimisers: against closed forms, dense scans, and the optimality conditions at corners."""

from __future__ import annotations

import numpy as np
import pytest

import softatoms as sa
from softatoms.composition.optimise import Problem, Target, optimise
from softatoms.composition.optimise.problem import ALL_METHODS
from softatoms.errors import OptionError
from softatoms.physics import crystal
from softatoms.units import GPA_PER_EV_ANG3

CUBE = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
"""Cubic axes of the primitive cell of fcc."""


@pytest.fixture(scope="module")
def gupta() -> sa.Potential:
    return sa.load_potential("gupta", elements=["Cu", "Au", "Ni"])


def alloy(*elements: str) -> sa.SoftAtoms:
    weights = dict.fromkeys(elements, 1.0 / len(elements))
    return crystal("fcc", "Cu", 3.75).with_candidates([0], weights, tie="site")


@pytest.mark.parametrize("method", ALL_METHODS)
def test_springs_have_the_bulk_modulus_of_their_mean(method: str) -> None:
    """Simple cubic springs: B = k/(3a) with k = Σ x_i x_j k_ij, so x solves a quadratic."""
    a, same, mixed = 3.0, {"Al": 1.0, "Sc": 4.0}, 1.5
    potential = sa.load_potential(
        "harmonic", lattice="sc", a=a, stiffness=same, pairs={"Al-Sc": mixed}
    )
    soft = sa.SoftAtoms.from_ase(_cube("Al", a)).with_candidates(
        [0], {"Al": 0.5, "Sc": 0.5}, tie="metal"
    )
    x = 0.7
    stiffness = (1 - x) ** 2 * same["Al"] + 2 * x * (1 - x) * mixed + x**2 * same["Sc"]
    wanted = stiffness / (3.0 * a) * GPA_PER_EV_ANG3
    # The hydrostatic pressure strains all axes alike: others would shear springs too.
    problem = Problem(
        potential, soft, [Target("bulk_modulus", value=wanted)], cell="isotropic", smax=1e-9
    )
    (outcome,) = optimise(problem, method=method, starts=[np.array([0.6, 0.4])])
    assert outcome.status == "ok", outcome.error
    assert outcome.point is not None
    np.testing.assert_allclose(outcome.point.theta, [1 - x, x], rtol=0, atol=1e-3)


def _cube(symbol: str, a: float):  # type: ignore[no-untyped-def]
    from ase import Atoms

    return Atoms(symbol, positions=[(0, 0, 0)], cell=[a] * 3, pbc=True)


@pytest.mark.parametrize("method", ALL_METHODS)
def test_lattice_constant_of_cu_au(gupta: sa.Potential, method: str) -> None:
    """All starts end where the curve through relaxed compositions has the wanted value."""
    problem = Problem(gupta, alloy("Cu", "Au"), [Target("a", value=3.85)], axes=CUBE)
    outcomes = optimise(problem, method=method, starts=3, seed=1)
    grid = np.linspace(0.3, 0.5, 5)
    curve = [problem.at(np.array([1 - x, x])).quantities["a"] for x in grid]
    expected = np.polynomial.Polynomial.fit(curve, grid, 3)(3.85)
    for outcome in outcomes:
        assert outcome.status == "ok", outcome.error
        assert outcome.point is not None
        assert outcome.point.theta[1] == pytest.approx(expected, abs=1e-4)
        assert outcome.point.quantities["a"] == pytest.approx(3.85, abs=2e-5)
        assert outcome.evaluations == outcome.relaxation_evaluations + outcome.derivative_passes
        assert outcome.steps[-1].evaluations == outcome.evaluations
        assert outcome.evaluations < 60


@pytest.mark.parametrize("method", ALL_METHODS)
def test_lowest_mixing_energy_of_a_ternary(gupta: sa.Potential, method: str) -> None:
    """The best start is as low as the lowest point of a dense grid, or lower."""
    problem = Problem(
        gupta,
        alloy("Cu", "Au", "Ni"),
        [Target("mixing_energy", goal="minimise"), Target("a", value=3.75, scale=0.2)],
        axes=CUBE,
        bounds={"Ni": (0.1, 1.0), "Au": (0.05, 0.9)},
    )
    outcomes = optimise(problem, method=method, starts=2, max_steps=80)
    assert all(outcome.status == "ok" for outcome in outcomes), [o.error for o in outcomes]
    points = [
        np.array([1 - ni - au, au, ni])
        for ni in np.linspace(0.1, 0.95, 8)
        for au in np.linspace(0.05, 0.9, 8)
        if ni + au <= 1.0
    ]
    lowest = min(problem.at(theta).objective for theta in points)
    best = min(o.point.objective for o in outcomes if o.point is not None)
    assert best <= lowest + 1e-3
    for outcome in outcomes:
        assert outcome.point is not None
        assert problem.domain.violation(outcome.point.theta) < 1e-9


@pytest.mark.parametrize("method", ALL_METHODS)
def test_a_lattice_constant_out_of_reach_ends_at_a_corner(gupta: sa.Potential, method: str) -> None:
    """There the conditions of Karush, Kuhn and Tucker hold, though the target is missed."""
    problem = Problem(
        gupta,
        alloy("Cu", "Au", "Ni"),
        [Target("a", value=3.4, scale=0.1)],
        axes=CUBE,
        bounds={"Cu": (0.1, 1.0)},
    )
    (outcome,) = optimise(problem, method=method, starts=1, max_steps=80)
    assert outcome.status == "ok", outcome.error
    assert outcome.point is not None
    np.testing.assert_allclose(outcome.point.theta, [0.1, 0.0, 0.9], rtol=0, atol=1e-3)
    gradient = outcome.point.gradient
    assert gradient[2] < gradient[0] < gradient[1]
    assert outcome.gap < 1e-3


def test_several_targets_are_weighed(gupta: sa.Potential) -> None:
    """Two lattice constants that exclude each other: the mean by their weights."""
    targets = [Target("a", value=3.80, weight=3.0), Target("a", value=3.84, weight=1.0)]
    problem = Problem(gupta, alloy("Cu", "Au"), targets, axes=CUBE)
    (outcome,) = optimise(problem, starts=1)
    assert outcome.status == "ok", outcome.error
    assert outcome.point is not None
    assert outcome.point.quantities["a"] == pytest.approx(3.81, abs=2e-5)


def test_exchange_energy_is_that_of_a_slope(gupta: sa.Potential) -> None:
    """The change of the relaxed energy from one element to the other, at a wanted value."""

    def asked(value: float) -> tuple[Problem, str]:
        target = Target("exchange_energy", value=value, elements=("Cu", "Au"))
        return Problem(gupta, alloy("Cu", "Au"), [target], axes=CUBE), target.name

    problem, name = asked(0.0)
    wanted = problem.at(np.array([0.8, 0.2])).quantities[name]
    problem, name = asked(wanted)
    (outcome,) = optimise(problem, starts=[np.array([0.65, 0.35])])
    assert outcome.status == "ok", outcome.error
    assert outcome.point is not None
    assert outcome.point.quantities[name] == pytest.approx(wanted, abs=2e-5)
    step = np.array([1e-3, -1e-3])
    low, high = (problem.at(outcome.point.theta + k * step).quantities["energy"] for k in (-1, 1))
    assert (high - low) / 2e-3 == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_a_start_that_fails_does_so_alone(gupta: sa.Potential) -> None:
    """One evaluation is not enough to relax far from the cell that is given."""
    problem = Problem(
        gupta, alloy("Cu", "Au"), [Target("a", value=3.85)], axes=CUBE, relax_steps=4, fmax=1e-3
    )
    near, far = problem.starts(1, 0)[0], np.array([0.0, 1.0])
    outcomes = optimise(problem, starts=[near, far])
    statuses = [outcome.status for outcome in outcomes]
    assert statuses[1] == "failed"
    assert outcomes[1].point is None
    assert "after 4 steps" in outcomes[1].error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bounds": {"Ag": (0.0, 1.0)}}, "unknown weight 'Ag'"),
        ({"bounds": {"Cu": (0.0, 0.3), "Au": (0.0, 0.3)}}, r"upper ones to 0\.6"),
        ({"targets": []}, "at least one"),
    ],
)
def test_bad_problems_are_refused(
    gupta: sa.Potential, change: dict[str, object], message: str
) -> None:
    options = {"targets": [Target("a", value=3.8)], **change}
    with pytest.raises(OptionError, match=message):
        Problem(gupta, alloy("Cu", "Au"), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantity": "d", "value": 1.0}, "unknown quantity"),
        ({"quantity": "a"}, "needs a value"),
        ({"quantity": "a", "goal": "minimise", "value": 3.0}, "takes no value"),
        ({"quantity": "exchange_energy", "value": 0.0}, "needs two elements"),
        ({"quantity": "a", "value": 3.0, "weight": 0.0}, "weight must be above 0"),
    ],
)
def test_bad_targets_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Target(**options)  # type: ignore[arg-type]
