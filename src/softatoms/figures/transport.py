"""Correlations of the heat flux and running conductivities, one panel per run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .data import CampaignTables, require
from .style import PANEL_HEIGHT, PANEL_WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..config import CampaignConfig
    from ..tables import Table

CAPTION = (
    "Above: correlation of the heat flux over that at lag 0. Below: conductivity up to a lag, with "
    "its standard error over replicas or blocks; mean of the three directions. Points: what was "
    "read off, with standard errors; the horizontal band is cepstral analysis. Crossed out: no "
    "number, as the report says."
)

COLOURS = {"first_dip": "#D55E00", "plateau": "#009E73", "cepstral": "#0072B2"}
LABELS = {
    "first_dip": "first dip",
    "plateau": "plateau",
    "cepstral": "cepstral",
    "cepstral_multicomponent": "cepstral, several currents",
}


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """Two panels per system and temperature."""
    from matplotlib.figure import Figure

    assert config.transport is not None
    runs = config.transport.runs()
    require(bool(data.transport.rows()), "transport", "conductivities")
    size = (PANEL_WIDTH * len(runs), 1.7 * PANEL_HEIGHT)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(
        2, len(runs), squeeze=False, sharex="col", gridspec_kw={"height_ratios": [2, 3]}
    )
    for column, run in enumerate(runs):
        _draw_run(panels[0][column], panels[1][column], data, run)
        panels[0][column].set_title(f"{run[0]}, {run[1]:g} K")
    panels[0][0].set_ylabel("⟨J(0)J(t)⟩ / ⟨J²⟩")
    panels[1][0].set_ylabel("κ (W/(m K))")
    return figure


def _rows(table: Table, run: tuple[str, float]) -> list[dict[str, object]]:
    return [
        row
        for row in table.rows()
        if (row["system"], row["temperature_k"], row.get("direction")) == (*run, "mean")
    ]


def _draw_run(above: Axes, below: Axes, data: CampaignTables, run: tuple[str, float]) -> None:
    curve = _rows(data.transport_correlation, run)
    numbers = {str(row["method"]): row for row in _rows(data.transport, run)}
    below.set_xlabel("lag (ps)")
    if not curve:
        below.plot([0.5], [0.5], "x", color="black", markersize=12, transform=below.transAxes)
        return
    names = ("time_fs", "correlation", "stderr_correlation", "kappa_w_mk", "stderr_w_mk")
    times, values, spread, running, error = (
        np.array([row[name] for row in curve], dtype=float) for name in names
    )
    times = times / 1000.0
    for axes, line, width in ((above, values, spread), (below, running, error)):
        axes.plot(times, line, color="black", linewidth=1.0)
        axes.fill_between(times, line - width, line + width, color="black", alpha=0.2, linewidth=0)
        axes.axhline(0.0, color="black", linewidth=0.6)
    for method, row in numbers.items():
        if row["status"] != "ok":
            continue
        kappa, stderr = float(str(row["kappa_w_mk"])), float(str(row["stderr_w_mk"]))
        if row["cutoff_fs"] is None:
            colour = COLOURS["cepstral"]
            below.axhspan(kappa - stderr, kappa + stderr, color=colour, alpha=0.3, linewidth=0)
            below.axhline(kappa, color=colour, linewidth=1.0, label=LABELS[method])
        else:
            place = float(str(row["cutoff_fs"])) / 1000.0
            below.errorbar(
                [place],
                [kappa],
                yerr=stderr,
                fmt="o",
                markersize=4,
                capsize=2,
                color=COLOURS[method],
                label=LABELS[method],
            )
    if any(row["status"] == "ok" for row in numbers.values()):
        below.legend(loc="best", fontsize=7)
