"""Errors over the epochs of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .data import CampaignTables, require
from .style import SPLIT_COLOURS, grid_of_panels, legend_below

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..config import CampaignConfig

_QUANTITIES = (
    ("loss", "loss", 1.0),
    ("energy_rmse_ev_per_atom", "energy RMSE (meV/atom)", 1e3),
    ("forces_rmse_ev_per_ang", "force RMSE (eV/Å)", 1.0),
)

CAPTION = (
    "Loss and root mean square errors over the epochs of the training. Training: mean over each "
    "epoch with the parameters as they were; validation: averaged parameters after the epoch. The "
    "dotted line is the epoch of the lowest validation loss, whose parameters are kept."
)


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """One panel per quantity, both parts on a logarithmic axis."""
    table = data.training_history
    epochs = table.real("epoch")
    figure, panels = grid_of_panels(len(_QUANTITIES))
    validation_loss = table.real("validation_loss")
    drawn = False
    for (column, label, scale), (axes,) in zip(_QUANTITIES, panels, strict=True):
        for part, name in (("train", "training"), ("validation", "validation")):
            values = scale * table.real(f"{part}_{column}")
            known = np.isfinite(values) & (values > 0.0)
            if known.any():
                drawn = True
                axes.plot(epochs[known], values[known], color=SPLIT_COLOURS[part], label=name)
                axes.set_yscale("log")
        if np.isfinite(validation_loss).any():
            best = epochs[np.nanargmin(validation_loss)]
            axes.axvline(best, color="black", linestyle=":", linewidth=1.0, label="kept epoch")
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
    require(drawn, "training", "epochs of a training")
    legend_below(figure, panels[0][0])
    return figure
