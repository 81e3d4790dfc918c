"""Free energy of mixing with the ideal entropy, and where the solution falls apart."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ..screening.ranking import ideal_entropy
from .curves import finish
from .data import Binary, CampaignTables, Series, binaries, require
from .style import METHOD_LABELS, SEQUENCE, grid_of_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..config import CampaignConfig
    from ..tables import Table

_PREFERRED = ("mean_field", "sqs", "replica")


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """One panel per binary, one line per temperature, dots on common tangents."""
    shown = binaries(config)
    figure, panels = grid_of_panels(len(shown))
    drawn = False
    for binary, (axes,) in zip(shown, panels, strict=True):
        method, series = _best_series(binary, data.composition)
        axes.set_ylabel("free energy of mixing (meV/atom)")
        if series is None:
            continue
        drawn = True
        axes.text(
            0.5,
            0.98,
            METHOD_LABELS[method],
            transform=axes.transAxes,
            ha="center",
            va="top",
            fontsize=8,
            color="#555555",
        )
        for temperature, colour in zip(config.figures.temperatures_k, SEQUENCE, strict=False):
            energy = 1e3 * with_ideal_entropy(series, temperature)
            axes.plot(series.x, energy, color=colour, label=f"{temperature:g} K")
            for low, high in tangents(series.x, energy):
                axes.plot(
                    series.x[[low, high]], energy[[low, high]], "o--", color=colour, linewidth=0.9
                )
    require(drawn, "free_energy", "energies of mixing of a binary scan")
    finish(figure, panels, shown, data)
    return figure


def with_ideal_entropy(series: Series, temperature: float) -> NDArray[np.float64]:
    """Energy of mixing minus temperature (K) times ideal entropy, in eV per atom."""
    entropy = [ideal_entropy({"first": 1.0 - x, "second": x}) for x in series.x.tolist()]
    result: NDArray[np.float64] = series.y - temperature * np.array(entropy)
    return result


def tangents(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Gaps that the lower convex hull of a curve spans.

    Args:
        x: Ascending.
        y: One value per x.

    Returns:
        Indices of the two ends of every stretch of the hull that leaves points out above it.
    """
    hull: list[int] = []
    for k in range(len(x)):
        while len(hull) >= 2:
            i, j = hull[-2:]
            if (y[j] - y[i]) * (x[k] - x[i]) < (y[k] - y[i]) * (x[j] - x[i]):
                break
            hull.pop()
        hull.append(k)
    return [(i, j) for i, j in pairwise(hull) if j > i + 1]


def _best_series(binary: Binary, table: Table) -> tuple[str, Series | None]:
    for method in _PREFERRED:
        series = binary.series(table, method, "mixing_ev_per_atom")
        if series is not None:
            return method, series
    return "", None
