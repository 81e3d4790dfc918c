"""The dataset stage as rules: jobs, and what runs again when something changes."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from .conftest import Clone, edited, job_counts

CONFIG = "config/test/dataset.yaml"
TABLE = "results/dataset/tables/dataset.parquet"
JOBS = {"dataset_frames": 1, "dataset_labels": 3, "dataset": 1}


def planned(clone: Clone, config: str | Path, *targets: str) -> dict[str, int]:
    output = clone.snakemake(
        "--dry-run", "--quiet", "rules", "--configfile", config, "--", *targets
    )
    return {rule: n for rule, n in job_counts(output).items() if rule.startswith("dataset")}


def test_a_dataset_is_made_once_and_again_only_where_needed(clone: Clone) -> None:
    assert planned(clone, CONFIG) == JOBS
    clone.snakemake("--cores", "1", "--configfile", CONFIG)
    rows = pq.read_table(clone.root / TABLE).to_pylist()
    assert len(rows) == 13
    assert {row["status"] for row in rows} == {"ok"}
    assert (clone.root / "results/dataset/dataset/frames.xyz").stat().st_size > 0
    assert planned(clone, CONFIG, TABLE) == {}
    source = clone.root / CONFIG
    edited(source, source, figures={"dots_per_inch": 50})
    assert planned(clone, CONFIG, TABLE) == {}
    split = {"train": 1.0, "validation": 0.0, "test": 0.0}
    (clone.root / "results/dataset/dataset/labels/1.parquet").unlink()
    (clone.root / TABLE).unlink()
    assert planned(clone, CONFIG, TABLE) == {"dataset_labels": 1, "dataset": 1}
    edited(source, source, dataset={"split": split})
    assert planned(clone, CONFIG, TABLE) == JOBS


def test_the_rules_are_sound(clone: Clone) -> None:
    assert "good condition" in clone.snakemake("--lint", "--configfile", CONFIG)


def test_a_campaign_without_a_dataset_has_no_such_jobs(clone: Clone) -> None:
    assert planned(clone, "config/test/spine.yaml") == {}
