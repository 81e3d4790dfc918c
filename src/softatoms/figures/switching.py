"""dE/dλ along switching runs, forward and backward."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .data import CampaignTables, require
from .style import SEQUENCE, grid_of_panels, legend_below

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..config import CampaignConfig

CAPTION = (
    "dE/dλ along switching runs, mean over replicas, with their standard deviation as band: "
    "forward (full lines) and backward (dashed). The area below a line is the mean work; where "
    "the two lie apart, work is lost. One panel per path, one colour per temperature."
)

STYLES = {"forward": "-", "backward": (0, (4, 2))}


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """One panel per system and path, one colour per temperature."""
    table = data.switching_profile
    systems, paths, kelvins = table.text("system"), table.text("path"), table.real("temperature_k")
    panels = list(dict.fromkeys(zip(systems, paths, strict=True)))
    require(bool(panels), "switching", "switching runs")
    directions, lambdas = table.text("direction"), table.real("lambda")
    slopes, spreads = table.real("slope_ev"), table.real("spread_ev")
    figure, axes = grid_of_panels(len(panels))
    colours = colours_of(kelvins)
    for (system, path), (panel,) in zip(panels, axes, strict=True):
        for kelvin in np.unique(kelvins[(systems == system) & (paths == path)]).tolist():
            for direction, style in STYLES.items():
                own = (systems == system) & (paths == path) & (kelvins == kelvin)
                own &= directions == direction
                if not own.any():
                    continue
                order = np.argsort(lambdas[own], kind="stable")
                x, y, width = (values[own][order] for values in (lambdas, slopes, spreads))
                label = f"{kelvin:g} K" if direction == "forward" else None
                panel.plot(x, y, color=colours[kelvin], linestyle=style, label=label)
                panel.fill_between(
                    x, y - width, y + width, color=colours[kelvin], alpha=0.15, linewidth=0
                )
        panel.set_title(f"{system}: {path}")
        panel.set_xlabel("λ")
        panel.set_ylabel("dE/dλ (eV)")
    legend_below(figure, axes[0][0])
    return figure


def colours_of(kelvins: NDArray[np.float64]) -> dict[float, str]:
    """Colour of each temperature, the same in all panels."""
    known = np.unique(kelvins).tolist()
    return {kelvin: SEQUENCE[index % len(SEQUENCE)] for index, kelvin in enumerate(known)}
