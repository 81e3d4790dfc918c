"""Figure and list of the physics checks show the rows that they are given."""

from __future__ import annotations

import html
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from campaigns import Results
from softatoms.errors import SoftatomsError
from softatoms.figures.physics_checks import (
    GROUPS,
    birch_murnaghan,
    draw,
    equations_of_state,
    overview,
    phonon_summary,
)
from softatoms.physics import fit_birch_murnaghan
from softatoms.report.physics import HEAD, check_rows
from softatoms.tables import read_table
from softatoms.units import GPA_PER_EV_ANG3


def row(quantity: str, model: float | None, other: float | None, **more: Any) -> dict[str, Any]:
    known = model is not None and other is not None
    return {
        "crystal": "Cu",
        "model": "net",
        "reference": "dft",
        "quantity": quantity,
        "unit": "u",
        "model_value": model,
        "reference_value": other,
        "difference": model - other if known else None,
        "relative_error": (model - other) / abs(other) if known and other else None,
        "status": "ok" if known else "failed",
        "error": "" if known else "net: it broke",
        **more,
    }


ROWS = [
    row("a", 3.6, 3.5),
    row("volume", 11.66, 10.72),
    row("bulk_modulus", 140.0, 150.0),
    row("bulk_modulus_derivative", 5.0, 4.0),
    row("C11", 170.0, 160.0),
    row("C44", -10.0, 80.0, status="unstable"),
    row("shear_modulus_hill", None, 60.0, status="unstable"),
    row("elastic_extrapolation", 1.0, 2.0),
    row("bulk_modulus_voigt", 141.0, 151.0),
    row("vacancy_Cu_site0_zero_stress", 1.2, 1.0),
    row("vacancy_Cu_site0_unrelaxed", 1.3, 1.1),
    row("surface_(1 1 1)", 1.5, 1.2),
    row("surface_(1 0 0)", None, 1.4),
    row("phonon_X_1", 4.0, 5.0),
    row("phonon_X_2", 7.0, 8.0),
    row("phonon_lowest", 3.0, 3.5),
    row("C11", 170.0, 177.0, reference="paper"),
    row("equation_of_state", None, None, crystal="W", status="unconverged"),
    row("phonons", None, None, crystal="W"),
]


def table(rows: list[dict[str, Any]]) -> Any:
    return SimpleNamespace(rows=lambda: rows)


def drawn(rows: list[dict[str, Any]]) -> Any:
    return draw(None, SimpleNamespace(physics_checks=table(rows)))


def test_every_property_has_a_line_and_every_failure_too():
    lines = overview(ROWS)
    assert list(lines) == [
        *("lattice parameter a", "volume", "equation of state", "bulk modulus"),
        *("shear modulus", "C11", "C44"),
        *("vacancy Cu", "surface (1 0 0)", "surface (1 1 1)", "phonons"),
    ]
    assert [member["reference"] for member in lines["C11"]] == ["dft", "paper"]
    assert {member["crystal"] for member in lines["phonons"]} == {"Cu", "W"}


def test_the_overview_shows_relative_errors_and_marks_what_has_none():
    axes = drawn(ROWS).axes[0]
    shown = [line for line in axes.get_lines() if len(line.get_xdata()) == 1]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    places: dict[str, list[Any]] = {}
    for line in shown:
        places.setdefault(labels[round(line.get_ydata()[0])], []).append(line)
    assert sorted(line.get_xdata()[0] for line in places["C11"]) == pytest.approx(
        [100 * (170 - 177) / 177, 100 * 10 / 160]
    )
    assert len({line.get_marker() for line in places["C11"]}) == 2
    (c44,) = places["C44"]
    assert c44.get_markerfacecolor() == "white"
    for name in ("surface (1 0 0)", "equation of state", "shear modulus"):
        (cross,) = places[name]
        assert cross.get_marker() == "x"
        assert axes.get_xlim()[0] < cross.get_xdata()[0] < -100
    colours = {to_hex(line.get_color()) for line in places["phonons"]}
    assert len(colours) == 2  # copper with an error, tungsten without a value
    assert "no value" in [text.get_text() for text in axes.texts]


def test_panels_hold_model_over_reference():
    figure = drawn(ROWS)
    titles = {axes.get_title(): axes for axes in figure.axes}
    assert set(titles) == {"", "equation of state", *(group.title for group in GROUPS)}
    moduli = titles["elastic constants, bulk modulus"]
    points = {
        tuple(line.get_xydata()[0]) for line in moduli.get_lines() if len(line.get_xdata()) == 1
    }
    assert points == {(150.0, 140.0), (160.0, 170.0), (80.0, -10.0), (177.0, 170.0)}
    assert titles["surfaces"].texts[-1].get_text() == "no value: Cu 100"
    assert titles["phonon frequencies"].texts[-1].get_text() == "no value: W phonons"
    (legend,) = figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named[:5] == ["Cu", "W", "dft", "paper", "unstable"]
    assert named[5].startswith("no value")


@pytest.mark.parametrize("wanted", [["a"], ["phonons"], ["a", "C11", "phonon_X_1"]])
def test_few_rows_are_drawn_too(wanted):
    figure = drawn([member for member in ROWS if member["quantity"] in wanted])
    figure.savefig("/dev/null", format="png", dpi=30)


def test_nothing_is_no_figure():
    with pytest.raises(SoftatomsError, match="'physics_checks' has nothing to show"):
        drawn([])


def test_phonons_are_summed_up_by_root_mean_squares():
    modes = [member for member in ROWS if member["quantity"].startswith("phonon_X")]
    summary = phonon_summary(modes)
    assert summary["relative_error"] == pytest.approx(np.sqrt(1 + 1) / np.sqrt(25 + 64))
    modes.append(row("phonon_X_3", None, 8.0))
    assert phonon_summary(modes)["status"] == "failed"


def test_curves_are_those_that_were_fitted():
    volumes = np.linspace(11.0, 12.4, 9)
    energies = birch_murnaghan(volumes, 11.66, 140.0 / GPA_PER_EV_ANG3, 5.0)
    fit = fit_birch_murnaghan(volumes, energies)
    assert fit.volume == pytest.approx(11.66, rel=1e-9)
    assert fit.bulk_modulus * GPA_PER_EV_ANG3 == pytest.approx(140.0, rel=1e-7)
    assert fit.derivative == pytest.approx(5.0, rel=1e-6)
    reference, model = equations_of_state(ROWS)
    assert model.strain[np.argmin(model.energy)] == pytest.approx(11.66 / 10.72 - 1, abs=2e-3)
    assert reference.strain[np.argmin(reference.energy)] == pytest.approx(0.0, abs=2e-3)
    inside = birch_murnaghan(10.72 * (1 + reference.strain), 10.72, 150 / GPA_PER_EV_ANG3, 4.0)
    np.testing.assert_allclose(reference.energy, inside, rtol=1e-12, atol=1e-15)


def test_the_report_lists_properties_and_reasons():
    rows = list(check_rows(table(ROWS)))
    assert {len(cells) for cells in rows} == {len(HEAD)}
    assert ("Cu", "C11", "170", "dft", "160", "u", "+6.2 %", "ok") in rows
    assert ("Cu", "C44", "−10", "dft", "80", "u", "−112.5 %", "unstable") in rows
    assert ("Cu", "surface_(1 0 0)", "", "dft", "1.4", "u", "", "failed: net: it broke") in rows
    assert ("W", "phonons", "", "dft", "", "u", "", "failed: net: it broke") in rows
    assert ("Cu", "phonons, 2 frequencies", "", "dft", "", "THz", "15.0 % (RMS)", "ok") in rows
    listed = [cells[1] for cells in rows]
    for name in ("elastic_extrapolation", "bulk_modulus_voigt", "vacancy_Cu_site0_unrelaxed"):
        assert name not in listed


def test_the_page_of_a_campaign_has_them(small_campaign: Results):
    page = (small_campaign.folder / "report.html").read_text(encoding="utf-8")
    assert page.index("Trained potential") < page.index("Physics checks")
    assert page.index("Physics checks") < page.index('id="physics_checks"')
    held = read_table(small_campaign.tables / "physics_checks.parquet", "physics_checks").rows()
    assert {"gupta", "measured"} == {member["reference"] for member in held}
    for cells in check_rows(table(held)):
        shown = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        assert f"<tr>{shown}</tr>" in page
