"""Errors over the number of training frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .data import CampaignTables, left_out, require
from .style import SPLIT_COLOURS, grid_of_panels, legend_below, plain_log_ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..config import CampaignConfig
    from ..tables import Table

CAPTION = (
    "Mean absolute errors of energies per atom and of force components over the number of frames "
    "trained on, of the same frames of the validation and the test part. Points are single "
    "trainings; lines join geometric means over seeds. Numbers are the exponents of straight lines "
    "through all points, with their standard errors, where there are at least three numbers of "
    "frames. The validation part has chosen the epoch of each training."
)

_QUANTITIES = (
    ("energy", "energy MAE (meV/atom)", 1e3),
    ("force", "force MAE (eV/Å)", 1.0),
)
FEWEST_SIZES = 3
"""Fewest numbers of frames that a straight line is put through."""


class Exponent(NamedTuple):
    """Slope of a straight line in logarithms.

    Attributes:
        value: The slope.
        error: Its standard error.
    """

    value: float
    error: float


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """Energies on the left, forces on the right, both axes logarithmic."""
    table = data.learning_curve
    figure, panels = grid_of_panels(len(_QUANTITIES))
    drawn = False
    for (quantity, label, scale), (axes,) in zip(_QUANTITIES, panels, strict=True):
        lines = []
        axes.set_xscale("log")
        axes.set_yscale("log")
        for split in ("validation", "test"):
            frames, errors = points(table, quantity, split)
            if not len(frames):
                continue
            drawn = True
            colour = SPLIT_COLOURS[split]
            axes.plot(frames, scale * errors, "o", color=colour, markersize=4, alpha=0.6)
            sizes = np.unique(frames)
            means = [np.exp(np.log(errors[frames == size]).mean()) for size in sizes]
            axes.plot(sizes, scale * np.array(means), color=colour, label=split)
            slope = exponent(frames, errors)
            if slope is not None:
                value = f"{slope.value:.2f}".replace("-", "\N{MINUS SIGN}")
                lines.append(f"{split}: exponent {value} ± {slope.error:.2f}")
        axes.set_xlabel("training frames")
        axes.set_ylabel(label)
        low, high = axes.get_ylim()
        # Room for the numbers above the curves.
        axes.set_ylim(low, high * (high / low) ** (0.12 * len(lines)))
        axes.text(
            0.96, 0.97, "\n".join(lines), transform=axes.transAxes, va="top", ha="right", fontsize=7
        )
        plain_log_ticks(axes)
    require(drawn, "learning_curve", "errors of trainings on parts of the frames")
    remark = left_out(table)
    if remark:
        figure.suptitle(remark, fontsize=8, color="#B00000")
    legend_below(figure, panels[0][0])
    return figure


def points(
    table: Table, quantity: str, split: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Numbers of frames and mean absolute errors of all trainings that went well, by frames."""
    chosen = (table.text("quantity") == quantity) & (table.text("split") == split)
    chosen &= table.text("status") == "ok"
    frames, errors = table.real("n_frames")[chosen], table.real("mae")[chosen]
    known = errors > 0.0
    order = np.argsort(frames[known], kind="stable")
    return frames[known][order], errors[known][order]


def exponent(frames: NDArray[np.float64], errors: NDArray[np.float64]) -> Exponent | None:
    """Slope of the logarithm of errors over that of frames, None for too few numbers of frames."""
    if len(np.unique(frames)) < FEWEST_SIZES:
        return None
    x, y = np.log(frames), np.log(errors)
    spread = ((x - x.mean()) ** 2).sum()
    value = float(((x - x.mean()) * (y - y.mean())).sum() / spread)
    rest = y - y.mean() - value * (x - x.mean())
    return Exponent(value, float(np.sqrt((rest**2).sum() / (len(x) - 2) / spread)))
