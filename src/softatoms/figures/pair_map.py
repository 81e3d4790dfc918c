"""Extreme energy of mixing of every pair of elements."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure

from .data import PREFERRED_METHODS, Binary, CampaignTables, left_out, require
from .style import METHOD_LABELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..config import CampaignConfig
    from ..tables import Table

_CELL = 0.5
"""Size of one square in inches."""

CAPTION = (
    "Energy of mixing farthest from zero among all scanned occupations of each pair of elements, "
    "each the mean of its replicates, relative to the relaxed end members on the same parent "
    "lattice. Blue: mixing gains energy; red: mixing costs energy."
)


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """One matrix per parent lattice, in meV per atom."""
    table = data.composition
    used = set(table.text("method"))
    method = next((m for m in PREFERRED_METHODS if m in used), PREFERRED_METHODS[0])
    elements = table.elements
    prototypes = list(dict.fromkeys(table.text("prototype").tolist()))
    maps = {name: extremes(table, name, method) for name in prototypes}
    maps = {name: values for name, values in maps.items() if np.isfinite(values).any()}
    require(bool(maps), "pair_map", "compositions of two elements")
    largest = max(np.nanmax(np.abs(values)) for values in maps.values())
    # Colours follow small energies too, where one pair mixes far worse than all others.
    norm = AsinhNorm(linear_width=0.1 * largest, vmin=-largest, vmax=largest)
    size = _CELL * (len(elements) - 1)
    figure = Figure(figsize=((size + 0.6) * len(maps) + 0.9, size + 0.9), layout="constrained")
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    for axes, (name, values) in zip(panels, maps.items(), strict=True):
        # The first row and the last column of a lower triangle are empty.
        shown = values[1:, :-1]
        image = axes.imshow(shown, cmap="RdBu_r", norm=norm)
        axes.set_title(f"{name}, {METHOD_LABELS[method]}")
        axes.set_xticks(range(len(elements) - 1), elements[:-1])
        axes.set_yticks(range(len(elements) - 1), elements[1:])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        for (row, column), value in np.ndenumerate(shown):
            if np.isfinite(value):
                shade = "white" if abs(norm(value) - 0.5) > 0.35 else "black"
                axes.text(
                    column, row, f"{value:.0f}", ha="center", va="center", color=shade, fontsize=8
                )
    bar = figure.colorbar(image, ax=panels, shrink=0.8)
    bar.ax.minorticks_off()
    marks = round_numbers(0.1 * largest, largest)
    bar.set_ticks([*(-mark for mark in marks), 0.0, *marks])
    bar.ax.yaxis.set_major_formatter("{x:g}")
    bar.set_label("energy of mixing farthest from 0 (meV/atom)")
    remark = left_out(table)
    if remark:
        figure.suptitle(remark, fontsize=8, color="#B00000")
    return figure


def round_numbers(low: float, high: float) -> list[float]:
    """Numbers of the series 1, 2, 5, 10 ... between two positive bounds."""
    first = math.floor(math.log10(low))
    series = (step * 10.0**k for k in range(first, first + 3) for step in (1, 2, 5))
    return [number for number in series if low <= number <= high]


def extremes(table: Table, prototype: str, method: str) -> NDArray[np.float64]:
    """Energy of mixing farthest from zero of each pair in meV per atom, nan where there is none.

    Only the lower triangle is filled. Replicates are averaged, different occupations are not.
    """
    count = len(table.elements)
    values = np.full((count, count), np.nan)
    for row in range(count):
        for column in range(row):
            binary = Binary(prototype, table.elements[row], table.elements[column])
            series = binary.series(table, method, "mixing_ev_per_atom")
            if series is None:
                continue
            mixed = series.y[(series.x > 0) & (series.x < 1)]
            if len(mixed):
                values[row, column] = 1e3 * mixed[np.argmax(np.abs(mixed))]
    return values
