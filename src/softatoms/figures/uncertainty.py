"""What the spread of an ensemble says about its error."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .data import CampaignTables, require
from .style import SPLIT_COLOURS, grid_of_panels, legend_below, plain_log_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..config import CampaignConfig
    from ..tables import Table
    from ..training.calibration import Errors, Scale

CAPTION = (
    "Errors of the mean of an ensemble over its spread, the standard deviation between its models. "
    "Top: one point per frame (energy) or force component, test part; squares are root mean "
    "squares of equally many points each, the line is error = spread, the dashed one the factor "
    "fitted to the validation part. Bottom: part of the errors of the test part inside "
    "symmetric intervals over the probability that the interval stands for, with spreads taken as "
    "standard deviations of a normal distribution (grey), and calibrated, as a t distribution with "
    "the factor (orange); below the diagonal the ensemble promises too much. Errors and spreads "
    "that are both rounding are left out."
)

_BINS, _FEWEST_PER_BIN = 8, 4
_LEVELS = np.linspace(0.02, 0.98, 49)


class Panel(NamedTuple):
    """One quantity.

    Attributes:
        errors: Of the test part, or of all frames if there is none.
        scale: Factor from the validation part, or None.
        label: What it is.
        unit: Unit of the axes.
        factor: From the unit of the tables to that.
    """

    errors: Errors
    scale: Scale | None
    label: str
    unit: str
    factor: float


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """Energies on the left, forces on the right; errors over spreads above, coverage below."""
    assert config.training is not None, "the configuration has been checked"
    models = config.training.size
    panels = (
        Panel(
            energy_errors(data.prediction, models),
            _scale(data.calibration, "energy"),
            "energy",
            "meV/atom",
            1e3,
        ),
        Panel(
            force_errors(data.force_prediction, models),
            _scale(data.calibration, "force"),
            "force component",
            "eV/Å",
            1.0,
        ),
    )
    figure, axes = grid_of_panels(len(panels), rows_per_panel=2)
    require(
        any(len(panel.errors.errors) for panel in panels),
        "uncertainty",
        "errors of an ensemble on labelled frames",
    )
    for panel, (upper, lower) in zip(panels, axes, strict=True):
        upper.set_xlabel(f"spread of the {panel.label} ({panel.unit})")
        upper.set_ylabel(f"error ({panel.unit})")
        lower.set_xlabel(f"probability of the interval, {panel.label}")
        lower.set_ylabel("errors inside")
        if len(panel.errors.errors):
            _errors_over_spreads(upper, panel)
            _coverage(lower, panel)
    legend_below(figure, max((upper for upper, _ in axes), key=lambda a: len(a.get_lines())))
    return figure


def energy_errors(table: Table, models: int) -> Errors:
    """Errors and spreads of energies per atom in eV of the part that is shown.

    Args:
        table: The table ``prediction``.
        models: Number of models.
    """
    return _errors(
        table,
        table.real("mean_energy_error_ev_per_atom")[:, None],
        table.real("energy_spread_ev_per_atom"),
        "energy",
        models,
    )


def force_errors(table: Table, models: int) -> Errors:
    """Errors and spreads of force components in eV/Å of the part that is shown.

    Args:
        table: The table ``force_prediction``.
        models: Number of models.
    """
    mean, label = (
        np.stack([table.real(f"{part}_{axis}_ev_per_ang") for axis in "xyz"], axis=1)
        for part in ("mean", "label")
    )
    return _errors(
        table, mean - label, table.real("spread_ev_per_ang") / np.sqrt(3.0), "force", models
    )


def binned(errors: Errors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Root mean square spread and error of bins of equally many places, by rising spread."""
    order = np.argsort(errors.spreads, kind="stable")
    count = max(1, min(_BINS, len(order) // _FEWEST_PER_BIN))
    parts = [errors.of(part) for part in np.array_split(order, count)]
    return (
        np.array([np.sqrt((part.spreads**2).mean()) for part in parts]),
        np.array([np.sqrt((part.errors**2).mean()) for part in parts]),
    )


def _errors(
    table: Table,
    errors: NDArray[np.float64],
    spreads: NDArray[np.float64],
    quantity: str,
    models: int,
) -> Errors:
    from ..training.calibration import Errors, above_noise

    splits = table.text("split")
    shown = splits == ("test" if (splits == "test").any() else splits)
    everything = Errors(errors, spreads, table.text("group"), models)
    return above_noise(everything.of(shown), quantity)


def _scale(table: Table, quantity: str) -> Scale | None:
    from ..training.calibration import Scale

    for row in table.rows():
        if row["quantity"] == quantity and row["factor"] is not None:
            return Scale(row["factor"], row["degrees"], row["n"], row["n_groups"], None)
    return None


def _errors_over_spreads(axes: Axes, panel: Panel) -> None:
    from ..training.calibration import rank_correlation

    errors, factor = panel.errors, panel.factor
    components = errors.errors.shape[1]
    x = factor * np.repeat(errors.spreads, components)
    y = factor * np.abs(errors.errors).ravel()
    seen = (x > 0.0) & (y > 0.0)
    if not seen.any():
        return
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.plot(
        x[seen],
        y[seen],
        "o",
        markersize=2.5,
        markeredgewidth=0,
        alpha=0.25 if seen.sum() > 300 else 0.6,
        color=SPLIT_COLOURS["test"],
        rasterized=True,
        label="single errors",
    )
    across, up = binned(errors)
    axes.plot(
        factor * across,
        factor * up,
        "s-",
        color="black",
        markersize=4,
        linewidth=1.0,
        label="root mean squares of bins",
    )
    ends = np.array([x[seen].min(), x[seen].max()])
    axes.plot(ends, ends, color="black", linewidth=0.8, label="error = spread")
    lines = []
    if panel.scale is not None:
        axes.plot(
            ends,
            panel.scale.factor * ends,
            color="black",
            linewidth=0.8,
            linestyle="--",
            label="error = factor × spread",
        )
        lines.append(f"factor {panel.scale.factor:.2f}")
    ranks = rank_correlation(errors)
    if ranks is not None:
        lines.append(f"rank correlation {ranks:.2f}")
    # Errors near zero say nothing and would take most of a logarithmic axis.
    low = min(np.quantile(y[seen], 0.02), factor * up.min(), ends[0])
    axes.set_ylim(0.6 * low, 4.0 * max(y[seen].max(), ends[1]))
    plain_log_ticks(axes)
    axes.text(0.04, 0.97, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=7)


def _coverage(axes: Axes, panel: Panel) -> None:
    from ..training.calibration import coverage

    axes.plot([0.0, 1.0], [0.0, 1.0], color="black", linewidth=0.8)
    raw = [coverage(panel.errors, level) for level in _LEVELS]
    axes.plot(_LEVELS, raw, color="#7F7F7F", label="as it is")
    if panel.scale is not None:
        held = [coverage(panel.errors, level, panel.scale) for level in _LEVELS]
        axes.plot(_LEVELS, held, color=SPLIT_COLOURS["test"], label="calibrated")
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.0, 1.0)
    axes.legend(loc="upper left")
