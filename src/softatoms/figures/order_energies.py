"""Ordering energies of compounds, sorted, coloured by what experiments found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .data import CampaignTables, require
from .style import PANEL_WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..config import CampaignConfig

    Row = Mapping[str, Any]

CAPTION = (
    "Energy of the disordered state above the best ordered structure, per mixed site, coloured by "
    "what experiments found; bars are standard errors over supercells. Small open markers: the "
    "other disordered states. Letters behind names: best order (R rocksalt, L layered, C columnar, "
    "E enumerated). The dashed line is the threshold of the estimated ordering temperature. "
    "A star marks an experiment whose source was not read; crosses have no result."
)

COLOURS = {
    "rocksalt": "#0072B2",
    "columnar": "#009E73",
    "layered": "#56B4E9",
    "disordered": "#D55E00",
    "disputed": "#CC79A7",
    "": "#7F7F7F",
}
"""Colour of each experimental finding; grey without any."""

_MARKERS = {"mean_field": "o", "replica": "s", "sqs": "^", "random": "v"}
_LINE = 0.16
"""Height of one line in inches."""


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """One line per compound, the largest ordering energy on top."""
    from matplotlib.figure import Figure

    rows = data.order_summary.rows()
    require(bool(rows), "order_summary", "compounds")
    rows.sort(key=_energy, reverse=True)
    height = 1.5 + _LINE * len(rows)
    figure = Figure(figsize=(2.2 * PANEL_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    for line, row in enumerate(rows):
        _draw_row(axes, line, row)
    labels = [_label(row) for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=7)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.axvline(0.0, color="black", linewidth=0.8)
    _draw_threshold(axes, config, rows)
    axes.set_xlabel("ordering energy (meV per mixed site)")
    _draw_legend(axes, config, rows)
    return figure


def _label(row: Row) -> str:
    star = "*" if row["checked"] == "no" else ""
    best = row["best_order"]
    letter = "E" if best.startswith("order-") else best[:1].upper()
    return f"{row['compound']}{star}  {letter}".rstrip()


def _energy(row: Row) -> float:
    value = row["ordering_energy_ev_per_mixed_site"]
    return float("-inf") if value is None else float(value)


def _draw_row(axes: Axes, line: int, row: Row) -> None:
    colour = COLOURS[row["observed"]]
    if row["status"] != "ok":
        axes.plot([0.0], [line], "x", color=colour, markersize=5)
        return
    energy = 1e3 * row["ordering_energy_ev_per_mixed_site"]
    spread = row.get(f"stderr_{row['reference']}_ev")
    error = None if spread is None else 1e3 * spread
    axes.errorbar([energy], [line], xerr=error, fmt="o", color=colour, markersize=5, capsize=2)
    for state, marker in _MARKERS.items():
        value = row[f"ordering_{state}_ev"]
        if state != row["reference"] and value is not None:
            options: dict[str, Any] = {"markersize": 3, "markerfacecolor": "white"}
            axes.plot([1e3 * value], [line], marker, color=colour, zorder=1, **options)


def _draw_threshold(axes: Axes, config: CampaignConfig, rows: Sequence[Row]) -> None:
    """Where the class changes; it is one place only if all compositions mix alike."""
    assert config.order is not None
    entropies = {
        round(_energy(row) / row["ordering_temperature_k"], 9)
        for row in rows
        if row["status"] == "ok" and abs(row["ordering_temperature_k"]) > 1.0
    }
    if len(entropies) == 1:
        place = 1e3 * config.order.threshold_k * entropies.pop()
        axes.axvline(place, color="black", linewidth=0.8, linestyle=(0, (4, 2)))


def _draw_legend(axes: Axes, config: CampaignConfig, rows: Sequence[Row]) -> None:
    from matplotlib.lines import Line2D

    assert config.order is not None
    none: list[float] = []
    present = {row["observed"] for row in rows}
    handles = [
        Line2D(
            none, none, marker="o", linestyle="none", color=colour, label=name or "no experiment"
        )
        for name, colour in COLOURS.items()
        if name in present
    ]
    for state in config.order.states:
        if state != config.order.reference:
            options: dict[str, Any] = {"mfc": "white", "ls": "none", "color": "#555555", "ms": 3}
            name = state.replace("_", " ")
            handles.append(Line2D(none, none, marker=_MARKERS[state], label=name, **options))
    axes.legend(handles=handles, loc="lower right")
