"""A small campaign that is run once, through the command line, for all tests that need results."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from softatoms.cli import main

SMALL: dict[str, Any] = {
    "campaign": {"name": "small", "title": "Small <campaign> & more", "seed": 0},
    "potential": {"name": "gupta", "options": {"elements": ["Cu", "Au", "Ni"]}},
    "composition": {
        "shard_size": 20,
        "scans": [
            {
                "name": "pairs",
                "prototypes": ["fcc", "bcc"],
                "sublattices": {
                    "site": {"elements": ["Cu", "Au", "Ni"], "divisions": 4, "max_elements": 2}
                },
                "methods": ["mean_field"],
            },
            {
                "name": "cu-ni",
                "prototypes": ["fcc"],
                "sublattices": {"site": {"elements": ["Cu", "Ni"], "divisions": 4}},
                "methods": ["mean_field", "replica", "vegard", "sqs"],
            },
        ],
        "sqs": {"supercell": [1, 1, 2], "replicates": 2, "swaps": 20, "shells": 2},
    },
    "screening": {
        "best_prototype_only": True,
        "filters": [{"column": "n_elements", "at_least": 2}],
        "objectives": [
            {"column": "formation_ev_per_atom", "goal": "minimise"},
            {"column": "a_ang", "goal": "target", "target": {"fcc": 3.7, "bcc": 2.9}},
        ],
    },
    "dataset": {
        "generators": [
            {
                "name": f"cu-{part}",
                "parent": {"lattice": "fcc", "species": ["Cu"], "a_ang": 3.6},
                "strained": {"count": count, "rattle_ang": 0.1},
            }
            for part, count in (("train", 6), ("validation", 2), ("test", 3))
        ],
        "labels": {"potential": {"name": "gupta", "options": {"elements": ["Cu"]}}},
        "split": {
            "assigned": {f"*-{part}": part for part in ("train", "validation", "test")},
        },
    },
    "training": {
        "potential": {"name": "painn", "options": {"elements": ["Cu"], "n_features": 8}},
        "size": 2,
        "epochs": 3,
        "atoms_per_batch": 8,
        "learning_curve": {"fractions": [0.3, 0.5, 1.0], "equal": "epochs"},
    },
    # The network has not learnt anything: what it gives, or why it gives nothing, has to show.
    "physics": {
        "crystals": {"copper": {"prototype": "fcc", "elements": ["Cu"]}},
        "checks": ["equation_of_state", "elastic"],
        "given": [{"source": "measured", "values": {"copper": {"C11": 177.0, "a": 3.61}}}],
        "tolerances": {"max_steps": 30},
    },
    "figures": {
        "names": [
            *("lattice", "mixing", "free_energy", "bulk_modulus", "ternary", "pair_map"),
            *("ranking", "pareto"),
            *("parity", "training", "uncertainty", "learning_curve", "physics_checks"),
        ],
        "dots_per_inch": 50,
    },
}


@dataclass(frozen=True)
class Results:
    """A campaign and what it left behind.

    Attributes:
        config: Its configuration file.
        folder: Its results.
        shards: Number of its jobs.
    """

    config: Path
    folder: Path
    shards: int

    @property
    def tables(self) -> Path:
        """Folder of the merged tables."""
        return self.folder / "tables"

    def command(self, name: str, *arguments: str | Path) -> int:
        """Run one command of the campaign."""
        return main([name, "--config", str(self.config), *map(str, arguments)])

    def part(self, shard: int, kind: str = "") -> Path:
        """A table of one job."""
        return self.folder / "shards" / f"{shard}{kind}.parquet"

    def scan(self, shard: int) -> int:
        """Run one job."""
        return self.command(
            "scan",
            *("--manifest", self.folder / "manifest.parquet", "--shard", str(shard)),
            *("--out", self.part(shard), "--runs-out", self.part(shard, ".runs")),
            *("--checkpoint", self.folder / "checkpoints" / str(shard)),
        )

    def collect(self, table: str) -> int:
        """Join the tables of all jobs."""
        kind = ".runs" if table == "runs" else ""
        return self.command(
            "collect",
            *("--manifest", self.folder / "manifest.parquet", "--table", table),
            *("--tables", *(self.part(shard, kind) for shard in range(self.shards))),
            *("--out", self.tables / f"{table}.parquet"),
        )

    def run(self) -> None:
        """Run everything."""
        codes = [self.command("manifest", "--out", self.folder / "manifest.parquet")]
        codes += [self.scan(shard) for shard in range(self.shards)]
        codes += [self.collect(table) for table in ("composition", "runs")]
        ranking = self.tables / "ranking.parquet"
        table = self.tables / "composition.parquet"
        codes.append(self.command("rank", "--table", table, "--out", ranking))
        frames = self.folder / "dataset" / "frames.parquet"
        codes.append(
            self.command("dataset", "--out", frames, "--table", self.tables / "dataset.parquet")
        )
        codes.append(
            self.command(
                "train",
                *("--frames", frames, "--out", self.folder / "model", "--tables", self.tables),
            )
        )
        curve = self.tables / "learning_curve.parquet"
        codes.append(self.command("learning-curve", "--frames", frames, "--out", curve))
        codes.append(
            self.command(
                "physics",
                *("--model", self.folder / "model"),
                *("--out", self.tables / "physics_checks.parquet"),
            )
        )
        figures = self.folder / "figures"
        codes.append(self.command("figures", "--tables", self.tables, "--out", figures))
        codes.append(
            self.command(
                "report",
                *("--tables", self.tables, "--figures", figures),
                *("--out", self.folder / "report.html"),
            )
        )
        assert codes == [0] * len(codes)


def prepare(folder: Path, **sections: Any) -> Results:
    """Write the configuration of a small campaign, with some sections replaced."""
    from softatoms.config import load_config

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**copy.deepcopy(SMALL), **sections}))
    return Results(path, folder / "results", load_config(path).n_shards())
