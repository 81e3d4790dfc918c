"""What a screening offers where objectives pull in different directions."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from ..composition.tasks import parse_occupation
from ..config.screening import FRONT
from .data import CampaignTables, require
from .ranking import axis_label
from .style import grid_of_panels, legend_below

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from ..config import CampaignConfig
    from ..config.objectives import Objective

_ROOM = (0.3, 0.035)
"""Width and height of a formula in parts of the panel; where there is less, it is left out."""

# Wong's palette, neighbours far apart.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
_MARKS = ("o", "s", "^", "D", "v", "P")

CAPTION = (
    "Objectives of the screening over each other. Points with a dark edge are on the first Pareto "
    "front: no composition is better in all objectives. The line joins it where there are two."
)


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """One panel for every pair of objectives, the first front on top of the others."""
    table = data.ranking
    objectives = config.screening.objectives if config.screening is not None else []
    fronts = table.real(FRONT)
    require(bool(np.isfinite(fronts).any()), "pareto", "composition with all objectives")
    rows = [row for row in table.rows() if row[FRONT] is not None]
    pairs = list(combinations(objectives, 2))
    if len(pairs) == 1:
        figure = Figure(figsize=(6.4, 4.6), layout="constrained")
        panels = [figure.subplots()]
    else:
        figure, grid = grid_of_panels(len(pairs))
        panels = [own[0] for own in grid]
    for axes, pair in zip(panels, pairs, strict=True):
        _panel(axes, rows, pair)
    if len(pairs) == 1:
        _join(panels[0], rows, pairs[0])
        _name(panels[0], rows, pairs[0])
    legend_below(figure, panels[0])
    return figure


def objective_label(objective: Objective) -> tuple[str, float]:
    """Text for an axis, with the better direction, and the factor from what :func:`place` gives."""
    label, scale = axis_label(objective.column)
    if objective.goal != "target":
        return f"{label}, {'less' if objective.goal == 'minimise' else 'more'} is better", scale
    name = label.rpartition(" (")[0] or label
    goal = objective.target
    if isinstance(goal, dict):
        return f"distance of {name} from target (%)", 100.0
    unit = f" {label.rpartition(' (')[2].rstrip(')')}" if " (" in label else ""
    return f"distance of {name} from {scale * (goal or 0.0):.6g}{unit} (%)", 100.0


def short_label(occupation: str) -> str:
    """What the shared sublattices hold, such as ``(Ca0.5Sr0.5)(Ti)``."""
    shared = parse_occupation(occupation).values()
    texts = [
        "".join(f"{e}{x:.3g}" if x < 1.0 else e for e, x in weights.items()) for weights in shared
    ]
    return texts[0] if len(texts) == 1 else "".join(f"({text})" for text in texts)


def _places(rows: list[dict[str, Any]], objective: Objective) -> NDArray[np.float64]:
    """Values of an objective as the figure shows them."""
    _, scale = objective_label(objective)
    if objective.goal == "target":
        values = [objective.loss(row[objective.column], row["prototype"]) for row in rows]
    else:
        values = [row[objective.column] for row in rows]
    return scale * np.array(values)


def _panel(axes: Axes, rows: list[dict[str, Any]], pair: tuple[Objective, Objective]) -> None:
    x, y = (_places(rows, objective) for objective in pair)
    first = np.array([row[FRONT] == 1 for row in rows])
    prototypes = np.array([row["prototype"] for row in rows])
    for index, name in enumerate(dict.fromkeys(prototypes.tolist())):
        own = prototypes == name
        colour, mark = _COLOURS[index % len(_COLOURS)], _MARKS[index % len(_MARKS)]
        axes.plot(
            x[own & ~first],
            y[own & ~first],
            mark,
            color=colour,
            markersize=3,
            markeredgewidth=0,
            alpha=0.5,
            rasterized=True,
        )
        axes.plot(
            x[own & first],
            y[own & first],
            mark,
            color=colour,
            markersize=6,
            markeredgecolor="black",
            markeredgewidth=0.8,
            zorder=4,
        )
        axes.plot([], [], mark, color=colour, markersize=5, label=name)
    axes.set_xlabel(objective_label(pair[0])[0])
    axes.set_ylabel(objective_label(pair[1])[0])


def _front(
    rows: list[dict[str, Any]], pair: tuple[Objective, Objective]
) -> tuple[list[dict[str, Any]], NDArray[np.float64], NDArray[np.float64]]:
    """Members of the first front in order of the first objective, and where they stand."""
    members = [row for row in rows if row[FRONT] == 1]
    members.sort(key=lambda row: pair[0].loss(row[pair[0].column], row["prototype"]))
    return members, _places(members, pair[0]), _places(members, pair[1])


def _join(axes: Axes, rows: list[dict[str, Any]], pair: tuple[Objective, Objective]) -> None:
    """A staircase through the front: what lies on its worse side is dominated."""
    _, x, y = _front(rows, pair)
    axes.step(x, y, where="post", color="black", linewidth=0.9, zorder=3, label="Pareto front")


def _name(axes: Axes, rows: list[dict[str, Any]], pair: tuple[Objective, Objective]) -> None:
    """Formulas of members whose names have room, from the best in the first objective on."""
    members, x, y = _front(rows, pair)
    axes.get_xlim()  # settles the limits, without which nothing has a place
    places = axes.transAxes.inverted().transform(axes.transData.transform(np.stack([x, y], axis=1)))
    named: list[int] = []
    for index in range(len(members)):
        apart = np.abs(places[named] - places[index])
        if (apart < _ROOM).all(axis=1).any():
            continue
        named.append(index)
        axes.annotate(
            short_label(members[index]["occupation"]),
            (x[index], y[index]),
            xytext=(7, 4),
            textcoords="offset points",
            fontsize=6,
            zorder=5,
        )
