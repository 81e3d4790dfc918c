"""Parent lattices, grids and tasks."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import spglib
from ase.build import bulk

from softatoms.composition.grid import count_simplex, simplex
from softatoms.composition.prototypes import PROTOTYPES
from softatoms.composition.structures import (
    experimental_volume,
    explicit_crystal,
    guessed_lattice_parameter,
    plain_crystal,
    soft_crystal,
    supercell,
)
from softatoms.composition.tasks import Task, assign_shards, formula, list_tasks, manifest_rows
from softatoms.config import load_config
from softatoms.config.potential_options import GUPTA_ELEMENTS

SPACE_GROUPS = {"fcc": "Fm-3m", "bcc": "Im-3m", "L1_2": "Pm-3m", "B2": "Pm-3m"}


# A notice of spglib to those who catch its errors.
@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
@pytest.mark.parametrize("name", PROTOTYPES)
class TestPrototype:
    def test_space_group_with_another_element_per_sublattice(self, name):
        lattice = PROTOTYPES[name]
        numbers = [list(lattice.sublattices).index(s) + 1 for _, s in lattice.sites]
        cell = (lattice.vectors, [position for position, _ in lattice.sites], numbers)
        assert spglib.get_spacegroup(cell).split()[0] == SPACE_GROUPS[name]

    def test_one_element_gives_the_reference_lattice(self, name):
        lattice = PROTOTYPES[name]
        ours = plain_crystal(lattice, 4.0, ["Cu"] * len(lattice.sites)).to_ase()
        cell = (ours.cell.array, ours.get_scaled_positions(), ours.numbers)
        assert spglib.get_spacegroup(cell).split()[0] == SPACE_GROUPS[lattice.reference]
        theirs = bulk("Cu", lattice.reference, a=4.0)
        assert ours.get_volume() / len(ours) == pytest.approx(theirs.get_volume())
        assert ours.get_volume() * lattice.sites_per_cube == pytest.approx(64.0 * len(ours))

    def test_neighbour_distance(self, name):
        lattice = PROTOTYPES[name]
        atoms = plain_crystal(lattice, 1.0, ["H"] * len(lattice.sites)).to_ase().repeat(3)
        distances = atoms.get_all_distances(mic=True)[0]
        assert np.sort(distances)[1] == pytest.approx(lattice.neighbour_distance)

    def test_supercell_of_conventional_cubes(self, name):
        lattice = PROTOTYPES[name]
        empty = supercell(lattice, [2, 1, 3])
        np.testing.assert_allclose(empty.cell, np.diag([2.0, 1.0, 3.0]), atol=1e-12)
        assert len(empty.positions) == 6 * lattice.sites_per_cube
        share = np.bincount(empty.sublattice) / len(empty.positions)
        expected = np.array(list(lattice.sublattices.values())) / len(lattice.sites)
        np.testing.assert_allclose(share, expected)
        crystal = explicit_crystal(empty, 4.0, ["Cu"] * len(empty.positions)).to_ase()
        found = spglib.get_symmetry_dataset(
            (crystal.cell.array, crystal.get_scaled_positions(), crystal.numbers)
        )
        assert found.international == SPACE_GROUPS[lattice.reference]

    def test_every_sublattice_of_a_soft_crystal_is_one_group(self, name):
        lattice = PROTOTYPES[name]
        occupation = {s: {"Cu": 0.25, "Au": 0.75} for s in lattice.sublattices}
        soft = soft_crystal(lattice, 4.0, occupation)
        assert soft.weight_labels == tuple(
            f"{s}:{element}" for s in lattice.sublattices for element in ("Cu", "Au")
        )
        np.testing.assert_allclose(soft.existence, 1.0)


MEASURED = {
    "Ar": ("fcc", 5.31),
    "Ni": ("fcc", 3.524),
    "Cu": ("fcc", 3.615),
    "Pd": ("fcc", 3.891),
    "Ag": ("fcc", 4.086),
    "Pt": ("fcc", 3.924),
    "Au": ("fcc", 4.078),
    "Al": ("fcc", 4.050),
    "Pb": ("fcc", 4.951),
    "V": ("bcc", 3.024),
    "Nb": ("bcc", 3.301),
    "Mo": ("bcc", 3.147),
    "Ta": ("bcc", 3.303),
    "W": ("bcc", 3.165),
    "Fe": ("bcc", 2.866),
    "Na": ("bcc", 4.29),
}
"""Measured lattice parameters in Å of elements that crystallise so."""


@pytest.mark.parametrize("element", MEASURED)
def test_guessed_lattice_parameters_are_near_measured_ones(element):
    lattice, a = MEASURED[element]
    assert guessed_lattice_parameter(PROTOTYPES[lattice], element) == pytest.approx(a, rel=0.05)


def test_every_gupta_element_is_among_them():
    assert set(GUPTA_ELEMENTS) <= set(MEASURED)


@pytest.mark.parametrize(
    ("element", "volume"),
    # Å³ per atom, from densities.
    [("Ti", 17.65), ("Zn", 15.2), ("Mg", 23.2), ("Si", 20.02), ("Po", 38.1), ("In", 26.1)],
)
def test_volumes_of_other_lattices(element, volume):
    assert experimental_volume(element) == pytest.approx(volume, rel=0.03)
    a = guessed_lattice_parameter(PROTOTYPES["bcc"], element)
    assert a**3 / 2 == pytest.approx(experimental_volume(element), rel=1e-12)


def test_without_a_simple_reference_state_covalent_spheres_touch():
    """Tellurium's lattice is called hexagonal, but it holds chains; oxygen is a gas."""
    for element, radius in (("O", 0.66), ("Te", 1.38), ("Rn", 1.50)):
        assert experimental_volume(element) is None
        a = guessed_lattice_parameter(PROTOTYPES["fcc"], element)
        assert a / 2**0.5 == pytest.approx(2 * radius, rel=1e-9)


@pytest.mark.parametrize(("components", "divisions", "most"), [(1, 3, 1), (2, 5, 2), (4, 6, 3)])
def test_simplex_lists_every_point_once(components, divisions, most):
    points = list(simplex(components, divisions, most))
    every = [
        p
        for p in product(range(divisions + 1), repeat=components)
        if sum(p) == divisions and sum(part > 0 for part in p) <= most
    ]
    assert sorted(points) == sorted(every)
    assert len(points) == count_simplex(components, divisions, most)


def test_simplex_of_fewer_divisions_than_components():
    assert sorted(simplex(4, 1, 4)) == sorted(map(tuple, np.eye(4, dtype=int).tolist()))


def test_formula():
    assert formula({"Cu": 1.0, "Au": 0.0}) == "Cu"
    assert formula({"Cu": 0.75, "Au": 0.25}) == "Au0.25Cu0.75"
    assert formula({"Cu": 2 / 3, "Au": 1 / 3}) == "Au0.3333Cu0.6667"


ROOT = Path(__file__).parents[2]


class TestTasks:
    @pytest.fixture
    def config(self):
        return load_config(ROOT / "config/config.yaml")

    @pytest.fixture
    def screening(self):
        return load_config(ROOT / "config/screening/fcc-metals.yaml")

    def test_identifiers_are_unique_and_the_same_every_time(self, screening):
        tasks = list_tasks(screening)
        names = [task.identifier for task in tasks]
        assert len(set(names)) == len(names)
        assert names == [task.identifier for task in list_tasks(screening)]

    def test_the_seed_is_part_of_what_depends_on_it(self, config):
        seeded = config.model_copy(
            update={"campaign": config.campaign.model_copy(update={"seed": 5})}
        )
        for old, new in zip(list_tasks(config), list_tasks(seeded), strict=True):
            assert (old.identifier != new.identifier) == (old.method == "sqs")

    def test_fractions_sum_to_one_and_round_trip_through_the_manifest(self, config):
        for task, row in zip(list_tasks(config), manifest_rows(config), strict=True):
            assert sum(task.fractions.values()) == pytest.approx(1.0, abs=1e-12)
            assert Task.from_row(row) == task
            assert row["x_Cu"] == task.fractions.get("Cu", 0.0)

    def test_sublattices_weigh_by_their_sites(self):
        occupation = {"corner": {"Au": 1.0}, "face": {"Cu": 0.5, "Au": 0.5}}
        task = Task("t", "s", "L1_2", "mean_field", 0, occupation, 1.0)
        assert task.fractions == {"Au": 0.625, "Cu": 0.375}

    def test_shards_are_complete_and_balanced(self, config, screening):
        for campaign in (config, screening):
            tasks = list_tasks(campaign)
            shards = assign_shards(tasks, campaign.n_shards())
            assert set(shards) == set(range(campaign.n_shards()))
            loads = np.zeros(campaign.n_shards())
            np.add.at(loads, shards, [task.cost for task in tasks])
            assert loads.max() - loads.min() <= max(task.cost for task in tasks)
            assert shards == assign_shards(tasks, campaign.n_shards())

    def test_an_expensive_task_counts_for_many_cheap_ones(self):
        cheap = Task("c", "s", "fcc", "mean_field", 0, {"site": {"Cu": 1.0}}, 1.0)
        tasks = [*[cheap] * 4, dataclasses.replace(cheap, cost=8.0), *[cheap] * 4]
        shards = assign_shards(tasks, 2)
        assert [s == shards[4] for s in shards] == [i == 4 for i in range(9)]

    def test_absent_elements_are_candidates_only_without_a_limit(self, config, screening):
        pure = next(t for t in list_tasks(config) if t.fractions.get("Cu") == 1.0)
        assert json.loads(json.dumps(pure.occupation)) == {"site": {"Cu": 1.0, "Au": 0.0}}
        sizes = Counter(len(task.occupation["site"]) for task in list_tasks(screening))
        # Two lattices, eight metals, tenths: 8, 28·9, 56·36 and 70·84 compositions each.
        assert sizes == {1: 16, 2: 504, 3: 4032, 4: 11760}
