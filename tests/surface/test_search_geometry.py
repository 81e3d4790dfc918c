"""Regions, distances and connected parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import softatoms as sa
from softatoms.errors import OptionError
from softatoms.neighbours import neighbour_pairs, pair_vectors
from softatoms.surface.geometry import Space, parts
from softatoms.surface.ghosts import place_ghosts
from softatoms.surface.problem import Problem
from softatoms.surface.region import Ball, Layer

HEXAGONAL = np.array([[2.6, 0.0, 0.0], [-1.3, 2.2517, 0.0], [0.4, 0.1, 18.0]])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_distances_are_those_of_the_neighbour_search(seed: int, pbc: tuple[bool, bool, bool]):
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(3.0, 6.0, 3)) + rng.uniform(-0.8, 0.8, (3, 3))
    positions = rng.uniform(-8.0, 8.0, (4, 3))
    repeats = np.array(pbc)
    distances = Space(cell, repeats).distances(positions, positions)
    pairs = neighbour_pairs(positions, cell, repeats, 12.0)
    lengths = np.sqrt((pair_vectors(positions, cell, pairs) ** 2).sum(axis=1))
    for i in range(4):
        for j in range(4):
            own = lengths[(pairs.receivers == i) & (pairs.senders == j)]
            if i != j and distances[i, j] < 12.0:
                assert distances[i, j] == pytest.approx(own.min(), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    "region", [Ball(3.0, (1.0, 2.0, 3.0)), Layer(HEXAGONAL, low=4.0, high=6.5)]
)
def test_points_of_a_region_lie_in_it_and_projection_finds_the_nearest(region: Ball | Layer):
    rng = np.random.default_rng(0)
    for points in (region.sample(rng, 200), region.grid(rng, 0.7)):
        assert len(points) > 20
        np.testing.assert_allclose(region.project(points), points, rtol=0, atol=1e-9)
    outside = 8.0 * rng.normal(size=(50, 3))
    nearest = region.project(outside)
    np.testing.assert_allclose(region.project(nearest), nearest, rtol=0, atol=1e-9)
    some = region.project(region.sample(rng, 300))
    if isinstance(region, Ball):
        away = np.linalg.norm(outside[:, None] - some[None], axis=-1).min(axis=1)
        assert (np.linalg.norm(outside - nearest, axis=1) <= away + 1e-9).all()


def test_layer_has_the_area_of_its_face():
    assert Layer(HEXAGONAL, low=0.0, high=1.0).area == pytest.approx(2.6 * 2.2517, rel=1e-12)
    assert np.isnan(Ball(1.0).area)


def test_regions_without_extent_are_refused():
    with pytest.raises(OptionError, match="low < high"):
        Layer(HEXAGONAL, low=2.0, high=1.0)
    with pytest.raises(OptionError, match="radius"):
        Ball(-1.0)
    with pytest.raises(OptionError, match="face"):
        Layer(np.zeros((3, 3)), low=0.0, high=1.0)


def test_parts_hang_together_across_the_boundary():
    positions = np.array([[0.2, 0.0, 0.0], [9.8, 0.0, 0.0], [5.0, 0.0, 0.0]])
    periodic = Space(np.diag([10.0, 10.0, 10.0]), np.array([True, False, False]))
    open_ = Space(np.diag([10.0, 10.0, 10.0]), np.array([False, False, False]))
    radii = np.full(3, 1.0)
    part = parts(periodic, positions, radii, reach=1.2)
    assert part[0] == part[1] != part[2]
    assert len(set(parts(open_, positions, radii, reach=1.2).tolist())) == 3


@pytest.mark.parametrize("placement", ["random", "voids", "grid"])
def test_ghosts_keep_away_from_atoms_and_from_each_other(placement):
    problem = Problem(
        sa.load_potential("lj", epsilon=1.0, sigma=2.5), None, Ball(6.0), ("Ar",), radii={"Ar": 1.4}
    )
    atoms, rng = np.array([[0.0, 0.0, 0.0], [2.8, 0.0, 0.0]]), np.random.default_rng(0)
    ghosts = place_ghosts(
        problem, rng, atoms, np.full(2, 1.4), count=12, placement=placement, within=1.5
    )
    assert 3 <= len(ghosts) <= 12
    away = problem.space.distances(ghosts, atoms).min(axis=1)
    assert (away >= problem.closest * 2.8 - 1e-9).all()
    assert (away <= 1.5 * 2.8 + 1e-9).all()
    between = problem.space.distances(ghosts, ghosts) + 99.0 * np.eye(len(ghosts))
    assert between.min() >= 0.5 * 2.8 - 1e-9


def test_voids_come_largest_first():
    problem = Problem(
        sa.load_potential("lj", epsilon=1.0, sigma=2.5), None, Ball(6.0), ("Ar",), radii={"Ar": 1.4}
    )
    atom, rng = np.zeros((1, 3)), np.random.default_rng(0)
    chosen = [
        place_ghosts(problem, rng, atom, np.full(1, 1.4), count=4, placement=placement)
        for placement in ("voids", "random")
    ]
    far = [np.linalg.norm(points, axis=1).mean() for points in chosen]
    assert far[0] > 5.5
    assert far[0] > far[1]
