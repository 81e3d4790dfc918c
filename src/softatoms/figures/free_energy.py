"""Free energy of mixing with the ideal entropy, and where the solution falls apart.

The energy of mixing is interpolated by a cubic spline, the entropy is exact in between.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import CubicSpline

from ..screening.ranking import ideal_entropy
from .curves import finish
from .data import PREFERRED_METHODS, Binary, CampaignTables, Series, binaries, require
from .style import METHOD_LABELS, SEQUENCE, grid_of_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..config import CampaignConfig
    from ..tables import Table


_FEWEST_POINTS = 4
"""A smooth curve needs at least so many compositions."""

_END = 1e-9
"""Fractions this close to 0 or 1 are those of pure elements."""

_FINE = 1001
"""Points of the smooth curve."""

CAPTION = (
    "Energy of mixing minus temperature times the ideal entropy of mixing. Dots joined by "
    "dashes are common tangents: between them the solution separates into the compositions at "
    "the dots. None ends where only the scan ends, short of a pure element."
)


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """One panel per binary, one line per temperature, dots where the common tangents touch."""
    shown = binaries(config)
    figure, panels = grid_of_panels(len(shown))
    drawn = False
    own_title: dict[Binary, str] = {}
    for binary, (axes,) in zip(shown, panels, strict=True):
        method, series = _best_series(binary, data.composition)
        axes.set_ylabel("free energy of mixing (meV/atom)")
        if series is None or len(series.x) < _FEWEST_POINTS:
            continue
        drawn = True
        x = np.linspace(series.x[0], series.x[-1], _FINE)
        mixing = CubicSpline(series.x, series.y)(x)
        share = binary.share(data.composition, method)
        for temperature, colour in zip(config.figures.temperatures_k, SEQUENCE, strict=False):
            energy = 1e3 * with_ideal_entropy(x, mixing, share * temperature)
            axes.plot(x, energy, color=colour, label=f"{temperature:g} K")
            for low, high in tangents(x, energy):
                ends = [low, high]
                axes.plot(x[ends], energy[ends], "o--", color=colour, linewidth=0.9)
        own_title[binary] = f"{binary.title}, {METHOD_LABELS[method]}"
    require(drawn, "free_energy", "energies of mixing of a binary scan")
    finish(figure, panels, shown, data)
    for binary, (axes,) in zip(shown, panels, strict=True):
        axes.set_title(own_title.get(binary, binary.title))
    return figure


def with_ideal_entropy(
    x: NDArray[np.float64], mixing: NDArray[np.float64], temperature: float
) -> NDArray[np.float64]:
    """Energy of mixing minus temperature times ideal entropy.

    Args:
        x: Atomic fraction of one of two elements.
        mixing: Energy of mixing in eV per atom.
        temperature: In K.

    Returns:
        Free energy of mixing in eV per atom.
    """
    entropy = np.array([ideal_entropy({"first": 1.0 - f, "second": f}) for f in x.tolist()])
    result: NDArray[np.float64] = mixing - temperature * entropy
    return result


def tangents(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Gaps that the lower convex hull of a curve spans.

    Args:
        x: Ascending.
        y: One value per x.

    Returns:
        Indices of the two ends of every stretch of the hull that leaves points out above it. A
        stretch that ends where the curve does, other than at 0 or 1, is no tangent: the curve
        beyond is not known.
    """
    hull: list[int] = []
    for k in range(len(x)):
        while len(hull) >= 2:
            i, j = hull[-2:]
            if (y[j] - y[i]) * (x[k] - x[i]) < (y[k] - y[i]) * (x[j] - x[i]):
                break
            hull.pop()
        hull.append(k)
    last = len(x) - 1
    cut_low, cut_high = x[0] > _END, x[last] < 1.0 - _END
    return [
        (i, j)
        for i, j in pairwise(hull)
        if j > i + 1 and not (i == 0 and cut_low) and not (j == last and cut_high)
    ]


def _best_series(binary: Binary, table: Table) -> tuple[str, Series | None]:
    for method in PREFERRED_METHODS:
        series = binary.series(table, method, "mixing_ev_per_atom")
        if series is not None:
            return method, series
    return "", None
