"""Free energies as rules: jobs, what joins them, and what runs again."""

from __future__ import annotations

from pathlib import Path

from .conftest import Clone, edited

CONFIG = Path("config/test/free-energies.yaml")
JOBS = {"free_energy": 4, "free_energy_tables": 1, "figures": 1, "report": 1, "all": 1}


def test_runs_are_computed_in_jobs_and_again_only_where_needed(clone: Clone) -> None:
    assert clone.planned(CONFIG) == JOBS
    clone.snakemake("--cores", "2", "--configfile", CONFIG)
    results = clone.root / "results/free-energies-test"
    for name in ("free_energy", "works", "switching_profile", "phase_stability"):
        assert (results / f"tables/{name}.parquet").is_file()
    assert (results / "figures/free_energies.pdf").stat().st_size > 0
    assert "Free energies" in (results / "report.html").read_text()
    assert clone.planned(CONFIG) == {}
    source = clone.root / CONFIG
    edited(source, source, free_energies={"bootstrap": 50})
    assert clone.planned(CONFIG) == JOBS


def test_the_published_campaigns_are_jobs_of_one_temperature(clone: Clone) -> None:
    vacancy = clone.planned(Path("config/paper/vacancy.yaml"))
    assert vacancy == {**JOBS, "free_energy": 4}
    perovskite = clone.planned(Path("config/paper/perovskite.yaml"))
    assert perovskite == {**JOBS, "free_energy": 10}


def test_the_rules_are_sound(clone: Clone) -> None:
    assert "good condition" in clone.snakemake("--lint", "--configfile", CONFIG)
