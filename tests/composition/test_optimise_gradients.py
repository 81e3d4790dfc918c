"""Gradients through the relaxation against differences between relaxed structures."""

from __future__ import annotations

import numpy as np
import pytest

import softatoms as sa
from softatoms.composition.optimise import Problem, Target
from softatoms.composition.optimise.objective import Point
from softatoms.physics import crystal
from softatoms.units import GPA_PER_EV_ANG3

TIGHT = {"fmax": 1e-7, "smax": 1e-9}

TARGETS = [
    Target("a", value=2.0),
    Target("c", value=2.0),
    Target("volume", value=2.0),
    Target("bulk_modulus", value=2.0),
    Target("energy", value=2.0),
    Target("mixing_energy", value=2.0),
    Target("exchange_energy", value=2.0, elements=("Au", "Cu"), tie="second"),
    Target("bulk_modulus", goal="maximise"),
]


def layers() -> sa.SoftAtoms:
    """Three unlike layers of an fcc crystal: their distances are free, two of them are soft."""
    stack = crystal("fcc", "Cu", 3.75).repeat((1, 1, 3))
    soft = stack.with_candidates([1], {"Cu": 0.6, "Au": 0.4}, tie="second")
    return soft.with_candidates([2], {"Cu": 0.2, "Ni": 0.5, "Au": 0.3}, tie="third")


@pytest.fixture(scope="module")
def gupta() -> sa.Potential:
    return sa.load_potential("gupta", elements=["Cu", "Au", "Ni"])


DIRECTION = np.array([-0.5, 0.5, 0.3, -0.7, 0.4])
STEP = 2e-3


@pytest.fixture(scope="module")
def points(gupta: sa.Potential) -> list[Point]:
    """Relaxed structures along a direction of the weights, with all quantities."""
    problem = Problem(gupta, layers(), TARGETS, **TIGHT)
    theta = layers().groups.theta
    return [problem.at(theta + k * STEP * DIRECTION) for k in (-2, -1, 0, 1, 2)]


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.name}-{t.goal}")
def test_gradient_through_relaxation(
    gupta: sa.Potential, points: list[Point], target: Target
) -> None:
    """Sublattices, sites and cell respond; the gradient is that of the relaxed objective."""
    found = Problem(gupta, layers(), [target], **TIGHT).objective().evaluate(points[2].soft)
    values = [target.cost(point.quantities[target.name])[0] for point in points]
    expected = (values[0] - 8.0 * values[1] + 8.0 * values[3] - values[4]) / (12.0 * STEP)
    assert found.gradient @ DIRECTION == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_sites_of_the_layers_do_respond(points: list[Point]) -> None:
    """Otherwise the test above would not see errors of their response."""
    assert float(points[2].response[:, 6:].abs().max()) > 0.02


@pytest.mark.parametrize("cell", ["isotropic", (True, True, True, False, False, False)])
def test_gradient_with_few_strains(cell: str | tuple[bool, ...]) -> None:
    """Lennard-Jones crystal, mean field and replica, some strains fixed."""
    potential = sa.load_potential(
        "lj",
        epsilon={"Ar": 0.0104, "Kr": 0.0140},
        sigma={"Ar": 3.40, "Kr": 3.65},
        cutoff=7.0,
        onset=6.0,
    )
    soft = crystal("fcc", "Ar", 5.4).with_candidates([0], {"Ar": 0.5, "Kr": 0.5}, tie="site")
    targets = [Target("volume", value=40.0), Target("bulk_modulus", goal="minimise")]
    problem = Problem(potential, soft, targets, cell=cell, **TIGHT)
    values = [problem.at(np.array([0.5 - h, 0.5 + h])).objective for h in (-1e-3, 1e-3)]
    point = problem.at(np.array([0.5, 0.5]))
    slope = point.gradient @ np.array([-1.0, 1.0])
    assert slope == pytest.approx((values[1] - values[0]) / 2e-3, rel=1e-4)


def test_bulk_modulus_is_that_of_a_compressed_crystal(gupta: sa.Potential) -> None:
    """Against relaxations under pressure, where sites and shape give way too."""
    problem = Problem(gupta, layers(), [Target("bulk_modulus", value=1.0)], **TIGHT)
    found = problem.at(layers().groups.theta).quantities["bulk_modulus"]
    pressure = 1e-4
    done = [
        sa.relax_batch(gupta, [layers()], cell="full", pressure=p, **TIGHT)[0].soft.cell
        for p in (-pressure, pressure)
    ]
    low, high = (np.log(abs(np.linalg.det(cell))) for cell in done)
    assert found == pytest.approx(2.0 * pressure / (low - high) * GPA_PER_EV_ANG3, rel=1e-4)


def test_second_derivatives_of_energies_are_exact(gupta: sa.Potential) -> None:
    """The Newton method takes the curvature of the relaxed mixing energy from them."""
    problem = Problem(gupta, layers(), [Target("mixing_energy", goal="minimise")], **TIGHT)
    theta = layers().groups.theta
    tangent = problem.domain.tangent
    expected = np.stack(
        [
            (problem.at(theta + 1e-3 * t).gradient - problem.at(theta - 1e-3 * t).gradient) / 2e-3
            for t in tangent.T
        ]
    )
    found = tangent.T @ problem.at(theta).curvature
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_mixing_energy_vanishes_for_end_members(gupta: sa.Potential) -> None:
    problem = Problem(gupta, layers(), [Target("mixing_energy", goal="minimise")], **TIGHT)
    for theta in ([1.0, 0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0, 1.0]):
        quantity = problem.at(np.array(theta)).quantities["mixing_energy"]
        assert quantity == pytest.approx(0.0, abs=1e-9)


def test_expected_structure_is_close_to_the_relaxed_one(gupta: sa.Potential) -> None:
    """The response starts the next relaxation: its error is of second order."""
    problem = Problem(gupta, layers(), TARGETS[:1], **TIGHT)
    theta = layers().groups.theta
    point = problem.at(theta)
    errors = []
    for step in (0.02, 0.04):
        other = theta + step * np.array([-1.0, 1.0, 1.0, -1.0, 0.0])
        expected, relaxed = point.predicted(problem.domain, other), problem.at(other).soft
        errors.append(np.abs(np.linalg.norm(expected.cell - relaxed.cell)))
    assert errors[0] < 2e-3
    assert errors[1] / errors[0] == pytest.approx(4.0, rel=0.2)
