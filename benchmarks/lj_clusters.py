"""Lennard-Jones clusters from random ghosts, beside basin hopping with the same local optimiser.

    .venv/bin/python benchmarks/lj_clusters.py [--quick] [--sizes 13 19 ...] [--staircase]

Every start gets a pool of sites and the condition Σ w = N. It ends when it knows the lowest
minimum on record (Wales and Doye, J. Phys. Chem. A 101, 5111 (1997)) or has spent its budget.
Evaluations are counted per start, ghosts included, whatever batch they ran in. With --staircase
the number of atoms is free in a harmonic trap, and N(μ) is compared with separate basin hopping for
every N. Prints success rates and evaluations; asserts that the search reaches the minima of up to
26 atoms in 90 % of all starts, with fewer evaluations per success than basin hopping. Run it with
OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np
import torch

import softatoms as sa
from softatoms.external import External, HarmonicTrap
from softatoms.surface.controls import BasinHopping, GrandCanonicalMonteCarlo
from softatoms.surface.driver import Method, SearchOptions, run_search
from softatoms.surface.gradient import GradientSearch
from softatoms.surface.problem import Problem, Reservoir
from softatoms.surface.region import Ball
from softatoms.surface.walkers import Start

SIGMA = 2.5
"""σ in Å; ε is 1 eV."""

MINIMA = {
    13: -44.326801,
    19: -72.659782,
    26: -108.315616,
    31: -133.586422,
    38: -173.928427,
    55: -279.248470,
}
"""Lowest minima on record in ε."""

TOLERANCE = 1e-3
BUDGETS = {13: 2000, 19: 3000, 26: 5000, 31: 8000, 38: 10000, 55: 8000}
SMALL = GradientSearch()
LARGE = GradientSearch(fresh_steps=200, pool=1.8, fresh_hot=2.0, fresh_cold=0.3)
"""Larger clusters repay a slower annealing of more sites at the start of a round."""

HOPPING = BasinHopping(step=0.4 * SIGMA, temperature=0.8)
"""Step and temperature of the original work."""


def cluster_problem(n: int, external: External | None = None) -> Problem:
    """Empty space, a ball with room for n atoms, and pairs that see each other at any distance."""
    potential = sa.load_potential("lj", epsilon=1.0, sigma=SIGMA, cutoff=60.0, onset=59.0)
    radius = SIGMA * (0.55 * n ** (1 / 3) + 1.0)
    bond = 2 ** (1 / 6) * SIGMA
    return Problem(
        potential, None, Ball(radius), ("Ar",), radii={"Ar": bond / 2}, external=external
    )


def compete(n: int, method: Method, seeds: int, budget: int) -> tuple[float, float]:
    """Print one line; the part of starts that succeed, and evaluations per success."""
    began = time.perf_counter()
    target = MINIMA[n] + TOLERANCE
    results = run_search(
        cluster_problem(n),
        [Start(seed, Reservoir({}, {"Ar": n})) for seed in range(seeds)],
        method,
        options=SearchOptions(max_evaluations=budget, stop_at=target),
    )
    hits = [hit for one in results if (hit := one.evaluations_to(target)) is not None]
    spent = sum(one.evaluations for one in results)
    sites = sum(one.site_evaluations for one in results) / n
    relaxations = sum(len(one.tried) for one in results)
    print(
        f"LJ{n:<3d} {method.name:14s} {len(hits):3d} of {seeds}"
        f"  median to first hit {np.median(hits) if hits else float('nan'):7.0f}"
        f"  evaluations per hit {spent / max(len(hits), 1):8.0f}"
        f"  the same in evaluations of {n} sites {sites / max(len(hits), 1):8.0f}"
        f"  relaxations per start {relaxations / seeds:6.1f}"
        f"  {time.perf_counter() - began:5.0f} s",
        flush=True,
    )
    return len(hits) / seeds, spent / max(len(hits), 1)


def staircase(largest: int, seeds: int, budget: int) -> None:
    """N(μ) of clusters in a trap, with N free, beside basin hopping for every N."""
    problem = cluster_problem(largest, HarmonicTrap(0.5))
    energies = {0: 0.0}
    for n in range(1, largest + 3):
        results = run_search(
            problem,
            [Start(seed, Reservoir({}, {"Ar": n})) for seed in range(4)],
            HOPPING,
            options=SearchOptions(max_evaluations=30 * (n + 5)),
        )
        energies[n] = min(one.best.energy for one in results if one.found)
    sizes = np.array(sorted(energies))
    heights = np.array([energies[n] for n in sizes])
    potentials = np.linspace(-1.6, -0.6, 6)
    grand = heights[None, :] - potentials[:, None] * sizes[None, :]
    inside = grand.argmin(axis=1) < len(sizes) - 1
    starts = [
        Start(seed, Reservoir({"Ar": float(mu)}))
        for mu in potentials[inside]
        for seed in range(seeds)
    ]
    for method in (
        GradientSearch(pool_sites=2 * largest),
        GrandCanonicalMonteCarlo(0.4 * SIGMA, 0.5),
    ):
        began = time.perf_counter()
        results = run_search(problem, starts, method, options=SearchOptions(max_evaluations=budget))
        print(f"staircase, {method.name}, {budget} evaluations a start:")
        for row, mu in enumerate(potentials[inside]):
            own = results[row * seeds : (row + 1) * seeds]
            answer = grand[inside][row].min()
            number = int(sizes[grand[inside][row].argmin()])
            reached = [one.best.omega - answer for one in own]
            numbers = sorted(
                {len(one.best.species) for one in own if one.best.omega < answer + TOLERANCE}
            )
            good = sum(gap < TOLERANCE for gap in reached)
            print(
                f"  μ = {mu:6.3f} ε  N = {number:2d}  Ω = {answer:9.4f} ε  reached by {good} of "
                f"{seeds} (N = {numbers}), lowest Ω − that {min(reached):+.4f}",
                flush=True,
            )
        print(f"  {time.perf_counter() - began:.0f} s")


def main(arguments: Sequence[str]) -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="13 and 19 atoms, 5 starts")
    parser.add_argument("--sizes", type=int, nargs="+", choices=sorted(MINIMA))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", choices=["gradient", "basin_hopping"])
    parser.add_argument("--staircase", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.staircase:
        staircase(14, 4, 800)
        return
    seeds = 5 if options.quick else options.seeds
    for n in options.sizes or ([13, 19] if options.quick else [13, 19, 26]):
        figures = {
            method.name: compete(n, method, seeds, BUDGETS[n])
            for method in (SMALL if n <= 26 else LARGE, HOPPING)
            if options.only in (None, method.name)
        }
        if "gradient" in figures and n <= 26:
            assert figures["gradient"][0] >= 0.9, f"LJ{n}: found in too few starts"
        if len(figures) == 2:
            ratio = figures["basin_hopping"][1] / figures["gradient"][1]
            print(f"  evaluations per hit, basin hopping / gradient: {ratio:.1f}")
            assert ratio > 1.0 or n > 26, f"LJ{n}: basin hopping needs fewer evaluations"


if __name__ == "__main__":
    main(sys.argv[1:])
