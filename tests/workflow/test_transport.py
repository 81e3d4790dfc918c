"""Heat transport as rules: one job per system and temperature, and what runs again."""

from __future__ import annotations

from pathlib import Path

from .conftest import Clone, edited

CONFIG = Path("config/test/transport.yaml")
JOBS = {"transport": 2, "transport_tables": 1, "figures": 1, "report": 1, "all": 1}


def test_runs_are_computed_in_jobs_and_again_only_where_needed(clone: Clone) -> None:
    assert clone.planned(CONFIG) == JOBS
    clone.snakemake("--cores", "2", "--configfile", CONFIG)
    results = clone.root / "results/transport-test"
    assert (results / "tables/transport_spectrum.parquet").is_file()
    assert (results / "figures/transport.pdf").stat().st_size > 0
    assert "Heat transport" in (results / "report.html").read_text()
    assert list((results / "trajectories/transport").glob("*/production/samples/flux/*.parquet"))
    assert clone.planned(CONFIG) == {}
    source = clone.root / CONFIG
    edited(source, source, transport={"analysis": {"smoothing_fs": 50.0}})
    assert clone.planned(CONFIG) == JOBS


def test_the_rules_are_sound(clone: Clone) -> None:
    assert "good condition" in clone.snakemake("--lint", "--configfile", CONFIG)
