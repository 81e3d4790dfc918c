"""Screening of real oxides: what a soft composition costs and misses against one SQS supercell.

For a sample of every family of the campaign, soft compositions and one explicit supercell of each,
cell and sites relaxed, with the same potential: time per composition, and how far the numbers that
rank are apart. Both include the bulk modulus. Times are those of the processor, which other
programs on the machine change little.

    python benchmarks/screening_chgnet.py                    # 4 supercells per family
    python benchmarks/screening_chgnet.py --supercells 12 --families perovskite
    python benchmarks/screening_chgnet.py --whole            # and all 3,687 of the campaign
    python benchmarks/screening_chgnet.py --tables results/oxides-chgnet/tables   # that was run

Fails unless a soft composition is ten times cheaper.
"""

from __future__ import annotations

import argparse
import csv
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from scipy.stats import spearmanr

import softatoms as sa
from softatoms.composition.scan import run_shard
from softatoms.composition.tasks import Task, list_tasks
from softatoms.config import CampaignConfig, load_config
from softatoms.potentials.base import Potential
from softatoms.progress import Progress
from softatoms.tables import read_table
from softatoms.units import BOLTZMANN_EV_PER_K

CAMPAIGN = Path("config/screening/oxides-chgnet.yaml")

SUPERCELLS = {
    "rocksalt": [[-2, 2, 2], [2, -2, 2], [2, 2, -2]],
    "fluorite": [[-2, 2, 2], [2, -2, 2], [2, 2, -2]],
    "perovskite": [2, 2, 4],
}
"""64, 96 and 80 atoms, in which all compositions of the grids fit."""

LOOSE = {"fmax_ev_per_ang": 0.05, "pressure_tolerance_gpa": 0.1}
"""Tolerances of the supercells: as loose as is usual, so that they are not made to look dear."""

AT_LEAST = 10.0
"""How many times cheaper a soft composition has to be."""


class Timed(NamedTuple):
    """Rows of tasks, and what they cost.

    Attributes:
        rows: Rows of the table ``composition``.
        evaluations: Energy evaluations.
        processor: Time of the processor in s.
        wall: Wall time in s.
    """

    rows: list[dict[str, Any]]
    evaluations: int
    processor: float
    wall: float


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--soft", type=int, default=48, help="soft compositions timed per family")
    parser.add_argument("--supercells", type=int, default=4, help="supercells per family")
    parser.add_argument("--families", nargs="+", choices=SUPERCELLS, default=list(SUPERCELLS))
    parser.add_argument("--whole", action="store_true", help="run the whole campaign too")
    parser.add_argument("--tables", type=Path, help="tables of the campaign that was run")
    arguments = parser.parse_args()
    config = load_config(CAMPAIGN)
    potential = sa.load_potential(config.potential.name, **config.potential.options)
    if arguments.tables is not None:
        print_run(arguments.tables)
    if arguments.whole:
        done = timed(config, potential, list_tasks(config))
        count = len(done.rows)
        print(f"{count} compositions in {done.wall:.0f} s, {done.wall / count:.3f} s each")
        print_failures(done.rows)
    ratios = []
    print(
        f"\n{'family':11s} {'atoms':>5s} {'soft (s)':>9s} {'SQS (s)':>8s} {'ratio':>6s} "
        f"{'|Δa|/a':>8s} {'ΔB/B':>7s} {'ΔE mix (meV/atom)':>18s} {'moved (Å)':>9s}"
    )
    for name in arguments.families:
        soft, cells = compare(config, potential, name, arguments.soft, arguments.supercells)
        own = matched(soft.rows, cells.rows)
        each = soft.processor / len(soft.rows), cells.processor / len(cells.rows)
        ratios.append(each[1] / each[0])
        print(
            f"{name:11s} {cells.rows[0]['n_sites']:5d} {each[0]:9.3f} {each[1]:8.2f} "
            f"{ratios[-1]:6.0f} {differences(own)}",
            flush=True,
        )
        print_ranks(name, own, config)
        print_failures([*soft.rows, *cells.rows])
    print(f"cheapest ratio {min(ratios):.0f}, limit {AT_LEAST:.0f}")
    assert min(ratios) >= AT_LEAST


def compare(
    config: CampaignConfig, potential: Potential, name: str, n_soft: int, n_cells: int
) -> tuple[Timed, Timed]:
    """A sample of a family, soft and, of its first compositions, as supercells."""
    mixed = [
        task
        for task in list_tasks(config)
        if task.scan == name
        and max(len(present(w)) for w in task.occupation.values()) > 1
        and not excluded(config) & set(task.fractions)
    ]
    sample = random.Random(0).sample(mixed, max(n_soft, n_cells))
    soft = timed(config, potential, sample)
    with tempfile.TemporaryDirectory() as folder:
        explicit = supercell_campaign(Path(folder), config, name, sample[:n_cells])
        return soft, timed(explicit, potential, list_tasks(explicit))


def excluded(config: CampaignConfig) -> set[str]:
    """Elements that the screening leaves out."""
    filters = config.screening.filters if config.screening is not None else []
    return {f.column.removeprefix("x_") for f in filters if f.at_most == 0.0}


def present(weights: dict[str, float]) -> dict[str, float]:
    """Elements with a weight."""
    return {symbol: x for symbol, x in weights.items() if x > 0}


def supercell_campaign(
    folder: Path, config: CampaignConfig, name: str, tasks: Sequence[Task]
) -> CampaignConfig:
    """A campaign of one supercell for each of some compositions, which stand in a list."""
    (scan,) = [scan for scan in config.scanned().scans if scan.name == name]
    columns = [(s, e) for s, own in scan.sublattices.items() for e in own.elements]
    with (folder / "list.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["id", *(f"x_{s}_{e}" for s, e in columns)])
        for task in tasks:
            weights = [task.occupation[s].get(e, 0.0) for s, e in columns]
            writer.writerow([task.identifier, *weights])
    assert scan.parent is not None
    own = {
        "name": name,
        "parent": scan.parent.model_dump(exclude_none=True, exclude_defaults=True),
        "sublattices": {
            s: {"sites": sites.sites, "elements": sites.elements}
            for s, sites in scan.sublattices.items()
        },
        "compositions": {"file": str(folder / "list.csv"), "id": "id"},
        "methods": ["sqs"],
        "supercell": SUPERCELLS[name],
        "supercell_bulk_modulus": True,
    }
    content = {
        "campaign": {"name": "supercells", "seed": 0},
        "compute": config.compute.model_dump(),
        "potential": {"name": config.potential.name},
        "composition": {
            "scans": [own],
            "relaxation": {**LOOSE, "squeeze_gpa": config.scanned().relaxation.squeeze_gpa},
            "sqs": {"replicates": 1, "shells": 3, "swaps": 2000},
        },
        "figures": {"names": []},
    }
    path = folder / "supercells.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_config(path)


def timed(config: CampaignConfig, potential: Potential, tasks: Sequence[Task]) -> Timed:
    """Run tasks."""
    processor, wall = time.process_time(), time.monotonic()
    with Progress(len(tasks), label="screening", unit="compositions") as progress:
        found = run_shard(config, potential, tasks, checkpoint=None, progress=progress)
    return Timed(
        found.rows, found.evaluations, time.process_time() - processor, time.monotonic() - wall
    )


def matched(
    soft: Sequence[dict[str, Any]], cells: Sequence[dict[str, Any]]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Soft rows and supercells of the same composition that both have results."""
    by_name = {row["composition_id"]: row for row in soft if row["status"] == "ok"}
    return [
        (by_name[row["label"]], row)
        for row in cells
        if row["status"] == "ok" and row["label"] in by_name
    ]


def differences(pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """Soft minus supercell, on average."""
    if not pairs:
        return "no supercell that stayed a crystal of its parent"
    lengths = [abs(a["a_ang"] / b["a_ang"] - 1.0) for a, b in pairs]
    moduli = [[row["bulk_modulus_gpa"] for row in pair] for pair in pairs]
    stiffness = [a / b - 1.0 for a, b in moduli if a is not None and b is not None]
    mixing = [1e3 * (a["mixing_ev_per_atom"] - b["mixing_ev_per_atom"]) for a, b in pairs]
    moved = np.mean([b["distortion_ang"] for _, b in pairs])
    about = f"{100 * np.mean(stiffness):+6.0f}%" if stiffness else f"{'':7s}"
    return (
        f"{100 * np.mean(lengths):7.2f}% {about} {np.mean(mixing):+8.1f} ± {np.std(mixing):7.1f} "
        f"{moved:9.2f}"
    )


def print_ranks(
    name: str, pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]], config: CampaignConfig
) -> None:
    """Rank correlations of what the screening ranks by."""
    screening = config.screening
    kelvin = screening.temperature_k if screening is not None else 0.0
    numbers = {
        "lattice parameter": lambda row: row["a_ang"],
        "energy of mixing": lambda row: row["mixing_ev_per_atom"],
        f"free energy at {kelvin:g} K": lambda row: (
            row["mixing_ev_per_atom"] - BOLTZMANN_EV_PER_K * kelvin * row["entropy_kb"]
        ),
    }
    texts = []
    for label, number in numbers.items():
        if len(pairs) > 2:
            values = [[number(row) for row in pair] for pair in pairs]
            texts.append(f"{label} {spearmanr(values).statistic:.2f}")
    print(f"  {name}, {len(pairs)} pairs; rank correlations: {', '.join(texts)}")


def print_failures(rows: Sequence[dict[str, Any]]) -> None:
    """Rows without results, by reason."""
    counted = Counter((row["method"], row["status"], row["error"]) for row in rows)
    for (method, status, error), count in counted.most_common():
        if status != "ok":
            print(f"  {count} {method} {status}: {error}")


def print_run(folder: Path) -> None:
    """What the campaign itself cost, from its tables."""
    rows = read_table(folder / "composition.parquet", "composition").rows()
    runs = read_table(folder / "runs.parquet", "runs").rows()
    wall = sum(run["wall_s"] for run in runs)
    evaluations = sum(run["evaluations"] for run in runs)
    print(
        f"campaign: {len(rows)} compositions in {len(runs)} jobs, {wall:.0f} s in all, "
        f"{wall / len(rows):.3f} s and {evaluations / len(rows):.1f} evaluations each"
    )
    print_failures(rows)


if __name__ == "__main__":
    main()
