"""What the lattice of a soft crystal misses: the neighbours that differ, or the sites that move.

The supercells of a campaign's scans are relaxed twice: with every site held at the fractional
coordinates of the soft crystal, so that only the cell gives way, and with sites and cell free.
Soft crystals are compared with both. Against rigid supercells what is left is the error of the mean
field itself; the rest of the difference is the relaxation of sites towards their own neighbours.

    python benchmarks/rigid_supercells.py config/benchmarks/solid_solution_sites.yaml [--only NAME]

Everything is computed with the potential of the campaign, in one run. Relaxed supercells that left
their parent are listed, and not compared. The run fails if, over all systems, mean-field lattices
are farther from rigid supercells than from relaxed ones, or than Vegard's line is.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import softatoms as sa
from softatoms.composition.parent_states import Bounds, State, blend, compare, fillings
from softatoms.composition.parent_supercells import ParentSupercell
from softatoms.composition.parent_tasks import list_parent_tasks, scan_supercell
from softatoms.composition.parents import build_parent
from softatoms.composition.rows import task_rng
from softatoms.composition.tasks import Task
from softatoms.config import CampaignConfig, load_config
from softatoms.config.composition import Scan
from softatoms.potentials.base import Potential
from softatoms.units import GPA_PER_EV_ANG3

Lengths = np.ndarray
"""Edges a, b and c of the parent's cell in Å, shape (3,)."""


class Found(NamedTuple):
    """One composition.

    Attributes:
        scan: Name of the scan.
        formula: What is mixed.
        soft: Lengths of the soft crystal by coupling, and of the straight line.
        rigid: Lengths of the rigid supercells.
        free: Lengths of the relaxed supercells that did not leave their parent.
        moved: Farthest way of a site in each relaxed supercell in Å, also of those that left.
        energies: Rigid minus relaxed energy of each supercell in eV per site.
    """

    scan: str
    formula: str
    soft: dict[str, Lengths]
    rigid: list[Lengths]
    free: list[Lengths]
    moved: list[float]
    energies: list[float]


class Systems:
    """Relaxes what one scan needs.

    Args:
        config: The campaign.
        scan: One of its scans.
        potential: The energy function.
    """

    def __init__(self, config: CampaignConfig, scan: Scan, potential: Potential) -> None:
        self.config, self.scan, self.potential = config, scan, potential
        self.parent = build_parent(scan)
        sqs = config.scanned().sqs
        self.supercell = ParentSupercell(self.parent, scan_supercell(config, scan), sqs.shells)
        self.swaps = sqs.swaps
        self.bounds = Bounds(scan.largest_shape_change, scan.largest_move_ang)
        self.ends: dict[Any, State] = {}

    def relax(self, systems: list[sa.SoftAtoms], **options: Any) -> list[Any]:
        """Relax with the tolerances of the campaign."""
        own = self.config.scanned().relaxation
        return sa.relax_batch(
            self.potential,
            systems,
            **{
                "cell": self.scan.cell,
                "fmax": own.fmax_ev_per_ang,
                "smax": own.pressure_tolerance_gpa / GPA_PER_EV_ANG3,
                "max_steps": own.parent_max_steps,
                **options,
            },
        )

    def line(self, task: Task) -> State:
        """Where end members put the structure."""
        parts = list(fillings(task.occupation))
        missing = [filling for filling, _ in parts if filling not in self.ends]
        given = State.of(self.parent.start)
        done = self.relax([self.parent.plain(dict(one), *given) for one in missing])
        for filling, result in zip(missing, done, strict=True):
            if result.status != "ok":
                raise SystemExit(f"{self.scan.name}: end member {filling}: {result.error}")
            self.ends[filling] = State.of(result.soft)
        return blend([(self.ends[filling], weight) for filling, weight in parts])

    def lengths(self, cell: np.ndarray) -> Lengths:
        """Edges of the parent's cell, averaged over its symmetry."""
        return np.linalg.norm(self.parent.lattice(cell), axis=1)

    def compare(self, tasks: list[Task]) -> Found:
        """Soft crystal, rigid and relaxed supercells of one composition."""
        task = tasks[0]
        line = self.line(task)
        soft = {"vegard": self.lengths(line.cell)}
        at_rest = line
        for coupling in ("replica", "mean_field"):
            (done,) = self.relax([self.parent.soft(task.occupation, *line)], coupling=coupling)
            if done.status != "ok":
                raise SystemExit(f"{self.scan.name}: {coupling}: {done.error}")
            at_rest = State.of(done.soft)
            soft[coupling] = self.lengths(at_rest.cell)
        cells = [
            self.supercell.crystal(
                task.occupation,
                *at_rest,
                swaps=self.swaps,
                rng=task_rng(self.config.campaign.seed, one.identifier),
            )[0]
            for one in tasks
        ]
        every = [np.ones(len(cell), dtype=bool) for cell in cells]
        rigid = self.relax(cells, fixed_sites=every)
        free = self.relax(cells)
        held, moved, gained = [], [], []
        start = self.supercell.state(at_rest)
        for before, after in zip(rigid, free, strict=True):
            if before.status != "ok" or after.status != "ok":
                raise SystemExit(f"{self.scan.name}: {before.error} {after.error}")
            distance, left = compare(start, State.of(after.soft), self.bounds)
            moved.append(distance)
            gained.append((before.energy - after.energy) / len(after.soft))
            if not left:
                held.append(self.lengths(self.supercell.parent_cell(after.soft.cell)))
        return Found(
            self.scan.name,
            " ".join(f"{s}{x:g}" for w in task.occupation.values() for s, x in w.items() if x > 0),
            soft,
            [self.lengths(self.supercell.parent_cell(one.soft.cell)) for one in rigid],
            held,
            moved,
            gained,
        )


def apart(own: Lengths, others: list[Lengths]) -> float:
    """Mean of |Δℓ|/ℓ over a, b and c in percent; cubic cells have one length."""
    mean = np.mean(others, axis=0)
    if np.ptp(own) < 1e-4 * own.max():
        own, mean = np.array([own.mean()]), np.array([np.prod(mean) ** (1.0 / 3.0)])
    return float(100.0 * np.abs(own / mean - 1.0).mean())


def report(found: Iterable[Found]) -> dict[str, np.ndarray]:
    """Print every composition and the mean of every scan; distances of the mean field."""
    collected: dict[str, list[dict[str, float]]] = {}
    for one in found:
        numbers = {f"{name} rigid": apart(own, one.rigid) for name, own in one.soft.items()}
        if one.free:
            numbers |= {f"{name} free": apart(own, one.free) for name, own in one.soft.items()}
        collected.setdefault(one.scan, []).append(numbers)
        texts = " ".join(f"{name} {value:.3f}" for name, value in numbers.items())
        print(
            f"{one.scan:22s} {one.formula:22s} {texts} | {len(one.free)} of {len(one.moved)} hold, "
            f"sites move {min(one.moved):.2f} to {max(one.moved):.2f} Å and gain "
            f"{1e3 * min(one.energies):.1f} to {1e3 * max(one.energies):.1f} meV per site",
            flush=True,
        )
    print("\nmean |Δa|/a in %")
    for scan, all_numbers in collected.items():
        names = dict.fromkeys(name for numbers in all_numbers for name in numbers)
        shown = []
        for name in names:
            values = [numbers[name] for numbers in all_numbers if name in numbers]
            shown.append(f"{name} {np.mean(values):.3f} ({len(values)})")
        print(f"{scan:22s} " + ", ".join(shown))
    both = [n for own in collected.values() for n in own if "mean_field free" in n]
    everything = [n for own in collected.values() for n in own]
    return {
        "rigid": np.array([n["mean_field rigid"] for n in both]),
        "free": np.array([n["mean_field free"] for n in both]),
        "all rigid": np.array([n["mean_field rigid"] for n in everything]),
        "line": np.array([n["vegard rigid"] for n in everything]),
    }


def main() -> None:
    """Run all scans of the campaign that have supercells."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--only", nargs="+", help="names of scans")
    arguments = parser.parse_args()
    config = load_config(arguments.config)
    potential = sa.load_potential(config.potential.name, **config.potential.options)
    started = time.monotonic()

    def found() -> Iterable[Found]:
        for scan in config.scanned().scans:
            if "sqs" not in scan.methods or (arguments.only and scan.name not in arguments.only):
                continue
            systems = Systems(config, scan, potential)
            places: dict[str, list[Task]] = {}
            for task in list_parent_tasks(config, scan):
                mixed = any(0.0 < x < 1.0 for w in task.occupation.values() for x in w.values())
                if task.method == "sqs" and mixed:
                    places.setdefault(str(task.occupation), []).append(task)
            for tasks in places.values():
                yield systems.compare(tasks)

    numbers = report(found())
    print(f"{time.monotonic() - started:.0f} s")
    print(
        f"mean field: {numbers['all rigid'].mean():.3f} % from rigid supercells, the "
        f"straight line {numbers['line'].mean():.3f} %"
    )
    assert numbers["all rigid"].mean() < numbers["line"].mean()
    if len(numbers["free"]):
        print(
            f"where supercells hold: {numbers['rigid'].mean():.3f} % from rigid and "
            f"{numbers['free'].mean():.3f} % from relaxed supercells"
        )
        assert numbers["rigid"].mean() < numbers["free"].mean()


if __name__ == "__main__":
    main()
