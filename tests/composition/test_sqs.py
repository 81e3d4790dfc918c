"""Decorated supercells: right composition, right neighbours, better than chance."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from softatoms.composition.prototypes import PROTOTYPES
from softatoms.composition.sqs import decorate, shell_counts
from softatoms.composition.structures import supercell

FCC = PROTOTYPES["fcc"]
HALF = {"site": {"Cu": 0.5, "Au": 0.5}}


def test_shells_hold_the_neighbours_that_a_brute_force_search_finds():
    empty = supercell(FCC, [2, 2, 2])
    counts = shell_counts(empty, 5)
    assert counts.sum(axis=(1, 2)).tolist() == [32 * n for n in (12, 6, 24, 12, 24)]
    images = Atoms("H32", positions=empty.positions, cell=empty.cell, pbc=True).repeat(5)
    middle = images.positions[32 * 62 : 32 * 63]
    for site in (0, 17):
        distances = np.linalg.norm(images.positions - middle[site], axis=1)
        for shell, square in enumerate((0.5, 1.0, 1.5, 2.0, 2.5)):
            seen = np.flatnonzero(np.abs(distances**2 - square) < 1e-6) % 32
            np.testing.assert_array_equal(np.bincount(seen, minlength=32), counts[shell, site])


@pytest.mark.parametrize(
    ("prototype", "occupation"),
    [
        ("fcc", {"site": {"Cu": 0.625, "Au": 0.375}}),
        ("fcc", {"site": {"Cu": 0.5, "Au": 0.25, "Ni": 0.25}}),
        ("L1_2", {"corner": {"Au": 1.0}, "face": {"Cu": 0.75, "Au": 0.25}}),
        ("B2", {"corner": {"Cu": 0.5, "Au": 0.5}, "centre": {"Ni": 1.0}}),
    ],
)
def test_composition_of_every_sublattice(prototype, occupation):
    lattice = PROTOTYPES[prototype]
    empty = supercell(lattice, [2, 2, 2])
    rng = np.random.default_rng(0)
    symbols = np.array(
        decorate(empty, lattice, occupation, shell_counts(empty, 2), swaps=50, rng=rng).symbols
    )
    for index, name in enumerate(lattice.sublattices):
        own = symbols[empty.sublattice == index]
        for element, x in occupation[name].items():
            assert (own == element).sum() == round(x * len(own))


def test_error_is_that_of_pair_counts_made_by_hand():
    empty = supercell(FCC, [2, 2, 2])
    decoration = decorate(
        empty, FCC, HALF, shell_counts(empty, 2), swaps=3, rng=np.random.default_rng(1)
    )
    gold = np.array(decoration.symbols) == "Au"
    deviations = []
    for counts in shell_counts(empty, 2):
        for first in (gold, ~gold):
            for second in (gold, ~gold):
                pairs = sum(
                    counts[i, j] for i in np.flatnonzero(first) for j in np.flatnonzero(second)
                )
                deviations.append(pairs / counts.sum() - 0.25)
    assert decoration.error == pytest.approx(np.sqrt(np.mean(np.square(deviations))), abs=1e-14)
    assert decoration.error > 0


def test_swaps_bring_it_closer_to_random():
    empty = supercell(FCC, [2, 2, 2])

    counts = shell_counts(empty, 3)

    def error(seed: int, swaps: int) -> float:
        rng = np.random.default_rng(seed)
        return decorate(empty, FCC, HALF, counts, swaps=swaps, rng=rng).error

    before = [error(seed, 0) for seed in range(8)]
    after = [error(seed, 500) for seed in range(8)]
    assert np.mean(after) < 0.2 * np.mean(before)


def test_the_seed_decides():
    empty = supercell(FCC, [2, 2, 2])
    counts = shell_counts(empty, 1)
    runs = [
        decorate(empty, FCC, HALF, counts, swaps=10, rng=np.random.default_rng(seed)).symbols
        for seed in (3, 3, 4)
    ]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_an_ordered_crystal_is_far_from_random():
    empty = supercell(FCC, [2, 2, 2])
    counts = shell_counts(empty, 1)
    layered = np.eye(2)[(np.round(2 * empty.positions[:, 2]).astype(int) % 2)]
    pairs = layered.T @ counts[0] @ layered / counts.sum()
    # In L1_0 eight of twelve neighbours are of the other kind.
    assert pairs[0, 1] == pytest.approx(1 / 3)
    assert len(bulk("Cu", "fcc", a=1.0, cubic=True)) == FCC.sites_per_cube
