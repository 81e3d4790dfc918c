"""Order and disorder as rules: jobs, what joins them, and what runs again."""

from __future__ import annotations

from pathlib import Path

from .conftest import Clone, edited

CONFIG = Path("config/test/order.yaml")
JOBS = {"order": 2, "order_tables": 1, "figures": 1, "report": 1, "all": 1}


def test_compounds_are_computed_in_jobs_and_again_only_where_needed(clone: Clone) -> None:
    assert clone.planned(CONFIG) == JOBS
    clone.snakemake("--cores", "2", "--configfile", CONFIG)
    results = clone.root / "results/order-test"
    assert (results / "tables/order_summary.parquet").is_file()
    assert not (results / "tables/order_roc.parquet").exists()
    assert (results / "figures/order_energies.pdf").stat().st_size > 0
    assert "Order and disorder" in (results / "report.html").read_text()
    assert clone.planned(CONFIG) == {}
    source = clone.root / CONFIG
    edited(source, source, order={"threshold_k": 500.0})
    assert clone.planned(CONFIG) == JOBS


def test_the_published_campaign_compares_with_experiments(clone: Clone) -> None:
    planned = clone.planned(Path("config/paper/order.yaml"))
    assert planned == {**JOBS, "order": 11}


def test_the_rules_are_sound(clone: Clone) -> None:
    assert "good condition" in clone.snakemake("--lint", "--configfile", CONFIG)
