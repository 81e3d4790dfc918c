"""The ASE calculator of a soft structure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from ase.stress import voigt_6_to_full_3x3_stress

import softatoms as sa
from softatoms.potentials.base import Potential
from tolerances import assert_close

ALL = ("energy", "forces", "stress", "weight_gradient")


@pytest.fixture
def potential() -> Potential:
    return sa.load_potential("gupta", elements=["Cu", "Au"], isolated_energies={"Cu": -3.5})


@pytest.fixture
def soft() -> sa.SoftAtoms:
    """A rattled alloy with sites of every kind."""
    atoms = bulk("Cu", cubic=True, a=3.7) * (2, 1, 1)
    atoms.rattle(0.05, seed=4)
    return (
        sa.SoftAtoms.from_ase(atoms)
        .with_candidates([0, 5], {"Cu": 0.6, "Au": 0.4}, tie="metal")
        .with_existence([3], 0.7)
    )


def attached(potential: Potential, soft: sa.SoftAtoms, **options: object) -> Atoms:
    atoms = soft.to_ase()
    atoms.calc = sa.SoftCalculator(potential, soft, **options)
    return atoms


class TestResults:
    @pytest.mark.parametrize("coupling", ["mean_field", "replica"])
    def test_are_those_of_evaluate(
        self, potential: Potential, soft: sa.SoftAtoms, coupling: str
    ) -> None:
        atoms = attached(potential, soft, coupling=coupling)
        out = sa.evaluate(potential, soft, properties=ALL, coupling=coupling)
        assert_close(atoms.get_potential_energy(), float(out.energy), "same")
        assert_close(atoms.get_potential_energy(force_consistent=True), float(out.energy), "same")
        assert_close(atoms.get_potential_energies(), out.site_energies, "same")
        assert_close(atoms.get_forces(), out.forces, "same")
        assert_close(voigt_6_to_full_3x3_stress(atoms.get_stress()), out.stress, "same")
        assert_close(atoms.calc.results["weight_gradient"], out.weight_gradient, "same")

    def test_follow_positions_cell_and_periodicity(
        self, potential: Potential, soft: sa.SoftAtoms
    ) -> None:
        atoms = attached(potential, soft)
        atoms.set_cell(1.02 * atoms.cell.array, scale_atoms=True)
        atoms.positions[0] += [0.1, -0.2, 9.0]
        out = sa.evaluate(potential, soft.with_positions(atoms.positions, atoms.cell.array))
        assert_close(atoms.get_forces(), out.forces, "same")
        assert_close(atoms.get_potential_energy(), float(out.energy), "same")
        atoms.pbc = [True, True, False]
        slab = soft.select(
            np.arange(8), positions=atoms.positions, cell=atoms.cell.array, pbc=atoms.pbc
        )
        assert_close(atoms.get_forces(), sa.evaluate(potential, slab).forces, "same")
        assert not np.allclose(atoms.get_forces(), out.forces)

    def test_follow_weights(self, potential: Potential, soft: sa.SoftAtoms) -> None:
        atoms = attached(potential, soft)
        before = atoms.get_potential_energy()
        theta = soft.weights
        theta[0] -= 0.25
        atoms.calc.set_weights(theta)
        expected = sa.evaluate(potential, soft.with_weights(theta))
        assert_close(atoms.get_potential_energy(), float(expected.energy), "same")
        assert_close(atoms.get_forces(), expected.forces, "same")
        assert atoms.get_potential_energy() != before
        assert atoms.calc.soft.weights.tolist() == theta.tolist()
        assert soft.weights[0] == 0.6

    def test_single_precision_is_near(self, potential: Potential, soft: sa.SoftAtoms) -> None:
        exact, rounded = attached(potential, soft), attached(potential, soft, dtype="float32")
        assert_close(rounded.get_forces(), exact.get_forces(), "float32")
        assert rounded.get_forces().dtype == np.float64

    def test_of_a_molecule_without_a_cell(self, potential: Potential) -> None:
        cluster = sa.SoftAtoms.from_ase(
            Atoms("Cu3", [[0, 0, 0], [2.4, 0, 0], [1.2, 2.0, 0]])
        ).with_existence([2], 0.5)
        atoms = attached(potential, cluster)
        out = sa.evaluate(potential, cluster)
        assert_close(atoms.get_forces(), out.forces, "same")
        with pytest.raises(PropertyNotImplementedError):
            atoms.get_stress()

    def test_can_be_written_by_ase(
        self, potential: Potential, soft: sa.SoftAtoms, tmp_path: Path
    ) -> None:
        atoms = attached(potential, soft)
        energy = atoms.get_potential_energy()
        for name in ("a.traj", "a.xyz", "a.json"):
            write(tmp_path / name, atoms)
            again = read(tmp_path / name)
            assert again.get_potential_energy() == pytest.approx(energy, abs=1e-7)
            assert again.get_forces() == pytest.approx(atoms.get_forces(), abs=1e-7)
        assert atoms.get_properties(["energy"])["energy"] == energy


class TestCaching:
    def test_nothing_is_computed_twice(
        self, potential: Potential, soft: sa.SoftAtoms, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        atoms = attached(potential, soft)
        calls = []
        evaluate = atoms.calc._evaluator.evaluate

        def counted(**inputs: object) -> object:
            calls.append(1)
            return evaluate(**inputs)

        monkeypatch.setattr(atoms.calc._evaluator, "evaluate", counted)
        for _ in range(2):
            atoms.get_potential_energy()
            atoms.get_forces()
            atoms.get_stress()
        assert len(calls) == 1
        atoms.positions[2, 0] += 0.01
        atoms.get_forces()
        atoms.get_potential_energy()
        assert len(calls) == 2
        atoms.calc.set_weights(soft.weights)
        atoms.get_forces()
        assert len(calls) == 3

    def test_results_are_not_shared_with_the_caller(
        self, potential: Potential, soft: sa.SoftAtoms
    ) -> None:
        atoms = attached(potential, soft)
        forces = atoms.get_forces()
        forces += 1.0
        assert not np.allclose(atoms.get_forces(), forces)


class TestWithAse:
    def test_relaxation_of_sites_and_cell(self, potential: Potential, soft: sa.SoftAtoms) -> None:
        atoms = attached(potential, soft)
        before = atoms.get_potential_energy()
        with BFGS(FrechetCellFilter(atoms), logfile=None) as relaxation:
            assert relaxation.run(fmax=0.005, steps=200)
        assert np.abs(atoms.get_forces()).max() < 0.005
        assert atoms.get_potential_energy() < before - 0.1
        relaxed = soft.with_positions(atoms.positions, atoms.cell.array)
        out = sa.evaluate(potential, relaxed, properties=ALL)
        assert_close(atoms.get_potential_energy(), float(out.energy), "same")
        assert np.abs(out.stress.numpy()).max() < 0.01

    def test_dynamics_conserve_energy(self, potential: Potential) -> None:
        crystal = sa.SoftAtoms.from_ase(bulk("Cu", cubic=True, a=3.63) * (3, 3, 3))
        soft = crystal.with_candidates([0, 7, 50], {"Cu": 0.75, "Au": 0.25}, tie="metal")
        atoms = attached(potential, soft, skin=0.6)
        spread = np.sqrt(units.kB * 1200.0 / atoms.get_masses())[:, None]
        velocities = spread * np.random.default_rng(2).normal(size=(len(atoms), 3))
        atoms.set_velocities(velocities)
        energies = [atoms.get_total_energy()]
        with VelocityVerlet(atoms, timestep=1.0 * units.fs) as dynamics:
            for _ in range(20):
                dynamics.run(5)
                energies.append(atoms.get_total_energy())
        assert np.ptp(energies) / len(atoms) < 8e-5
        assert 1 < atoms.calc.neighbour_rebuilds < 40
        # The list with a skin holds all that a fresh search finds.
        fresh = sa.evaluate(potential, soft.with_positions(atoms.positions))
        assert_close(atoms.get_forces(), fresh.forces, "same")

    def test_without_a_skin_every_step_searches(
        self, potential: Potential, soft: sa.SoftAtoms
    ) -> None:
        atoms = attached(potential, soft, skin=0.0)
        for _ in range(3):
            atoms.get_forces()
            atoms.positions[0, 0] += 0.01
        assert atoms.calc.neighbour_rebuilds == 3


class TestHeatFlux:
    def test_converts_velocities(self, potential: Potential, soft: sa.SoftAtoms) -> None:
        velocities = 0.01 * np.random.default_rng(5).normal(size=(len(soft), 3))
        atoms = attached(potential, soft)
        atoms.set_velocities(velocities / units.fs)
        expected = sa.evaluate(
            potential, soft, properties=("heat_flux",), velocities=velocities
        ).heat_flux
        assert_close(atoms.calc.heat_flux(atoms), expected, "same")
        assert_close(attached(potential, soft).calc.heat_flux(atoms), expected, "same")

    def test_needs_velocities(self, potential: Potential, soft: sa.SoftAtoms) -> None:
        atoms = attached(potential, soft)
        with pytest.raises(sa.OptionError, match="no momenta"):
            atoms.calc.heat_flux(atoms)


class TestRefusals:
    def test_atoms_of_another_structure(self, potential: Potential, soft: sa.SoftAtoms) -> None:
        calculator = sa.SoftCalculator(potential, soft)
        wrong = soft.to_ase()
        wrong.symbols[1] = "Au"
        for other in (wrong, soft.to_ase() * (2, 1, 1), soft.to_ase()[:4]):
            other.calc = calculator
            with pytest.raises(sa.OptionError, match=r"not those of .* \(8 sites\)"):
                other.get_potential_energy()

    def test_any_candidate_may_stand_for_a_site(
        self, potential: Potential, soft: sa.SoftAtoms
    ) -> None:
        atoms = attached(potential, soft)
        energy = atoms.get_potential_energy()
        calculator = atoms.calc
        calculator.set_weights([0.25, 0.75, 0.7])
        turned = calculator.soft.to_ase()
        assert turned.symbols[0] == "Au"
        turned.calc = calculator
        calculator.set_weights(soft.weights)
        assert turned.get_potential_energy() == energy

    def test_a_run_that_exploded(self, potential: Potential, soft: sa.SoftAtoms) -> None:
        atoms = attached(potential, soft)
        atoms.positions[3, 1] = np.inf
        with pytest.raises(sa.StructureError, match="position of site 3"):
            atoms.get_forces()

    def test_a_cell_that_vanished(self, potential: Potential, soft: sa.SoftAtoms) -> None:
        atoms = attached(potential, soft)
        atoms.set_cell(np.zeros((3, 3)))
        with pytest.raises(sa.StructureError, match="lattice vector 0 is zero"):
            atoms.get_forces()

    @pytest.mark.parametrize("skin", [-0.1, float("nan"), float("inf"), "0.5", True])
    def test_an_unusable_skin(self, potential: Potential, soft: sa.SoftAtoms, skin: object) -> None:
        with pytest.raises(sa.OptionError, match="skin"):
            sa.SoftCalculator(potential, soft, skin=skin)

    def test_weights_of_another_number(self, potential: Potential, soft: sa.SoftAtoms) -> None:
        with pytest.raises(sa.StructureError, match="weights must have shape"):
            sa.SoftCalculator(potential, soft).set_weights([0.5])

    def test_arguments_in_another_order(self, potential: Potential, soft: sa.SoftAtoms) -> None:
        with pytest.raises(sa.OptionError, match="load_potential, got SoftAtoms"):
            sa.SoftCalculator(soft, potential)
        with pytest.raises(sa.OptionError, match="SoftAtoms, got Atoms"):
            sa.SoftCalculator(potential, soft.to_ase())
