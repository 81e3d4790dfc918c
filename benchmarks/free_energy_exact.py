"""Coverage of free energies of crystals of springs, which are known exactly.

    .venv/bin/python benchmarks/free_energy_exact.py [--repeats 200]

Stiffening of an atom (Al → Sc), removal of one, of two and of a heavy atom, and whole crystals,
perfect, doped, of isotopes and with a vacancy, 8 atoms each. Every repeat has 4 works in each
direction. Counted is how often the 95 % interval of an estimator holds the exact value. With
OMP_NUM_THREADS=1 about ten minutes; ``--only`` takes some of the paths.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path as FilePath

import numpy as np

import softatoms as sa
from claims import Claim, verdict
from softatoms.free_energy.einstein import thermal_energy
from softatoms.free_energy.estimators import (
    Estimate,
    bar,
    dissipation_mean,
    jarzynski,
)
from softatoms.free_energy.paths import Path, frenkel_ladd, removal, substitution
from softatoms.free_energy.switching import Case, Protocol, switch

sys.path.insert(0, str(FilePath(__file__).parents[1] / "tests/free_energy"))
from spring_crystals import CELL_VOLUME, crystal, exact_free_energy, force_constants, springs

TEMPERATURE = 300.0
WORKS = 4


def main() -> int:
    """Run all repeats of all paths and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--only", help="names of paths, separated by commas")
    given = parser.parse_args()
    repeats, known = given.repeats, _paths()
    if given.only:
        known = {name: known[name] for name in given.only.split(",")}
    kt = thermal_energy(TEMPERATURE)
    protocol = Protocol(
        equilibration_steps=120,
        switching_steps=200,
        n_replicas=WORKS * repeats,
        timestep=5.0,
        friction=0.02,
        n_checks=2,
        n_profile=2,
    )
    claims: list[Claim] = []
    print(f"{'':24s} {'exact':>10s} {'found':>10s} ± {'error':8s} lost per run (kT)   covered")
    for name, (path, exact) in known.items():
        start = time.perf_counter()
        works = switch(springs(), [Case(name.replace(" ", "-"), path, TEMPERATURE)], protocol)[0]
        assert works.error == "", works.error
        wanted = path.sign * (exact - path.constant(TEMPERATURE))
        forward = works.forward.reshape(repeats, WORKS)
        backward = works.backward.reshape(repeats, WORKS)
        whole = bar(works.forward, works.backward, temperature=TEMPERATURE)
        found = path.value(whole.value, TEMPERATURE)
        covered = {}
        for label, estimator in _estimators().items():
            if label.startswith("jarzynski") and works.dissipation > kt:
                continue
            held = [
                estimator(one, two).contains(wanted)
                for one, two in zip(forward, backward, strict=True)
            ]
            covered[label] = float(np.mean(held))
        print(
            f"{name:24s} {exact / kt:10.4f} {found / kt:10.4f} ± {whole.stderr / kt:.4f}   "
            f"{works.dissipation / kt:7.3f}   "
            + ", ".join(f"{label} {part:.3f}" for label, part in covered.items())
            + f"   ({time.perf_counter() - start:.0f} s)",
            flush=True,
        )
        claims.append(
            Claim(f"{name}: |found − exact| / error", abs(found - exact) / whole.stderr, 3.0)
        )
        for label, part in covered.items():
            claims.append(Claim(f"{name}: coverage by {label}", part, 0.90, at_most=False))
            claims.append(Claim(f"{name}: coverage by {label}", part, 0.99))
    return verdict(claims)


def _estimators() -> dict[str, Callable[[np.ndarray, np.ndarray], Estimate]]:
    return {
        "bar": lambda one, two: bar(one, two, temperature=TEMPERATURE),
        "mean": lambda one, two: dissipation_mean(one, two),
        "jarzynski forward": lambda one, _: jarzynski(one, temperature=TEMPERATURE),
        "jarzynski backward": lambda _, two: jarzynski(two, temperature=TEMPERATURE, backward=True),
    }


def _paths() -> dict[str, tuple[Path, float]]:
    """Paths and the exact numbers they have to give in eV."""
    pure = crystal()
    own = float(force_constants(pure, springs())[0, 0])
    atoms = pure.to_ase()
    atoms.symbols[2] = "Sc"
    doped = sa.SoftAtoms.from_ase(atoms)
    heavy = pure.with_isotopes(np.arange(8) == 2, np.full(8, 90.0))
    start, end = (exact_free_energy(soft, TEMPERATURE) for soft in (pure, doped))
    without = [exact_free_energy(pure.select(range(n)), TEMPERATURE) for n in (7, 6)]
    whole = {"cell_volume": CELL_VOLUME}
    return {
        "Al to Sc": (substitution(pure, {2: "Sc"}), end - start),
        "one atom removed": (removal(pure, 7, own), without[0] - start),
        "two atoms removed": (removal(pure, [6, 7], 0.5 * own), without[1] - start),
        "a heavy atom removed": (
            removal(heavy, 2, own),
            without[0] - exact_free_energy(heavy, TEMPERATURE),
        ),
        "perfect crystal": (frenkel_ladd(pure, own, **whole), start),
        "doped and unlike springs": (
            frenkel_ladd(doped, np.linspace(0.5 * own, own, 8), **whole),
            end,
        ),
        "heavy isotope": (
            frenkel_ladd(heavy, own, **whole),
            exact_free_energy(heavy, TEMPERATURE),
        ),
        "with a vacancy": (frenkel_ladd(pure.select(range(7)), own, **whole), without[0]),
    }


if __name__ == "__main__":
    sys.exit(main())
