"""Dynamics of many soft structures at once: NVE, NVT, NPT, and weights that change in time.

One call of the potential serves all systems in every step. See ``docs/dynamics.md``.
"""

from __future__ import annotations

from ..stopping import REQUEUE
from .batch import run_dynamics
from .observers import QUANTITIES, Observer
from .recording import read_frames, read_samples
from .results import Outcome, exit_code
from .schedules import Schedule
from .settings import Limits, Settings
from .tethers import Tethers

__all__ = [
    "QUANTITIES",
    "REQUEUE",
    "Limits",
    "Observer",
    "Outcome",
    "Schedule",
    "Settings",
    "Tethers",
    "exit_code",
    "read_frames",
    "read_samples",
    "run_dynamics",
]
