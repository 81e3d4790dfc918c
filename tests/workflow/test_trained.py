"""Scans with the potential that the same campaign trains: the chain, and what runs again."""

from __future__ import annotations

import softatoms as sa
from softatoms.tables import read_table

from .conftest import Clone, edited

CONFIG = "config/test/trained.yaml"


def test_scans_use_the_potential_that_the_campaign_trains(clone: Clone) -> None:
    clone.snakemake("--cores", "1", "--configfile", CONFIG)
    results = clone.root / "results/trained"
    table = read_table(results / "tables/composition.parquet", "composition")
    model = sa.load_potential(results / "model")
    assert table.provenance.model_sha256 == model.sha256()
    assert table.data.num_rows == 5
    assert clone.planned(clone.root / CONFIG) == {}
    source = clone.root / CONFIG
    edited(source, source, composition={"relaxation": {"max_steps": 21}})
    again = clone.planned(source)
    assert again["scan"] == 1
    assert "train" not in again
    edited(source, source, training={"epochs": 3})
    again = clone.planned(source)
    assert again["train"] == again["scan"] == again["collect_composition"] == 1
    assert "dataset_labels" not in again
