"""Second derivatives of one structure lead others nearby to rest, and learn on the way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import softatoms as sa
from softatoms.composition.optimise import Problem, Target, optimise
from softatoms.composition.surface import Surface, SurfaceError
from softatoms.physics import crystal

CUBE = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
"""Cubic axes of the primitive cell of fcc."""


@pytest.fixture(scope="module")
def gupta() -> sa.Potential:
    return sa.load_potential("gupta", elements=["Cu", "Au", "Ni"])


def layers(x: float) -> sa.SoftAtoms:
    """Three layers of an fcc crystal, one of them soft: sites and cell respond."""
    stack = crystal("fcc", "Cu", 3.75).repeat((1, 1, 3))
    return stack.with_candidates([1], {"Cu": 1.0 - x, "Au": x}, tie="layer")


def problem(gupta: sa.Potential, **options: float) -> Problem:
    tight = {"fmax": 1e-6, "smax": 1e-8, **options}
    return Problem(gupta, layers(0.3), [Target("volume", value=13.0)], **tight)  # type: ignore[arg-type]


def test_a_guide_leads_to_the_relaxed_structure(gupta: sa.Potential) -> None:
    """The same state of rest as a relaxation, from fewer evaluations."""
    own = problem(gupta)
    near = own.at(np.array([0.7, 0.3]))
    theta = np.array([0.45, 0.55])
    objective = own.objective()
    found = objective.brought_to_rest(near, theta)
    (relaxed,) = sa.relax_batch(gupta, [near.soft.with_weights(theta)], **own.options)
    assert found.surface.is_at_rest()
    assert found.is_exact
    energy = found.quantities["energy"] * len(found.soft)
    assert energy == pytest.approx(relaxed.energy, rel=0, abs=1e-9)
    lengths = [np.linalg.norm(soft.cell, axis=1) for soft in (found.soft, relaxed.soft)]
    np.testing.assert_allclose(lengths[0], lengths[1], rtol=1e-6, atol=0)
    # Its own second derivatives are among what is counted for the guided one.
    derivatives = own.objective()
    derivatives.evaluate(relaxed.soft)
    assert objective.passes < relaxed.evaluations + derivatives.passes
    np.testing.assert_allclose(
        found.gradient, own.objective().evaluate(relaxed.soft).gradient, rtol=1e-4, atol=1e-7
    )


def test_a_guide_that_leads_nowhere_says_so(gupta: sa.Potential) -> None:
    """No tolerance of zero is ever met."""
    own = problem(gupta, fmax=1e-30)
    near = own.objective().evaluate(problem(gupta).at(np.array([0.7, 0.3])).soft)
    with pytest.raises(SurfaceError, match="does not come to rest"):
        own.objective().brought_to_rest(near, np.array([0.5, 0.5]))


def test_rest_means_what_it_means_to_relaxations(gupta: sa.Potential) -> None:
    """Tolerances a little above and below what is left tell a structure at rest from another."""
    moved = layers(0.3).positions + 0.02 * np.random.default_rng(0).normal(size=(3, 3))
    soft = layers(0.3).with_positions(moved, layers(0.3).cell)
    (left,) = sa.relax_batch(gupta, [soft], cell="full", max_steps=0)
    assert left.smax is not None
    for forces in (0.99, 1.01):
        for stresses in (0.99, 1.01):
            own = problem(gupta, fmax=forces * left.fmax, smax=stresses * left.smax)
            expected = forces > 1.0 and stresses > 1.0
            assert Surface(gupta, soft, own.settings).is_at_rest() == expected


def test_a_lesson_explains_the_step_it_was_taught_with(gupta: sa.Potential) -> None:
    own = problem(gupta)
    guide = own.at(np.array([0.7, 0.3])).guide
    size = len(guide.by_coordinates)
    generator = torch.Generator().manual_seed(0)
    step, change = torch.randn(2, size, generator=generator, dtype=torch.float64)
    away = torch.tensor([0.1], dtype=torch.float64)
    taught = guide.taught(step, away, change)
    explained = taught.by_coordinates @ step + taught.by_composition @ away
    torch.testing.assert_close(explained, change, rtol=1e-12, atol=1e-12)
    # Where nothing is at rest the step to rest ends where t is expected to be 0.
    end = change + taught.by_coordinates @ taught.to_rest(change)
    torch.testing.assert_close(end, torch.zeros_like(end), rtol=0, atol=1e-9)


def test_joint_takes_fewer_evaluations_than_relaxed_points(gupta: sa.Potential) -> None:
    """All ends are at rest, and judged by derivatives of their own."""
    soft = crystal("fcc", "Cu", 3.75).with_candidates([0], {"Cu": 0.5, "Au": 0.5}, tie="site")
    own = Problem(gupta, soft, [Target("a", value=3.85)], axes=CUBE)
    joint = optimise(own, method="joint", starts=3)
    newton = optimise(own, method="newton", starts=3)
    for outcome in joint:
        assert outcome.status == "ok", outcome.error
        assert outcome.point is not None
        assert outcome.point.is_exact
        assert outcome.point.surface.is_at_rest()
    counts = [sum(outcome.evaluations for outcome in method) for method in (joint, newton)]
    assert counts[0] < 0.6 * counts[1]


@pytest.mark.parametrize("goal", ["volume", "mixing_energy"])
def test_joint_ends_where_relaxed_points_do(gupta: sa.Potential, goal: str) -> None:
    """With sites that move, two sublattices and a shape that changes."""
    stack = crystal("fcc", "Cu", 3.75).repeat((1, 1, 3))
    soft = stack.with_candidates([1], {"Cu": 0.6, "Au": 0.4}, tie="second")
    soft = soft.with_candidates([2], {"Cu": 0.3, "Ni": 0.5, "Au": 0.2}, tie="third")
    targets = [Target("mixing_energy", goal="minimise", scale=0.02), Target("volume", value=13.5)]
    own = Problem(gupta, soft, targets if goal == "mixing_energy" else targets[1:])
    options = {"starts": [soft.groups.theta], "tolerance": 1e-5, "max_steps": 60}
    (joint,) = optimise(own, method="joint", **options)  # type: ignore[arg-type]
    (newton,) = optimise(own, method="newton", **options)  # type: ignore[arg-type]
    assert joint.status == newton.status == "ok", (joint.error, newton.error)
    assert joint.point is not None
    assert newton.point is not None
    assert joint.point.objective == pytest.approx(newton.point.objective, rel=1e-4, abs=2e-6)
    # Judged anew at its composition, the end is as good as it says.
    again = own.at(joint.point.theta)
    assert again.objective == pytest.approx(joint.point.objective, rel=1e-3, abs=1e-6)
    assert joint.evaluations < newton.evaluations
