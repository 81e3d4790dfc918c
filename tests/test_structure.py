"""Sites, candidates, ties, and the order of the weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_masses, atomic_numbers

import softatoms as sa


@pytest.fixture
def plain() -> sa.SoftAtoms:
    """Eight copper atoms on two cubic cells."""
    return sa.SoftAtoms.from_ase(bulk("Cu", cubic=True) * (2, 1, 1))


class TestOrderOfWeights:
    def test_follows_the_sites_and_not_the_calls(self, plain: sa.SoftAtoms) -> None:
        mixture = {"Au": 0.25, "Cu": 0.5}
        one = (
            plain.with_existence([6], 0.9)
            .with_candidates([5, 2], mixture, tie="metal")
            .with_existence([3], 0.4)
        )
        other = (
            plain.with_existence([3], 0.4)
            .with_existence([6], 0.9)
            .with_candidates([2], mixture, tie="metal")
            .with_candidates([5], mixture, tie="metal")
        )
        assert one.weight_labels == ("metal:Au", "metal:Cu", "site3:Cu", "site6:Cu")
        assert one.weight_labels == other.weight_labels
        assert one.weights.tolist() == other.weights.tolist() == [0.25, 0.5, 0.4, 0.9]
        assert one.site_group.tolist() == other.site_group.tolist()

    def test_candidates_keep_the_order_they_were_given_in(self, plain: sa.SoftAtoms) -> None:
        soft = plain.with_candidates(1, {"Pt": 0.1, "Al": 0.2, "Cu": 0.3})
        assert list(soft.candidates(1)) == ["Pt", "Al", "Cu"]
        assert soft.weight_labels == ("site1:Pt", "site1:Al", "site1:Cu")

    def test_weights_are_fresh_float64(self, plain: sa.SoftAtoms) -> None:
        soft = plain.with_existence([1], 0.5)
        soft.weights[0] = 0.0
        assert soft.weights.dtype == torch.float64
        assert soft.weights.tolist() == [0.5]

    def test_labels_are_unique(self, plain: sa.SoftAtoms) -> None:
        tied = plain.with_existence([1], 0.4).repeat((2, 1, 1))
        again = tied.with_existence([1], 0.7).repeat((1, 2, 1))
        assert len(set(again.weight_labels)) == len(again.weight_labels) == 2


class TestTies:
    def test_tied_sites_share_one_parameter(self, plain: sa.SoftAtoms) -> None:
        soft = plain.with_existence([0, 4, 7], 0.5, tie="ghost")
        assert soft.weight_labels == ("ghost:Cu",)
        changed = soft.with_weights([0.125])
        assert changed.existence.tolist() == [0.125, 1, 1, 1, 0.125, 1, 1, 0.125]

    def test_untied_sites_do_not(self, plain: sa.SoftAtoms) -> None:
        soft = plain.with_existence([0, 4], 0.5)
        assert soft.weight_labels == ("site0:Cu", "site4:Cu")

    def test_a_tie_is_joined_in_any_order_of_candidates(self, plain: sa.SoftAtoms) -> None:
        soft = plain.with_candidates([3], {"Cu": 0.6, "Au": 0.4}, tie="a")
        joined = soft.with_candidates([0], {"Au": 0.4, "Cu": 0.6}, tie="a")
        assert joined.weight_labels == ("a:Cu", "a:Au")
        assert joined.candidates(0) == {"Cu": 0.6, "Au": 0.4}

    def test_all_sites_of_a_tie_may_be_changed_at_once(self, plain: sa.SoftAtoms) -> None:
        soft = plain.with_candidates([0, 1], {"Cu": 0.6, "Au": 0.4}, tie="a")
        changed = soft.with_candidates([0, 1, 2], {"Al": 0.3}, tie="a")
        assert changed.weight_labels == ("a:Al",)
        assert changed.site_group.tolist() == [0, 0, 0, -1, -1, -1, -1, -1]

    def test_a_site_leaves_its_tie_when_it_is_changed(self, plain: sa.SoftAtoms) -> None:
        soft = plain.with_existence([0, 1], 0.5, tie="a").with_existence([0], 0.25)
        assert soft.weight_labels == ("site0:Cu", "a:Cu")
        gone = soft.with_existence([1], 0.75)
        assert gone.weight_labels == ("site0:Cu", "site1:Cu")

    def test_existence_of_several_species_at_once(self) -> None:
        atoms = Atoms("CuOCu", [[0, 0, 0], [2, 0, 0], [4, 0, 0]])
        soft = sa.SoftAtoms.from_ase(atoms).with_existence([0, 1, 2], 0.5)
        assert soft.weight_labels == ("site0:Cu", "site1:O", "site2:Cu")


class TestImmutability:
    def test_nothing_of_the_original_changes(self, plain: sa.SoftAtoms) -> None:
        soft = plain.with_candidates([0], {"Cu": 0.6, "Au": 0.4}, tie="a")
        before = soft.to_extxyz()
        soft.with_weights([0.5, 0.5])
        soft.with_existence([3], 0.1)
        soft.with_candidates([0, 1], {"Al": 1.0})
        soft.with_positions(soft.positions + 1.0, 2.0 * soft.cell)
        soft.with_velocities(np.ones((8, 3)))
        soft.select([0, 1])
        soft.repeat((2, 2, 2))
        assert soft.to_extxyz() == before

    def test_arrays_of_the_caller_are_copied(self, plain: sa.SoftAtoms) -> None:
        atoms = bulk("Cu", cubic=True)
        taken = sa.SoftAtoms.from_ase(atoms)
        atoms.positions += 1.0
        assert taken.positions[0].tolist() == [0.0, 0.0, 0.0]
        velocities, theta = np.ones((8, 3)), torch.tensor([0.5], dtype=torch.float64)
        soft = plain.with_existence([0], 0.1).with_weights(theta).with_velocities(velocities)
        positions, cell = soft.positions.copy(), soft.cell.copy()
        moved = soft.with_positions(positions, cell)
        selected = soft.select(np.arange(8), positions=positions, cell=cell)
        theta[0], velocities[:], positions[:], cell[:] = 0.0, 0.0, 0.0, 0.0
        assert soft.weights.tolist() == [0.5]
        assert soft.velocities is not None
        assert soft.velocities.all()
        for copied in (moved, selected):
            assert np.array_equal(copied.positions, plain.positions)
            assert np.array_equal(copied.cell, plain.cell)

    def test_one_change_leaves_the_rest(self, plain: sa.SoftAtoms) -> None:
        soft = plain.with_existence([0], 0.25).with_velocities(np.ones((8, 3)))
        moved = soft.with_positions(soft.positions + 0.5)
        assert moved.weights.tolist() == [0.25]
        assert np.array_equal(moved.cell, soft.cell)
        assert np.array_equal(moved.velocities, soft.velocities)
        assert moved.with_velocities(None).velocities is None


class TestSelect:
    def test_takes_sites_in_the_order_given(self, plain: sa.SoftAtoms) -> None:
        soft = plain.with_existence([1], 0.25).with_candidates([6], {"Au": 0.5, "Cu": 0.5})
        part = soft.select([6, 0, 1])
        assert part.weight_labels == ("site0:Au", "site0:Cu", "site2:Cu")
        assert np.array_equal(part.positions, soft.positions[[6, 0, 1]])
        assert part.existence.tolist() == [1.0, 1.0, 0.25]

    def test_a_group_without_sites_is_dropped(self, plain: sa.SoftAtoms) -> None:
        soft = plain.with_existence([1], 0.25).with_existence([2, 3], 0.5, tie="a")
        assert soft.select([0, 2]).weight_labels == ("a:Cu",)
        assert len(soft.select([0]).weights) == 0

    def test_a_mask_and_negative_indices(self, plain: sa.SoftAtoms) -> None:
        mask = np.array([True, False, True, False, False, False, False, True])
        assert np.array_equal(plain.select(mask).positions, plain.positions[[0, 2, 7]])
        assert np.array_equal(plain.select([-1, 0]).positions, plain.positions[[7, 0]])

    def test_copies_of_an_untied_site_share_its_weight(self, plain: sa.SoftAtoms) -> None:
        soft = plain.with_existence([1], 0.25)
        copies = soft.select([1, 1], positions=np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
        assert copies.weight_labels == ("copies-of-site1:Cu",)
        assert copies.site_group.tolist() == [0, 0]

    def test_velocities_and_masses_come_along(self) -> None:
        atoms = bulk("Cu", cubic=True)
        atoms.set_masses([61.0, 62.0, 63.0, 64.0])
        soft = sa.SoftAtoms.from_ase(atoms).with_velocities(np.arange(12.0).reshape(4, 3))
        part = soft.select([3, 1])
        assert part.node_mass.tolist() == [64.0, 62.0]
        assert np.array_equal(part.velocities, [[9.0, 10.0, 11.0], [3.0, 4.0, 5.0]])


class TestRepeat:
    def test_is_the_supercell_of_ase(self) -> None:
        atoms = bulk("Cu") * (1, 2, 1)
        atoms.set_velocities(np.arange(6.0).reshape(2, 3))
        repeated = sa.SoftAtoms.from_ase(atoms).repeat((2, 1, 3))
        expected = sa.SoftAtoms.from_ase(atoms * (2, 1, 3))
        assert np.allclose(repeated.positions, expected.positions, rtol=0, atol=1e-12)
        assert np.allclose(repeated.cell, expected.cell, rtol=0, atol=1e-12)
        assert np.allclose(repeated.velocities, expected.velocities, rtol=1e-12, atol=0)

    def test_keeps_ties_and_the_number_of_weights(self, plain: sa.SoftAtoms) -> None:
        soft = plain.with_existence([1], 0.25).with_existence([2, 3], 0.5, tie="a")
        large = soft.repeat((1, 2, 3))
        assert len(large) == 48
        assert large.weight_labels == ("copies-of-site1:Cu", "a:Cu")
        assert large.existence.sum() == pytest.approx(6 * soft.existence.sum())
        assert large.repeat((2, 1, 1)).weight_labels == large.weight_labels
        assert soft.repeat((1, 1, 1)).weight_labels == soft.weight_labels


class TestNodes:
    def test_there_is_one_node_per_site_and_candidate(self, plain: sa.SoftAtoms) -> None:
        soft = (
            plain.select([0, 1, 2, 3])
            .with_candidates([3, 1], {"Au": 0.25, "Cu": 0.5}, tie="a")
            .with_existence([2], 0.75)
        )
        assert soft.candidate_counts.tolist() == [1, 2, 1, 2]
        assert soft.node_site.tolist() == [0, 1, 1, 2, 3, 3]
        assert soft.node_number.tolist() == [29, 79, 29, 29, 79, 29]
        assert soft.node_parameter.tolist() == [-1, 0, 1, 2, 0, 1]
        assert soft.node_weight.tolist() == [1.0, 0.25, 0.5, 0.75, 0.25, 0.5]
        assert np.array_equal(soft.node_mass, atomic_masses[soft.node_number])
        assert soft.existence.tolist() == [1.0, 0.75, 0.75, 0.75]
        assert len(soft) == 4
        assert repr(soft) == "SoftAtoms(4 sites, 3 soft, 3 weights, pbc=TTT)"

    def test_candidates_of_a_plain_and_of_a_soft_site(self, plain: sa.SoftAtoms) -> None:
        soft = plain.with_candidates(-1, {"Al": 0.25, "O": 0.5})
        assert soft.candidates(0) == {"Cu": 1.0}
        assert soft.candidates(7) == {"Al": 0.25, "O": 0.5}

    def test_isotopes_stay_what_they_are_when_their_existence_softens(self) -> None:
        water = Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
        water.set_masses([15.999, 2.014, 2.014])
        soft = sa.SoftAtoms.from_ase(water).with_existence([1, 2], 0.5, tie="heavy")
        assert soft.node_mass.tolist() == [15.999, 2.014, 2.014]
        replaced = soft.with_candidates([1], {"Li": 1.0})
        assert replaced.node_mass[1] == atomic_masses[atomic_numbers["Li"]]

    def test_rounded_occupancies_and_small_steps_are_accepted(self, plain: sa.SoftAtoms) -> None:
        soft = plain.with_candidates([0], {"Cu": 0.3334, "Au": 0.3333, "Al": 0.3333})
        assert soft.with_weights([1.0001, 0.0, -0.0001]).weights[0] == 1.0001
