"""What every potential must pass. A backend's test class inherits all of it.

A backend that lacks a capability says so in ``exempt``, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

import softatoms as sa
from flux_references import hardy_flux, unfolded_flux
from numerics import central_differences, runge_kutta, shifted, strained, theta_key
from softatoms import units
from softatoms.potentials.base import Potential
from tolerances import assert_close

COUPLINGS = ("mean_field", "replica")
ALL = ("energy", "forces", "stress", "weight_gradient")


class BackendSuite:
    """Existence conditions, derivatives, symmetries, batches, heat flux and storage."""

    species: ClassVar[tuple[str, str]]
    lattice_constant: ClassVar[float]
    difference: ClassVar[str] = "difference"
    exempt: ClassVar[dict[str, str]] = {}

    def make_potential(self) -> Potential:
        """The potential under test."""
        raise AssertionError("a backend's test class says how to make its potential")

    @pytest.fixture
    def potential(self) -> Potential:
        return self.make_potential()

    @pytest.fixture(autouse=True)
    def _skip_what_is_exempt(self, request: pytest.FixtureRequest) -> None:
        reason = self.exempt.get(request.function.__name__)
        if reason is not None:
            pytest.skip(reason)

    # Structures

    def crystal(self) -> Atoms:
        """Eight rattled, strained atoms in a triclinic cell smaller than most cutoffs."""
        rng = np.random.default_rng(7)
        first, second = self.species
        atoms = bulk(first, "fcc", a=self.lattice_constant) * (2, 2, 2)
        atoms.symbols[[1, 6]] = second
        strain = np.eye(3) + 0.01 * rng.normal(size=(3, 3))
        atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        atoms.positions += 0.02 * self.lattice_constant * rng.normal(size=(8, 3))
        return atoms

    def soft_crystal(self) -> sa.SoftAtoms:
        """Every kind of site: plain, tied with two candidates, partly there, with vacancy."""
        first, second = self.species
        return (
            sa.SoftAtoms.from_ase(self.crystal())
            .with_candidates([0, 3], {first: 0.5, second: 0.3}, tie="metal")
            .with_existence([5], 0.4)
            .with_candidates([7], {second: 0.35, first: 0.45})
            .with_existence([2, 4], 0.7, tie="pair")
        )

    def velocities(self, n_sites: int) -> NDArray[np.float64]:
        return 0.01 * np.random.default_rng(3).normal(size=(n_sites, 3))

    # Existence conditions

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_weights_of_one_give_the_plain_model(self, potential: Potential, coupling: str) -> None:
        first, second = self.species
        plain = sa.SoftAtoms.from_ase(self.crystal())
        soft = (
            plain.with_existence([2, 5], 1.0)
            .with_existence([1], 1.0)
            .with_candidates([0, 3], {first: 1.0, second: 0.0}, tie="a")
            .with_candidates([6], {first: 0.0, second: 1.0})
        )
        a = sa.evaluate(potential, plain, properties=ALL, coupling=coupling)
        b = sa.evaluate(potential, soft, properties=ALL, coupling=coupling)
        assert_close(b.energy, a.energy, "same")
        assert_close(b.site_energies, a.site_energies, "same")
        assert_close(b.forces, a.forces, "same")
        assert_close(b.stress, a.stress, "same")

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_weight_zero_is_deletion(self, potential: Potential, coupling: str) -> None:
        soft = self.soft_crystal()
        kept = np.array([0, 1, 2, 4, 5, 7])
        ghosts = soft.with_existence([6], 0.0).with_candidates(
            [3], dict.fromkeys(self.species, 0.0)
        )
        deleted = soft.select(kept)
        a = sa.evaluate(potential, ghosts, properties=ALL, coupling=coupling)
        b = sa.evaluate(potential, deleted, properties=ALL, coupling=coupling)
        assert_close(a.energy, b.energy, "deletion")
        assert_close(a.site_energies[kept], b.site_energies, "deletion")
        assert_close(a.forces[kept], b.forces, "deletion")
        assert_close(a.forces[[3, 6]], np.zeros((2, 3)), "deletion")
        assert_close(a.stress, b.stress, "deletion")

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_candidate_of_weight_zero_is_absent(self, potential: Potential, coupling: str) -> None:
        first, second = self.species
        base = sa.SoftAtoms.from_ase(self.crystal()).with_existence([5], 0.4)
        with_ghost = base.with_candidates([0, 3], {first: 0.6, second: 0.0}, tie="a")
        without = base.with_candidates([0, 3], {first: 0.6}, tie="a")
        a = sa.evaluate(potential, with_ghost, properties=ALL, coupling=coupling)
        b = sa.evaluate(potential, without, properties=ALL, coupling=coupling)
        assert_close(a.energy, b.energy, "deletion")
        assert_close(a.forces, b.forces, "deletion")
        assert_close(a.stress, b.stress, "deletion")

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_energy_and_slopes_are_continuous_where_a_site_vanishes(
        self, potential: Potential, coupling: str
    ) -> None:
        soft = self.soft_crystal()
        index = soft.weight_labels.index(f"site5:{self.species[0]}")
        self._assert_continuous_at_zero(potential, soft, index, coupling)

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_energy_and_slopes_are_continuous_where_the_last_neighbour_vanishes(
        self, potential: Potential, coupling: str
    ) -> None:
        bond = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.0]]) * self.lattice_constant
        bond[1] += [0.03, -0.02, 0.05]
        dimer = sa.SoftAtoms.from_ase(Atoms(self.species[0] * 2, bond)).with_existence([1], 0.5)
        self._assert_continuous_at_zero(potential, dimer, 0, coupling)

    def _assert_continuous_at_zero(
        self, potential: Potential, soft: sa.SoftAtoms, index: int, coupling: str
    ) -> None:
        def at(weight: float) -> sa.Evaluation:
            theta = soft.weights
            theta[index] = weight
            properties = ("energy", "forces", "weight_gradient")
            return sa.evaluate(
                potential, soft.with_weights(theta), properties=properties, coupling=coupling
            )

        origin = at(0.0)
        for name in ("energy", "forces", "weight_gradient"):
            value = getattr(origin, name)
            steps = [float((getattr(at(w), name) - value).abs().max()) for w in (1e-5, 1e-6, 1e-7)]
            scale = 1.0 + float(value.abs().max())
            assert np.isfinite(steps).all()
            assert steps[2] < 1e-4 * scale, f"{name} jumps by {steps[2]:.2e} at weight 0"
            assert steps[2] <= 0.2 * steps[0] + 1e-11 * scale, f"{name} does not converge: {steps}"

    def test_an_isolated_atom_has_its_isolated_energy(self, potential: Potential) -> None:
        first, second = self.species
        lone = Atoms(first + second, [[0, 0, 0], [0, 0, 3 * potential.cutoff]])
        properties = ("energy", "forces", "weight_gradient", "heat_flux")
        soft = sa.SoftAtoms.from_ase(lone).with_existence([1], 0.3)
        velocity = self.velocities(2)
        out = sa.evaluate(potential, soft, properties=properties, velocities=velocity)
        index = potential.species_index(torch.tensor(lone.numbers))
        expected = potential.isolated_energies[index]
        assert_close(out.site_energies, expected.numpy() * [1.0, 0.3], "same")
        assert_close(out.weight_gradient, expected[1:], "same")
        assert_close(out.isolated_energy, out.energy, "same")
        assert_close(out.forces, np.zeros((2, 3)), "same")
        assert_close(out.heat_flux, out.convective_heat_flux, "same")

    # Derivatives

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_forces_are_differences_of_energy(self, potential: Potential, coupling: str) -> None:
        soft = self.soft_crystal()
        forces = sa.evaluate(potential, soft, coupling=coupling).forces

        def moved(step: float, k: int) -> sa.SoftAtoms:
            positions = soft.positions.copy()
            positions.ravel()[k] += step
            return soft.with_positions(positions)

        slopes = self._energy_differences(potential, moved, 3 * len(soft), coupling)
        assert_close(forces, -slopes.reshape(-1, 3), self.difference)

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_stress_is_the_difference_of_energy_by_strain(
        self, potential: Potential, coupling: str
    ) -> None:
        soft = self.soft_crystal()
        stress = sa.evaluate(potential, soft, properties=("stress",), coupling=coupling).stress
        volume = abs(np.linalg.det(soft.cell))

        def deformed(step: float, k: int) -> sa.SoftAtoms:
            return strained(soft, k // 3, k % 3, step)

        slopes = self._energy_differences(potential, deformed, 9, coupling)
        assert_close(stress, slopes.reshape(3, 3) / volume, self.difference)

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_weight_gradient_is_the_difference_of_energy(
        self, potential: Potential, coupling: str
    ) -> None:
        soft = self.soft_crystal()
        gradient = sa.evaluate(
            potential, soft, properties=("weight_gradient",), coupling=coupling
        ).weight_gradient

        def changed(step: float, k: int) -> sa.SoftAtoms:
            return shifted(soft, k, step)

        slopes = self._energy_differences(potential, changed, len(soft.weights), coupling)
        assert_close(gradient, slopes, self.difference)

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_second_derivatives_are_differences_of_first(
        self, potential: Potential, coupling: str
    ) -> None:
        soft = self.soft_crystal()
        out = sa.evaluate(
            potential,
            soft,
            properties=("stress_weight_gradient", "weight_hessian"),
            coupling=coupling,
        )

        def first_order(systems: list[sa.SoftAtoms]) -> NDArray[np.float64]:
            properties = ("stress", "weight_gradient")
            batch = sa.evaluate_batch(potential, systems, properties=properties, coupling=coupling)
            return np.array(
                [np.concatenate([at.stress.ravel(), at.weight_gradient]) for at in batch]
            )

        rows = central_differences(
            first_order, lambda step, k: shifted(soft, k, step), len(soft.weights)
        )
        assert_close(out.stress_weight_gradient, rows[:, :9].reshape(-1, 3, 3), "difference")
        assert_close(out.weight_hessian, rows[:, 9:], "difference")

    def _energy_differences(
        self,
        potential: Potential,
        change: Callable[[float, int], sa.SoftAtoms],
        count: int,
        coupling: str,
    ) -> NDArray[np.float64]:
        def energies(systems: list[sa.SoftAtoms]) -> NDArray[np.float64]:
            batch = sa.evaluate_batch(potential, systems, properties=("energy",), coupling=coupling)
            return np.array([float(out.energy) for out in batch])

        return central_differences(energies, change, count)

    # Symmetries

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_translation_changes_nothing(self, potential: Potential, coupling: str) -> None:
        soft = self.soft_crystal()
        moved = soft.with_positions(soft.positions + np.array([0.31, -7.2, 1.9]))
        self._assert_same(potential, soft, moved, coupling)

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_the_choice_of_periodic_image_changes_nothing(
        self, potential: Potential, coupling: str
    ) -> None:
        soft = self.soft_crystal()
        shifts = np.random.default_rng(5).integers(-3, 4, size=(len(soft), 3))
        moved = soft.with_positions(soft.positions + shifts @ soft.cell)
        self._assert_same(potential, soft, moved, coupling)

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_another_cell_of_the_same_lattice_changes_nothing(
        self, potential: Potential, coupling: str
    ) -> None:
        soft = self.soft_crystal()
        basis = np.array([[1, 1, 0], [0, 1, -1], [0, 0, 1]])
        self._assert_same(
            potential, soft, soft.with_positions(soft.positions, basis @ soft.cell), coupling
        )

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_rotation_turns_what_has_a_direction(self, potential: Potential, coupling: str) -> None:
        soft = self.soft_crystal()
        turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
        turned = soft.with_positions(soft.positions @ turn, soft.cell @ turn)
        velocity = self.velocities(len(soft))
        properties = (*ALL, "heat_flux")
        a = sa.evaluate(
            potential, soft, properties=properties, coupling=coupling, velocities=velocity
        )
        b = sa.evaluate(
            potential, turned, properties=properties, coupling=coupling, velocities=velocity @ turn
        )
        assert_close(b.energy, a.energy, "same")
        assert_close(b.weight_gradient, a.weight_gradient, "same")
        assert_close(b.forces, a.forces.numpy() @ turn, "same")
        assert_close(b.stress, turn.T @ a.stress.numpy() @ turn, "same")
        assert_close(b.heat_flux, a.heat_flux.numpy() @ turn, "same")

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_order_of_sites_changes_nothing(self, potential: Potential, coupling: str) -> None:
        soft = self.soft_crystal()
        order = np.random.default_rng(4).permutation(len(soft))
        mixed = soft.select(order)
        velocity = self.velocities(len(soft))
        properties = (*ALL, "heat_flux")
        a = sa.evaluate(
            potential, soft, properties=properties, coupling=coupling, velocities=velocity
        )
        b = sa.evaluate(
            potential, mixed, properties=properties, coupling=coupling, velocities=velocity[order]
        )
        # An untied site is named after its index; its gradients come in the new order.
        count = range(len(soft.weights))
        place = sorted(count, key=lambda k: theta_key(mixed, order, k))
        back = sorted(count, key=lambda k: theta_key(soft, np.arange(len(soft)), k))
        assert_close(b.energy, a.energy, "same")
        assert_close(b.forces, a.forces[order.copy()], "same")
        assert_close(b.stress, a.stress, "same")
        assert_close(b.heat_flux, a.heat_flux, "same")
        assert_close(b.weight_gradient[place], a.weight_gradient[back], "same")

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_a_supercell_has_a_multiple_of_everything_extensive(
        self, potential: Potential, coupling: str
    ) -> None:
        soft = self.soft_crystal().with_velocities(self.velocities(8))
        properties = (*ALL, "heat_flux")
        a = sa.evaluate(potential, soft, properties=properties, coupling=coupling)
        b = sa.evaluate(potential, soft.repeat((2, 2, 2)), properties=properties, coupling=coupling)
        assert_close(b.energy / 8, a.energy, "same")
        assert_close(b.weight_gradient / 8, a.weight_gradient, "same")
        assert_close(b.heat_flux / 8, a.heat_flux, "same")
        assert_close(b.stress, a.stress, "same")
        assert_close(b.forces, np.tile(a.forces, (8, 1)), "same")

    def _assert_same(
        self, potential: Potential, soft: sa.SoftAtoms, other: sa.SoftAtoms, coupling: str
    ) -> None:
        velocity = self.velocities(len(soft))
        properties = (*ALL, "heat_flux")
        a, b = (
            sa.evaluate(potential, s, properties=properties, coupling=coupling, velocities=velocity)
            for s in (soft, other)
        )
        for name in (*properties, "site_energies"):
            assert_close(getattr(b, name), getattr(a, name), "same")

    # Batches and precision

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_a_batch_gives_what_single_calls_give(
        self, potential: Potential, coupling: str
    ) -> None:
        soft = self.soft_crystal().with_velocities(self.velocities(8))
        plain = sa.SoftAtoms.from_ase(self.crystal()).with_velocities(self.velocities(8))
        lone = sa.SoftAtoms.from_ase(
            Atoms(self.species[0], [[1, 2, 3]], cell=np.eye(3) * 4 * potential.cutoff)
        ).with_velocities(self.velocities(1))
        systems = [soft, lone, plain.repeat((2, 1, 1)), soft.repeat((1, 1, 2)), plain]
        properties = (*ALL, "heat_flux", "stress_weight_gradient", "weight_hessian")
        together = sa.evaluate_batch(potential, systems, properties=properties, coupling=coupling)
        for system, out in zip(systems, together, strict=True):
            alone = sa.evaluate(potential, system, properties=properties, coupling=coupling)
            for name in (*properties, "site_energies"):
                assert not getattr(out, name).requires_grad
                assert_close(getattr(out, name), getattr(alone, name), "same")

    def test_float32_is_close_to_float64_and_sums_in_float64(self, potential: Potential) -> None:
        soft = self.soft_crystal().with_velocities(self.velocities(8))
        properties = (*ALL, "heat_flux")
        exact = sa.evaluate(potential, soft, properties=properties, dtype="float64")
        rounded = sa.evaluate(potential, soft, properties=properties, dtype="float32")
        for name in properties:
            assert getattr(rounded, name).dtype == torch.float64
            assert_close(getattr(rounded, name), getattr(exact, name), "float32")

    def test_only_what_is_asked_for_is_returned(self, potential: Potential) -> None:
        out = sa.evaluate(potential, self.soft_crystal(), properties=("energy",))
        assert out.forces is None
        assert out.stress is None
        assert out.weight_gradient is None
        assert out.heat_flux is None

    # Heat flux

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_heat_flux_equals_the_many_pass_and_the_unfolded_form(
        self, potential: Potential, coupling: str
    ) -> None:
        soft = self.soft_crystal()
        velocity = self.velocities(len(soft))
        out = sa.evaluate(
            potential, soft, properties=("heat_flux",), velocities=velocity, coupling=coupling
        )
        flux = out.heat_flux - out.convective_heat_flux
        assert_close(flux, hardy_flux(potential, soft, velocity, coupling), "flux")
        assert_close(flux, unfolded_flux(potential, soft, velocity, coupling), "flux")

    def test_heat_flux_without_forward_mode_is_the_same(self, potential: Potential) -> None:
        soft = self.soft_crystal().with_velocities(self.velocities(8))
        systems = [soft, soft.repeat((1, 2, 1))]
        fast = sa.evaluate_batch(potential, systems, properties=("heat_flux",))
        reverse_only = self.make_potential()
        reverse_only.has_forward_mode = False
        slow = sa.evaluate_batch(reverse_only, systems, properties=("heat_flux", "forces"))
        for a, b in zip(fast, slow, strict=True):
            assert_close(b.heat_flux, a.heat_flux, "same")

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_heat_flux_is_the_sum_of_flux_tensors_and_velocities(
        self, potential: Potential, coupling: str
    ) -> None:
        soft = self.soft_crystal()
        velocity = self.velocities(len(soft))
        out = sa.evaluate(
            potential,
            soft,
            properties=("heat_flux", "flux_tensors", "stress"),
            velocities=velocity,
            coupling=coupling,
        )
        flux = (out.flux_tensors.numpy() @ velocity[:, :, None]).sum(axis=0)[:, 0]
        assert_close(out.heat_flux - out.convective_heat_flux, flux, "same")
        volume = abs(np.linalg.det(soft.cell))
        total = out.flux_tensors.sum(0)
        assert_close(0.5 * (total + total.T), -volume * out.stress, "same")
        alone = sa.evaluate(potential, soft, properties=("flux_tensors",), coupling=coupling)
        assert_close(alone.flux_tensors, out.flux_tensors, "same")

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_heat_flux_moves_the_energy_barycentre_of_a_cluster(
        self, potential: Potential, coupling: str
    ) -> None:
        soft = self.soft_crystal()
        cluster = soft.select(np.arange(8), cell=np.zeros((3, 3)), pbc=np.zeros(3, dtype=bool))
        step = 0.02
        masses = np.bincount(cluster.node_site, weights=cluster.node_weight * cluster.node_mass)

        def acceleration(positions: NDArray[np.float64]) -> NDArray[np.float64]:
            out = sa.evaluate(potential, cluster.with_positions(positions), coupling=coupling)
            return out.forces.numpy() / (masses[:, None] * units.EV_PER_AMU_ANG2_FS2)

        def barycentre(state: NDArray[np.float64]) -> NDArray[np.float64]:
            out = sa.evaluate(
                potential,
                cluster.with_positions(state[0]),
                properties=("energy",),
                coupling=coupling,
            )
            kinetic = 0.5 * units.EV_PER_AMU_ANG2_FS2 * masses * (state[1] ** 2).sum(1)
            return ((kinetic + out.site_energies.numpy())[:, None] * state[0]).sum(0)

        start = np.stack([cluster.positions, self.velocities(8)])
        path = [runge_kutta(acceleration, start, n * step) for n in (-2, -1, 1, 2)]
        b = [barycentre(state) for state in path]
        derivative = (b[0] - 8 * b[1] + 8 * b[2] - b[3]) / (12 * step)
        flux = sa.evaluate(
            potential, cluster, properties=("heat_flux",), velocities=start[1], coupling=coupling
        ).heat_flux
        assert_close(flux, derivative, "flux_trajectory")

    # Storage

    def test_a_saved_potential_gives_the_same_energies(
        self, potential: Potential, tmp_path: Path
    ) -> None:
        sa.save_potential(potential, tmp_path / "model")
        again = sa.load_potential(tmp_path / "model")
        a = sa.evaluate(potential, self.soft_crystal(), properties=ALL)
        b = sa.evaluate(again, self.soft_crystal(), properties=ALL)
        assert torch.equal(a.energy, b.energy)
        assert torch.equal(a.forces, b.forces)
        assert again.sha256() == potential.sha256()
