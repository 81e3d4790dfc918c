"""Paths of compositions and objectives of the searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..composition.tasks import parse_occupation
from .data import CampaignTables, require
from .style import PANEL_HEIGHT, PANEL_WIDTH, SEQUENCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..config import CampaignConfig

Row = Mapping[str, Any]

LABELS = {
    "newton": "projected Newton",
    "exponentiated_gradient": "exponentiated gradient",
    "joint": "joint",
}
COLOURS = dict(zip(LABELS, (SEQUENCE[1], SEQUENCE[4], SEQUENCE[2]), strict=True))
SMALLEST = 1e-12
"""Objectives and gaps below this are drawn here."""

CAPTION = (
    "Searches for compositions, one line per start. Left: the composition; where three elements "
    "share one sublattice on their triangle, else the fractions over the evaluations. Filled: best "
    "point of each start; crosses: supercells at the nearest composition that fits. Right: "
    "objective (or Frank–Wolfe gap, where the objective cannot reach zero) over the evaluations of "
    "the potential, derivative passes included."
)


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """Two panels per search."""
    from matplotlib.figure import Figure

    section = config.optimisation
    rows, steps = data.optimisation.rows(), data.optimisation_path.rows()
    require(bool(steps) and section is not None, "optimisation", "paths of searches")
    assert section is not None
    shown = [one for one in section.searches if any(s["search"] == one.name for s in steps)]
    size = (2.0 * PANEL_WIDTH, PANEL_HEIGHT * len(shown) + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(shown), 2, squeeze=False)
    for (left, right), search in zip(panels, shown, strict=True):
        own = [step for step in steps if step["search"] == search.name]
        ends = [row for row in rows if row["search"] == search.name and row["occupation"]]
        if _is_ternary(own):
            _draw_triangle(left, own, ends)
        else:
            _draw_fractions(left, own, ends)
        left.set_title(search.name, loc="left")
        is_matched = all(target.goal == "match" for target in search.targets)
        column = "objective" if is_matched else "gap"
        for path in _paths(own):
            values = np.maximum([step[column] for step in path], SMALLEST)
            right.semilogy(
                [step["evaluations"] for step in path],
                values,
                marker="o",
                color=COLOURS[path[0]["method"]],
                label=LABELS[path[0]["method"]],
            )
        right.set_xlabel("evaluations")
        right.set_ylabel(column if is_matched else "gap to optimality")
        handles, labels = right.get_legend_handles_labels()
        single = dict(zip(labels, handles, strict=True))
        right.legend(single.values(), single.keys())
    return figure


def _paths(steps: Sequence[Row]) -> list[list[Row]]:
    held: dict[tuple[str, int], list[Row]] = {}
    for step in steps:
        held.setdefault((step["method"], step["start"]), []).append(step)
    return [sorted(path, key=lambda step: int(step["step"])) for path in held.values()]


def _weights(row: Row) -> dict[str, float]:
    """Weights by name, the sublattice left out where there is one only."""
    occupation = parse_occupation(row["occupation"])
    alone = len(occupation) == 1
    return {
        element if alone else f"{element} on {tie}": x
        for tie, held in occupation.items()
        for element, x in held.items()
    }


def _names(rows: Sequence[Row]) -> list[str]:
    # Weights of 0 are not written.
    return sorted({name for row in rows for name in _weights(row)})


def _is_ternary(steps: Sequence[Row]) -> bool:
    return len(parse_occupation(steps[0]["occupation"])) == 1 and len(_names(steps)) == 3


def _draw_fractions(axes: Axes, steps: Sequence[Row], ends: Sequence[Row]) -> None:
    names = _names([*steps, *ends])
    # One of two fractions says it all.
    names = names[1:] if len(names) == 2 else names
    lines = ("-", "--", ":", "-.")
    for number, name in enumerate(names):
        style = lines[number % len(lines)]
        for path in _paths(steps):
            axes.plot(
                [step["evaluations"] for step in path],
                [_weights(step).get(name, 0.0) for step in path],
                linestyle=style,
                marker="o",
                color=COLOURS[path[0]["method"]],
            )
        explicit = [_weights(row).get(name, 0.0) for row in ends if row["method"] == "sqs"]
        right = max(step["evaluations"] for step in steps)
        axes.plot([right] * len(explicit), explicit, "kx", markersize=6)
    axes.set_xlabel("evaluations")
    axes.set_ylabel(f"fraction of {', '.join(names)}")


def _corner_coordinates(weights: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])
    placed: NDArray[np.float64] = np.asarray(weights) @ corners
    return placed


def _draw_triangle(axes: Axes, steps: Sequence[Row], ends: Sequence[Row]) -> None:
    names = _names([*steps, *ends])
    frame = np.array([_corner_coordinates(np.eye(3)[k]) for k in (0, 1, 2, 0)])
    axes.plot(frame[:, 0], frame[:, 1], color="black", linewidth=0.8)
    for share in (0.25, 0.5, 0.75):
        for k in range(3):
            start, stop = np.zeros(3), np.zeros(3)
            start[k] = stop[k] = share
            start[(k + 1) % 3] = stop[(k + 2) % 3] = 1.0 - share
            line = np.array([_corner_coordinates(start), _corner_coordinates(stop)])
            axes.plot(line[:, 0], line[:, 1], color="#E5E5E5", linewidth=0.6, zorder=0)
    for name, corner, shift in zip(names, frame, (-0.05, -0.05, 0.05), strict=False):
        axes.text(corner[0], corner[1] + shift, name, ha="center", va="center")

    def placed(row: Row) -> NDArray[np.float64]:
        weights = _weights(row)
        return _corner_coordinates([weights.get(name, 0.0) for name in names])

    for path in _paths(steps):
        points = np.array([placed(step) for step in path])
        colour = COLOURS[path[0]["method"]]
        axes.plot(points[:, 0], points[:, 1], color=colour, marker=".", linewidth=1.0)
    for row in ends:
        x, y = placed(row)
        if row["method"] == "sqs":
            axes.plot([x], [y], "kx", markersize=6, zorder=4)
        else:
            axes.plot([x], [y], "o", color=COLOURS[row["method"]], markersize=6, zorder=3)
    axes.set_aspect("equal")
    axes.set_axis_off()
