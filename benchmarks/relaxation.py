"""Evaluations and time of relaxations, side by side with ASE on the same potential.

    .venv/bin/python benchmarks/relaxation.py [--quick]

ASE relaxes one structure after the other through SoftCalculator; relax_batch all at once. Both stop
by ASE's rule (largest force, and volume × stress per site, below fmax), so the work is comparable.
Prints a table; run it with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Sequence

import numpy as np
from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

import softatoms as sa
from softatoms.potentials.base import Potential

FMAX = 0.01
"""Tolerance of the table in eV/Å."""

TIGHT = 1e-6
"""Tolerance in eV/Å for the comparison of what comes out."""


def metal(cells: int, seed: int) -> sa.SoftAtoms:
    """A random copper-gold alloy, strained by 3 % and rattled by 0.08 Å."""
    return _disturbed("Cu", 3.75, cells, seed, strain=0.03, rattle=0.08, gold=0.4)


def argon(cells: int, seed: int) -> sa.SoftAtoms:
    """Solid argon, strained by 2 % and rattled by 0.1 Å."""
    return _disturbed("Ar", 5.3, cells, seed, strain=0.02, rattle=0.1)


def _disturbed(
    symbol: str,
    a: float,
    cells: int,
    seed: int,
    *,
    strain: float,
    rattle: float,
    gold: float = 0.0,
) -> sa.SoftAtoms:
    rng = np.random.default_rng(seed)
    atoms = bulk(symbol, cubic=True, a=a) * (cells, cells, cells)
    atoms.numbers[rng.random(len(atoms)) < gold] = 79
    deformation = np.eye(3) + strain * rng.normal(size=(3, 3))
    atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
    atoms.rattle(rattle, seed=seed)
    return sa.SoftAtoms.from_ase(atoms)


def with_ase(
    potential: Potential, soft: sa.SoftAtoms, cell: str, fmax: float
) -> tuple[int, float, float]:
    """Evaluations, energy in eV and volume in Å³ by FrechetCellFilter and BFGS."""
    atoms = soft.to_ase()
    atoms.calc = sa.SoftCalculator(potential, soft)
    target = atoms if cell == "fixed" else FrechetCellFilter(atoms)
    optimiser = BFGS(target, logfile=None)
    with warnings.catch_warnings():
        # scipy's logarithm of the deformation warns about its last digits.
        warnings.simplefilter("ignore", RuntimeWarning)
        optimiser.run(fmax=fmax, steps=2000)
    return optimiser.nsteps + 1, atoms.get_potential_energy(), atoms.get_volume()


def compare(
    name: str, potential: Potential, systems: Sequence[sa.SoftAtoms], cell: str, n_ase: int
) -> None:
    """Print one line of the table.

    Args:
        name: What the systems are.
        potential: The energy function.
        systems: What to relax.
        cell: Strains of the cell.
        n_ase: How many of them ASE relaxes too.
    """
    counts, seconds = {}, {}
    for optimiser in ("lbfgs", "fire"):
        start = time.perf_counter()
        done = sa.relax_batch(
            potential, systems, cell=cell, fmax=FMAX, smax=None, optimiser=optimiser
        )
        seconds[optimiser] = (time.perf_counter() - start) / len(systems)
        counts[optimiser] = np.mean([result.evaluations for result in done])
        assert all(result.converged for result in done), "not all are relaxed"
    start = time.perf_counter()
    theirs = [with_ase(potential, soft, cell, FMAX)[0] for soft in systems[:n_ase]]
    seconds["ase"] = (time.perf_counter() - start) / n_ase
    print(
        f"{name:<28}{cell:<8}{len(systems):>5}{counts['lbfgs']:>8.1f}{counts['fire']:>8.1f}"
        f"{np.mean(theirs):>8.1f}{1e3 * seconds['lbfgs']:>10.1f}{1e3 * seconds['ase']:>10.1f}"
        f"{seconds['ase'] / seconds['lbfgs']:>8.0f}",
        flush=True,
    )


def deviations(name: str, potential: Potential, systems: Sequence[sa.SoftAtoms]) -> None:
    """Print how far results of tight relaxations are from ASE's."""
    done = sa.relax_batch(potential, systems, cell="full", fmax=TIGHT, smax=None)
    energies, volumes = [], []
    for soft, mine in zip(systems, done, strict=True):
        _, energy, volume = with_ase(potential, soft, "full", TIGHT)
        energies.append(abs(mine.energy - energy) / len(soft))
        volumes.append(abs(abs(np.linalg.det(mine.soft.cell)) / volume - 1.0))
    print(f"{name:<28}{max(energies):>12.1e} eV per atom{max(volumes):>12.1e} of the volume")


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and smaller systems")
    quick = parser.parse_args().quick
    gupta = sa.load_potential("gupta", elements=["Cu", "Au"])
    lj = sa.load_potential("lj", epsilon=0.01042, sigma=3.405, cutoff=8.0, onset=7.0)
    print("evaluations per structure, milliseconds per structure, fmax 0.01 eV/Å")
    print(
        f"{'':<28}{'cell':<8}{'n':>5}{'lbfgs':>8}{'fire':>8}{'ASE':>8}{'ms':>10}{'ASE ms':>10}"
        f"{'ratio':>8}"
    )
    for cells, count in ((1, 200), (2, 40)) if quick else ((1, 200), (2, 40), (3, 8)):
        systems = [metal(cells, seed) for seed in range(count)]
        for cell in ("fixed", "full"):
            compare(f"Cu-Au, {len(systems[0])} atoms", gupta, systems, cell, min(8, count))
    systems = [argon(2, seed) for seed in range(8 if quick else 40)]
    for cell in ("fixed", "full"):
        compare(f"Ar, {len(systems[0])} atoms", lj, systems, cell, 8)
    mixed = [metal(1 + seed % 2, seed) for seed in range(40)]
    compare("Cu-Au, 4 and 32 atoms", gupta, mixed, "full", 8)
    print(f"\nlargest deviation from ASE, fmax {TIGHT:g} eV/Å, any strain")
    for cells in (1, 2):
        systems = [metal(cells, seed) for seed in range(4 if quick else 10)]
        deviations(f"Cu-Au, {len(systems[0])} atoms", gupta, systems)
    deviations("Ar, 4 atoms", lj, [argon(1, seed) for seed in range(4 if quick else 10)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
