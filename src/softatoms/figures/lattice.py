"""Lattice parameter over composition, and how far it is from Vegard's law."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .curves import finish, plot_methods
from .data import CampaignTables, binaries, require
from .style import METHOD_COLOURS, METHOD_LABELS, grid_of_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..config import CampaignConfig

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
            if series is None or method == "vegard" or not {0.0, 1.0} <= set(series.x):
                continue
            ends = [series.y[series.x == end].item() for end in (0.0, 1.0)]
            line = np.interp(series.x, [0.0, 1.0], ends)
            line_style = "o" if method == "sqs" else "-"
            lower.plot(series.x, 1e3 * (series.y - line), line_style, color=METHOD_COLOURS[method])
        lower.axhline(0.0, color=METHOD_COLOURS["vegard"], linestyle=(0, (4, 2)), linewidth=1.0)
        upper.set_ylabel("lattice parameter $a$ (Å)")
        lower.set_ylabel("$a$ − Vegard (mÅ)")
        upper.tick_params(labelbottom=False)
        lower.set_xlabel(f"atomic fraction of {binary.second}")
    require(drawn, "lattice", "lattice parameters of a binary scan")
    finish(figure, panels, shown, data)
    return figure
