"""Figures show what the tables hold."""

from __future__ import annotations

import importlib
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from campaigns import Results, prepare
from softatoms.config import load_config
from softatoms.config.figures import OF_FREE_ENERGIES, OF_ORDER, OF_TRANSPORT, FigureName
from softatoms.errors import SoftatomsError
from softatoms.figures.data import Binary, CampaignTables, binaries, composition_label
from softatoms.figures.free_energy import tangents, with_ideal_entropy
from softatoms.figures.learning_curve import exponent
from softatoms.figures.pair_map import extremes, round_numbers
from softatoms.figures.pareto import short_label
from softatoms.figures.ranking import axis_label
from softatoms.figures.uncertainty import binned
from softatoms.provenance import Provenance
from softatoms.table_schemas import SCHEMAS
from softatoms.tables import Table, write_table
from softatoms.training.calibration import Errors
from softatoms.units import BOLTZMANN_EV_PER_K


@pytest.fixture
def data(small_campaign: Results) -> CampaignTables:
    return CampaignTables(small_campaign.tables)


@pytest.fixture
def frame(small_campaign: Results) -> pd.DataFrame:
    return pd.read_parquet(small_campaign.tables / "composition.parquet")


# Drawn by tests/active_learning, tests/composition/test_optimise_stage.py, tests/order and
# tests/free_energy and tests/transport.
ELSEWHERE = ("active_learning", "optimisation", *OF_ORDER, *OF_FREE_ENERGIES, *OF_TRANSPORT)


@pytest.mark.parametrize("name", [n for n in get_args(FigureName) if n not in ELSEWHERE])
def test_every_figure_is_drawn_and_not_blank(name, small_campaign):
    image = imread(small_campaign.folder / "figures" / f"{name}.png")
    assert (image[..., :3].min(axis=2) < 0.9).mean() > 0.01
    assert (small_campaign.folder / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert importlib.import_module(f"softatoms.figures.{name}").CAPTION.endswith(".")


def draw(name: str, results: Results):
    module = importlib.import_module(f"softatoms.figures.{name}")
    return module.draw(load_config(results.config), CampaignTables(results.tables))


def lines(axes) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in axes.get_lines()}


def test_mixing_shows_the_numbers_of_the_table(small_campaign, frame):
    (axes,) = draw("mixing", small_campaign).axes
    assert axes.get_title() == "Cu–Ni, fcc"
    shown = lines(axes)
    chosen = frame[(frame.scan == "cu-ni") & (frame.method == "replica")].sort_values("x_Ni")
    np.testing.assert_allclose(
        shown["replica"], np.stack([chosen.x_Ni, 1e3 * chosen.mixing_ev_per_atom], axis=1)
    )
    assert not shown["linear (Vegard)"][:, 1].any()
    (bars,) = axes.containers
    supercells = frame[frame.method == "sqs"].groupby("x_Ni").mixing_ev_per_atom
    np.testing.assert_allclose(bars[0].get_ydata(), 1e3 * supercells.mean(), atol=1e-9)
    spans = [segment[1, 1] - segment[0, 1] for segment in bars[2][0].get_segments()]
    np.testing.assert_allclose(spans, 1e3 * (supercells.max() - supercells.min()), atol=1e-9)


def test_lattice_shows_length_and_deviation(small_campaign, frame):
    upper, lower = draw("lattice", small_campaign).axes
    chosen = frame[(frame.scan == "cu-ni") & (frame.method == "mean_field")].sort_values("x_Ni")
    a, x = chosen.a_ang.to_numpy(), chosen.x_Ni.to_numpy()
    np.testing.assert_allclose(lines(upper)["mean field"][:, 1], a)
    bowing = 1e3 * (a - (a[0] + (a[-1] - a[0]) * x))
    assert any(
        len(line.get_xdata()) == len(x) and np.allclose(line.get_ydata(), bowing, atol=1e-9)
        for line in lower.get_lines()
    )


def test_replicates_are_averaged_and_other_pairs_left_out(data, frame):
    binary = Binary("fcc", "Cu", "Ni")
    series = binary.series(data.composition, "sqs", "a_ang")
    np.testing.assert_allclose(series.x, [0, 0.25, 0.5, 0.75, 1])
    half = frame[(frame.method == "sqs") & (frame.x_Ni == 0.5)].a_ang
    assert (series.y[2], series.low[2], series.high[2]) == pytest.approx(
        (half.mean(), half.min(), half.max())
    )
    assert series.error[2] == pytest.approx(half.std() / np.sqrt(len(half)))
    assert binary.series(data.composition, "sqs", "slope_Cu_ev") is None
    assert Binary("bcc", "Cu", "Ni").series(data.composition, "sqs", "a_ang") is None


MIXING = {
    "corner:Cu=1;face:Cu=1": (0.0, [0.0]),
    "corner:Au=1;face:Cu=1": (0.25, [-0.05]),
    "corner:Cu=1;face:Au=0.333333333333,Cu=0.666666666667": (0.25, [0.02]),
    "corner:Au=0.25,Cu=0.75;face:Au=0.25,Cu=0.75": (0.25, [0.03, 0.05]),
    "corner:Cu=1;face:Au=1": (0.75, [-0.03]),
    "corner:Au=1;face:Au=1": (1.0, [0.0]),
}
"""Made up: fraction of Au and energies of mixing of each occupation."""


@pytest.fixture
def ordered(tmp_path) -> Table:
    """A lattice with several occupations at one fraction, some with replicates."""
    rows = []
    for occupation, (x, energies) in MIXING.items():
        for replicate, energy in enumerate(energies):
            values = {
                column.name: {"text": "", "whole": 0, "real": 0.0}[column.kind]
                for column in SCHEMAS["composition"].expanded(("Au", "Cu"))
            }
            values.update(composition_id=f"{occupation} {replicate}", prototype="L1_2", x_Au=x)
            values.update(method="sqs", status="ok", mixing_ev_per_atom=energy, x_Cu=1.0 - x)
            rows.append({**values, "occupation": occupation, "replicate": replicate})
    texts = ("campaign", "git_revision", "config_hash", "model_sha256", "dtype", "device")
    origin = Provenance(**dict.fromkeys(texts, ""), seed=0, packages={}, created_utc="")
    return write_table(tmp_path / "composition.parquet", "composition", rows, origin, ("Au", "Cu"))


def test_occupations_are_told_apart_and_replicates_averaged(ordered):
    series = Binary("L1_2", "Cu", "Au").series(ordered, "sqs", "mixing_ev_per_atom")
    assert dict(zip(series.occupations, series.y, strict=True)) == {
        occupation: pytest.approx(np.mean(energies)) for occupation, (_, energies) in MIXING.items()
    }
    np.testing.assert_allclose(series.x, [0, 0.25, 0.25, 0.25, 0.75, 1])
    assert np.isfinite(series.error).sum() == 1
    assert np.nanmax(series.error) == pytest.approx(0.01)


def test_the_pair_map_shows_the_extreme_of_single_occupations(ordered):
    """The mean over the occupations of one fraction would be nearly zero."""
    assert extremes(ordered, "L1_2", "sqs")[1, 0] == pytest.approx(-50.0)


def test_no_tangent_ends_where_only_the_scan_ends():
    """Cut inside the gap: the hull spans from the cut, of which nothing is known."""
    x = np.linspace(0.0, 1.0, 1001)
    energy = with_ideal_entropy(x, 0.1 * x * (1 - x), 400.0)
    ((low, high),) = tangents(x, energy)
    for part in (slice(None, (low + 3 * high) // 4), slice((3 * low + high) // 4, None)):
        assert tangents(x[part], energy[part]) == []
    beyond = slice(low // 2, None)
    ((first, second),) = tangents(x[beyond], energy[beyond])
    assert (first + low // 2, second + low // 2) == (low, high)
    # Without entropy the pure elements are the ends, and they are no cut.
    assert tangents(x, 0.1 * x * (1 - x)) == [(0, 1000)]


def test_one_panel_for_two_scans_of_one_pair(tmp_path):
    pairs = {"one": ["Cu", "Ni"], "two": ["Ni", "Cu"], "three": ["Cu", "Au"]}
    scans = [
        {
            "name": name,
            "prototypes": ["fcc"],
            "sublattices": {"site": {"elements": elements, "divisions": 2}},
        }
        for name, elements in pairs.items()
    ]
    results = prepare(
        tmp_path, composition={"scans": scans}, figures={"names": ["mixing"]}, screening=None
    )
    assert [b.title for b in binaries(load_config(results.config))] == ["Cu–Ni, fcc", "Cu–Au, fcc"]


def test_common_tangent_of_a_regular_solution():
    """Ω x(1−x) with ideal entropy: symmetric, and its binodal obeys a known equation."""
    omega, temperature = 0.1, 400.0
    x = np.linspace(0.0, 1.0, 2001)
    energy = with_ideal_entropy(x, omega * x * (1 - x), temperature)
    ((low, high),) = tangents(x, energy)
    assert x[low] == pytest.approx(1 - x[high], abs=1e-3)
    left = x[low]
    assert np.log(left / (1 - left)) == pytest.approx(
        -omega * (1 - 2 * left) / (BOLTZMANN_EV_PER_K * temperature), rel=0.02
    )


def test_no_tangent_above_the_critical_temperature():
    x = np.linspace(0.0, 1.0, 501)
    critical = 0.1 / (2 * BOLTZMANN_EV_PER_K)
    assert tangents(x, with_ideal_entropy(x, 0.1 * x * (1 - x), 1.02 * critical)) == []
    assert tangents(x, with_ideal_entropy(x, 0.1 * x * (1 - x), 0.98 * critical)) != []


def test_pair_map_holds_the_extreme_of_each_pair(data, frame):
    values = extremes(data.composition, "bcc", "mean_field")
    elements = data.composition.elements
    row, column = elements.index("Cu"), elements.index("Au")
    pair = frame[(frame.prototype == "bcc") & (frame.x_Cu + frame.x_Au > 0.999)]
    expected = 1e3 * pair.mixing_ev_per_atom.loc[pair.mixing_ev_per_atom.abs().idxmax()]
    assert values[max(row, column), min(row, column)] == pytest.approx(expected)
    assert np.isnan(values[np.triu_indices(3)]).all()


def test_ranking_shows_the_first_ranks(small_campaign):
    ranking = pd.read_parquet(small_campaign.tables / "ranking.parquet")
    bars, cloud = draw("ranking", small_campaign).axes
    widths = [bar.get_width() for bar in bars.patches]
    np.testing.assert_allclose(widths, 1e3 * ranking.mixing_free_energy_ev_per_atom[: len(widths)])
    assert sum(len(line.get_xdata()) for line in cloud.get_lines()) == len(ranking)


def points(axes) -> dict[str, np.ndarray]:
    return {name: xy for name, xy in lines(axes).items() if not name.startswith("_")}


def test_parity_shows_predictions_over_labels(small_campaign):
    energies, forces, energy_errors, force_errors = draw("parity", small_campaign).axes
    labels = pd.read_parquet(small_campaign.tables / "dataset.parquet").set_index("frame_id")
    table = pd.read_parquet(small_campaign.tables / "prediction.parquet")
    assert set(points(energies)) == {"train", "validation", "test"}
    for split, part in table.groupby("split"):
        shown = points(energies)[split]
        np.testing.assert_allclose(
            shown[:, 0], labels.energy_ev[part.frame_id] / labels.n_atoms[part.frame_id]
        )
        np.testing.assert_allclose(shown[:, 1], part.energy_ev / part.n_atoms)
        np.testing.assert_allclose(
            points(energy_errors)[split][:, 1], 1e3 * part.energy_error_ev_per_atom, atol=1e-8
        )
    sites = pd.read_parquet(small_campaign.tables / "force_prediction.parquet")
    assert len(points(forces)["test"]) == 3 * (sites.split == "test").sum() == 3 * 3 * 4
    held = sites[[f"{part}_y_ev_per_ang" for part in ("label", "predicted")]].to_numpy()
    np.testing.assert_allclose(points(forces)["test"][1::3], held[sites.split == "test"])
    assert (points(force_errors)["test"][:, 1] ** 2).mean() > 0


def test_parity_and_evaluation_agree_about_the_errors(small_campaign):
    upper, forces, _, _ = draw("parity", small_campaign).axes
    table = pd.read_parquet(small_campaign.tables / "evaluation.parquet")
    table = table[(table.group == "all") & (table.element == "all") & (table.model == "model")]
    for axes, quantity, scale, style in (
        (upper, "energy", 1e3, ".1f"),
        (forces, "force", 1, ".3f"),
    ):
        (text,) = axes.texts
        for row in table[table.quantity == quantity].itertuples():
            expected = f"{row.split} {scale * row.rmse:{style}} / {scale * row.mae:{style}}"
            assert expected in text.get_text().splitlines()


def test_training_shows_the_history(small_campaign):
    table = pd.read_parquet(small_campaign.tables / "training_history.parquet")
    loss, energies, forces = draw("training", small_campaign).axes
    assert loss.get_yscale() == "log"
    for axes, column, scale in (
        (loss, "loss", 1.0),
        (energies, "energy_rmse_ev_per_atom", 1e3),
        (forces, "forces_rmse_ev_per_ang", 1.0),
    ):
        for part, name in (("train", "training"), ("validation", "validation")):
            shown = lines(axes)[name]
            np.testing.assert_array_equal(shown[:, 0], table.epoch)
            np.testing.assert_allclose(shown[:, 1], scale * table[f"{part}_{column}"])
        best = table.epoch[table.validation_loss.idxmin()]
        assert lines(axes)["kept epoch"][0, 0] == best


def test_uncertainty_shows_errors_of_the_mean_over_spreads(small_campaign):
    energies, forces, below, _ = draw("uncertainty", small_campaign).axes
    table = pd.read_parquet(small_campaign.tables / "prediction.parquet")
    test = table[table.split == "test"]
    expected = 1e3 * np.stack(
        [test.energy_spread_ev_per_atom, test.mean_energy_error_ev_per_atom.abs()], axis=1
    )
    np.testing.assert_allclose(lines(energies)["single errors"], expected)
    sites = pd.read_parquet(small_campaign.tables / "force_prediction.parquet")
    sites = sites[sites.split == "test"]
    errors = sites.mean_y_ev_per_ang - sites.label_y_ev_per_ang
    shown = lines(forces)["single errors"][1::3]
    np.testing.assert_allclose(shown[:, 1], errors.abs())
    np.testing.assert_allclose(shown[:, 0], sites.spread_ev_per_ang / np.sqrt(3.0))
    calibration = pd.read_parquet(small_campaign.tables / "calibration.parquet")
    rows = calibration[(calibration.split == "test") & (calibration.group == "all")]
    held = rows.set_index("quantity")
    # Two frames to validate on are too few for energies, their 24 components are not for forces.
    assert np.isnan(held.factor["energy"])
    assert held.factor["force"] > 0.0
    assert "error = factor × spread" not in lines(energies)
    ends = lines(forces)["error = factor × spread"]
    np.testing.assert_allclose(ends[:, 1] / ends[:, 0], held.factor["force"])
    raw = lines(below)["as it is"]
    assert raw[0, 1] <= held.coverage_68_raw["energy"] <= raw[-1, 1]
    assert "calibrated" not in lines(below)


def test_bins_hold_equally_many_places():
    rng = np.random.default_rng(0)
    spreads = rng.uniform(1.0, 2.0, 40)
    errors = Errors(np.full((40, 1), 3.0), spreads, np.full(40, "g", dtype=object), 3)
    across, up = binned(errors)
    np.testing.assert_allclose(up, 3.0)
    assert len(across) == 8
    np.testing.assert_allclose((across**2).mean(), (spreads**2).mean())
    assert (np.diff(across) > 0.0).all()


def test_the_learning_curve_shows_the_table(small_campaign):
    table = pd.read_parquet(small_campaign.tables / "learning_curve.parquet")
    for axes, quantity, scale in zip(
        draw("learning_curve", small_campaign).axes, ("energy", "force"), (1e3, 1.0), strict=True
    ):
        assert axes.get_xscale() == axes.get_yscale() == "log"
        for split in ("validation", "test"):
            chosen = table[(table.split == split) & (table.quantity == quantity)]
            chosen = chosen.sort_values("n_frames")
            np.testing.assert_array_equal(chosen.n_frames, [2, 3, 6])
            np.testing.assert_allclose(
                lines(axes)[split], np.stack([chosen.n_frames, scale * chosen.mae], axis=1)
            )
        (text,) = axes.texts
        assert text.get_text().startswith("validation: exponent ")


def test_the_exponent_of_a_power_law():
    frames = np.array([10.0, 30.0, 100.0, 100.0])
    slope = exponent(frames, 5.0 * frames**-0.4)
    assert slope.value == pytest.approx(-0.4, rel=1e-12)
    assert slope.error == pytest.approx(0.0, abs=1e-7)
    noise = 0.1 * np.array([1.0, -1.0, 1.0, -1.0])
    found = exponent(frames, np.exp(noise) * frames**-0.4)
    fit, covariance = np.polyfit(np.log(frames), noise - 0.4 * np.log(frames), 1, cov=True)
    assert found.value == pytest.approx(fit[0], rel=1e-10)
    assert found.error == pytest.approx(np.sqrt(covariance[0, 0]), rel=1e-10)
    assert exponent(frames[1:], frames[1:]) is None


def test_the_same_tables_give_the_same_files(small_campaign, tmp_path):
    figures = tmp_path / "figures"
    assert (
        small_campaign.command("figures", "--tables", small_campaign.tables, "--out", figures) == 0
    )
    for name in ("parity", "training", "uncertainty", "learning_curve"):
        for ending in ("png", "pdf"):
            first = small_campaign.folder / "figures" / f"{name}.{ending}"
            assert (figures / f"{name}.{ending}").read_bytes() == first.read_bytes()


def test_ordered_compositions_are_named_by_their_occupation():
    row = {"formula": "Au0.25Cu0.75", "occupation": "site:Au=0.25,Cu=0.75"}
    assert composition_label(row) == "Au0.25Cu0.75"
    row["occupation"] = "corner:Au=1;face:Cu=1"
    assert composition_label(row) == "corner:Au=1;face:Cu=1"


def test_round_numbers():
    assert round_numbers(68.7, 687.0) == [100.0, 200.0, 500.0]
    assert round_numbers(0.01, 0.1) == [0.01, 0.02, 0.05, 0.1]


def test_labels_carry_units():
    assert axis_label("mixing_free_energy_ev_per_atom") == (
        "free energy of mixing (meV/atom)",
        1e3,
    )
    assert axis_label("bulk_modulus_gpa") == ("bulk modulus (GPa)", 1.0)
    assert axis_label("a_ang") == ("a (Å)", 1.0)
    assert axis_label("x_Cu") == ("atomic fraction of Cu", 1.0)


def test_rows_that_are_not_ok_are_mentioned(small_campaign, data, monkeypatch):
    text = type(data.composition).text

    def with_one_failed(table, column):
        values = text(table, column)
        if column == "status":
            values = values.copy()
            values[0] = "failed"
        return values

    monkeypatch.setattr("softatoms.tables.Table.text", with_one_failed)
    title = draw("mixing", small_campaign).get_suptitle()
    assert title == f"1 of {data.composition.data.num_rows} rows are not ok and left out"


def test_an_empty_figure_of_a_training_is_refused(small_campaign, monkeypatch):
    monkeypatch.setattr(
        "softatoms.tables.Table.real", lambda table, _: np.full(table.data.num_rows, np.nan)
    )
    for name in ("parity", "training", "uncertainty", "learning_curve"):
        with pytest.raises(SoftatomsError, match=f"figure '{name}' has nothing to show"):
            draw(name, small_campaign)


def test_an_empty_figure_of_a_scan_is_refused(small_campaign, monkeypatch):
    monkeypatch.setattr("softatoms.figures.data.Binary.series", lambda *_: None)
    for name in ("mixing", "lattice", "free_energy", "bulk_modulus", "pair_map"):
        with pytest.raises(SoftatomsError, match=f"figure '{name}' has nothing to show"):
            draw(name, small_campaign)


class TestPareto:
    @pytest.fixture
    def ranking(self, small_campaign) -> pd.DataFrame:
        return pd.read_parquet(small_campaign.tables / "ranking.parquet")

    def test_the_front_is_joined_from_member_to_member(self, small_campaign, ranking):
        (axes,) = draw("pareto", small_campaign).axes
        members = ranking[ranking.pareto_front == 1].sort_values("formation_ev_per_atom")
        assert 1 < len(members) < len(ranking)
        staircase = lines(axes)["Pareto front"]
        expected = members[["formation_ev_per_atom", "target_distance"]].to_numpy()
        np.testing.assert_allclose(staircase, expected * [1e3, 100.0], rtol=1e-12, atol=1e-12)
        assert (np.diff(staircase[:, 1]) <= 0.0).all()

    def test_every_composition_is_a_point(self, small_campaign, ranking):
        (axes,) = draw("pareto", small_campaign).axes
        shown = [line for line in axes.get_lines() if line.get_label().startswith("_")]
        assert sum(len(line.get_xdata()) for line in shown) == len(ranking)
        assert axes.get_xlabel() == "energy of formation (meV/atom), less is better"
        assert axes.get_ylabel() == "distance of a from target (%)"

    def test_three_objectives_are_three_panels(self, small_campaign, tmp_path):
        objectives = [
            {"column": "formation_ev_per_atom", "goal": "minimise"},
            {"column": "a_ang", "goal": "target", "target": 3.7},
            {"column": "bulk_modulus_gpa", "goal": "maximise"},
        ]
        prepared = prepare(tmp_path, screening={"objectives": objectives})
        results = Results(prepared.config, tmp_path, prepared.shards)
        table = small_campaign.tables / "composition.parquet"
        (tmp_path / "tables").mkdir()
        ranking = tmp_path / "tables" / "ranking.parquet"
        assert results.command("rank", "--table", table, "--out", ranking) == 0
        labels = [(a.get_xlabel(), a.get_ylabel()) for a in draw("pareto", results).axes]
        stiff = "bulk modulus (GPa), more is better"
        near = "distance of a from 3.7 Å (%)"
        formation = "energy of formation (meV/atom), less is better"
        assert labels == [(formation, near), (formation, stiff), (near, stiff)]

    def test_labels_say_what_the_sublattices_hold(self):
        assert short_label("a:Ba=0.125,Ca=0.875;b:Ti=1") == "(Ba0.125Ca0.875)(Ti)"
        assert short_label("cation:Ce=0.75,Zr=0.25") == "Ce0.75Zr0.25"
