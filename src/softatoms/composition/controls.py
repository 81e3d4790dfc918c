"""How far soft structures and straight lines are from explicit supercells of the same potential."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .tasks import parse_occupation

LENGTHS = ("a_ang", "b_ang", "c_ang")

COMPARED = ("mean_field", "replica", "vegard")
"""Methods that are held against supercells."""

_PURE = 1.0 - 1e-9

Place = tuple[str, str]
"""Parent and occupation."""


class Agreement(NamedTuple):
    """One method against supercells, over the mixed compositions that both have.

    Attributes:
        parent: The parent lattice.
        elements: Elements that share sublattices.
        method: The method.
        points: Number of compositions.
        length: Mean of |Δℓ|/ℓ over compositions and the lengths a, b and c, in which cubic cells
            count by the edge of the cube of equal volume, ...
        cells_length: ... and the standard error of the supercells' lengths, on the same scale; nan
            without replicates.
        bowing: Mean of |Δℓ|/ℓ of the straight line; nan without that method.
        mixing: Mean of |ΔE| of mixing in eV per atom.
    """

    parent: str
    elements: str
    method: str
    points: int
    length: float
    cells_length: float
    bowing: float
    mixing: float


def agreements(rows: Iterable[Mapping[str, Any]], control: str = "sqs") -> list[Agreement]:
    """Compare every method with supercells, per parent and set of mixed elements.

    End members, which all methods share, do not count.

    Args:
        rows: Rows of the table ``composition``.
        control: ``sqs`` or ``random``.
    """
    held: dict[str, dict[Place, list[Mapping[str, Any]]]] = {}
    for row in rows:
        if row["status"] == "ok" and _mixed(row["occupation"]):
            place = row["prototype"], row["occupation"]
            held.setdefault(row["method"], {}).setdefault(place, []).append(row)
    cells = held.get(control, {})
    groups: dict[tuple[str, str], list[Place]] = {}
    for place in cells:
        groups.setdefault((place[0], _mixed(place[1])), []).append(place)
    found: list[Agreement] = []
    for (parent, elements), places in groups.items():
        # The straight line is the measure of the others.
        line = _lengths_apart(held.get("vegard", {}), cells, places)
        for method in COMPARED:
            own = held.get(method, {})
            both = [place for place in places if place in own]
            if not both:
                continue
            energies = [
                abs(
                    _mean(own[place], "mixing_ev_per_atom")
                    - _mean(cells[place], "mixing_ev_per_atom")
                )
                for place in both
            ]
            found.append(
                Agreement(
                    parent,
                    elements,
                    method,
                    len(both),
                    _lengths_apart(own, cells, both),
                    float(np.mean([_standard_error(cells[place]) for place in both])),
                    line,
                    float(np.mean(energies)),
                )
            )
    return found


def _mixed(occupation: str) -> str:
    """Elements that share sublattices, such as ``Ce-Sn``; empty for end members."""
    shared = [
        "-".join(sorted(weights))
        for weights in parse_occupation(occupation).values()
        if max(weights.values()) < _PURE
    ]
    return " ".join(shared)


def _mean(rows: list[Mapping[str, Any]], column: str) -> float:
    return float(np.mean([row[column] for row in rows]))


def lengths(rows: list[Mapping[str, Any]], *, cubic: bool) -> np.ndarray:
    """Lengths of each row, shape (n_rows, 3) or (n_rows, 1).

    Args:
        rows: Rows of one composition.
        cubic: Whether to take the edge of the cube of equal volume: supercells are not quite cubic.
    """
    if cubic:
        return np.array([[row["volume_ang3_per_atom"] ** (1.0 / 3.0)] for row in rows])
    return np.array([[row[name] for name in LENGTHS] for row in rows])


def is_cubic(row: Mapping[str, Any]) -> bool:
    """Whether lengths and angles are those of a cube."""
    edges = [row[name] for name in LENGTHS]
    angles = [row[name] for name in ("alpha_deg", "beta_deg", "gamma_deg")]
    return max(edges) - min(edges) < 1e-4 * max(edges) and np.ptp([*angles, 90.0]) < 1e-2


def _lengths_apart(
    own: Mapping[Place, list[Mapping[str, Any]]],
    cells: Mapping[Place, list[Mapping[str, Any]]],
    places: Iterable[Place],
) -> float:
    apart = []
    for place in places:
        if place in own:
            cubic = is_cubic(own[place][0])
            mean = lengths(cells[place], cubic=cubic).mean(axis=0)
            apart.append(np.abs(lengths(own[place], cubic=cubic).mean(axis=0) / mean - 1.0).mean())
    return float(np.mean(apart)) if apart else float("nan")


def _standard_error(rows: list[Mapping[str, Any]]) -> float:
    """Relative, of the edge of the cube of equal volume."""
    edges = lengths(rows, cubic=True)[:, 0]
    if len(edges) < 2:
        return float("nan")
    return float(edges.std(ddof=1) / np.sqrt(len(edges)) / edges.mean())
