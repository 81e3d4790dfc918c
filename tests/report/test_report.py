"""The report stands alone, and its numbers are those of the tables."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from campaigns import SMALL, Results, prepare
from softatoms.config import load_config
from softatoms.figures.data import CampaignTables
from softatoms.report.numbers import key_numbers
from softatoms.tables import read_table


class Page(HTMLParser):
    """Collects what the tests ask for, and sees that every element is closed."""

    VOID = ("meta", "link", "img", "input", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        held = dict(attrs)
        self.links += [held[key] for key in ("src", "href") if key in held]
        self.ids.add(held.get("id", ""))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def source(small_campaign: Results) -> str:
    return (small_campaign.folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def page(source: str) -> Page:
    return Page(source)


def test_it_is_well_formed_and_needs_nothing_else(page, source):
    assert page.open == []
    assert page.links
    assert all(link.startswith("data:") for link in page.links)
    assert not re.search(r"https?://|@import|url\(", source)


def test_every_figure_is_inside(page, small_campaign):
    assert set(SMALL["figures"]["names"]) <= page.ids
    images = [link for link in page.links if link.startswith("data:image/png;base64,")]
    assert len(images) == len(SMALL["figures"]["names"])


def test_errors_of_the_trained_potential_are_listed(page, source, small_campaign):
    table = pd.read_parquet(small_campaign.tables / "evaluation.parquet")
    table = table[(table.element == "all") & (table.model == "model")]
    table = table.set_index(["split", "group", "quantity"])
    assert "Trained potential" in page.text
    assert "labels, which come from <code>gupta</code>." in source
    for split, group in (("test", "all"), ("test", "cu-test"), ("train", "all")):
        energy, force, stress = (
            table.loc[(split, group, name)] for name in ("energy", "force", "stress")
        )
        cells = [
            *("model", split, group, str(energy.n)),
            f"{1e3 * energy.mae:.1f} / {1e3 * energy.rmse:.1f}",
            f"{force.mae:.3f} / {force.rmse:.3f}",
            f"{160.21766 * stress.mae:.2f} / {160.21766 * stress.rmse:.2f}",
        ]
        assert "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" in source
    # Groups of other parts say nothing about the error of predictions.
    assert "cu-train</td>" not in source
    assert source.index("Trained potential") < source.index('id="parity"')


def test_errors_by_element_and_the_spread_are_listed(source, small_campaign):
    table = pd.read_parquet(small_campaign.tables / "evaluation.parquet")
    found = table.set_index(["model", "split", "group", "element", "quantity"])
    for model, group in (("model", "all"), ("model-01", "cu-test"), ("model-mean", "system:Cu")):
        row = found.loc[(model, "test", group, "Cu", "force")]
        cells = [model, "test", group, "Cu", str(row.n // 3)]
        cells += [f"{row.mae:.3f}", f"{row.rmse:.3f}", f"{row.largest:.3f}"]
        assert "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" in source
    rows = pd.read_parquet(small_campaign.tables / "calibration.parquet").set_index(
        ["split", "group", "quantity"]
    )
    force, energy = (rows.loc[("test", "all", name)] for name in ("force", "energy"))
    assert f"<td>{force.factor:.2f}</td>" in source
    inside = f"<td>{100 * force.coverage_68:.0f} % ({100 * force.coverage_68_raw:.0f} %)</td>"
    assert inside in source
    assert f"<td>none</td><td>({100 * energy.coverage_68_raw:.0f} %)</td>" in source


def test_without_training_there_is_no_such_section(small_campaign, tmp_path):
    own = prepare(tmp_path, training=None, figures={"names": ["lattice"]})
    out = tmp_path / "report.html"
    code = own.command(
        "report",
        *("--tables", small_campaign.tables, "--figures", small_campaign.folder / "figures"),
        *("--out", out),
    )
    assert code == 0
    assert "Trained potential" not in out.read_text(encoding="utf-8")


def test_the_front_of_the_screening_is_listed(source, small_campaign):
    ranking = pd.read_parquet(small_campaign.tables / "ranking.parquet")
    members = ranking[ranking.pareto_front == 1].sort_values("formation_ev_per_atom")
    shown = source.partition('id="front"')[2].partition("</table>")[0]
    rows = [re.findall("<td>(.*?)</td>", line) for line in shown.split("<tr>")[2:]]
    assert [int(row[0]) for row in rows] == members["rank"].tolist()
    assert [float(row[3]) for row in rows] == pytest.approx(
        (1e3 * members.formation_ev_per_atom).tolist(), rel=1e-4, abs=1e-9
    )
    assert [float(row[5]) for row in rows] == pytest.approx(
        (100.0 * members.target_distance).tolist(), abs=6e-4
    )
    assert f"which holds {len(members)}." in source


def test_titles_are_text_and_no_markup(source):
    assert "<h1>Small &lt;campaign&gt; &amp; more</h1>" in source


def test_provenance_is_shown(page, small_campaign):
    table = read_table(small_campaign.tables / "composition.parquet", "composition")
    origin = table.provenance
    for wanted in (origin.git_revision, origin.config_hash, origin.model_sha256):
        assert wanted in page.text
    assert table.content_hash() in page.text
    assert any("torch" in text for text in page.text)


def test_the_table_holds_all_rows(source, small_campaign):
    held = re.search(r'<script type="application/json" id="rows">(.*?)</script>', source, re.DOTALL)
    rows = json.loads(held.group(1))
    frame = pd.read_parquet(small_campaign.tables / "composition.parquet")
    shown = pd.DataFrame(rows["rows"], columns=rows["columns"])
    assert shown.composition_id.tolist() == frame.composition_id.tolist()
    np.testing.assert_allclose(shown.a_ang, frame.a_ang, atol=1e-5)
    np.testing.assert_allclose(shown.mixing_ev_per_atom, frame.mixing_ev_per_atom, atol=1e-6)


def test_texts_cannot_end_the_script(source, small_campaign, monkeypatch):
    from softatoms.report import page as module

    table = read_table(small_campaign.tables / "composition.parquet", "composition")
    rows = table.rows()
    rows[0]["error"] = "</script><b>"
    monkeypatch.setattr(type(table), "rows", lambda _: rows)
    text = module._rows_as_json(table)
    assert "</" not in text
    assert json.loads(text)["rows"][0][-1] == "</script><b>"


def signed(value: float) -> str:
    return f"{value:+.1f} meV/atom".replace("-", "−")


class TestKeyNumbers:
    @pytest.fixture
    def numbers(self, small_campaign):
        found = key_numbers(
            load_config(small_campaign.config), CampaignTables(small_campaign.tables)
        )
        return {(number.system, number.quantity): number for number in found}

    @pytest.fixture
    def frame(self, small_campaign):
        frame = pd.read_parquet(small_campaign.tables / "composition.parquet")
        return frame[(frame.prototype == "fcc") & (frame.x_Cu + frame.x_Ni > 0.999)]

    def test_extreme_mixing(self, numbers, frame):
        number = numbers["Cu–Ni, fcc", "energy of mixing farthest from 0, mean field"]
        largest = frame[frame.method == "mean_field"].mixing_ev_per_atom.max()
        assert number.value == signed(1e3 * largest)

    def test_spread_of_the_supercells(self, numbers, frame):
        number = numbers["Cu–Ni, fcc", "energy of mixing farthest from 0, SQS"]
        cells = frame[frame.method == "sqs"].groupby("x_Ni").mixing_ev_per_atom
        x = cells.mean().abs().idxmax()
        span = 1e3 * (cells.max() - cells.min())[x]
        assert number.spread == (f"at Ni fraction {x:g}; replicates span {span:.1f} meV/atom")

    def test_mean_field_against_supercells_leaves_the_pure_metals_out(self, numbers, frame):
        number = numbers["Cu–Ni, fcc", "mean field minus SQS, energy of mixing"]
        inner = frame[(frame.x_Ni > 0) & (frame.x_Ni < 1)]
        means = inner.groupby(["method", "x_Ni"]).mixing_ev_per_atom.mean()
        difference = 1e3 * (means["mean_field"] - means["sqs"])
        assert number.value == signed(difference.mean())
        assert number.spread.endswith("over 3 compositions")
        spread = inner[inner.method == "sqs"].groupby("x_Ni").mixing_ev_per_atom.sem()
        error = 1e3 * np.sqrt((spread**2).sum()) / 3
        assert number.spread.startswith(f"standard error {error:.2f} meV/atom, ")

    def test_vegard(self, numbers, frame):
        number = numbers["Cu–Ni, fcc", "largest deviation from Vegard's law, mean field"]
        assert number.value.endswith(" mÅ")

    def test_screening(self, numbers, small_campaign):
        ranking = pd.read_parquet(small_campaign.tables / "ranking.parquet")
        number = numbers["screening", "compositions ranked"]
        assert number.value == str(len(ranking))
        first = ranking.iloc[0]
        key = ("screening", f"first rank: {first.formula} ({first.prototype})")
        assert numbers[key].value == signed(1e3 * first.mixing_free_energy_ev_per_atom)
