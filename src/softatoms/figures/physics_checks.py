"""Properties of crystals by the model over those it is compared with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..units import GPA_PER_EV_ANG3
from .data import CampaignTables, require
from .style import PANEL_HEIGHT, PANEL_WIDTH, SEQUENCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..config import CampaignConfig

    Row = Mapping[str, Any]

CAPTION = (
    "Left: relative error of each property, one colour per crystal and one marker per reference; "
    "phonons as root mean square over all frequencies. Open: unstable in the model or the "
    "reference. Crosses: no value in one of them. Right: model over reference, and equations of "
    "state as fitted (solid: model, dashed: reference)."
)

MARKERS = "osD^v"
_MODES = re.compile(r"phonon_\S+_\d+")
_MODULI = re.compile(r"C[1-6][1-6]|bulk_modulus")
_VACANCY = re.compile(r"vacancy_(?P<element>[A-Z][a-z]?)_site(?P<site>\d+)_zero_stress")
_SURFACE = re.compile(r"surface_\((?P<facet>.*)\)")
_LABELLED = 10
"""Most points of a panel that get a name each."""

_STRETCH = 0.04
"""Relative volumes over which equations of state are drawn: as they were fitted."""


class Group(NamedTuple):
    """Quantities of one panel of model over reference."""

    title: str
    unit: str
    pattern: re.Pattern[str]


GROUPS = (
    Group("elastic constants, bulk modulus", "GPa", _MODULI),
    Group("phonon frequencies", "THz", _MODES),
    Group("vacancies at zero stress", "eV", _VACANCY),
    Group("surfaces", "J/m²", _SURFACE),
)

OVERVIEW = re.compile(
    "|".join(
        [
            *("a", "volume", "C11", "C12", "C44", "bulk_modulus", "shear_modulus_hill"),
            *(_VACANCY.pattern, _SURFACE.pattern.replace("facet", "plane")),
        ]
    )
)
"""Properties with a line of their own on the left."""


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """Relative errors on the left, groups of quantities on the right."""
    from matplotlib.figure import Figure

    rows = data.physics_checks.rows()
    require(bool(rows), "physics_checks", "physics checks")
    style = _Style(rows)
    shown = [group for group in GROUPS if any(_points(rows, group))]
    curves = list(equations_of_state(rows))
    panels = len(shown) + bool(curves)
    lines = overview(rows)
    columns = 1 + -(-panels // 2)
    height = max(2.0 * PANEL_HEIGHT, 1.6 + 0.19 * len(lines))
    figure = Figure(figsize=(PANEL_WIDTH * (columns + 0.2), height), layout="constrained")
    grid = figure.add_gridspec(2, columns, width_ratios=[1.2] + [1.0] * (columns - 1))
    _draw_overview(figure.add_subplot(grid[:, 0]), lines, style)
    cells = [grid[k % 2, 1 + k // 2] for k in range(panels)]
    if curves:
        _draw_curves(figure.add_subplot(cells.pop(0)), curves, style)
    for group, cell in zip(shown, cells, strict=True):
        _draw_parity(figure.add_subplot(cell), rows, group, style)
    handles = style.handles(rows)
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 8))
    return figure


_COLOURS = [SEQUENCE[index] for index in (1, 3, 5, 2, 4, 0)]
"""Neighbours in the order of crystals are far apart in colour."""


class _Style:
    """Colours of crystals and markers of references."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.crystals = list(dict.fromkeys(row["crystal"] for row in rows))
        self.references = list(dict.fromkeys(row["reference"] for row in rows))

    def colour(self, crystal: str) -> str:
        return _COLOURS[self.crystals.index(crystal) % len(_COLOURS)]

    def marker(self, reference: str) -> str:
        return MARKERS[self.references.index(reference) % len(MARKERS)]

    def point(self, row: Row) -> dict[str, Any]:
        """Options of a marker for the status of a row."""
        colour = self.colour(row["crystal"])
        if row["difference"] is None:
            return {"marker": "x", "color": colour, "markersize": 6, "markeredgewidth": 1.8}
        inside = "white" if row["status"] == "unstable" else colour
        marker = self.marker(row["reference"])
        return {"marker": marker, "color": colour, "markerfacecolor": inside, "markersize": 5}

    def handles(self, rows: Sequence[Row]) -> list[Any]:
        """Entries of the legend."""
        from matplotlib.lines import Line2D

        none: list[float] = []
        found = [Line2D(none, none, color=self.colour(c), lw=3, label=c) for c in self.crystals]
        grey: dict[str, Any] = {"color": "#555555", "linestyle": "none", "markersize": 5}
        found += [
            Line2D(none, none, marker=self.marker(name), label=name, **grey)
            for name in self.references
        ]
        if any(row["status"] == "unstable" for row in rows):
            hollow = {**grey, "markerfacecolor": "white"}
            found.append(Line2D(none, none, marker="o", label="unstable", **hollow))
        if any(row["difference"] is None for row in rows):
            cross = {**grey, "markersize": 6, "markeredgewidth": 1.8}
            found.append(
                Line2D(
                    none,
                    none,
                    marker="x",
                    label="no value: failed, unconverged or unstable",
                    **cross,
                )
            )
        return found


def overview(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by the label of their line: properties, one line for phonons, and what failed."""
    found: dict[str, list[Row]] = {}
    modes: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        name = row["quantity"]
        if _MODES.fullmatch(name):
            modes.setdefault((row["crystal"], row["reference"]), []).append(row)
        elif OVERVIEW.fullmatch(name) or _is_failure(row):
            found.setdefault(_label(name), []).append(row)
    for members in modes.values():
        found.setdefault("phonons", []).append(phonon_summary(members))
    return dict(sorted(found.items(), key=lambda item: _position(item[0])))


def phonon_summary(rows: Sequence[Row]) -> Row:
    """One row for all frequencies of a crystal: root mean square of differences and references."""
    order = ("ok", "unstable", "unconverged", "failed")
    known = [row for row in rows if row["difference"] is not None]
    status = max((row["status"] for row in rows), key=order.index)
    scale = np.sqrt(np.mean([row["reference_value"] ** 2 for row in known])) if known else 0.0
    error = None
    if scale > 0.0:
        error = float(np.sqrt(np.mean([row["difference"] ** 2 for row in known])) / scale)
    difference = None if error is None else error * float(scale)
    summed = {"quantity": "phonons", "relative_error": error, "difference": difference}
    return {**rows[0], **summed, "status": status}


def _is_failure(row: Row) -> bool:
    return row["status"] in ("failed", "unconverged") and row["difference"] is None


def _label(name: str) -> str:
    """A quantity, or a check that failed as a whole, in words."""
    if found := _VACANCY.fullmatch(name):
        site = f" ({found['site']})" if found["site"] != "0" else ""
        return f"vacancy {found['element']}{site}"
    if found := _SURFACE.fullmatch(name):
        return f"surface ({found['facet']})"
    named = {
        "a": "lattice parameter a",
        "bulk_modulus": "bulk modulus",
        "shear_modulus_hill": "shear modulus",
        "equation_of_state": "equation of state",
        "elastic": "elastic constants",
    }
    return named.get(name, name.replace("_", " "))


_ORDER = (
    *("lattice parameter a", "volume", "equation of state", "bulk modulus", "shear modulus"),
    *("elastic", "C", "vacancy", "surface", "phonons"),
)


def _position(label: str) -> tuple[int, str]:
    known = [k for k, start in enumerate(_ORDER) if label.startswith(start)]
    return known[0] if known else len(_ORDER), label


def _draw_overview(axes: Axes, lines: dict[str, list[Row]], style: _Style) -> None:
    """Relative errors in %, one line per property, symmetric-logarithmic beyond 1 %."""
    errors = [
        100.0 * abs(row["relative_error"])
        for rows in lines.values()
        for row in rows
        if row["relative_error"] is not None
    ]
    limit = max([10.0, *(1.6 * error for error in errors)])
    axes.set_xscale("symlog", linthresh=1.0, linscale=0.6)
    axes.set_xlim(-1.8 * limit, limit)
    ticks = [10.0**k for k in range(int(np.log10(limit)) + 1)]
    places = [*(-tick for tick in reversed(ticks)), 0.0, *ticks]
    axes.set_xticks(places, [f"{tick:+g}".replace("-", "−") if tick else "0" for tick in places])
    axes.minorticks_off()
    for height, rows in enumerate(lines.values()):
        for index, row in enumerate(rows):
            shift = 0.5 * ((index + 0.5) / len(rows) - 0.5)
            error = row["relative_error"]
            x = -1.35 * limit if error is None else 100.0 * error
            options = style.point(row)
            if error is None and row["difference"] is not None:
                continue  # the reference is zero
            axes.plot([x], [height + shift], linestyle="none", clip_on=False, **options)
    axes.axvline(0.0, color="black", linewidth=0.8, zorder=1)
    if any(row["difference"] is None for rows in lines.values() for row in rows):
        axes.text(-1.35 * limit, -0.75, "no value", ha="center", fontsize=7)
    axes.set_yticks(range(len(lines)), list(lines), fontsize=7.5)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_xlabel("model minus reference (%; logarithmic beyond ±1)")


def _points(rows: Sequence[Row], group: Group) -> Iterator[Row]:
    for row in rows:
        if group.pattern.fullmatch(row["quantity"]) and row["difference"] is not None:
            yield row


def _draw_parity(axes: Axes, rows: Sequence[Row], group: Group, style: _Style) -> None:
    points = list(_points(rows, group))
    for row in points:
        place = row["reference_value"], row["model_value"]
        axes.plot(*([value] for value in place), linestyle="none", **style.point(row))
        if len(points) <= _LABELLED and group.pattern is not _MODES:
            axes.annotate(
                _short(row["quantity"]),
                place,
                xytext=(4, -7),
                textcoords="offset points",
                fontsize=6,
            )
    values = [row[f"{part}_value"] for row in points for part in ("model", "reference")]
    low, high = min(0.0, *values), max(0.0, *values)
    margin = 0.07 * (high - low)
    limits = (low - margin if low < 0.0 else 0.0, high + margin)
    axes.plot(limits, limits, color="black", linewidth=0.8, zorder=1)
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_title(group.title)
    axes.set_xlabel(f"reference ({group.unit})")
    axes.set_ylabel(f"model ({group.unit})")
    missing = [
        f"{row['crystal']} {_short(row['quantity'])}"
        for row in rows
        if _is_failure(row) and _belongs(row["quantity"], group)
    ]
    if missing:
        text = "no value: " + ", ".join(dict.fromkeys(missing))
        axes.text(0.03, 0.97, text, transform=axes.transAxes, va="top", fontsize=6, wrap=True)


def _belongs(name: str, group: Group) -> bool:
    """Whether a quantity, or a check that failed as a whole, would be in a panel."""
    checks = {_MODULI: "elastic", _MODES: "phonons", _VACANCY: "vacancy"}
    return bool(group.pattern.fullmatch(name)) or name == checks.get(group.pattern)


def _short(name: str) -> str:
    for pattern, text in ((_VACANCY, "element"), (_SURFACE, "facet")):
        if found := pattern.fullmatch(name):
            return found[text].replace(" ", "")
    return "B" if name == "bulk_modulus" else name.replace("_", " ")


class Curve(NamedTuple):
    """An equation of state.

    Attributes:
        crystal: Name of the crystal.
        is_model: Whether it is that of the model.
        strain: Volume relative to the first reference of the crystal, minus 1, shape (n,).
        energy: Energy above the minimum in eV/atom, shape (n,).
    """

    crystal: str
    is_model: bool
    strain: NDArray[np.float64]
    energy: NDArray[np.float64]


def equations_of_state(rows: Sequence[Row]) -> Iterator[Curve]:
    """Third-order Birch–Murnaghan curves with the parameters in the rows."""
    held: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        held.setdefault((row["crystal"], row["reference"]), {})[row["quantity"]] = row
    done = set()
    for (crystal, _), named in held.items():
        needed = [named.get(key) for key in ("volume", "bulk_modulus", "bulk_modulus_derivative")]
        if crystal in done or any(row is None or row["difference"] is None for row in needed):
            continue
        done.add(crystal)
        for part in ("reference", "model"):
            v0, b0, derivative = (row[f"{part}_value"] for row in needed if row is not None)
            volumes = v0 * np.linspace(1.0 - _STRETCH, 1.0 + _STRETCH, 41)
            energy = birch_murnaghan(volumes, v0, b0 / GPA_PER_EV_ANG3, derivative)
            reference = named["volume"]["reference_value"]
            yield Curve(crystal, part == "model", volumes / reference - 1.0, energy)


def birch_murnaghan(
    volumes: NDArray[np.float64], v0: float, b0: float, derivative: float
) -> NDArray[np.float64]:
    """Energy above the minimum.

    Args:
        volumes: In Å³, shape (n,).
        v0: Volume of lowest energy in Å³.
        b0: Bulk modulus in eV/Å³.
        derivative: Its derivative by pressure.
    """
    x = (v0 / volumes) ** (2.0 / 3.0)
    cubic = (x - 1.0) ** 3 * derivative + (x - 1.0) ** 2 * (6.0 - 4.0 * x)
    return 9.0 / 16.0 * v0 * b0 * cubic


def _draw_curves(axes: Axes, curves: Sequence[Curve], style: _Style) -> None:
    for curve in curves:
        axes.plot(
            100.0 * curve.strain,
            1e3 * curve.energy,
            color=style.colour(curve.crystal),
            linestyle="-" if curve.is_model else (0, (4, 2)),
            zorder=2 if curve.is_model else 3,
        )
    axes.set_title("equation of state")
    axes.set_xlabel("volume over that of the reference, −1 (%)")
    axes.set_ylabel("energy (meV/atom)")
    axes.set_ylim(bottom=0.0)
