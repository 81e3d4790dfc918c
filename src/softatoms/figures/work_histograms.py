"""Works of switching runs: those of forward runs and minus those of backward runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..free_energy.estimators import bar
from .data import CampaignTables, require
from .style import grid_of_panels, legend_below

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..config import CampaignConfig

CAPTION = (
    "Works of switching runs over ΔF by Bennett's acceptance ratio: forward works, and backward"
    " works with the other sign, every run a tick, and as histograms. Forward works lie above "
    "ΔF and backward ones below by what is dissipated; by Crooks' relation they cross at ΔF. "
    "One panel per path and temperature, the first 24 of them."
)

COLOURS = {"forward": "#0072B2", "backward": "#D55E00"}

_MOST_PANELS = 24
"""More would be too small to read; the table has all."""


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """One panel per system, path and temperature."""
    table = data.works
    ok = table.text("status") == "ok"
    systems, paths = table.text("system"), table.text("path")
    kelvins, directions = table.real("temperature_k"), table.text("direction")
    works = table.real("work_ev")
    panels = []
    for key in dict.fromkeys(zip(systems, paths, kelvins.tolist(), strict=True)):
        own = ok & (systems == key[0]) & (paths == key[1]) & (kelvins == key[2])
        both = tuple(works[own & (directions == name)] for name in COLOURS)
        if min(part.size for part in both) >= 2:
            panels.append((key, both))
    require(bool(panels), "work_histograms", "works of both directions")
    panels = panels[:_MOST_PANELS]
    figure, axes = grid_of_panels(len(panels))
    for ((system, path, kelvin), (forward, backward)), (panel,) in zip(panels, axes, strict=True):
        centre = bar(forward, backward, temperature=kelvin).value
        _draw_panel(panel, forward - centre, -backward - centre)
        panel.set_title(f"{system}: {path}, {kelvin:g} K", fontsize=8)
    legend_below(figure, axes[0][0])
    return figure


def _draw_panel(panel: Axes, forward: NDArray[np.float64], backward: NDArray[np.float64]) -> None:
    every = 1e3 * np.concatenate([forward, backward])
    reach = 1.1 * max(float(np.abs(every).max()), 1e-3)
    edges = np.linspace(-reach, reach, 2 * max(3, round(forward.size**0.5)) + 2)
    for (name, colour), values in zip(COLOURS.items(), (forward, backward), strict=True):
        label = "forward" if name == "forward" else "backward, other sign"
        panel.hist(1e3 * values, bins=edges.tolist(), color=colour, alpha=0.35, label=label)
        panel.plot(
            1e3 * values, np.zeros_like(values), "|", color=colour, markersize=9, clip_on=False
        )
    panel.axvline(0.0, color="black", linewidth=0.8)
    panel.set_xlabel("work − ΔF (meV)")
    panel.set_ylabel("runs")
