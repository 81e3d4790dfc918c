"""How the cost of an evaluation scales, as ratios within one run.

Prints a table and fails if a ratio is worse than the limit beside it. Times are medians on the
machine at hand and are only there to judge the ratios by.

    .venv/bin/python benchmarks/scaling.py [--device cuda] [--quick]
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import torch
from ase.build import bulk

import softatoms as sa
from claims import Claim, Stopwatch, verdict
from softatoms.evaluation import check_device
from softatoms.graph import Batch
from softatoms.neighbours import neighbour_pairs
from softatoms.potentials.base import Potential

ENERGY_FORCES_STRESS = ("energy", "forces", "stress")
ARGON = {"epsilon": 0.01042, "sigma": 3.405, "cutoff": 8.5, "onset": 7.0}


def copper(cells: int) -> sa.SoftAtoms:
    """Rattled fcc copper of 4 × cells³ atoms."""
    atoms = bulk("Cu", "fcc", a=3.615, cubic=True) * (cells, cells, cells)
    atoms.rattle(0.08, seed=cells)
    return sa.SoftAtoms.from_ase(atoms)


def argon(seed: int) -> sa.SoftAtoms:
    """32 rattled argon atoms."""
    atoms = bulk("Ar", "fcc", a=5.26, cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=seed)
    return sa.SoftAtoms.from_ase(atoms)


def size_scaling(watch: Stopwatch, device: str, sizes: tuple[int, ...]) -> list[Claim]:
    """Cost per atom of energy, forces and stress."""
    potential = sa.load_potential("painn", elements=["Cu"])
    per_atom: dict[int, float] = {}
    for cells in sizes:
        soft = copper(cells)
        seconds = watch(
            lambda soft=soft: sa.evaluate(
                potential, soft, properties=ENERGY_FORCES_STRESS, dtype="float32", device=device
            )
        )
        per_atom[len(soft)] = seconds / len(soft)
        print(f"  painn E+F+S, {len(soft):6d} atoms: {1e6 * per_atom[len(soft)]:8.1f} µs/atom")
    large = [cost for size, cost in per_atom.items() if size >= 500]
    return [Claim("cost per atom beyond 500 atoms, max/min", max(large) / min(large), 1.5)]


def heat_flux_cost(watch: Stopwatch, device: str) -> list[Claim]:
    """Heat flux against forces at 500 atoms."""
    soft = copper(5)
    soft = soft.with_velocities(0.01 * np.random.default_rng(0).normal(size=soft.positions.shape))
    claims = []
    for name in ("painn", "schnet"):
        potential = sa.load_potential(name, elements=["Cu"])
        seconds = {
            wanted: watch(
                lambda wanted=wanted, potential=potential: sa.evaluate(
                    potential, soft, properties=(wanted,), dtype="float32", device=device
                )
            )
            for wanted in ("forces", "heat_flux")
        }
        print(
            f"  {name}, 500 atoms: forces {1e3 * seconds['forces']:.1f} ms, "
            f"heat flux {1e3 * seconds['heat_flux']:.1f} ms"
        )
        ratio = seconds["heat_flux"] / seconds["forces"]
        claims.append(Claim(f"heat flux / forces, {name}", ratio, 2.5))
    return claims


def graph_share(watch: Stopwatch, device: str) -> list[Claim]:
    """Share of neighbour search and graph building in a step of 500 atoms."""
    soft = copper(5)
    potential = sa.load_potential("painn", elements=["Cu"])
    target = check_device(device)

    def build() -> None:
        pairs = neighbour_pairs(soft.positions, soft.cell, soft.pbc, potential.cutoff)
        batch = Batch([soft], target)
        geometry = batch.geometry(
            [pairs],
            torch.from_numpy(soft.positions).to(target),
            torch.from_numpy(soft.cell).unsqueeze(0).to(target),
            potential.cutoff,
            torch.float32,
        )
        batch.graph(geometry, batch.node_weights(soft.weights.to(target)), "mean_field")

    step = watch(
        lambda: sa.evaluate(
            potential, soft, properties=ENERGY_FORCES_STRESS, dtype="float32", device=device
        )
    )
    graph = watch(build)
    print(f"  painn, 500 atoms: step {1e3 * step:.1f} ms, graph {1e3 * graph:.2f} ms")
    return [Claim("graph building / step, painn", graph / step, 0.15)]


def batch_gain(watch: Stopwatch, device: str) -> list[Claim]:
    """64 systems of 32 atoms at once against one by one."""
    systems = [argon(seed) for seed in range(64)]
    wide = sa.load_potential("painn", elements=["Ar"], n_features=64)
    cases: dict[str, tuple[Potential, str]] = {
        "lj": (sa.load_potential("lj", **ARGON), "float64"),
        "painn": (sa.load_potential("painn", elements=["Ar"]), "float32"),
        "painn, 64 features": (wide, "float32"),
    }
    claims = []
    for name, (potential, dtype) in cases.items():

        def together(potential: Potential = potential, dtype: str = dtype) -> None:
            sa.evaluate_batch(
                potential, systems, properties=ENERGY_FORCES_STRESS, dtype=dtype, device=device
            )

        def one_by_one(potential: Potential = potential, dtype: str = dtype) -> None:
            for soft in systems:
                sa.evaluate(
                    potential, soft, properties=ENERGY_FORCES_STRESS, dtype=dtype, device=device
                )

        batch, single = watch(together), watch(one_by_one)
        print(
            f"  {name}, 64 × 32 atoms: batch {1e3 * batch:.1f} ms, singly {1e3 * single:.1f} ms, "
            f"gain {single / batch:.2f}"
        )
        # Arithmetic, unlike overhead, is not saved by a batch: the wider network shows its share.
        if potential is not wide:
            claims.append(Claim(f"gain of a batch, {name}", single / batch, 5.0, at_most=False))
    return claims


def main() -> int:
    """Run all, print the table, and tell by the exit code whether every limit is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="fewer sizes and shorter timings")
    arguments = parser.parse_args()
    watch = Stopwatch(arguments.device, 0.5 if arguments.quick else 3.0)
    sizes = (3, 5, 8) if arguments.quick else (3, 4, 5, 6, 8, 10, 14)
    where = torch.cuda.get_device_name() if arguments.device.startswith("cuda") else "CPU"
    print(f"torch {torch.__version__}, {where}, {torch.get_num_threads()} threads")
    claims = [
        *size_scaling(watch, arguments.device, sizes),
        *heat_flux_cost(watch, arguments.device),
        *graph_share(watch, arguments.device),
        *batch_gain(watch, arguments.device),
    ]
    return verdict(claims)


if __name__ == "__main__":
    sys.exit(main())
