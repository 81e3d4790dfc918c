"""The stage through the command line: jobs, what joins them, figures and the report."""

from __future__ import annotations

import copy
import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from matplotlib.image import imread
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from pymatgen.io.cif import CifWriter

from softatoms.cli import main
from softatoms.order import stage
from softatoms.tables import read_table

ROOT = Path(__file__).parents[2]
CAMPAIGN: dict[str, Any] = yaml.safe_load((ROOT / "config/test/order.yaml").read_text())
TABLE = """\
formula,b_charges,observed,source,checked,note
Sr2FeMoO6,3/5,rocksalt,here,yes,
Sr2FeRuO6,3/5,disordered,there,yes,
Sr2MnSbO6,3/5,disputed,elsewhere,no,
Sr2ScNbO6,3/5,rocksalt,here,yes,
"""


def write(folder: Path, campaign: dict[str, Any]) -> Path:
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(campaign))
    return path


def order(config: Path, out: Path, *arguments: str | Path) -> int:
    named = ["order", "--config", config, "--out", out / "order.parquet"]
    named += ["--summary-out", out / "order_summary.parquet", *arguments]
    return main([str(argument) for argument in named])


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Both alloys of the shipped campaign, in one go."""
    folder = tmp_path_factory.mktemp("order")
    assert order(write(folder, CAMPAIGN), folder) == 0
    return folder


def test_alloys_end_in_sound_tables(whole):
    rows = read_table(whole / "order.parquet", "order").rows()
    states = {"ordered", "mean_field", "replica", "sqs", "random"}
    assert {row["state"] for row in rows} == states
    assert {row["status"] for row in rows} == {"ok"}
    summary = {
        r["compound"]: r
        for r in read_table(whole / "order_summary.parquet", "order_summary").rows()
    }
    gold = summary["cuau"]
    by_state = [r for r in rows if r["compound"] == "cuau" and r["state"] == "sqs"]
    mean = sum(row["above_best_order_ev_per_mixed_site"] for row in by_state) / len(by_state)
    assert gold["ordering_energy_ev_per_mixed_site"] == pytest.approx(mean, rel=1e-12)
    assert gold["ordering_sqs_ev"] == pytest.approx(mean, rel=1e-12)
    assert gold["classification"] == gold["best_order"]
    assert gold["charge_difference"] is None


def test_jobs_give_the_same_as_one_run_and_go_on(whole, tmp_path, monkeypatch):
    config = whole / "campaign.yaml"
    parts, kept = [], tmp_path / "checkpoint"
    for shard in ("0", "1"):
        folder = tmp_path / shard
        assert order(config, folder, "--shard", shard, "--checkpoint", kept) == 0
        parts.append(folder)
    tables = [folder / "order.parquet" for folder in parts]
    summaries = [folder / "order_summary.parquet" for folder in parts]
    joined = tmp_path / "joined"
    assert order(config, joined, "--tables", *tables, "--summaries", *summaries) == 0
    for name in ("order", "order_summary"):
        one = read_table(whole / f"{name}.parquet", name)
        assert read_table(joined / f"{name}.parquet", name).content_hash() == one.content_hash()
    # What is kept is not computed again, also if there are more compounds now.
    monkeypatch.setattr(stage, "relax_variants", None)
    wider = copy.deepcopy(CAMPAIGN)
    wider["order"]["shard_size"] = 5
    again = tmp_path / "again"
    assert order(write(tmp_path, wider), again, "--checkpoint", kept) == 0
    one = read_table(whole / "order.parquet", "order")
    assert read_table(again / "order.parquet", "order").content_hash() == one.content_hash()


def test_joining_needs_every_compound_once(whole, tmp_path, capsys):
    config = whole / "campaign.yaml"
    assert order(config, tmp_path / "0", "--shard", "0") == 0
    table, summary = tmp_path / "0/order.parquet", tmp_path / "0/order_summary.parquet"
    told = {1: "do not cover every compound", 2: "each must come once"}
    for times, words in told.items():
        code = order(
            config, tmp_path, "--tables", *[table] * times, "--summaries", *[summary] * times
        )
        assert code == 2
        assert words in capsys.readouterr().err
    other = copy.deepcopy(CAMPAIGN)
    other["order"]["threshold_k"] = 400.0
    changed = write(tmp_path, other)
    assert order(changed, tmp_path, "--tables", table, "--summaries", summary) == 2
    assert "comes from another configuration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--shard", "2"], "there is no job 2; the jobs are numbered 0 to 1"),
        (["--tables", "x"], "--tables and --summaries go together"),
        (["--shard", "0", "--roc-out", "roc.parquet"], "--roc-out: needs all compounds"),
    ],
)
def test_bad_options_are_told(tmp_path, capsys, monkeypatch, arguments, error):
    monkeypatch.chdir(tmp_path)
    assert order(write(tmp_path, CAMPAIGN), tmp_path, *arguments) == 2
    assert error in capsys.readouterr().err


def test_a_campaign_without_the_section_is_told(tmp_path, capsys):
    config = ROOT / "config/test/physics.yaml"
    assert order(config, tmp_path) == 2
    assert "order: is required to compare order and disorder" in capsys.readouterr().err


def compared(folder: Path) -> Path:
    """Perovskites by pair interactions: quick, and no chemistry at all."""
    (folder / "table.csv").write_text(TABLE)
    elements = ("Sr", "Fe", "Mo", "Ru", "Mn", "Sc", "Nb", "O")
    campaign = {
        "campaign": {"name": "pairs"},
        "potential": {
            "name": "lj",
            "options": {
                "epsilon": {e: 0.05 + 0.02 * k for k, e in enumerate(elements)},
                "sigma": {e: 1.7 if e == "O" else 2.0 for e in elements},
                "cutoff": 5.0,
            },
        },
        "order": {
            "table": str(folder / "table.csv"),
            "formulas": ["Sr2FeMoO6", "Sr2FeRuO6", "Sr2MnSbO6", "Sr2ScNbO6"],
            "states": ["mean_field", "sqs"],
            "replicates": 2,
            "shells": 1,
            "relaxation": {"cell": "isotropic", "sites": False},
            "bootstrap": 50,
        },
        "figures": {"names": ["order_energies", "order_roc"]},
    }
    campaign["potential"]["options"]["epsilon"]["Sb"] = 0.1
    campaign["potential"]["options"]["sigma"]["Sb"] = 2.0
    return write(folder, campaign)


def test_experiments_are_compared_drawn_and_reported(tmp_path):
    config = compared(tmp_path)
    tables = tmp_path / "tables"
    assert order(config, tables, "--roc-out", tables / "order_roc.parquet") == 0
    areas = {r["score"]: r for r in read_table(tables / "order_roc.parquet", "order_roc").rows()}
    assert set(areas) == {
        *("ordering_mean_field", "ordering_sqs"),
        *("charge", "radius", "charge_and_radius"),
    }
    # The disputed one does not count.
    assert {(r["n_ordered"], r["n_disordered"], r["n_left_out"]) for r in areas.values()} == {
        (2, 1, 0)
    }
    # |0.645 − 0.61| and |0.745 − 0.64| are ordered, |0.645 − 0.565| is not.
    assert areas["radius"]["area"] == pytest.approx(0.5)
    assert areas["charge"]["area"] == pytest.approx(0.5)
    assert areas["charge_and_radius"]["minus_baseline"] == 0.0
    figures = tmp_path / "figures"
    common = ["--config", str(config), "--tables", str(tables)]
    assert main(["figures", *common, "--out", str(figures)]) == 0
    assert {path.name for path in figures.iterdir()} == {
        f"order_{name}.{ending}" for name in ("energies", "roc") for ending in ("png", "pdf")
    }
    for name in ("order_energies", "order_roc"):
        image = imread(figures / f"{name}.png")
        assert (image[..., :3].min(axis=2) < 0.9).mean() > 0.01
        assert importlib.import_module(f"softatoms.figures.{name}").CAPTION.endswith(".")
    page = tmp_path / "report.html"
    assert main(["report", *common, "--figures", str(figures), "--out", str(page)]) == 0
    text = page.read_text()
    assert "Order and disorder" in text
    assert "Sr2FeMoO6" in text
    assert "disputed (source not read)" in text


def test_a_supercell_that_does_not_fit_fails_alone(tmp_path, whole):
    campaign = copy.deepcopy(CAMPAIGN)
    campaign["order"]["supercell"] = [[3, 0, 0], [0, 1, 0], [0, 0, 2]]
    campaign["order"]["shells"] = 1
    campaign["order"]["parents"]["cu3au"]["largest"] = 4
    assert order(write(tmp_path, campaign), tmp_path) == 0
    rows = read_table(tmp_path / "order_summary.parquet", "order_summary").rows()
    found = {row["compound"]: row for row in rows}
    assert found["cu3au"]["status"] == "failed"
    assert "0.25 of 6 mixed sites is no whole number of Au" in found["cu3au"]["error"]
    assert found["cuau"]["status"] == "ok"


def test_a_crystal_with_partial_occupancies_is_read_from_a_file(tmp_path, whole, capsys):
    cif = tmp_path / "cuau.cif"
    structure = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(3.87), [{"Cu": 0.5, "Au": 0.5}], [[0.0, 0.0, 0.0]]
    )
    CifWriter(structure).write_file(cif)
    campaign = copy.deepcopy(CAMPAIGN)
    campaign["order"]["parents"] = {"cuau": {"file": str(cif), "largest": 2}}
    # The file holds the cube, the prototype the primitive cell.
    campaign["order"]["states"] = ["mean_field", "replica"]
    campaign["order"]["reference"] = "mean_field"
    assert order(write(tmp_path, campaign), tmp_path, "--roc-out", tmp_path / "roc.parquet") == 0
    row = read_table(tmp_path / "order_summary.parquet", "order_summary").rows()[0]
    known = read_table(whole / "order_summary.parquet", "order_summary").rows()
    same = next(row for row in known if row["compound"] == "cuau")
    for state in ("mean_field", "replica"):
        name = f"ordering_{state}_ev"
        assert row[name] == pytest.approx(same[name], rel=1e-4, abs=1e-6)
    # Without experiments there is nothing to compare with.
    assert read_table(tmp_path / "roc.parquet", "order_roc").rows() == []
    cif.write_text("no crystal")
    capsys.readouterr()
    assert order(write(tmp_path, campaign), tmp_path) == 0
    row = read_table(tmp_path / "order_summary.parquet", "order_summary").rows()[0]
    assert row["status"] == "failed"
    assert str(cif) in row["error"]
