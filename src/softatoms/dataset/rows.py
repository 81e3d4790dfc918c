"""Rows of the table ``dataset``: every frame, and what was left out and why."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .descriptor import formula_of
from .frames import Frame
from .generation import Plan
from .imported import Rejected


def frame_row(frame: Frame) -> dict[str, Any]:
    """The row of a frame."""
    soft = frame.soft
    energy = frame.energy if frame.energy is not None and math.isfinite(frame.energy) else None
    largest = None
    if frame.forces is not None and np.isfinite(frame.forces).all():
        largest = float(np.linalg.norm(frame.forces, axis=1).max())
    pressure = None
    if frame.stress is not None and np.isfinite(frame.stress).all():
        pressure = -float(np.trace(frame.stress)) / 3
    volume = abs(float(np.linalg.det(soft.cell))) / frame.n_sites if soft.pbc.all() else None
    return {
        "frame_id": frame.frame_id,
        "group": frame.group,
        "split": frame.split,
        "formula": formula_of(soft),
        "n_atoms": frame.n_sites,
        "volume_ang3_per_atom": volume,
        "energy_ev": energy,
        "largest_force_ev_per_ang": largest,
        "pressure_ev_per_ang3": pressure,
        "labeller": frame.labeller,
        "status": frame.status,
        "error": frame.error,
    }


def skipped_rows(plan: Plan) -> list[dict[str, Any]]:
    """Rows of what was left out of the frames."""
    by_name = {frame.frame_id: frame for frame in plan.frames}
    rows = [_copy_row(frame, by_name.get(name), name) for frame, name in plan.copies]
    rows += [
        {**frame_row(frame), "split": "", "status": "unselected", "error": "others cover it"}
        for frame in plan.unselected
    ]
    return rows + [_rejected_row(entry) for entry in plan.rejected]


def _copy_row(frame: Frame, original: Frame | None, name: str) -> dict[str, Any]:
    error = f"same structure as {name}"
    if original is not None and frame.energy is not None and original.energy is not None:
        apart = frame.energy / frame.n_sites - original.energy / original.n_sites
        error += f", energy differs by {apart:.2g} eV/atom"
    return {**frame_row(frame), "split": "", "status": "duplicate", "error": error}


def _rejected_row(entry: Rejected) -> dict[str, Any]:
    return {
        "frame_id": entry.frame_id,
        "group": entry.group,
        "split": "",
        "formula": "",
        "n_atoms": 0,
        "volume_ang3_per_atom": None,
        "energy_ev": None,
        "largest_force_ev_per_ang": None,
        "pressure_ev_per_ang3": None,
        "labeller": "",
        "status": "failed",
        "error": entry.error,
    }
