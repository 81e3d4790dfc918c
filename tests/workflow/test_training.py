"""The training stage as a rule: from generated frames to models, and what runs again."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

import softatoms as sa

from .conftest import Clone, edited, job_counts

CONFIG = "config/test/training.yaml"
TABLE = "results/training/tables/evaluation.parquet"


def planned(clone: Clone, config: str | Path) -> dict[str, int]:
    output = clone.snakemake("--dry-run", "--quiet", "rules", "--configfile", config, "--", TABLE)
    return {rule: n for rule, n in job_counts(output).items() if rule != "total"}


def test_models_are_trained_once_and_again_only_where_needed(clone: Clone) -> None:
    clone.snakemake("--cores", "1", "--configfile", CONFIG, "--", TABLE)
    models = {row["model"] for row in pq.read_table(clone.root / TABLE).to_pylist()}
    assert models == {"model", "model-01"}
    sa.load_potential(clone.root / "results/training/model-01")
    assert planned(clone, CONFIG) == {}
    source = clone.root / CONFIG
    edited(source, source, figures={"dots_per_inch": 50})
    assert planned(clone, CONFIG) == {}
    edited(source, source, training={"epochs": 3})
    assert planned(clone, CONFIG) == {"train": 1}


def test_figures_and_report_follow_the_training(clone: Clone) -> None:
    jobs = job_counts(clone.snakemake("--dry-run", "--quiet", "rules", "--configfile", CONFIG))
    assert jobs["train"] == jobs["figures"] == jobs["report"] == 1
    clone.snakemake("--cores", "2", "--configfile", CONFIG)
    results = clone.root / "results/training"
    for name in ("parity", "training"):
        assert (results / f"figures/{name}.png").stat().st_size > 0
    assert "Trained potential" in (results / "report.html").read_text()
    assert clone.planned(Path(CONFIG)) == {}
    source = clone.root / CONFIG
    edited(source, source, training={"epochs": 3})
    assert clone.planned(Path(CONFIG)) == {"train": 1, "figures": 1, "report": 1, "all": 1}


def test_the_rule_is_sound(clone: Clone) -> None:
    assert "good condition" in clone.snakemake("--lint", "--configfile", CONFIG)
