"""Maps over the compositions of three elements on one sublattice, with gradients as arrows."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ..composition.tasks import parse_occupation
from .data import CampaignTables, left_out, require
from .style import METHOD_LABELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from ..config import CampaignConfig
    from ..tables import Table


CAPTION = (
    "Lattice parameter and energy of mixing over the composition of the sublattice that three "
    "elements share, from the soft structures. Arrows point up the gradient, as derivatives of the "
    "relaxed state give it. Circles in the colours of the map are the means of SQS supercells."
)

_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.5 * math.sqrt(3.0)]])
"""Where the pure elements lie, in the order of the configuration."""

_MOST_ARROWS = 60

_SOFT = ("mean_field", "replica")

_QUANTITIES = (
    ("a_ang", "da_dx_ang", "lattice parameter $a$ (Å)", 1.0),
    ("mixing_ev_per_atom", "de_dx_ev", "energy of mixing (meV/atom)", 1e3),
)

_FLAT = 1e-9
"""Range of a quantity, relative to its size, in which there is nothing to map."""


class Ternary(NamedTuple):
    """Three elements on one sublattice.

    Attributes:
        prototype: The parent lattice.
        sublattice: The sublattice.
        elements: The elements in the order of the corners.
        scans: Scans of it.
    """

    prototype: str
    sublattice: str
    elements: tuple[str, ...]
    scans: tuple[str, ...]


def ternaries(config: CampaignConfig) -> list[Ternary]:
    """All triples of elements that the configuration scans on one sublattice."""
    names = config.ternary_scans()
    found: dict[tuple[str, ...], Ternary] = {}
    for scan in config.composition.scans if config.composition else []:
        if scan.name not in names:
            continue
        ((sublattice, own),) = scan.sublattices.items()
        for parent in scan.parents():
            key = (parent, sublattice, *sorted(own.elements))
            held = found.setdefault(key, Ternary(parent, sublattice, tuple(own.elements), ()))
            found[key] = held._replace(scans=(*held.scans, scan.name))
    return list(found.values())


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """One row per triple, one map per quantity."""
    shown = ternaries(config)
    figure = Figure(figsize=(4.2 * len(_QUANTITIES), 3.6 * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), len(_QUANTITIES), squeeze=False)
    drawn = False
    for ternary, own in zip(shown, panels, strict=True):
        for axes, quantity in zip(own, _QUANTITIES, strict=True):
            drawn |= _map(figure, axes, data.composition, ternary, quantity)
    require(drawn, "ternary", "compositions of three elements by a soft method")
    remark = left_out(data.composition)
    if remark:
        figure.suptitle(remark, fontsize=8, color="#B00000")
    return figure


def _map(
    figure: Figure,
    axes: Axes,
    table: Table,
    ternary: Ternary,
    quantity: tuple[str, str, str, float],
) -> bool:
    """Draw one quantity; whether there was anything to draw."""
    column, slope, label, scale = quantity
    _frame(axes, ternary)
    rows = [
        row
        for row in table.rows()
        if row["scan"] in ternary.scans
        and row["prototype"] == ternary.prototype
        and row["status"] == "ok"
        and row[column] is not None
    ]
    method = next((m for m in _SOFT if any(row["method"] == m for row in rows)), None)
    soft = [row for row in rows if row["method"] == method]
    places = np.array([place(row["occupation"], ternary) for row in soft]).reshape(-1, 2)
    if method is None or np.linalg.matrix_rank(places - places[:1]) < 2:
        return False
    values = scale * np.array([row[column] for row in soft])
    # The element at the upper corner stands between the title and the map.
    axes.set_title(f"{ternary.prototype}: {label}, {METHOD_LABELS[method]}", fontsize=8, pad=26)
    if np.ptp(values) < _FLAT * np.abs(values).max():
        return False
    # The colours of the map serve the supercells too.
    norm = Normalize(values.min(), values.max())
    filled = axes.tricontourf(
        places[:, 0], places[:, 1], values, levels=14, cmap="viridis", norm=norm
    )
    figure.colorbar(filled, ax=axes, shrink=0.8)
    _arrows(axes, soft, ternary, slope)
    cells = means([row for row in rows if row["method"] == "sqs"], ternary, column)
    if cells:
        where = np.array(list(cells))
        axes.scatter(
            where[:, 0],
            where[:, 1],
            c=scale * np.array(list(cells.values())),
            norm=norm,
            cmap="viridis",
            edgecolors="white",
            linewidths=0.8,
            s=36,
            zorder=4,
        )
    return True


def _frame(axes: Axes, ternary: Ternary) -> None:
    axes.set_aspect("equal")
    axes.set_axis_off()
    closed = np.vstack([_CORNERS, _CORNERS[:1]])
    axes.plot(*closed.T, color="black", linewidth=0.8, zorder=3)
    middle = _CORNERS.mean(axis=0)
    for element, corner in zip(ternary.elements, _CORNERS, strict=True):
        x, y = corner + 0.13 * (corner - middle)
        axes.text(x, y, element, ha="center", va="center")


def place(occupation: str, ternary: Ternary) -> NDArray[np.float64]:
    """Where a composition lies in the triangle, shape (2,)."""
    weights = parse_occupation(occupation)[ternary.sublattice]
    return np.array([weights.get(e, 0.0) for e in ternary.elements]) @ _CORNERS


def means(
    rows: list[dict[str, Any]], ternary: Ternary, column: str
) -> dict[tuple[float, float], float]:
    """Mean over replicates at each place."""
    held: dict[tuple[float, float], list[float]] = {}
    for row in rows:
        x, y = place(row["occupation"], ternary).tolist()
        held.setdefault((x, y), []).append(row[column])
    return {key: float(np.mean(values)) for key, values in held.items()}


def gradient(
    row: dict[str, Any], ternary: Ternary, slope: str, line: dict[str, float]
) -> NDArray[np.float64] | None:
    """Gradient in the triangle, whose edges are 1 long; None without derivatives.

    Args:
        row: Row of the table ``composition``.
        ternary: The triple.
        slope: Name of the derivative along edges.
        line: What each pure element contributes to a straight line that is taken away.
    """
    edges = json.loads(row["edges"]) if row["edges"] else {}
    first = ternary.elements[0]
    along = []
    for element in ternary.elements[1:]:
        sign, edge = 1.0, edges.get(f"{ternary.sublattice}:{first}>{element}")
        if edge is None:
            sign, edge = -1.0, edges.get(f"{ternary.sublattice}:{element}>{first}")
        if edge is None or edge[slope] is None:
            return None
        along.append(sign * edge[slope] - (line[element] - line[first]))
    ways = _CORNERS[1:] - _CORNERS[0]
    return np.asarray(np.linalg.solve(ways, np.array(along)), dtype=np.float64)


def _arrows(axes: Axes, rows: list[dict[str, Any]], ternary: Ternary, slope: str) -> None:
    line = dict.fromkeys(ternary.elements, 0.0)
    if slope == "de_dx_ev":
        # Energies of mixing count from the straight line between the pure elements.
        for row in rows:
            weights = parse_occupation(row["occupation"])[ternary.sublattice]
            if len(weights) == 1:
                line[next(iter(weights))] = row["energy_ev_per_atom"]
        if 0.0 in line.values():
            return
    found = [(row, gradient(row, ternary, slope, line)) for row in rows]
    arrows = [(place(row["occupation"], ternary), g) for row, g in found if g is not None]
    arrows = arrows[:: max(1, math.ceil(len(arrows) / _MOST_ARROWS))]
    if arrows:
        places = np.array([where for where, _ in arrows])
        ways = np.array([way for _, way in arrows])
        axes.quiver(*places.T, *ways.T, color="white", width=0.006, zorder=3)
