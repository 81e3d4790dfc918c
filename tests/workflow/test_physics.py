"""The physics checks as a rule: the table, figure and report they end in, and what runs again."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from .conftest import Clone, edited

CONFIG = Path("config/test/physics.yaml")
TABLE = "results/physics/tables/physics_checks.parquet"
AFTER = {"physics": 1, "figures": 1, "report": 1, "all": 1}


def test_checks_are_made_once_and_again_only_where_needed(clone: Clone) -> None:
    clone.snakemake("--cores", "2", "--configfile", CONFIG)
    rows = pq.read_table(clone.root / TABLE).to_pylist()
    assert {row["status"] for row in rows if row["crystal"] == "Cu"} == {"ok"}
    # Neither of the potentials knows oxygen or has such a crystal: a row, not a broken run.
    assert {row["status"] for row in rows if row["crystal"] == "Cu2O"} == {"failed"}
    results = clone.root / "results/physics"
    assert (results / "figures/physics_checks.pdf").stat().st_size > 0
    assert "Physics checks" in (results / "report.html").read_text()
    log = (results / "logs/physics.log").read_text().splitlines()
    assert sum(line.startswith("Cu, elastic by ") for line in log) == 2
    assert clone.planned(CONFIG) == {}
    source = clone.root / CONFIG
    edited(source, source, compute={"threads": 2})
    assert clone.planned(CONFIG) == {}
    edited(source, source, physics={"facets": [[1, 0, 0]]})
    assert clone.planned(CONFIG) == AFTER


def test_a_changed_crystal_is_checked_again(clone: Clone) -> None:
    clone.snakemake("--cores", "1", "--configfile", CONFIG, "--", TABLE)
    file = clone.root / "config/structures/Cu2O.poscar"
    file.write_text(file.read_text().replace("Cu2O", "cuprite", 1))
    output = clone.snakemake("--dry-run", "--configfile", CONFIG, "--", TABLE)
    assert "rule physics:" in output
    assert "rule scan:" not in output


def test_the_rule_is_sound(clone: Clone) -> None:
    assert "good condition" in clone.snakemake("--lint", "--configfile", CONFIG)


def test_the_quickstart_checks_the_model_that_it_trains(clone: Clone) -> None:
    output = clone.snakemake("--dry-run", "--configfile", "config/config.yaml")
    block = output.split("rule physics:", maxsplit=1)[1].split("rule ", maxsplit=1)[0]
    assert "results/quickstart/model/weights.safetensors" in block
    assert "config/structures/Cu2O.poscar" in block
