"""The search in many small systems finds what the search in each of them finds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import softatoms as sa
from softatoms.neighbours import Pairs, neighbour_pairs, pair_vectors
from softatoms.neighbours_many import FEWEST_SYSTEMS, MOST_SITES, neighbour_pairs_of_many


def random_system(rng: np.random.Generator, n_sites: int, pbc: NDArray[np.bool_]) -> sa.SoftAtoms:
    """Sites in and far outside of a random triclinic cell, no two on top of each other."""
    while True:
        cell = np.diag(rng.uniform(2.0, 8.0, 3)) + rng.normal(scale=0.8, size=(3, 3))
        if rng.random() < 0.3:
            cell[0] *= -1.0
        if abs(np.linalg.det(cell)) < 10.0 + 2.0 * n_sites:
            continue
        positions = rng.uniform(-3.0, 4.0, size=(n_sites, 3)) @ cell
        try:
            return sa.SoftAtoms(
                positions=positions,
                cell=cell,
                pbc=pbc,
                site_number=np.full(n_sites, 29),
                site_mass=np.full(n_sites, 63.5),
            )
        except sa.StructureError:
            continue


def within(pairs: Pairs, soft: sa.SoftAtoms, cutoff: float) -> list[tuple[int, ...]]:
    distances = np.linalg.norm(pair_vectors(soft.positions, soft.cell, pairs), axis=1)
    rows = np.column_stack([pairs.receivers, pairs.senders, pairs.shifts])
    return sorted(map(tuple, rows[distances < cutoff].tolist()))


@pytest.mark.parametrize("cutoff", [1.5, 4.0, 7.5])
@pytest.mark.parametrize("seed", range(8))
def test_equals_the_search_in_each_system(seed: int, cutoff: float) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.choice([1, 2, 5, 12], size=2)
    systems = [
        random_system(rng, int(n), np.array([(seed >> k) & 1 for k in range(3)], dtype=bool))
        for n in rng.choice(sizes, size=14)
    ]
    for soft, pairs in zip(systems, neighbour_pairs_of_many(systems, cutoff), strict=True):
        one = neighbour_pairs(soft.positions, soft.cell, soft.pbc, cutoff)
        assert within(pairs, soft, cutoff) == within(one, soft, cutoff)
        assert (np.diff(pairs.receivers) >= 0).all()
        assert len(within(pairs, soft, cutoff)) >= len(pairs.receivers) - 2


def test_large_systems_and_odd_ones_out_are_searched_singly() -> None:
    rng = np.random.default_rng(0)
    periodic = np.ones(3, dtype=bool)
    small = [random_system(rng, 3, periodic) for _ in range(FEWEST_SYSTEMS)]
    grid = np.stack(np.meshgrid(*[np.arange(5)] * 3), -1).reshape(-1, 3) * 2.5
    large = small[0].select(
        np.zeros(len(grid), dtype=int), positions=grid, cell=np.eye(3) * 12.5, pbc=periodic
    )
    assert len(large) > MOST_SITES
    systems = [large, *small, random_system(rng, 2, periodic)]
    for soft, pairs in zip(systems, neighbour_pairs_of_many(systems, 3.0), strict=True):
        one = neighbour_pairs(soft.positions, soft.cell, soft.pbc, 3.0)
        assert within(pairs, soft, 3.0) == within(one, soft, 3.0)


def test_sites_very_far_apart_lose_no_pair() -> None:
    rng = np.random.default_rng(1)
    near = rng.normal(size=(4, 3)) * 2.0
    systems = []
    for _ in range(FEWEST_SYSTEMS):
        positions = np.concatenate([near, near + np.array([3e6, 0.0, 0.0])])
        systems.append(
            sa.SoftAtoms(
                positions=positions,
                cell=np.zeros((3, 3)),
                pbc=np.zeros(3, dtype=bool),
                site_number=np.full(8, 29),
                site_mass=np.full(8, 63.5),
            )
        )
    for soft, pairs in zip(systems, neighbour_pairs_of_many(systems, 4.0), strict=True):
        one = neighbour_pairs(soft.positions, soft.cell, soft.pbc, 4.0)
        assert within(pairs, soft, 4.0) == within(one, soft, 4.0)
        assert len(one.receivers) > 8


def test_no_system_gives_no_list() -> None:
    assert neighbour_pairs_of_many([], 3.0) == []
