"""Section ``order``: what it counts, what its results depend on, and what it refuses."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from softatoms.config import load_config

ROOT = Path(__file__).parents[2]
GOOD: dict[str, Any] = yaml.safe_load((ROOT / "config/test/order.yaml").read_text())


def loaded(tmp_path: Path, change) -> Any:
    campaign = copy.deepcopy(GOOD)
    change(campaign)
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump(campaign))
    return load_config(path)


def test_the_published_table_is_split_into_jobs():
    config = load_config(ROOT / "config/paper/order.yaml")
    assert config.order is not None
    assert len(config.order.names()) == 55
    assert config.order.n_shards() == 11
    assert config.order.is_compared()


def test_results_depend_on_values_but_not_on_jobs(tmp_path):
    plain = loaded(tmp_path, lambda c: None)
    assert plain.order.n_shards() == 2
    assert not plain.order.is_compared()

    def digest(change) -> str:
        return loaded(tmp_path, change).section_digest("order")

    assert digest(lambda c: c["order"].update(shard_size=9)) == plain.section_digest("order")
    assert digest(lambda c: c["order"].update(threshold_k=9.0)) != plain.section_digest("order")
    assert digest(
        lambda c: (
            c["compute"].update(dtype="float32")
            if "compute" in c
            else c.update(compute={"dtype": "float32"})
        )
    ) != plain.section_digest("order")


def test_a_changed_table_changes_results(tmp_path):
    table = tmp_path / "own.csv"
    head = "formula,b_charges,observed,source,checked,note\n"
    table.write_text(head + "Cu2AuCuO6,3/5,rocksalt,here,yes,\n")

    def use(campaign):
        campaign["order"]["table"] = str(table)
        campaign["potential"] = {"name": "chgnet"}

    before = loaded(tmp_path, use).section_digest("order")
    table.write_text(head + "Cu2AuCuO6,3/5,disordered,here,yes,\n")
    assert loaded(tmp_path, use).section_digest("order") != before
    assert loaded(tmp_path, use).order.files() == [str(table)]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"reference": "sqs", "states": ["replica"]}, r"order.reference: 'sqs' is not among"),
        ({"states": ["sqs", "sqs"]}, r"order.states\[1\]: 'sqs' is named twice"),
        ({"parents": {}}, "order: needs a 'table' or 'parents'"),
        ({"formulas": ["Sr2FeMoO6"]}, "order.formulas: goes with a 'table' only"),
        ({"table": "double_perovskite"}, "order.table: 'double_perovskite' is neither"),
        (
            {"table": "double_perovskites", "formulas": ["Sr2FeMo6"]},
            r"order.formulas\[0\]: 'Sr2FeMo6' is not in the table: did you mean 'Sr2FeMoO6'",
        ),
        ({"supercell": [[1, 0, 0], [0, 1, 0], [1, 1, 0]]}, "order.supercell: vectors must span"),
        (
            {"table": "double_perovskites", "tilt_deg": 5.0, "supercell": [[3, 0, 0]] * 3},
            "order.supercell: must have even entries",
        ),
        ({"table": "double_perovskites"}, "is not covered by the potential, which has Cu, Au"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, change, error):
    with pytest.raises(ValueError, match=error):
        loaded(tmp_path, lambda c: c["order"].update(change))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"file": "x.cif"}, "needs either 'prototype' or 'file'"),
        ({"prototype": "fc"}, "unknown prototype 'fc': did you mean 'fcc'"),
        ({"a_ang": None}, "a_ang: is required with a prototype"),
        ({"sublattices": {"face": {"Cu": 1.0}}}, "sublattices: must name exactly site"),
        ({"sublattices": {"site": {"Cu": 1.0}}}, "exactly one sublattice must hold several"),
        ({"sublattices": {"site": {"Cu": 0.5, "Au": 0.4}}}, "shares must sum to 1, got 0.9"),
        ({"sublattices": {"site": {"Cu": 0.5, "Xy": 0.5}}}, "unknown element 'Xy'"),
    ],
)
def test_what_is_wrong_with_a_parent_is_told(tmp_path, change, error):
    with pytest.raises(ValueError, match=error):
        loaded(tmp_path, lambda c: c["order"]["parents"]["cuau"].update(change))


def test_figures_need_the_section_and_experiments(tmp_path):
    with pytest.raises(ValueError, match="'order_roc' needs compounds with and without order"):
        loaded(tmp_path, lambda c: c["figures"].update(names=["order_roc"]))

    def without(campaign):
        del campaign["order"]
        campaign["physics"] = {
            "crystals": {"Cu": {"prototype": "fcc", "elements": ["Cu"]}},
            "given": [{"source": "x", "values": {"Cu": {"a": 3.6}}}],
        }

    with pytest.raises(ValueError, match="'order_energies' needs the section 'order'"):
        loaded(tmp_path, without)
