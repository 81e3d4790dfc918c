"""The training stage as a rule: from generated frames to models, and what runs again."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import yaml

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
    assert models == {"model", "model-01", "model-mean"}
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
    # A learning curve needs the frames, not the models.
    edited(source, source, training={"learning_curve": {}})
    expected = {"learning_curve": 1, "figures": 1, "report": 1, "all": 1}
    assert clone.planned(Path(CONFIG)) == expected
    edited(source, source, training={"learning_curve": None, "epochs": 3})
    assert clone.planned(Path(CONFIG)) == {"train": 1, "figures": 1, "report": 1, "all": 1}


def test_a_learning_curve_is_one_job(clone: Clone) -> None:
    source = clone.root / CONFIG
    values = yaml.safe_load(source.read_text())
    (first,) = values["dataset"]["generators"]
    held_out = {**first, "name": "cuau-test", "substituted": {**first["substituted"], "count": 2}}
    split = {"assigned": {"*-test": "test", "*": "train"}}
    edited(
        source,
        source,
        dataset={"generators": [first, held_out], "split": split},
        training={"learning_curve": {"fractions": [0.5, 1.0], "equal": "epochs"}, "size": 1},
        figures={"names": ["learning_curve"]},
    )
    table = "results/training/tables/learning_curve.parquet"
    clone.snakemake("--cores", "1", "--configfile", CONFIG, "--", table)
    rows = pq.read_table(clone.root / table).to_pylist()
    assert {row["status"] for row in rows} == {"ok"}
    assert {(row["n_frames"], row["split"]) for row in rows} == {(5, "test"), (10, "test")}
    assert "good condition" in clone.snakemake("--lint", "--configfile", CONFIG)


def test_the_rule_is_sound(clone: Clone) -> None:
    assert "good condition" in clone.snakemake("--lint", "--configfile", CONFIG)
