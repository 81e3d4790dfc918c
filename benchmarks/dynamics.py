"""Batched dynamics against the same potential driven by ASE, as ratios within one run.

ASE moves the systems one after the other: ``VelocityVerlet`` with a :class:`SoftCalculator`, whose
neighbour list has the same skin. Both sides run in this process, under the same allocator
settings, in turns; what is compared is the median time of one step of all systems. ASE is given a
few of the replicas only, which are all alike.

    .venv/bin/python benchmarks/dynamics.py [--device cuda] [--quick]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from ase import units
from ase.build import bulk
from ase.md.verlet import VelocityVerlet

import softatoms as sa
from claims import Claim, verdict
from softatoms.batch_evaluator import BatchEvaluator
from softatoms.dynamics import Settings, run_dynamics
from softatoms.potentials.base import Potential

TIMESTEP = 2.0
REPLICAS_OF_ASE = 4
ARGON = {"epsilon": 0.01042, "sigma": 3.405, "cutoff": 8.5, "onset": 7.0}


def argon(seed: int, times: tuple[int, int, int] = (2, 2, 2)) -> sa.SoftAtoms:
    """Rattled fcc argon of 4 atoms per cell."""
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True) * times
    atoms.rattle(0.05, seed=seed)
    return sa.SoftAtoms.from_ase(atoms)


def potentials() -> dict[str, tuple[Potential, str]]:
    """What is compared: a pair potential and a network, in their usual precisions."""
    return {
        "lj": (sa.load_potential("lj", **ARGON), "float64"),
        "painn": (sa.load_potential("painn", elements=["Ar"]), "float32"),
    }


class Batched:
    """Steps of all systems by this package, in seconds each.

    The time of a run without steps, which lays everything out, is subtracted.

    Args:
        potential: The energy function.
        systems: The structures.
        dtype: Precision.
        device: Where to compute.
        settings: How they move.
    """

    def __init__(
        self,
        potential: Potential,
        systems: list[sa.SoftAtoms],
        dtype: str,
        device: str,
        settings: list[Settings],
    ) -> None:
        self.options = {"dtype": dtype, "device": device}
        self.potential, self.settings = potential, settings
        out = run_dynamics(potential, systems, settings, n_steps=20, **self.options)
        self.systems = [end.soft for end in out]

    def __call__(self, n_steps: int) -> float:
        """Seconds per step."""
        return (self._timed(n_steps + 1) - self._timed(1)) / n_steps

    def _timed(self, n_steps: int) -> float:
        begun = time.perf_counter()
        run_dynamics(self.potential, self.systems, self.settings, n_steps=n_steps, **self.options)
        return time.perf_counter() - begun


class OneByOne:
    """Steps of the first few systems by ASE, scaled to all of them.

    Args:
        batched: What to compare with.
    """

    def __init__(self, batched: Batched) -> None:
        self.factor = len(batched.systems) / len(batched.systems[:REPLICAS_OF_ASE])
        self.runs = []
        for soft in batched.systems[:REPLICAS_OF_ASE]:
            atoms = soft.to_ase()
            atoms.calc = sa.SoftCalculator(batched.potential, soft, **batched.options)
            self.runs.append(VelocityVerlet(atoms, TIMESTEP * units.fs))
            self.runs[-1].run(2)

    def __call__(self, n_steps: int) -> float:
        """Seconds per step of all systems."""
        begun = time.perf_counter()
        for run in self.runs:
            run.run(n_steps)
        return self.factor * (time.perf_counter() - begun) / n_steps


def speed(device: str, repeats: int, n_steps: int) -> list[Claim]:
    """Many small systems, and one of 500 atoms."""
    claims = []
    for name, (potential, dtype) in potentials().items():
        for label, systems, limit in (
            ("64 × 32 atoms", [argon(seed) for seed in range(64)], 6.0),
            ("500 atoms", [argon(0, (5, 5, 5))], 1.2),
        ):
            settings = [Settings(timestep=TIMESTEP, temperature=40.0, seed=i) for i in range(64)]
            ours = Batched(potential, systems, dtype, device, settings[: len(systems)])
            ases = OneByOne(ours)
            times = [(ours(n_steps), ases(n_steps)) for _ in range(repeats)]
            own, other = (statistics.median(column) for column in zip(*times, strict=True))
            ratio = statistics.median(b / a for a, b in times)
            print(
                f"  {name}, {label}: {1e3 * own:.2f} ms per step, ASE {1e3 * other:.2f} ms, "
                f"ratio {ratio:.2f}"
            )
            claims.append(Claim(f"ASE / softatoms, {name}, {label}", ratio, limit, at_most=False))
    return claims


@contextmanager
def clock(device: str) -> Iterator[list[float]]:
    """Add up the time spent in the potential: energies and derivatives, and in all evaluations."""
    spent = [0.0, 0.0]
    methods = ("_differentiate", "evaluate_joined")
    originals = [getattr(BatchEvaluator, method) for method in methods]

    def timed(index: int):
        def call(*args: object, **options: object) -> object:
            begun = time.perf_counter()
            result = originals[index](*args, **options)
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            spent[index] += time.perf_counter() - begun
            return result

        return call

    for index, method in enumerate(methods):
        setattr(BatchEvaluator, method, timed(index))
    try:
        yield spent
    finally:
        for method, original in zip(methods, originals, strict=True):
            setattr(BatchEvaluator, method, original)


def bookkeeping(device: str, repeats: int, n_steps: int) -> list[Claim]:
    """Part of a step of 64 × 32 atoms with PaiNN that is not the potential."""
    potential, dtype = potentials()["painn"]
    systems = [argon(seed) for seed in range(64)]
    claims = []
    for thermostat in ("none", "langevin"):
        settings = [
            Settings(timestep=TIMESTEP, temperature=40.0, thermostat=thermostat, seed=i)  # type: ignore[arg-type]
            for i in range(64)
        ]
        ours = Batched(potential, systems, dtype, device, settings)
        outside, around = [], []
        for _ in range(repeats):
            with clock(device) as spent:
                setup = ours._timed(1)
                before = list(spent)
                total = ours._timed(n_steps + 1) - setup
            potential_only, evaluation = (s - 2.0 * b for s, b in zip(spent, before, strict=True))
            outside.append(1.0 - potential_only / total)
            around.append(1.0 - evaluation / total)
        part, rest = statistics.median(outside), statistics.median(around)
        print(
            f"  painn, 64 × 32 atoms, {thermostat}: outside of energy and derivatives "
            f"{100 * part:.1f} %, of which outside of the evaluation {100 * rest:.1f} %"
        )
        claims.append(Claim(f"outside of the evaluation, thermostat {thermostat}", rest, 0.05))
        claims.append(Claim(f"outside of the potential, thermostat {thermostat}", part, 0.10))
    return claims


def main() -> int:
    """Run all, print the table, and tell by the exit code whether every limit is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    arguments = parser.parse_args()
    repeats, n_steps = (3, 20) if arguments.quick else (9, 50)
    where = torch.cuda.get_device_name() if arguments.device.startswith("cuda") else "CPU"
    print(f"torch {torch.__version__}, {where}, {torch.get_num_threads()} threads")
    return verdict(
        [
            *speed(arguments.device, repeats, n_steps),
            *bookkeeping(arguments.device, repeats, n_steps),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
