"""Solid solutions without supercells: how far lattice parameters are from those of SQS.

Runs a campaign of scans, or reads the table that one has left, and prints for every system the mean
of |Δa|/a of both couplings and of Vegard's line against supercells relaxed with the same potential.

    python benchmarks/solid_solutions.py                           # CeO2–SnO2, 48 atoms
    python benchmarks/solid_solutions.py --config config/paper/solid_solution.yaml
    python benchmarks/solid_solutions.py --table results/solid_solution/tables/composition.parquet

Several tables are taken together. The run fails if the better coupling is farther from supercells
than the straight line in a system where that line is wrong by more than half a percent.
``rigid_supercells.py`` tells how much of a difference is the relaxation of sites.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import softatoms as sa
from softatoms.composition.controls import agreements
from softatoms.composition.scan import run_shard
from softatoms.composition.tasks import list_tasks
from softatoms.config import load_config
from softatoms.progress import Progress
from softatoms.tables import read_table

SMALL = """
campaign: {name: ceria-small, seed: 0}
potential: {name: chgnet}
compute: {edges_per_batch: 20000}
composition:
  scans:
    - name: ceo2-sno2
      parent: {prototype: fluorite, species: [Ce, O], a_ang: 5.468}
      sublattices:
        cation:
          sites: Ce
          elements: [Ce, Sn]
          compositions:
            - {Ce: 0.875, Sn: 0.125}
            - {Ce: 0.75, Sn: 0.25}
            - {Ce: 0.5, Sn: 0.5}
      methods: [mean_field, replica, vegard, sqs]
      supercell: [[3, -1, -1], [-1, 3, -1], [-1, -1, 3]]
  sqs: {replicates: 3, shells: 4, swaps: 5000}
figures: {names: [lattice]}
"""

BOWED = 5e-3
"""Mean |Δa|/a of the straight line from which on a soft crystal must be nearer."""

SHOWN = (
    *("a_ang", "b_ang", "c_ang", "volume_ang3_per_atom", "mixing_ev_per_atom"),
    *("bulk_modulus_gpa", "da_dx_ang", "dlnv_dx", "distortion_ang"),
)


def main() -> None:
    """Run or read, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, help="campaign; a small one if not given")
    parser.add_argument(
        "--table", type=Path, nargs="+", help="read these tables instead of computing"
    )
    parser.add_argument("--checkpoint", type=Path, help="folder for finished batches")
    arguments = parser.parse_args()
    if arguments.table is not None:
        report([row for path in arguments.table for row in read_table(path, "composition").rows()])
        return
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.config or Path(folder) / "small.yaml"
        if arguments.config is None:
            path.write_text(SMALL)
        config = load_config(path)
    potential = sa.load_potential(config.potential.name, **config.potential.options)
    tasks = list_tasks(config)
    started = time.monotonic()
    with Progress(len(tasks), label="scan", unit="compositions") as progress:
        outcome = run_shard(
            config, potential, tasks, checkpoint=arguments.checkpoint, progress=progress
        )
    seconds = time.monotonic() - started
    print(f"{len(tasks)} tasks, {outcome.evaluations} evaluations, {seconds:.0f} s\n")
    report(outcome.rows)


def report(rows: Sequence[Mapping[str, Any]]) -> None:
    """All rows, then the agreement with supercells."""
    print(f"{'formula':30s} {'method':11s} " + " ".join(f"{name:>20s}" for name in SHOWN))
    for row in rows:
        values = [row[name] for name in SHOWN]
        texts = ["" if value is None else f"{value:.5g}" for value in values]
        line = " ".join(f"{text:>20s}" for text in texts)
        print(f"{row['formula']:30s} {row['method']:11s} {line} {row['error']}")
    print(
        f"\n{'parent':12s} {'elements':10s} {'method':11s} {'points':>6s} {'mean |Δa|/a':>12s} "
        f"{'error of SQS':>13s} {'line':>8s} {'mean |ΔE mix|':>20s}"
    )
    best: dict[tuple[str, str], float] = {}
    lines: dict[tuple[str, str], float] = {}
    for found in agreements(rows):
        system = found.parent, found.elements
        lines[system] = found.bowing
        if found.method != "vegard":
            best[system] = min(best.get(system, np.inf), found.length)
        print(
            f"{found.parent:12s} {found.elements:10s} {found.method:11s} {found.points:6d} "
            f"{100 * found.length:11.3f}% {100 * found.cells_length:12.3f}% "
            f"{100 * found.bowing:7.3f}% {1e3 * found.mixing:13.1f} meV/atom"
        )
    for system, length in best.items():
        assert lines[system] < BOWED or length < lines[system], system


if __name__ == "__main__":
    main()
