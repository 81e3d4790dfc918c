"""Two rounds of active learning as rules: killed, resumed, and run again only where needed."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import softatoms as sa
from softatoms.dataset.parquet_frames import read_frames
from softatoms.tables import read_table

from .conftest import Clone, edited, job_counts

CONFIG = Path("config/test/active-learning.yaml")
RESULTS = Path("results/active-learning")
TABLE = RESULTS / "tables/active_learning.parquet"
JOBS = {
    "active_learning": 1,
    "active_learning_frames": 2,
    "active_learning_labels": 2,
    "active_learning_train": 2,
    "dataset": 1,
    "dataset_frames": 1,
    "dataset_labels": 1,
    "explore": 2,
    "train": 1,
}
OF_A_ROUND = {"active_learning_frames": 1, "active_learning_labels": 1, "explore": 1}


def planned(clone: Clone, config: Path = CONFIG) -> dict[str, int]:
    output = clone.snakemake("--dry-run", "--quiet", "rules", "--configfile", config, "--", TABLE)
    return job_counts(output)


def test_rounds_are_run_once_and_again_only_where_needed(clone: Clone) -> None:
    assert planned(clone) == JOBS
    arguments = ("--cores", "1", "--configfile", CONFIG, "--", TABLE)
    process = clone.start(*arguments)
    labels = clone.root / RESULTS / "active_learning/0/selected.parquet"
    while process.poll() is None and not labels.exists():
        time.sleep(0.05)
    time.sleep(1.0)
    # Snakemake and the job that runs, without warning.
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (clone.root / TABLE).exists()
    clone.snakemake("--unlock", "--configfile", CONFIG)
    clone.snakemake("--rerun-incomplete", *arguments)
    check_results(clone.root / RESULTS)
    assert planned(clone) == {}
    source = clone.root / CONFIG
    edited(source, source, figures={"dots_per_inch": 50})
    assert planned(clone) == {}
    # One round more: those that are done stay.
    edited(source, source, active_learning={"rounds": 3})
    assert planned(clone) == {
        **OF_A_ROUND,
        "active_learning": 1,
        "active_learning_train": 1,
        "train": 1,
    }
    # What is looked for changes: the dataset and the first training stay.
    edited(source, source, active_learning={"rounds": 2, "per_round": 3})
    after = {name: count for name, count in JOBS.items() if not name.startswith("dataset")}
    assert planned(clone) == {**after, "active_learning_train": 1}


def check_results(results: Path) -> None:
    rows = read_table(results / "tables/active_learning.parquet", "active_learning").rows()
    assert [row["frames"] for row in rows] == [12, 16, 20]
    assert [row["labelled"] for row in rows] == [4, 4, 0]
    assert [row["test_frames"] for row in rows] == [4, 4, 4]
    # Every label was computed once, whatever was killed.
    lines = [
        json.loads(line.partition(" ")[2])
        for path in (results / "checkpoints/dataset").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert len(lines) == len({line["structure"] for line in lines}) == 20
    # The models of the campaign are those of the last round.
    frames = read_frames(results / "active_learning/2/frames.parquet").frames
    predicted = read_table(results / "tables/prediction.parquet", "prediction")
    assert set(predicted.text("frame_id")) == {frame.frame_id for frame in frames}
    model = sa.load_potential(results / "model")
    assert predicted.provenance.model_sha256 == model.sha256()
    own = read_table(results / "tables/evaluation.parquet", "evaluation").provenance.config_hash
    walks = read_table(results / "tables/exploration.parquet", "exploration")
    assert walks.provenance.config_hash == own


def test_without_the_section_there_are_no_such_jobs(clone: Clone) -> None:
    config = Path("config/test/training.yaml")
    output = clone.snakemake("--dry-run", "--quiet", "rules", "--configfile", config)
    assert not [name for name in job_counts(output) if "explore" in name or "active" in name]


def test_the_rules_are_sound(clone: Clone) -> None:
    assert "good condition" in clone.snakemake("--lint", "--configfile", CONFIG)
