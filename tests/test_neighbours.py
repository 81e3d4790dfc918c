"""Pair lists against a brute-force search, and lists with a skin along wild motions."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

import softatoms as sa
from softatoms.neighbours import Pairs, SkinnedList, neighbour_pairs, pair_vectors

ALL_PBC = [np.array(pbc) for pbc in itertools.product([False, True], repeat=3)]


def as_set(pairs: Pairs) -> set[tuple[int, ...]]:
    rows = zip(*(part.tolist() for part in pairs), strict=True)
    listed = [(receiver, sender, *shift) for receiver, sender, shift in rows]
    assert len(set(listed)) == len(listed), "a pair is listed twice"
    return set(listed)


def brute_force(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    cutoff: float,
) -> set[tuple[int, ...]]:
    """Every pair and every image that could possibly be near enough, one by one."""
    periodic = np.flatnonzero(pbc)
    reach = np.zeros(3, dtype=int)
    if len(periodic):
        # Rows of the pseudoinverse are 1/height of the cell along each periodic direction.
        across = np.linalg.pinv(cell[periodic])
        heights = 1.0 / np.linalg.norm(across, axis=0)
        spread = np.ptp(positions @ across, axis=0)
        reach[periodic] = np.ceil(cutoff / heights + spread).astype(int) + 1
    shifts = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))))
    apart = positions[None, :] - positions[:, None]
    vectors = apart[None] + (shifts @ cell)[:, None, None]
    found = set()
    for image, receiver, sender in np.argwhere((vectors**2).sum(axis=3) < cutoff**2).tolist():
        if receiver != sender or shifts[image].any():
            found.add((receiver, sender, *shifts[image].tolist()))
    return found


def random_cell(rng: np.random.Generator, pbc: NDArray[np.bool_]) -> NDArray[np.float64]:
    """A triclinic cell that is far from flat, often without vectors where nothing repeats."""
    while True:
        cell = rng.normal(size=(3, 3)) * rng.uniform(0.8, 4.0)
        flatness = abs(np.linalg.det(cell)) / np.prod(np.linalg.norm(cell, axis=1))
        if flatness > 0.15:
            break
    cell[~pbc & (rng.random(3) < 0.6)] = 0.0
    return cell


class TestPairs:
    @pytest.mark.parametrize("pbc", ALL_PBC, ids=lambda pbc: "".join("FT"[int(p)] for p in pbc))
    def test_are_those_of_a_brute_force_search(self, pbc: NDArray[np.bool_]) -> None:
        rng = np.random.default_rng(17)
        n_found = 0
        for _ in range(25):
            cell = random_cell(rng, pbc)
            positions = rng.normal(size=(rng.integers(1, 8), 3)) * rng.choice([1.0, 3.0])
            cutoff = rng.uniform(0.5, 4.0)
            # Far outside the cell, and across it where nothing repeats.
            positions += rng.integers(-3, 4, size=positions.shape) @ cell
            pairs = neighbour_pairs(positions, cell, pbc, cutoff)
            assert as_set(pairs) == brute_force(positions, cell, pbc, cutoff)
            assert (np.diff(pairs.receivers) >= 0).all()
            vectors = pair_vectors(positions, cell, pairs)
            assert (np.linalg.norm(vectors, axis=1) < cutoff).all()
            n_found += len(pairs.receivers)
        assert n_found > 50

    def test_of_a_cell_much_smaller_than_the_cutoff(self) -> None:
        cell = np.array([[0.9, 0.1, 0.0], [-0.2, 1.1, 0.3], [0.3, 0.0, 1.0]])
        positions = np.array([[0.0, 0.0, 0.0], [0.4, 0.5, -7.0]])
        pbc = np.ones(3, dtype=bool)
        pairs = neighbour_pairs(positions, cell, pbc, 3.7)
        assert len(pairs.receivers) > 500
        assert as_set(pairs) == brute_force(positions, cell, pbc, 3.7)

    def test_do_not_depend_on_lattice_vectors_along_which_nothing_repeats(self) -> None:
        rng = np.random.default_rng(5)
        positions = rng.normal(size=(20, 3)) * 3.0
        pbc = np.array([True, False, False])
        bare = np.diag([4.0, 0.0, 0.0])
        expected = brute_force(positions, bare, pbc, 3.0)
        for others in ([[0, 0, 0], [0, 0, 9]], [[1, 2, 0], [-3, 1e-4, 1]], [[8, 0, 0], [1, 1, 1]]):
            cell = np.array([[4.0, 0.0, 0.0], *others])
            assert as_set(neighbour_pairs(positions, cell, pbc, 3.0)) == expected

    def test_types_are_the_same_with_and_without_pairs(self) -> None:
        cell, pbc = np.zeros((3, 3)), np.zeros(3, dtype=bool)
        for distance in (1.0, 10.0):
            positions = np.array([[0.0, 0.0, 0.0], [distance, 0.0, 0.0]])
            pairs = neighbour_pairs(positions, cell, pbc, 2.0)
            assert [part.dtype for part in pairs] == [np.int64, np.int64, np.int32]
            assert pairs.shifts.shape == (len(pairs.receivers), 3)

    def test_of_thin_and_of_exploded_systems(self) -> None:
        # A grid finer than the search library bears used to end the process, not raise.
        done = subprocess.run(
            [sys.executable, "-c", THIN_SYSTEMS], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["sheet", "film", "wire", "exploded", "long"]

    def test_of_a_cluster_whose_parts_have_flown_apart(self) -> None:
        rng = np.random.default_rng(8)
        here = 0.6 * rng.normal(size=(10, 3))
        away = here[:4] + np.array([1e5, -3e7, 2e3])
        positions = np.concatenate([here, away])
        cell, pbc = np.zeros((3, 3)), np.zeros(3, dtype=bool)
        pairs = neighbour_pairs(positions, cell, pbc, 1.5)
        assert as_set(pairs) == brute_force(positions, cell, pbc, 1.5)
        assert pairs.receivers.max() > 9

    def test_what_cannot_be_searched_is_named(self) -> None:
        positions, pbc = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, np.nan]]), np.ones(3, dtype=bool)
        with pytest.raises(sa.StructureError, match="position of site 1"):
            neighbour_pairs(positions, np.eye(3), pbc, 2.0)
        with pytest.raises(sa.StructureError, match="periodic lattice vector 1 is zero"):
            neighbour_pairs(positions[:1], np.diag([3.0, 0.0, 3.0]), pbc, 2.0)
        with pytest.raises(sa.StructureError, match="linearly dependent"):
            neighbour_pairs(positions[:1], np.ones((3, 3)) + np.eye(3)[0], pbc, 2.0)
        with pytest.raises(sa.StructureError, match=r"too large .* 1e\+09 Å"):
            neighbour_pairs(positions[:1], np.diag([3.0, 3.0, 1e9]), pbc, 2.0)


THIN_SYSTEMS = """
import numpy as np
from softatoms.neighbours import neighbour_pairs
from scipy.spatial import cKDTree

def check(name, positions, cell, pbc, cutoff, count):
    pairs = neighbour_pairs(positions, cell, np.array(pbc, dtype=bool), cutoff)
    assert len(pairs.receivers) == count, (name, len(pairs.receivers), count)
    print(name, flush=True)

rng = np.random.default_rng(0)
sheet = np.zeros((5000, 3))
sheet[:, :2] = rng.uniform(0, 600, size=(5000, 2))
near = 2 * len(cKDTree(sheet).query_pairs(1.0))
assert near > 0
check("sheet", sheet, np.zeros((3, 3)), [0, 0, 0], 1.0, near)
in_cell = 2 * len(cKDTree(sheet[:, :2], boxsize=600.0).query_pairs(1.0))
check("film", sheet + [0, 0, 40.0], np.diag([600.0, 600, 0]), [1, 1, 0], 1.0, in_cell)
wire = np.zeros((4000, 3))
wire[:, 2] = np.arange(4000) * 40.0
check("wire", wire, np.zeros((3, 3)), [0, 0, 0], 1.0, 0)
exploded = np.array([[0.0, 0, 0], [1e9, 2e8, 0], [1e9, 2e8, 0.5]])
check("exploded", exploded, np.diag([4.0, 4, 0]), [0, 0, 0], 1.0, 2)
check("long", np.zeros((1, 3)), np.diag([2.0, 2, 4e5]), [1, 1, 1], 2.5, 4)
"""


class TestSkinnedList:
    @pytest.mark.parametrize("pbc", ALL_PBC, ids=lambda pbc: "".join("FT"[int(p)] for p in pbc))
    def test_never_misses_a_pair(self, pbc: NDArray[np.bool_]) -> None:
        rng = np.random.default_rng(23)
        kept = 0
        for _ in range(12):
            cutoff, skin = rng.uniform(1.5, 2.5), rng.uniform(0.2, 1.0)
            cell = 1.5 * random_cell(rng, pbc)
            positions = rng.normal(size=(rng.integers(1, 7), 3)) * 2.0
            skinned = SkinnedList(cutoff, skin)
            jump, strain = rng.choice([0.02, 0.08]), rng.choice([0.0, 0.02])
            drift = rng.normal(size=3) * rng.choice([0.0, 1.0])
            for _ in range(8):
                found = as_set(skinned.pairs(positions, cell, pbc))
                assert brute_force(positions, cell, pbc, cutoff) <= found
                deformation = np.eye(3) + strain * rng.normal(size=(3, 3))
                cell = cell @ deformation
                positions = positions @ deformation + jump * rng.normal(size=positions.shape)
                positions += drift
            kept += 8 - skinned.rebuilds
        assert kept > 10

    def test_finds_what_crosses_the_margin_at_once(self) -> None:
        skinned = SkinnedList(2.0, 0.5)
        cell, pbc = np.diag([20.0, 20.0, 20.0]), np.ones(3, dtype=bool)
        positions = np.array([[0.0, 0.0, 0.0], [2.51, 0.0, 0.0]])
        assert len(skinned.pairs(positions, cell, pbc).receivers) == 0
        # Each site may move half the skin relative to their mean, and not a bit more.
        positions[1, 0] = 2.02
        assert len(skinned.pairs(positions, cell, pbc).receivers) == 0
        assert skinned.rebuilds == 1
        positions[1, 0] = 1.99
        assert len(skinned.pairs(positions, cell, pbc).receivers) == 2
        assert skinned.rebuilds == 2

    def test_a_common_drift_needs_no_new_search(self) -> None:
        rng = np.random.default_rng(1)
        skinned = SkinnedList(2.0, 0.3)
        cell, pbc = 6.0 * np.eye(3), np.ones(3, dtype=bool)
        positions = rng.uniform(0, 6, size=(10, 3))
        for _ in range(20):
            skinned.pairs(positions, cell, pbc)
            positions = positions + np.array([0.7, -2.0, 11.0])
        assert skinned.rebuilds == 1

    @pytest.mark.parametrize("pbc", ALL_PBC, ids=lambda pbc: "".join("FT"[int(p)] for p in pbc))
    def test_a_slight_deformation_needs_no_new_search(self, pbc: NDArray[np.bool_]) -> None:
        rng = np.random.default_rng(2)
        positions = rng.uniform(0, 30, size=(20, 3))
        cell = np.where(pbc[:, None], 30.0 * np.eye(3) + rng.normal(size=(3, 3)), 0.0)
        skinned = SkinnedList(3.0, 0.5)
        skinned.pairs(positions, cell, pbc)
        # Homogeneous along the lattice vectors that exist: sites move by up to 0.6 Å, more than
        # half the skin, but every pair vector only by 2 %.
        deformation = np.eye(3) + 0.02 * np.diag(pbc)
        skinned.pairs(positions @ deformation, cell @ deformation, pbc)
        assert skinned.rebuilds == 1

    def test_shrinking_the_cell_is_noticed(self) -> None:
        skinned = SkinnedList(2.0, 0.2)
        cell, pbc = 2.3 * np.eye(3), np.ones(3, dtype=bool)
        positions = np.zeros((1, 3))
        assert len(skinned.pairs(positions, cell, pbc).receivers) == 0
        assert len(skinned.pairs(positions, 0.85 * cell, pbc).receivers) == 6
        assert skinned.rebuilds == 2

    def test_shrinking_along_one_direction_is_noticed_while_others_grow(self) -> None:
        skinned = SkinnedList(2.0, 0.2)
        cell, pbc = 2.3 * np.eye(3), np.ones(3, dtype=bool)
        assert len(skinned.pairs(np.zeros((1, 3)), cell, pbc).receivers) == 0
        sheared = cell @ np.diag([0.85, 1.2, 1.0])
        assert len(skinned.pairs(np.zeros((1, 3)), sheared, pbc).receivers) == 2

    def test_a_change_of_periodicity_or_size_is_noticed(self) -> None:
        skinned = SkinnedList(2.0, 0.5)
        cell, positions = 2.2 * np.eye(3), np.zeros((1, 3))
        assert len(skinned.pairs(positions, cell, np.ones(3, dtype=bool)).receivers) == 6
        assert len(skinned.pairs(positions, cell, np.array([True, True, False])).receivers) == 4
        two = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
        assert skinned.pairs(two, cell, np.zeros(3, dtype=bool)).receivers.tolist() == [0, 1]
        assert skinned.rebuilds == 3

    def test_arrays_changed_in_place_are_noticed(self) -> None:
        skinned = SkinnedList(2.0, 0.2)
        cell, pbc = np.zeros((3, 3)), np.zeros(3, dtype=bool)
        positions = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
        assert len(skinned.pairs(positions, cell, pbc).receivers) == 0
        positions[1, 0] = 1.0
        assert len(skinned.pairs(positions, cell, pbc).receivers) == 2

    def test_lattice_vectors_that_change_apart_from_the_sites(self) -> None:
        # One vector appears where nothing repeats: the sites see none of it.
        skinned = SkinnedList(2.0, 0.5)
        pbc = np.array([True, True, False])
        positions = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 4.0]])
        skinned.pairs(positions, np.diag([5.0, 5.0, 0.0]), pbc)
        found = skinned.pairs(positions, np.diag([5.0, 5.0, 9.0]), pbc)
        assert as_set(found) == brute_force(positions, np.diag([5.0, 5.0, 0.0]), pbc, 2.5)
