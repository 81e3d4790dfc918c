"""Errors and uncertainties over the rounds of active learning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..tables import Table, read_table
from .data import CampaignTables, require
from .style import grid_of_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..config import CampaignConfig

_ERRORS = (
    ("energy", "ev_per_atom", "test energy error (meV/atom)", 1e3),
    ("forces", "ev_per_ang", "test force error (eV/Å)", 1.0),
)
_KINDS = (("rmse", "RMSE", "o"), ("mae", "MAE", "s"))
_OWN, _CONTROL = "#D55E00", "#7F7F7F"
_BEFORE, _AFTER = "#0072B2", "#009E73"
_FIRST = "first training"

CAPTION = (
    "Active learning. Left: errors of the first model on the test part, which is the same in all "
    "rounds, over the number of labelled frames; grey: the campaign given as control, or else the "
    "level of the first training. Right: disagreement of the models about the candidates of each "
    "round, mean and largest, before and after training on those of them that were labelled."
)


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """Two panels of errors and one of uncertainties."""
    table = data.active_learning
    path = config.figures.control
    control = None if path is None else read_table(Path(path), "active_learning")
    figure, panels = grid_of_panels(len(_ERRORS) + 1)
    drawn = False
    for (name, unit, label, scale), (axes,) in zip(_ERRORS, panels, strict=False):
        for kind, shown, marker in _KINDS:
            column = f"test_{name}_{kind}_{unit}"
            drawn |= _errors(axes, table, control, column, scale, shown, marker)
        axes.set_xlabel("labelled frames")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0.0)
    drawn |= _uncertainties(panels[-1][0], table)
    require(drawn, "active_learning", "errors of a test part and no candidates")
    for (axes,) in panels:
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    return figure


def _errors(
    axes: Axes,
    table: Table,
    control: Table | None,
    column: str,
    scale: float,
    shown: str,
    marker: str,
) -> bool:
    """One kind of error of this campaign and of its control; whether there is any."""
    values, frames = scale * table.real(column), table.real("frames")
    if not np.isfinite(values).any():
        return False
    axes.plot(frames, values, color=_OWN, marker=marker, label=shown)
    if control is None:
        label = None if any(line.get_label() == _FIRST for line in axes.lines) else _FIRST
        axes.axhline(values[0], color=_CONTROL, linestyle=":", linewidth=1.0, label=label)
    else:
        axes.plot(
            control.real("frames"),
            scale * control.real(column),
            color=_CONTROL,
            marker=marker,
            linestyle="--",
            label=f"{shown}, control",
        )
    return True


def _uncertainties(axes: Axes, table: Table) -> bool:
    """Mean and largest uncertainty of the candidates; whether there were any."""
    rounds = table.real("round")
    drawn = False
    for when, colour in (("before", _BEFORE), ("after", _AFTER)):
        for kind, shown, line, marker in (("max", "largest", ":", "^"), ("mean", "mean", "-", "o")):
            values = table.real(f"{kind}_uncertainty_{when}")
            known = np.isfinite(values)
            if known.any():
                drawn = True
                axes.plot(
                    rounds[known],
                    values[known],
                    color=colour,
                    linestyle=line,
                    marker=marker,
                    label=f"{shown}, {when}",
                )
    axes.set_xlabel("round")
    axes.set_xticks(rounds)
    axes.set_ylabel(f"uncertainty of candidates ({table.text('uncertainty_unit')[0]})")
    axes.set_ylim(bottom=0.0)
    return drawn
