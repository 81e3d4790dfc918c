"""Predictions of the trained potential over labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .data import CampaignTables, require
from .style import SPLIT_COLOURS, grid_of_panels, legend_below

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..config import CampaignConfig
    from ..tables import Table

    Pairs = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]

CAPTION = (
    "Energies per atom and components of forces as the trained potential predicts them, over their "
    "labels (top), and prediction minus label (bottom), for each part of the dataset. Numbers are "
    "root mean square and mean absolute errors."
)


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """Energies on the left, forces on the right; parity above, errors below."""
    figure, panels = grid_of_panels(2, rows_per_panel=2)
    shown = (
        (energy_pairs(data.prediction), "energy (eV/atom)", "meV/atom", 1e3, "{:.1f}"),
        (force_pairs(data.force_prediction), "force component (eV/Å)", "eV/Å", 1.0, "{:.3f}"),
    )
    drawn = False
    for (pairs, label, unit, scale, style), (upper, lower) in zip(shown, panels, strict=True):
        lines = []
        for split, (labels, predicted) in pairs.items():
            error = scale * (predicted - labels)
            root, mean = np.sqrt((error**2).mean()), np.abs(error).mean()
            name = split or "all frames"
            lines.append(f"{name} {style.format(root)} / {style.format(mean)}")
            for axes, heights in ((upper, predicted), (lower, error)):
                axes.plot(
                    labels,
                    heights,
                    "o",
                    markersize=3,
                    markeredgewidth=0,
                    alpha=0.6,
                    color=SPLIT_COLOURS[split],
                    label=name,
                    rasterized=True,
                )
        if lines:
            drawn = True
            text = "\n".join([f"RMSE / MAE ({unit})", *lines])
            upper.text(0.04, 0.96, text, transform=upper.transAxes, va="top", fontsize=7)
            _diagonal(upper)
        lower.axhline(0.0, color="black", linewidth=0.8, zorder=1)
        upper.set_ylabel(f"predicted {label}")
        lower.set_ylabel(f"error ({unit})")
        lower.set_xlabel(f"{label}, label")
        upper.tick_params(labelbottom=False)
        lower.set_xlim(upper.get_xlim())
    require(drawn, "parity", "predictions of labelled frames")
    fullest = max((upper for upper, _ in panels), key=lambda a: len(a.get_lines()))
    legend_below(figure, fullest)
    return figure


def energy_pairs(table: Table) -> Pairs:
    """Labels and predictions of energies in eV per atom, for each part.

    Args:
        table: The table ``prediction``.
    """
    predicted = table.real("energy_ev") / table.real("n_atoms")
    labels = predicted - table.real("energy_error_ev_per_atom")
    return _by_split(table, labels, predicted)


def force_pairs(table: Table) -> Pairs:
    """Labels and predictions of force components in eV/Å, for each part.

    Args:
        table: The table ``force_prediction``.
    """
    labels, predicted = (
        np.stack([table.real(f"{part}_{axis}_ev_per_ang") for axis in "xyz"], axis=1)
        for part in ("label", "predicted")
    )
    return _by_split(table, labels, predicted)


def _by_split(table: Table, labels: NDArray[np.float64], predicted: NDArray[np.float64]) -> Pairs:
    splits = table.text("split")
    found: Pairs = {}
    for split in SPLIT_COLOURS:
        inside = splits == split
        known = np.isfinite(labels[inside])
        if known.any():
            found[split] = labels[inside][known], predicted[inside][known]
    return found


def _diagonal(axes: Axes) -> None:
    """Equal limits along both axes, and the line of perfect predictions."""
    limits = np.array([axes.get_xlim(), axes.get_ylim()])
    low, high = limits.min(), limits.max()
    axes.plot([low, high], [low, high], color="black", linewidth=0.8, zorder=1)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
