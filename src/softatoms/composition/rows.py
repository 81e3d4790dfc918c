"""What rows of the table ``composition`` share, whatever computed them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..table_schemas import ELASTIC
from .tasks import Task, formula, occupation_text

NUMBERS = (
    *("a_ang", "b_ang", "c_ang", "alpha_deg", "beta_deg", "gamma_deg", "volume_ang3_per_atom"),
    *("energy_ev_per_atom", "mixing_ev_per_atom", "pressure_gpa", "bulk_modulus_gpa"),
    *(f"{name}_gpa" for name in ELASTIC),
    *("de_dx_ev", "d2e_dx2_ev", "dlnv_dx", "da_dx_ang", "db_dx_ang", "dc_dx_ang"),
    *("lowest_curvature_ev_per_ang2", "distortion_ang", "correlation_error"),
)
"""Columns that are missing until they are known."""


def empty_row(
    task: Task, elements: Sequence[str], *, n_sites: int, entropy_kb: float
) -> dict[str, Any]:
    """A row in which nothing is known but what was asked for.

    Args:
        task: What was asked for.
        elements: Elements with columns in the table.
        n_sites: Sites of the cell that is computed.
        entropy_kb: Ideal entropy of mixing per site in units of kB.
    """
    return {
        "composition_id": task.identifier,
        "scan": task.scan,
        "prototype": task.prototype,
        "formula": formula(task.fractions),
        "method": task.method,
        "replicate": task.replicate,
        **{f"x_{element}": task.fractions.get(element, 0.0) for element in elements},
        "occupation": occupation_text(task.occupation),
        "n_sites": n_sites,
        "entropy_kb": entropy_kb,
        **dict.fromkeys(NUMBERS),
        **{f"slope_{element}_ev": None for element in elements},
        "edges": "",
        "label": task.label,
        "evaluations": 0,
        "status": "ok",
        "error": "",
    }


def task_rng(seed: int, identifier: str) -> np.random.Generator:
    """A stream of its own for every task, whichever job it runs in."""
    own = int.from_bytes(hashlib.sha256(identifier.encode()).digest()[:8], "big")
    return np.random.default_rng([seed, own])
