"""Structures relaxed together are relaxed as if each was alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

import softatoms as sa
from softatoms.graph import Graph
from softatoms.potentials.gupta import Gupta
from softatoms.relax import Progress, relax

SICK = 78
"""Platinum makes the potentials below sick."""


class Spoiled(Gupta):
    """Gives nan or raises wherever there is platinum."""

    raises = False

    def interaction(self, graph: Graph) -> torch.Tensor:
        energies = super().interaction(graph)
        sick = graph.numbers == SICK
        if self.raises and bool(sick.any()):
            raise ZeroDivisionError("platinum is too expensive")
        return torch.where(sick, torch.full_like(energies, float("nan")), energies)


class Brittle(Gupta):
    """Has no energy where any two atoms are nearer than 2.4 Å."""

    def interaction(self, graph: Graph) -> torch.Tensor:
        energies = super().interaction(graph)
        near = (graph.edges.vectors**2).sum(1) < 2.4**2
        of_node = near.reshape(len(energies), -1).any(1)
        return torch.where(of_node, torch.full_like(energies, float("nan")), energies)


@pytest.fixture
def gupta() -> Gupta:
    return Gupta(elements=["Cu", "Au", "Pt"])


def crystal(seed: int, repeat: tuple[int, int, int] = (1, 1, 1)) -> sa.SoftAtoms:
    atoms = bulk("Cu", cubic=True, a=3.75) * repeat
    strain = 0.03 * np.random.default_rng(seed).normal(size=(3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    atoms.rattle(0.08, seed=seed)
    return sa.SoftAtoms.from_ase(atoms).with_candidates([seed % 4], {"Cu": 0.3, "Au": 0.6})


def many() -> list[sa.SoftAtoms]:
    return [crystal(0), crystal(1, (2, 1, 1)), crystal(2, (2, 2, 1)), crystal(3), crystal(4)]


def sick() -> sa.SoftAtoms:
    atoms = bulk("Cu", cubic=True, a=3.8)
    atoms.numbers[1] = SICK
    atoms.rattle(0.05, seed=1)
    return sa.SoftAtoms.from_ase(atoms)


def assert_same(one: sa.Relaxation, other: sa.Relaxation) -> None:
    assert (one.status, one.steps, one.evaluations) == (
        other.status,
        other.steps,
        other.evaluations,
    )
    np.testing.assert_allclose(one.energy, other.energy, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(one.soft.positions, other.soft.positions, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(one.soft.cell, other.soft.cell, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("optimiser", ["lbfgs", "fire"])
@pytest.mark.parametrize("cell", ["fixed", "full", "isotropic"])
def test_together_as_alone(gupta: Gupta, optimiser: str, cell: str) -> None:
    together = sa.relax_batch(gupta, many(), cell=cell, optimiser=optimiser)
    for soft, done in zip(many(), together, strict=True):
        assert done.converged
        assert_same(done, relax(gupta, soft, cell=cell, optimiser=optimiser))


def test_twice_is_bit_identical(gupta: Gupta) -> None:
    once, again = (sa.relax_batch(gupta, many(), cell="full") for _ in range(2))
    for one, other in zip(once, again, strict=True):
        assert (one.soft.positions == other.soft.positions).all()
        assert one.energy == other.energy


def test_fixed_sites_of_each(gupta: Gupta) -> None:
    mask = np.arange(8) < 4
    fixed = [None, mask, [-1], [], np.arange(4)]
    together = sa.relax_batch(gupta, many(), fixed_sites=fixed)
    for soft, held, done in zip(many(), fixed, together, strict=True):
        assert done.converged
        assert_same(done, relax(gupta, soft, fixed_sites=held))
        if held is not None:
            held = np.array(held, dtype=bool if held is mask else int)
            assert (done.soft.positions[held] == soft.positions[held]).all()
    assert together[4].steps == 0
    assert together[4].fmax == 0.0


def test_what_is_relaxed_leaves_the_batch(gupta: Gupta) -> None:
    told: list[Progress] = []
    done = sa.relax_batch(gupta, many(), cell="full", on_step=told.append)
    assert [entry.iteration for entry in told] == list(range(len(told)))
    for index, result in enumerate(done):
        present = [entry.iteration for entry in told if index in entry.systems]
        assert present == list(range(result.evaluations))
        last = told[present[-1]]
        row = last.systems.tolist().index(index)
        assert last.fmax[row] == result.fmax <= 0.01
        assert last.smax[row] == result.smax <= 1e-4
        assert last.enthalpies[row] == result.enthalpy
    assert len({result.evaluations for result in done}) > 1


def test_a_relaxed_structure_takes_one_evaluation(gupta: Gupta) -> None:
    done = relax(gupta, crystal(0), cell="full")
    again = relax(gupta, done.soft, cell="full")
    assert (again.evaluations, again.steps, again.status) == (1, 0, "ok")
    assert (again.soft.positions == done.soft.positions).all()


@pytest.mark.parametrize("optimiser", ["lbfgs", "fire"])
def test_too_few_steps(gupta: Gupta, optimiser: str) -> None:
    done = relax(gupta, crystal(0), cell="full", max_steps=2, optimiser=optimiser)
    assert done.status == "unconverged"
    assert not done.converged
    assert done.evaluations == 3
    assert "after 2 steps" in done.error
    assert np.isfinite(done.energy)
    none = relax(gupta, crystal(0), max_steps=0)
    assert (none.status, none.steps) == ("unconverged", 0)


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("place", [0, 2, 5])
def test_a_sick_structure_fails_alone(raises: bool, place: int) -> None:
    potential = Spoiled(elements=["Cu", "Au", "Pt"])
    potential.raises = raises
    systems = many()
    systems.insert(place, sick())
    together = sa.relax_batch(potential, systems, cell="full")
    failed = together.pop(place)
    assert failed.status == "failed"
    assert ("platinum is too expensive" if raises else "the energy is not finite") in failed.error
    assert np.isnan(failed.energy)
    assert np.isnan(failed.forces).all()
    assert (failed.evaluations, failed.steps) == (1, 0)
    for soft, done in zip(many(), together, strict=True):
        assert_same(done, relax(potential, soft, cell="full"))


def test_elements_that_are_not_covered_fail_alone(gupta: Gupta) -> None:
    iron = sa.SoftAtoms.from_ase(bulk("Fe", cubic=True))
    good, bad = sa.relax_batch(gupta, [crystal(0), iron])
    assert good.converged
    assert bad.status == "failed"
    assert "does not cover Fe" in bad.error


@pytest.mark.parametrize("optimiser", ["lbfgs", "fire"])
def test_a_place_without_energy_is_stepped_back_from(optimiser: str) -> None:
    potential = Brittle(elements=["Cu", "Au"])
    pressed = relax(
        potential,
        sa.SoftAtoms.from_ase(bulk("Cu", cubic=True, a=3.6)),
        cell="full",
        pressure=1.0,
        optimiser=optimiser,
    )
    assert pressed.status == "failed"
    assert "is not finite wherever a step leads" in pressed.error
    nearest = pressed.soft.to_ase().get_all_distances(mic=True)[0, 1:].min()
    assert 2.4 <= nearest < 2.45
    assert np.isfinite(pressed.energy)


def test_structures_with_and_without_a_cell(gupta: Gupta) -> None:
    atoms = molecule("Si2H6")
    atoms.numbers[:] = 29
    atoms.positions *= 1.4
    vacuum = sa.SoftAtoms.from_ase(atoms)
    first, second = sa.relax_batch(gupta, [vacuum, crystal(0)])
    assert first.converged
    assert first.stress is None
    assert second.stress is not None
    assert_same(first, relax(gupta, vacuum))


def test_forces_beyond_all_bounds_fail_without_a_warning() -> None:
    potential = sa.load_potential("lj", epsilon=1e90, sigma=3.4, cutoff=8.0)
    near = Atoms("Ar2", positions=[[0.0, 0.0, 0.0], [0.0, 0.0, 0.3]])
    done = relax(potential, sa.SoftAtoms.from_ase(near))
    assert done.status == "failed"
    assert "the energy is not finite" in done.error


def test_nothing_to_do(gupta: Gupta) -> None:
    assert sa.relax_batch(gupta, []) == []
