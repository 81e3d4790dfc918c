"""What the figures over a composition axis share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .data import Binary, CampaignTables, binaries, left_out, require
from .style import (
    METHOD_COLOURS,
    METHOD_LABELS,
    METHOD_MARKERS,
    grid_of_panels,
    legend_below,
    method_line,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..config import CampaignConfig
    from ..tables import Table


def plot_methods(
    axes: Axes, table: Table, binary: Binary, column: str, *, scale: float = 1.0
) -> bool:
    """Draw one quantity by every method; supercells as points with the range of replicates.

    Args:
        axes: Where to draw.
        table: The table ``composition``.
        binary: Which solid solution.
        column: Which quantity.
        scale: Factor from the unit of the table to that of the axis.

    Returns:
        Whether there was anything to draw.
    """
    drawn = False
    for method in METHOD_LABELS:
        series = binary.series(table, method, column)
        if series is None:
            continue
        drawn = True
        if method in METHOD_MARKERS:
            # A mean of equal numbers may round to below the smallest of them.
            down = np.maximum(series.y - series.low, 0.0)
            up = np.maximum(series.high - series.y, 0.0)
            axes.errorbar(
                series.x,
                scale * series.y,
                yerr=(scale * down, scale * up),
                fmt=METHOD_MARKERS[method],
                capsize=2,
                color=METHOD_COLOURS[method],
                label=METHOD_LABELS[method],
                zorder=3,
            )
        else:
            axes.plot(series.x, scale * series.y, **method_line(method))
    return drawn


def one_quantity(
    config: CampaignConfig,
    data: CampaignTables,
    name: str,
    *,
    column: str,
    label: str,
    scale: float,
) -> Figure:
    """A figure of one quantity, one panel per binary.

    Args:
        config: The campaign.
        data: Its tables.
        name: Name of the figure.
        column: Column of the table ``composition``.
        label: Text at the axis, with the unit.
        scale: Factor from the unit of the table to that of the axis.
    """
    shown = binaries(config)
    figure, panels = grid_of_panels(len(shown))
    drawn = False
    for binary, (axes,) in zip(shown, panels, strict=True):
        drawn |= plot_methods(axes, data.composition, binary, column, scale=scale)
        axes.set_ylabel(label)
    require(drawn, name, f"{column} of a binary scan")
    finish(figure, panels, shown, data)
    return figure


def finish(
    figure: Figure, panels: list[list[Axes]], shown: list[Binary], data: CampaignTables
) -> None:
    """Titles, composition axes, legend, and a remark on rows that are left out."""
    for own, binary in zip(panels, shown, strict=True):
        own[0].set_title(binary.title)
        own[-1].set_xlabel(binary.axis)
        for axes in own:
            axes.set_xlim(-0.02, 1.02)
    most = max((own[0] for own in panels), key=lambda a: len(a.get_legend_handles_labels()[1]))
    legend_below(figure, most)
    remark = left_out(data.composition)
    if remark:
        figure.suptitle(remark, fontsize=8, color="#B00000")
