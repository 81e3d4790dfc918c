"""The best of a screening, and all that it ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from .data import CampaignTables, composition_label, require

if TYPE_CHECKING:
    from ..config import CampaignConfig

_SHOWN = 20
_STIFFNESS = "bulk_modulus_gpa"
_MARKS = {1: "s", 2: "o", 3: "^", 4: "D", 5: "P"}
_COLOURS = {1: "#7F7F7F", 2: "#0072B2", 3: "#D55E00", 4: "#009E73", 5: "#CC79A7"}
_MOST = max(_COLOURS)
_LABELS = {
    "energy_ev_per_atom": "energy (meV/atom)",
    "mixing_ev_per_atom": "energy of mixing (meV/atom)",
    "formation_ev_per_atom": "energy of formation (meV/atom)",
    "mixing_free_energy_ev_per_atom": "free energy of mixing (meV/atom)",
}

CAPTION = "Left: the first ranks. Right: bulk modulus of all compositions in the ranking."


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """Bars of the first ranks on the left, bulk modulus of all on the right."""
    table = data.ranking
    require(table.data.num_rows > 0, "ranking", "composition that passes the filters")
    by = config.screening.rank_by if config.screening is not None else ""
    label, scale = axis_label(by)
    sizes = np.minimum(table.real("n_elements").astype(int), _MOST)
    figure = Figure(figsize=(9.2, 4.6), layout="constrained")
    bars, cloud = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.0, 1.25]})
    count = min(_SHOWN, table.data.num_rows)
    names = [f"{composition_label(row)}  ({row['prototype']})" for row in table.rows()[:count]]
    bars.barh(
        range(count),
        scale * table.real(by)[:count],
        color=[_COLOURS[n] for n in sizes[:count]],
        height=0.7,
    )
    bars.set_yticks(range(count), names, fontsize=7)
    bars.invert_yaxis()
    bars.set_xlabel(label)
    bars.set_title(f"first {count} of {table.data.num_rows}")
    bars.grid(visible=False, axis="y")
    # Along the quantity that ranks, or along the energy where stiffness itself ranks.
    along = "formation_ev_per_atom" if by == _STIFFNESS else by
    along_label, along_scale = axis_label(along)
    for n in np.unique(sizes)[::-1]:
        chosen = sizes == n
        cloud.plot(
            along_scale * table.real(along)[chosen],
            table.real(_STIFFNESS)[chosen],
            _MARKS[n],
            markersize=3,
            markeredgewidth=0,
            alpha=0.6,
            color=_COLOURS[n],
            label=f"{n}{' or more' if n == _MOST else ''} elements",
            rasterized=True,
        )
    cloud.set_xlabel(along_label)
    cloud.set_ylabel(axis_label(_STIFFNESS)[0])
    cloud.set_title("all in the ranking")
    cloud.legend(markerscale=2, loc="best")
    return figure


def axis_label(column: str) -> tuple[str, float]:
    """Text for an axis, and the factor from the unit of the table to that of the axis."""
    if column in _LABELS:
        return _LABELS[column], 1e3
    for ending, unit, scale in (
        ("_gpa", "GPa", 1.0),
        ("_ang3_per_atom", "Å³/atom", 1.0),
        ("_ang", "Å", 1.0),
    ):
        if column.endswith(ending):
            return f"{column.removesuffix(ending).replace('_', ' ')} ({unit})", scale
    return column.replace("x_", "atomic fraction of ").replace("_", " "), 1.0
