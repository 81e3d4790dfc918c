"""Equivalent structures are found, different ones are kept apart, and selections cover."""

from __future__ import annotations

import time

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, make_supercell, molecule
from dataset_samples import DFT, needs_dft
from scipy.spatial.transform import Rotation

from softatoms import SoftAtoms
from softatoms.dataset import equivalence
from softatoms.dataset.descriptor import describe, describe_sites, formula_of
from softatoms.dataset.duplicates import fingerprints, representatives
from softatoms.dataset.equivalence import same_structure
from softatoms.dataset.maml import read_maml
from softatoms.dataset.selection import coverage_radius, farthest_points
from softatoms.errors import OptionError


def alloy(seed: int = 0) -> Atoms:
    """A rattled cell of eight atoms of two kinds."""
    atoms = bulk("Cu", cubic=True).repeat((2, 1, 1))
    atoms.symbols[[0, 3, 5]] = "Au"
    atoms.rattle(0.1, rng=np.random.default_rng(seed))
    return atoms


def moved(atoms: Atoms, seed: int = 1) -> Atoms:
    """A copy that is turned, shifted, reordered and wrapped otherwise."""
    rng = np.random.default_rng(seed)
    turn = Rotation.random(rng=rng).as_matrix()
    copy = atoms.copy()
    copy.set_cell(atoms.cell @ turn, scale_atoms=False)
    shifts = rng.integers(-2, 3, size=(len(atoms), 3)) * atoms.pbc
    copy.positions = atoms.positions @ turn + shifts @ np.array(copy.cell) + rng.normal(size=3)
    return copy[rng.permutation(len(atoms))]


def sheared(atoms: Atoms) -> Atoms:
    """The same crystal in a larger, oblique cell."""
    return make_supercell(atoms, [[1, 1, 0], [0, 1, 0], [0, 1, 2]])


def boxed(name: str) -> Atoms:
    """A molecule in a periodic box."""
    atoms = molecule(name, vacuum=5.0)
    atoms.pbc = True
    return atoms


SYSTEMS = {
    "alloy": alloy(),
    "ideal": bulk("Cu", cubic=True),
    "slab": fcc111("Cu", (2, 2, 3), vacuum=8.0),
    "molecule": molecule("CH3CH2OH"),
    "dimer": molecule("CO"),
    "atom": Atoms("Cu"),
    "far apart": Atoms("CuAu", [[0.0, 0.0, 0.0], [0.0, 0.0, 9.0]]),
    "linear in a box": boxed("CO2"),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_moved_copies_are_found(name):
    atoms = SYSTEMS[name]
    mirror = atoms.copy()
    mirror.positions[:, 0] *= -1
    mirror.cell[:, 0] *= -1
    copies = [atoms, moved(atoms), moved(atoms, 2), mirror]
    copies += [sheared(atoms), atoms.repeat((2, 1, 1))] if atoms.pbc.all() else []
    structures = [SoftAtoms.from_ase(copy) for copy in copies]
    np.testing.assert_array_equal(representatives(structures), 0)
    table = fingerprints(structures)
    scale = np.abs(table).max()
    assert np.abs(table - table[0]).max() <= 1e-9 * max(scale, 1.0)


def test_other_structures_are_kept():
    atoms = alloy()
    nudged = atoms.copy()
    nudged.positions[2, 0] += 0.02
    strained = atoms.copy()
    strained.set_cell(atoms.cell * 1.002, scale_atoms=True)
    swapped = atoms.copy()
    swapped.symbols[[0, 1]] = ["Cu", "Au"]
    vacancy = atoms[1:]
    gold = atoms.copy()
    gold.symbols[:] = "Au"
    hcp = bulk("Cu", "hcp", a=2.5527, c=2.5527 * np.sqrt(8 / 3))
    others = [nudged, strained, swapped, vacancy, gold, bulk("Cu"), hcp, alloy(5)]
    structures = [SoftAtoms.from_ase(other) for other in (atoms, *others)]
    np.testing.assert_array_equal(representatives(structures), np.arange(len(structures)))


def test_decorations_that_agree_in_all_pairs_and_angles_differ():
    """Fillings of one cube of sixteen sites that distances and angles do not tell apart."""
    lattice = bulk("Mo", cubic=True, a=3.3).repeat(2)
    rng = np.random.default_rng(0)
    found: dict[bytes, list[SoftAtoms]] = {}
    for _ in range(400):
        atoms = lattice.copy()
        atoms.symbols[rng.choice(16, 7, replace=False)] = "Ta"
        soft = SoftAtoms.from_ase(atoms)
        key = np.round(fingerprints([soft]), 6).tobytes()
        others = found.setdefault(key, [])
        if not any(same_structure(soft, other) for other in others):
            others.append(soft)
    degenerate = [group for group in found.values() if len(group) > 1]
    assert degenerate
    for group in degenerate:
        np.testing.assert_array_equal(representatives(group), np.arange(len(group)))


def test_one_displaced_atom_of_many_needs_no_search(monkeypatch):
    def searched(*_: object) -> bool:
        raise AssertionError("looked for a motion although one site has no counterpart")

    ideal = bulk("Cu", cubic=True).repeat(4)
    other = ideal.copy()
    other.positions[-1, 0] += 0.1
    soft, displaced = SoftAtoms.from_ase(ideal), SoftAtoms.from_ase(other)
    assert same_structure(displaced, SoftAtoms.from_ase(moved(other)))
    monkeypatch.setattr(equivalence._Sites, "lands_on", searched)
    assert not same_structure(soft, displaced)
    assert not same_structure(displaced, soft)


def test_neighbours_at_the_cutoff_do_not_tell_copies_apart():
    for seed in range(5):
        atoms = bulk("Po", "sc", a=2.5).repeat((2, 1, 1))
        atoms.symbols[0] = "Au"
        copy = moved(atoms, seed)
        assert same_structure(SoftAtoms.from_ase(atoms), SoftAtoms.from_ase(copy))


def test_soft_sites_count_with_their_weights():
    plain = SoftAtoms.from_ase(bulk("Cu", cubic=True))
    half = plain.with_existence([0], 0.5)
    mixed = plain.with_candidates([1], {"Cu": 0.25, "Au": 0.75})
    full = plain.with_existence([0], 1.0)
    copies = [plain, half, mixed, full, plain.with_existence([2], 0.5)]
    np.testing.assert_array_equal(representatives(copies), [0, 1, 2, 0, 1])
    assert [formula_of(soft) for soft in copies[:3]] == ["Cu4", "Cu3.5", "Au0.75Cu3.25"]


def test_descriptions_do_not_depend_on_what_else_is_described():
    soft = SoftAtoms.from_ase(alloy())
    alone = next(describe_sites([soft])).features
    many = list(describe_sites([SoftAtoms.from_ase(alloy(i)) for i in (4, 5)] + [soft]))[-1]
    np.testing.assert_allclose(many.features, alone, rtol=1e-10, atol=1e-12)
    assert describe([]).shape == (0, 0)
    assert representatives([]).shape == (0,)


def test_farthest_points_cover_better_than_chance():
    rng = np.random.default_rng(0)
    # Most points lie in one place, as snapshots of one trajectory do.
    points = np.concatenate([rng.normal(scale=0.1, size=(900, 6)), 3 * rng.normal(size=(100, 6))])
    chosen = farthest_points(points, 60)
    np.testing.assert_array_equal(chosen, farthest_points(points, 60))
    assert len(set(chosen.tolist())) == 60
    np.testing.assert_array_equal(chosen[:20], farthest_points(points, 20))
    chance = [
        coverage_radius(points, np.random.default_rng(seed).permutation(1000)[:60])
        for seed in range(20)
    ]
    assert coverage_radius(points, chosen) < 0.8 * min(chance)
    more = farthest_points(points, 10, chosen=chosen)
    np.testing.assert_array_equal(np.concatenate([chosen, more]), farthest_points(points, 70))
    assert len(farthest_points(points[:5], 9)) == 5
    assert len(farthest_points(points, 0)) == 0
    with pytest.raises(OptionError, match="at least 0"):
        farthest_points(points, -1)


@needs_dft
def test_published_data_have_symmetric_copies_and_are_covered_quickly():
    paths = sorted((DFT / "cu").glob("*.json.gz"))
    frames = read_maml(paths).frames
    started = time.perf_counter()
    own = representatives([frame.soft for frame in frames])
    copies = np.flatnonzero(own != np.arange(len(frames)))
    assert len(copies) == 91
    assert time.perf_counter() - started < 60
    for later, first in zip(copies, own[copies], strict=True):
        assert frames[later].frame_id.startswith("Elastic")
        energies = [frames[i].energy for i in (later, first)]
        assert abs(np.subtract(*energies)) < 1e-3 * frames[first].n_sites
    table = describe([frame.soft for frame in frames])
    chosen = farthest_points(table, 60)
    chance = np.random.default_rng(0).permutation(len(frames))[:60]
    assert coverage_radius(table, chosen) < 0.5 * coverage_radius(table, chance)
