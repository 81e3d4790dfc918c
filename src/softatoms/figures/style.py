"""The common look of all figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METHOD_LABELS = {
    "mean_field": "mean field",
    "replica": "replica",
    "vegard": "linear (Vegard)",
    "sqs": "SQS supercells",
    "random": "random supercells",
}

# Wong's palette, told apart by colour-blind readers.
METHOD_COLOURS = {
    "mean_field": "#0072B2",
    "replica": "#D55E00",
    "vegard": "#7F7F7F",
    "sqs": "#000000",
    "random": "#009E73",
}

METHOD_MARKERS = {"sqs": "o", "random": "s"}
"""Methods with replicates, drawn as points."""

SPLIT_COLOURS = {
    "": "#7F7F7F",
    "train": "#7F7F7F",
    "validation": "#0072B2",
    "test": "#D55E00",
}
"""Parts of a dataset; the empty one is a dataset that is not divided."""

SEQUENCE = ("#56B4E9", "#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7")

PANEL_WIDTH, PANEL_HEIGHT = 3.4, 2.7
"""Size of one panel in inches."""

PANELS_PER_ROW = 3


def apply_style() -> None:
    """Set fonts, lines and the backend that needs no screen."""
    mpl.use("agg")
    mpl.rcParams.update(
        {
            "font.size": 9,
            "axes.titlesize": 9,
            "axes.grid": True,
            "grid.color": "#E5E5E5",
            "grid.linewidth": 0.6,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "legend.fontsize": 8,
            "lines.linewidth": 1.4,
            "lines.markersize": 4,
            "pdf.fonttype": 42,
            "savefig.bbox": "standard",
        }
    )


def grid_of_panels(count: int, *, rows_per_panel: int = 1) -> tuple[Figure, list[list[Axes]]]:
    """A figure with equal panels.

    Args:
        count: Number of panels.
        rows_per_panel: Axes on top of each other in each panel.

    Returns:
        The figure, and for each panel its axes from top to bottom.
    """
    from matplotlib.figure import Figure

    columns = min(count, PANELS_PER_ROW)
    rows = -(-count // columns)
    height = PANEL_HEIGHT * (1.0 + 0.75 * (rows_per_panel - 1))
    figure = Figure(figsize=(PANEL_WIDTH * columns, height * rows + 0.45), layout="constrained")
    ratios = [2.0 if i % rows_per_panel == 0 else 1.2 for i in range(rows * rows_per_panel)]
    axes = figure.subplots(
        rows * rows_per_panel,
        columns,
        squeeze=False,
        gridspec_kw={"height_ratios": ratios} if rows_per_panel > 1 else None,
    )
    panels = []
    for index in range(rows * columns):
        row, column = divmod(index, columns)
        own = [axes[row * rows_per_panel + i, column] for i in range(rows_per_panel)]
        if index < count:
            panels.append(own)
        else:
            for axis in own:
                axis.set_visible(False)
    return figure, panels


def legend_below(figure: Figure, axes: Axes) -> None:
    """One legend for all panels, under them."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)))


def plain_log_ticks(axes: Axes) -> None:
    """Numbers 1, 2, 5 on both logarithmic axes, written out; 1 alone where they would crowd."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        crowded = high > 60.0 * low
        axis.set_major_locator(LogLocator(subs=(1.0,) if crowded else (1.0, 2.0, 5.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
        if not crowded:
            axis.set_minor_locator(NullLocator())


def method_line(method: str) -> dict[str, Any]:
    """Line style of a method."""
    dashed = {"linestyle": (0, (4, 2)), "linewidth": 1.0} if method == "vegard" else {}
    return {"color": METHOD_COLOURS[method], "label": METHOD_LABELS[method], **dashed}


def close(figure: Figure) -> None:
    """Free what a figure holds."""
    figure.clear()
