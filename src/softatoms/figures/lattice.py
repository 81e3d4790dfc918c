"""Lattice parameter over composition, and how far it is from Vegard's law."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .curves import finish, plot_methods
from .data import Binary, CampaignTables, Series, binaries, require
from .style import METHOD_COLOURS, METHOD_LABELS, METHOD_MARKERS, grid_of_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..config import CampaignConfig
    from ..tables import Table

CAPTION = (
    "Lattice parameter of the relaxed cell over composition (top), and its deviation from the "
    "straight line between the end members (bottom). Points are explicit supercells; bars span "
    "their replicates."
)


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """Lattice parameter in the upper axes, deviation from the straight line in the lower ones."""
    shown = binaries(config)
    figure, panels = grid_of_panels(len(shown), rows_per_panel=2)
    table = data.composition
    drawn = False
    for binary, (upper, lower) in zip(shown, panels, strict=True):
        drawn |= plot_methods(upper, table, binary, "a_ang")
        for method in METHOD_LABELS:
            series = binary.series(table, method, "a_ang")
            if series is None or method == "vegard":
                continue
            line = straight_line(binary, table, series)
            if line is None:
                continue
            line_style = METHOD_MARKERS.get(method, "-")
            lower.plot(series.x, 1e3 * (series.y - line), line_style, color=METHOD_COLOURS[method])
        lower.axhline(0.0, color=METHOD_COLOURS["vegard"], linestyle=(0, (4, 2)), linewidth=1.0)
        upper.set_ylabel("lattice parameter $a$ (Å)")
        lower.set_ylabel("$a$ − Vegard (mÅ)")
        upper.tick_params(labelbottom=False)
        lower.set_xlabel(binary.axis)
    require(drawn, "lattice", "lattice parameters of a binary scan")
    finish(figure, panels, shown, data)
    return figure


def straight_line(binary: Binary, table: Table, series: Series) -> NDArray[np.float64] | None:
    """Vegard's law at the points of a series; None if neither it nor the table has both ends.

    Args:
        binary: The solid solution.
        table: The table ``composition``.
        series: Lattice parameters of one method.
    """
    if {0.0, 1.0} <= set(series.x):
        ends = [series.y[series.x == end].item() for end in (0.0, 1.0)]
        return np.interp(series.x, [0.0, 1.0], ends)
    line = binary.series(table, "vegard", "a_ang")
    if line is None or series.x[0] < line.x[0] or series.x[-1] > line.x[-1]:
        return None
    return np.interp(series.x, line.x, line.y)
