"""Numbers of one solid solution at rest, as the table ``composition`` has them."""

from __future__ import annotations

import json
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..table_schemas import ELASTIC
from ..units import GPA_PER_EV_ANG3

if TYPE_CHECKING:
    from ..structure import SoftAtoms
    from .response import Response
    from .tasks import Occupation

Floats = NDArray[np.float64]

LENGTHS = ("a", "b", "c")


def measure(cell: Floats) -> dict[str, float]:
    """Lengths (Å) and angles (degrees) of a cell whose vectors are rows."""
    lengths = np.linalg.norm(cell, axis=1)
    row = {f"{name}_ang": float(x) for name, x in zip(LENGTHS, lengths, strict=True)}
    for name, (i, j) in (("alpha", (1, 2)), ("beta", (0, 2)), ("gamma", (0, 1))):
        cosine = np.clip(cell[i] @ cell[j] / (lengths[i] * lengths[j]), -1.0, 1.0)
        row[f"{name}_deg"] = float(np.degrees(np.arccos(cosine)))
    return row


def describe(
    occupation: Occupation, soft: SoftAtoms, conventional: Floats, response: Response
) -> dict[str, Any]:
    """Columns that come from second derivatives.

    Args:
        occupation: Weights on each sublattice.
        soft: The crystal at rest.
        conventional: Cell whose lengths are reported, shape (3, 3).
        response: Its derivatives.
    """
    row: dict[str, Any] = {"lowest_curvature_ev_per_ang2": _real(response.lowest)}
    row["bulk_modulus_gpa"] = _real(response.bulk_modulus * GPA_PER_EV_ANG3)
    for name in ELASTIC:
        i, j = int(name[1]) - 1, int(name[2]) - 1
        row[f"{name}_gpa"] = _real(response.elastic[i, j] * GPA_PER_EV_ANG3)
    edges = edge_derivatives(occupation, soft, conventional, response)
    row["edges"] = json.dumps(edges)
    if len(occupation) == 1:
        (name,) = occupation
        for symbol, index in _parameters(soft, name).items():
            row[f"slope_{symbol}_ev"] = float(response.weight_gradient[index]) / len(soft)
    if len(edges) == 1:
        (edge,) = edges.values()
        row.update(edge)
    return row


def edge_derivatives(
    occupation: Occupation, soft: SoftAtoms, conventional: Floats, response: Response
) -> dict[str, dict[str, float | None]]:
    """Derivatives at rest as one element replaces another on one sublattice.

    Args:
        occupation: Weights on each sublattice.
        soft: The crystal at rest.
        conventional: Cell whose lengths are reported, shape (3, 3).
        response: Its derivatives.

    Returns:
        For every edge, such as ``cation:Ce>Sn``, the columns of the table by name.
    """
    found: dict[str, dict[str, float | None]] = {}
    for name in occupation:
        indices = _parameters(soft, name)
        for first, second in combinations(indices, 2):
            way = np.zeros(len(response.weight_gradient))
            way[indices[second]], way[indices[first]] = 1.0, -1.0
            strain = np.einsum("p,pab->ab", way, response.strain)
            lengths = np.linalg.norm(conventional, axis=1)
            longer = np.einsum("ia,ia->i", conventional @ strain, conventional) / lengths
            found[f"{name}:{first}>{second}"] = {
                "de_dx_ev": _real(way @ response.weight_gradient / len(soft)),
                "d2e_dx2_ev": _real(way @ response.weight_hessian @ way / len(soft)),
                "dlnv_dx": _real(np.trace(strain)),
                **{f"d{k}_dx_ang": _real(x) for k, x in zip(LENGTHS, longer, strict=True)},
            }
    return found


def _parameters(soft: SoftAtoms, name: str) -> dict[str, int]:
    """Index of the weight of each candidate of one sublattice."""
    prefix = f"{name}:"
    return {
        label.removeprefix(prefix): index
        for index, label in enumerate(soft.weight_labels)
        if label.startswith(prefix)
    }


def _real(value: Any) -> float | None:
    """A number, or None where there is none."""
    return float(value) if np.isfinite(value) else None
