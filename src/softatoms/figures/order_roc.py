"""How well ordering energies and the rule of charges and radii tell ordered compounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .data import CampaignTables, require
from .style import METHOD_COLOURS, PANEL_WIDTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..config import CampaignConfig

CAPTION = (
    "ROC curves: share of ordered compounds that a score finds, over the share of disordered ones "
    "that it takes for ordered, for ordering energies by each disordered state and for differences "
    "of charges and ionic radii. Areas with 95 % bootstrap intervals, for the same compounds."
)

_COLOURS = {
    "ordering_mean_field": METHOD_COLOURS["mean_field"],
    "ordering_replica": METHOD_COLOURS["replica"],
    "ordering_sqs": METHOD_COLOURS["sqs"],
    "ordering_random": "#009E73",
    "charge_and_radius": "#CC79A7",
}
_DASHED = "charge_and_radius"


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """One curve per score."""
    from matplotlib.figure import Figure

    from ..order.roc import curve
    from ..order.stage import scored, section_of

    areas = {row["score"]: row for row in data.order_roc.rows()}
    require(bool(areas), "order_roc", "compounds with and without order that have all scores")
    scores, labels, _ = scored(data.order_summary.rows(), section_of(config).states)
    figure = Figure(figsize=(1.6 * PANEL_WIDTH, 1.6 * PANEL_WIDTH), layout="constrained")
    axes = figure.add_subplot()
    for name, values in scores.items():
        if name not in _COLOURS:
            continue
        row = areas[name]
        label = name.removeprefix("ordering_").replace("_", " ")
        text = f"{label}: {row['area']:.2f} ({row['area_low']:.2f} to {row['area_high']:.2f})"
        style = (0, (4, 2)) if name == _DASHED else "-"
        axes.plot(*curve(values, labels), color=_COLOURS[name], linestyle=style, label=text)
    axes.plot([0.0, 1.0], [0.0, 1.0], color="#BBBBBB", linewidth=0.8)
    axes.set_xlabel(f"disordered taken for ordered (of {int((~labels).sum())})")
    axes.set_ylabel(f"ordered found (of {int(labels.sum())})")
    axes.set_aspect("equal")
    axes.legend(loc="lower right", title="area")
    return figure
