"""Relaxed soft structures are stationary points, found by either optimiser from bad starts too."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import softatoms as sa
from numerics import central_differences, strained
from softatoms.potentials.base import Potential
from softatoms.relax import relax

TIGHT = {"fmax": 1e-7, "smax": 1e-9}
AXES = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@pytest.fixture(scope="module")
def gupta() -> Potential:
    return sa.load_potential("gupta", elements=["Cu", "Au", "Ni"])


def soft_alloy(seed: int = 3) -> sa.SoftAtoms:
    """Tied alloy sites, one of its own, a partial vacancy, in a strained and rattled cell."""
    atoms = bulk("Cu", cubic=True, a=3.75) * (2, 1, 1)
    strain = 0.03 * np.random.default_rng(seed).normal(size=(3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    atoms.rattle(0.08, seed=seed)
    return (
        sa.SoftAtoms.from_ase(atoms)
        .with_candidates([0, 5], {"Cu": 0.6, "Au": 0.4}, tie="metal")
        .with_candidates([2], {"Ni": 0.5, "Au": 0.3})
        .with_existence([3], 0.7)
    )


def slopes(potential: Potential, soft: sa.SoftAtoms, coupling: str) -> tuple[np.ndarray, ...]:
    """Differences of energies by positions (eV/Å) and by strain over the volume (eV/Å³)."""

    def energies(systems: list[sa.SoftAtoms]) -> np.ndarray:
        outs = sa.evaluate_batch(potential, systems, properties=(), coupling=coupling)
        return np.array([float(out.energy) for out in outs])

    def moved(step: float, k: int) -> sa.SoftAtoms:
        positions = soft.positions.copy()
        positions.flat[k] += step
        return soft.with_positions(positions)

    by_position = central_differences(energies, moved, 3 * len(soft))
    by_strain = central_differences(energies, lambda step, k: strained(soft, *AXES[k], step), 6)
    return by_position, by_strain / abs(np.linalg.det(soft.cell))


@pytest.mark.parametrize("coupling", ["mean_field", "replica"])
@pytest.mark.parametrize("pressure", [0.0, -0.02])
def test_a_soft_structure_comes_to_rest(gupta: Potential, coupling: str, pressure: float) -> None:
    soft = soft_alloy()
    done = relax(gupta, soft, coupling=coupling, cell="full", pressure=pressure, **TIGHT)
    assert done.status == "ok", done.error
    by_position, by_strain = slopes(gupta, done.soft, coupling)
    left = [pressure] * 3 + [0.0] * 3
    np.testing.assert_allclose(by_position, 0.0, rtol=0.0, atol=1e-6)
    np.testing.assert_allclose(by_strain + left, 0.0, rtol=0.0, atol=1e-7)
    # The start was nowhere near.
    assert np.abs(slopes(gupta, soft, coupling)[0]).max() > 0.1


def test_the_result_is_the_structure_with_its_properties(gupta: Potential) -> None:
    soft = soft_alloy().with_velocities(np.full((8, 3), 0.01))
    done = relax(gupta, soft, cell="full")
    assert done.soft.weight_labels == soft.weight_labels
    assert (done.soft.weights == soft.weights).all()
    assert done.soft.groups.ties == soft.groups.ties
    assert (done.soft.velocities == soft.velocities).all()
    out = sa.evaluate(gupta, done.soft, properties=("forces", "stress"))
    np.testing.assert_allclose(done.energy, float(out.energy), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(done.forces, out.forces, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(done.stress, out.stress, rtol=1e-9, atol=1e-12)
    assert done.fmax == pytest.approx(np.linalg.norm(done.forces, axis=1).max(), rel=1e-12)
    assert done.smax == pytest.approx(np.abs(done.stress).max(), rel=1e-9)
    assert done.enthalpy == done.energy


def test_no_cell_rotates(gupta: Potential) -> None:
    soft = soft_alloy()
    done = relax(gupta, soft, cell="full")
    deformation = np.linalg.solve(soft.cell, done.soft.cell)
    np.testing.assert_allclose(deformation, deformation.T, rtol=0.0, atol=1e-12)
    assert np.abs(deformation - np.eye(3)).max() > 0.01


def test_both_optimisers_reach_the_same_minimum(gupta: Potential) -> None:
    settings = {"cell": "full", "fmax": 1e-5, "smax": 1e-7, "max_steps": 2000}
    lbfgs = relax(gupta, soft_alloy(), optimiser="lbfgs", **settings)
    fire = relax(gupta, soft_alloy(), optimiser="fire", **settings)
    assert lbfgs.converged
    assert fire.converged
    np.testing.assert_allclose(lbfgs.energy, fire.energy, rtol=0.0, atol=1e-8)
    np.testing.assert_allclose(lbfgs.soft.cell, fire.soft.cell, rtol=0.0, atol=1e-4)
    assert lbfgs.evaluations < fire.evaluations


@pytest.mark.parametrize("optimiser", ["lbfgs", "fire"])
@pytest.mark.parametrize("cell", ["fixed", "full"])
def test_atoms_thrown_into_a_box(gupta: Potential, optimiser: str, cell: str) -> None:
    """Some of them nearly touch: the forces are millions of eV/Å or more."""
    positions = 7.0 * np.random.default_rng(0).random((20, 3))
    positions[1] = positions[0] + [0.0, 0.0, 0.15]
    soft = sa.SoftAtoms.from_ase(Atoms("Cu20", positions=positions, cell=[7.0] * 3, pbc=True))
    start = sa.evaluate(gupta, soft)
    done = relax(gupta, soft, optimiser=optimiser, cell=cell, max_steps=1500)
    assert done.status == "ok", done.error
    assert float(start.energy) > 0.0
    assert done.energy < -3.0 * len(soft)


@pytest.mark.parametrize("optimiser", ["lbfgs", "fire"])
def test_no_step_is_longer_than_allowed(gupta: Potential, optimiser: str) -> None:
    soft = soft_alloy()
    done = relax(gupta, soft, optimiser=optimiser, max_steps=3, max_step_length=0.01)
    ways = np.linalg.norm(done.soft.positions - soft.positions, axis=1)
    assert done.steps == 3
    assert 0.0 < ways.max() <= 3 * 0.01 + 1e-12


def test_single_precision_comes_close(gupta: Potential) -> None:
    exact = relax(gupta, soft_alloy(), cell="full", fmax=1e-3)
    single = relax(gupta, soft_alloy(), cell="full", fmax=1e-3, dtype="float32")
    assert single.converged
    np.testing.assert_allclose(single.energy, exact.energy, rtol=1e-6, atol=1e-5)


def test_a_tolerance_below_the_rounding_error_ends_by_itself(gupta: Potential) -> None:
    done = relax(gupta, soft_alloy(), fmax=1e-12, dtype="float32", max_steps=300)
    assert done.status == "unconverged"
    assert "forces are still" in done.error
    assert done.fmax < 1e-3


def test_a_cell_that_nothing_holds_together(gupta: Potential) -> None:
    soft = sa.SoftAtoms.from_ase(bulk("Cu", cubic=True))
    done = relax(gupta, soft, cell="full", pressure=-5.0)
    assert done.status == "failed"
    assert "the cell does not hold" in done.error


def test_the_example_of_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[2] / "docs" / "relaxation.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    exec(compile(example, str(page), "exec"), {})
    assert capsys.readouterr().out.count("ok") == 3
