"""Searches as a whole."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from ase.build import fcc100

import softatoms as sa
from softatoms.errors import CheckpointError, OptionError
from softatoms.external import HarmonicTrap
from softatoms.surface.annealing import downhill
from softatoms.surface.controls import BasinHopping, GrandCanonicalMonteCarlo, RandomSearch
from softatoms.surface.driver import Method, SearchOptions, is_detached, run_search
from softatoms.surface.gradient import GradientSearch
from softatoms.surface.problem import Problem, Reservoir
from softatoms.surface.region import Ball, Layer
from softatoms.surface.walkers import SearchResult, Start

SIGMA = 2.5
BOND = 2 ** (1 / 6) * SIGMA
SEVEN = -16.505384
"""Energy of the pentagonal bipyramid in ε (Hoare and Pal, Adv. Phys. 20, 161 (1971))."""


def cluster(n: int, **changes: object) -> Problem:
    potential = sa.load_potential("lj", epsilon=1.0, sigma=SIGMA, cutoff=60.0, onset=59.0)
    region = Ball(SIGMA * (0.55 * n ** (1 / 3) + 1.0))
    problem = Problem(potential, None, region, ("Ar",), radii={"Ar": BOND / 2})
    return dataclasses.replace(problem, **changes)


def starts(n: int, count: int) -> list[Start]:
    return [Start(seed, Reservoir({}, {"Ar": n})) for seed in range(count)]


def same(one: SearchResult, other: SearchResult) -> bool:
    a = [(t.evaluations, t.outcome, round(t.omega, 5)) for t in one.tried]
    b = [(t.evaluations, t.outcome, round(t.omega, 5)) for t in other.tried]
    return a == b


def test_sites_pushed_with_any_force_make_moves_of_limited_length():
    pull = np.array([[1e150, 0, 0], [0, -1e-170, 0], [0, 0, 0], [0.0, 2.0, 0.0]])
    moves = downhill(np.zeros((4, 3)), pull, stiffness=20.0, longest=0.15)
    np.testing.assert_allclose(
        moves, [[0.15, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0.1, 0]], rtol=0, atol=1e-12
    )


@pytest.mark.parametrize(
    "method",
    [
        GradientSearch(),
        BasinHopping(step=1.0, temperature=0.8),
        RandomSearch(),
        GrandCanonicalMonteCarlo(step=1.0, temperature=0.5),
    ],
    ids=lambda method: method.name,
)
def test_all_methods_find_the_pentagonal_bipyramid(method: Method):
    options = SearchOptions(max_evaluations=600, stop_at=SEVEN + 1e-3)
    results = run_search(cluster(7), starts(7, 3), method, options=options)
    for one in results:
        assert one.status == "ok"
        assert one.method == method.name
        assert len(one.best.species) == 7, "a held number is kept exactly"
        assert one.best.omega == pytest.approx(SEVEN, abs=1e-3)
        assert one.evaluations_to(SEVEN + 1e-3) == one.evaluations
        assert one.site_evaluations >= 7 * one.evaluations
        assert all(a.omega <= b.omega for a, b in itertools.pairwise(one.found))


def test_a_start_is_what_it_would_be_alone():
    problem, options = cluster(9), SearchOptions(max_evaluations=250)
    mixed = [*starts(9, 2), Start(5, Reservoir({}, {"Ar": 4})), Start(6, Reservoir({"Ar": -2.0}))]
    together = run_search(problem, mixed, GradientSearch(pool_sites=12), options=options)
    for start, one in zip(mixed, together, strict=True):
        (alone,) = run_search(problem, [start], GradientSearch(pool_sites=12), options=options)
        assert same(alone, one)
    again = run_search(problem, mixed, GradientSearch(pool_sites=12), options=options)
    for one, other in zip(together, again, strict=True):
        assert one.tried == other.tried, "a seed decides on everything"


def test_a_stopped_search_goes_on_from_its_checkpoint(tmp_path: Path):
    problem, options = cluster(8), SearchOptions(max_evaluations=300)
    whole = run_search(problem, starts(8, 2), GradientSearch(), options=options)
    path = tmp_path / "search.safetensors"
    for limit in (1, 2, 10**6):
        rounds = itertools.count(1)
        results = run_search(
            problem,
            starts(8, 2),
            GradientSearch(),
            options=options,
            checkpoint=path,
            should_stop=lambda rounds=rounds, limit=limit: "now" if next(rounds) >= limit else "",
        )
    for one, other in zip(whole, results, strict=True):
        assert one.tried == other.tried
        np.testing.assert_array_equal(one.best.positions, other.best.positions)
    with pytest.raises(CheckpointError, match="starts"):
        run_search(problem, starts(8, 3), GradientSearch(), options=options, checkpoint=path)


class _Broken(sa.load_potential("lj", epsilon=1.0, sigma=SIGMA).__class__):  # type: ignore[misc]
    """Fails for clusters of more than four sites."""

    def interaction(self, graph):
        if len(graph.numbers) > 4:
            raise RuntimeError("too many for me")
        return super().interaction(graph)


def test_a_start_that_fails_is_a_row_that_says_why():
    problem = cluster(5, potential=_Broken(epsilon=1.0, sigma=SIGMA, cutoff=60.0, onset=59.0))
    mixed = [Start(0, Reservoir({}, {"Ar": 6})), Start(1, Reservoir({}, {"Ar": 2}))]
    method = RandomSearch()
    bad, good = run_search(problem, mixed, method, options=SearchOptions(max_evaluations=60))
    assert bad.status == "failed"
    assert "too many for me" in bad.error
    assert bad.found == ()
    with pytest.raises(OptionError, match="too many for me"):
        _ = bad.best
    assert good.best.omega == pytest.approx(-1.0, abs=1e-3)


def test_atoms_that_left_are_rejected():
    problem = cluster(4)
    near = BOND * np.array([[0.0, 0, 0], [1, 0, 0], [0.5, 0.87, 0]])
    none = np.zeros(3, dtype=np.int64)
    assert not is_detached(problem, near, none)
    assert is_detached(problem, near + np.array([[0.0], [0.0], [9.0]]), none)


def test_free_number_in_a_trap_is_that_of_separate_searches():
    problem, mu = cluster(7, external=HarmonicTrap(0.5)), -1.19
    results = run_search(
        problem,
        [Start(seed, Reservoir({"Ar": mu})) for seed in range(4)],
        GradientSearch(pool_sites=14, patience=4),
        options=SearchOptions(max_evaluations=300),
    )
    best = min((one.best for one in results), key=lambda found: found.omega)
    number = len(best.species)
    assert number > 4, "an empty trap is a minimum too, but not the lowest"
    hopping = BasinHopping(step=1.0, temperature=0.8)
    for n in (number - 1, number, number + 1):
        own = run_search(problem, starts(n, 2), hopping, options=SearchOptions(max_evaluations=250))
        omega = min(one.best.energy for one in own) - mu * n
        if n == number:
            assert best.omega == pytest.approx(omega, abs=1e-3)
        else:
            assert best.omega < omega + 1e-3


def test_nothing_stays_where_atoms_are_worth_less_than_outside():
    problem = cluster(5, external=HarmonicTrap(0.5))
    (one,) = run_search(
        problem,
        [Start(0, Reservoir({"Ar": -6.0}))],
        GradientSearch(pool_sites=8, patience=4),
        options=SearchOptions(max_evaluations=150),
    )
    assert len(one.best.species) == 0
    assert one.best.omega == 0.0


def test_islands_on_copper_are_those_of_enumeration():
    potential = sa.load_potential("gupta", elements=["Cu"])
    atoms = fcc100("Cu", (2, 2, 2), a=3.615, vacuum=6.0, periodic=True)
    slab = sa.SoftAtoms.from_ase(atoms)
    fixed = slab.positions[:, 2] < slab.positions[:, 2].min() + 0.1
    top = slab.positions[:, 2].max()
    problem = Problem(
        potential=potential,
        substrate=slab,
        region=Layer(slab.cell, low=top + 0.5, high=top + 3.0),
        species=("Cu",),
        fixed=fixed,
    )
    corner = slab.positions[slab.positions[:, 2] > top - 0.1]
    hollows = corner + 0.25 * (slab.cell[0] + slab.cell[1]) + np.array([0.0, 0.0, 1.75])
    structures = [
        problem.atoms(np.vstack([slab.positions, hollows[list(two)]]), np.zeros(2, dtype=np.int64))
        for two in itertools.combinations(range(4), 2)
    ]
    relaxed = sa.relax_batch(
        potential, structures, fixed_sites=[np.flatnonzero(fixed)] * len(structures), fmax=0.01
    )
    answer = min(one.energy for one in relaxed)
    assert max(one.energy for one in relaxed) > answer + 0.05, "sites must differ"
    results = run_search(
        problem,
        [Start(seed, Reservoir({}, {"Cu": 2})) for seed in range(4)],
        GradientSearch(),
        options=SearchOptions(max_evaluations=500, stop_at=answer + 2e-3, fmax=0.01),
    )
    for one in results:
        assert one.best.omega == pytest.approx(answer, abs=2e-3)
        held = one.best.positions[: len(slab)][fixed]
        np.testing.assert_array_equal(held, slab.positions[fixed])
        assert one.best.counts(problem) == {"Cu": 2}


def test_two_species_compete_for_the_sites_of_one_pool():
    pairs = {"Ar-Kr": {"epsilon": 2.0, "sigma": SIGMA}}
    potential = sa.load_potential(
        "lj",
        epsilon={"Ar": 1.0, "Kr": 1.0},
        sigma={"Ar": SIGMA, "Kr": SIGMA},
        cutoff=60.0,
        onset=59.0,
        pairs=pairs,
    )
    problem = Problem(
        potential, None, Ball(6.0), ("Ar", "Kr"), radii={"Ar": BOND / 2, "Kr": BOND / 2}
    )
    held = Reservoir({}, {"Ar": 2, "Kr": 2})
    results = run_search(
        problem,
        [Start(seed, held) for seed in range(3)],
        GradientSearch(),
        options=SearchOptions(max_evaluations=300, stop_at=-10.0 + 1e-3),
    )
    # A tetrahedron has one bond of each like pair and four unlike ones; nothing has more.
    for one in results:
        assert one.best.counts(problem) == {"Ar": 2, "Kr": 2}
        assert one.best.omega == pytest.approx(-(1.0 + 1.0 + 4 * 2.0), abs=1e-3)


@pytest.mark.parametrize(
    ("reservoir", "message"),
    [
        (Reservoir({"Xe": 0.0}, {"Ar": 3}), "names Xe"),
        (Reservoir({}), "Ar needs"),
        (Reservoir({"Ar": float("nan")}), "Ar must be a number"),
        (Reservoir({}, {"Ar": -1}), "count of Ar"),
    ],
)
def test_reservoirs_that_make_no_sense_are_named(reservoir: Reservoir, message: str):
    with pytest.raises(OptionError, match=message):
        run_search(cluster(3), [Start(0, reservoir)], GradientSearch())


def test_a_soft_substrate_is_refused():
    soft = sa.SoftAtoms.from_ase(fcc100("Cu", (1, 1, 2), a=3.6, vacuum=5.0, periodic=True))
    with pytest.raises(OptionError, match="plain"):
        cluster(3, substrate=soft.with_existence([0], 0.5))
