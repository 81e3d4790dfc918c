"""Optimisations as rules: one job per search, what they end in, and what runs again."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from .conftest import Clone, edited

CONFIG = Path("config/test/optimisation.yaml")
TABLE = "results/test-optimisation/tables/optimisation.parquet"


def test_searches_are_joined_and_made_again_only_where_needed(clone: Clone) -> None:
    source = clone.root / CONFIG
    edited(source, source, optimisation={"methods": ["newton"], "starts": 1})
    clone.snakemake("--cores", "2", "--configfile", CONFIG, "--", TABLE)
    rows = pq.read_table(clone.root / TABLE).to_pylist()
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["search"] for row in rows} == {"cu-au", "ternary"}
    assert clone.planned(CONFIG) == {"figures": 1, "report": 1, "all": 1}
    edited(source, source, optimisation={"tolerance": 0.01})
    assert clone.planned(CONFIG, "--", TABLE) == {"optimise": 2, "collect_optimisation": 1}


def test_the_rules_are_sound(clone: Clone) -> None:
    assert "good condition" in clone.snakemake("--lint", "--configfile", CONFIG)
