"""Everything a run needs to go on.

A run that goes on from it makes the same numbers to the last bit on the same kind of processor,
because random numbers depend on seed and step alone, and sums over neighbours do not depend on the
age of the neighbour lists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checkpoint_file import load_checkpoint, save_checkpoint
from ..structure import SoftAtoms
from .settings import Settings
from .state import Snapshot, State

FILE = "checkpoint.safetensors"
KIND = "run"
_ARRAYS = ("positions", "velocities", "cell", "theta")


@dataclass(frozen=True)
class Ended:
    """A system that will not be moved any more.

    Attributes:
        snapshot: Where it was last.
        error: Why it ended.
    """

    snapshot: Snapshot
    error: str


@dataclass(frozen=True)
class Checkpoint:
    """A run at the end of a step.

    Attributes:
        state: State of the systems that go on; None if there are none.
        active: Which systems these are.
        ended: The others.
        parts: Number of files of each kind with samples.
        evaluations: Calls of the potential.
    """

    state: State | None
    active: list[int]
    ended: dict[int, Ended]
    parts: dict[str, int]
    evaluations: int


def identity(
    systems: Sequence[SoftAtoms], settings: Sequence[Settings], others: Mapping[str, str]
) -> dict[str, str]:
    """Fingerprints of everything that determines the numbers, by what it is."""
    of_systems = hashlib.sha256()
    for soft in systems:
        moving = np.zeros(0) if soft.velocities is None else soft.velocities
        for array in (
            soft.positions,
            soft.cell,
            soft.pbc,
            soft.node_number,
            soft.node_site,
            moving,
        ):
            of_systems.update(np.ascontiguousarray(array).tobytes() + b"|")
        for array in (soft.node_parameter, soft.node_mass, soft.groups.theta):
            of_systems.update(np.ascontiguousarray(array).tobytes() + b"|")
    return {
        "systems": of_systems.hexdigest(),
        "settings": hashlib.sha256(repr(list(settings)).encode()).hexdigest(),
        **others,
    }


def save(folder: Path, checkpoint: Checkpoint, own: Mapping[str, str]) -> None:
    """Write a checkpoint; the one before is there until this one is complete."""
    tensors: dict[str, Tensor] = {}
    if checkpoint.state is not None:
        for name, tensor in checkpoint.state.tensors().items():
            tensors[f"state/{name}"] = tensor
        tensors["state/steps"] = torch.from_numpy(checkpoint.state.steps)
    ended = {}
    for index, end in checkpoint.ended.items():
        values = end.snapshot._asdict()
        for name in _ARRAYS:
            array = np.ascontiguousarray(values.pop(name))
            tensors[f"ended/{index}/{name}"] = torch.from_numpy(array)
        ended[index] = {"error": end.error, "numbers": values}
    about = {
        "active": checkpoint.active,
        "ended": ended,
        "parts": checkpoint.parts,
        "evaluations": checkpoint.evaluations,
    }
    save_checkpoint(folder / FILE, KIND, own, tensors, about)


def load(folder: Path, own: Mapping[str, str], device: torch.device) -> Checkpoint | None:
    """The checkpoint of a folder, or None if there is none.

    Raises:
        CheckpointError: If it is damaged, or belongs to another run.
    """
    found = load_checkpoint(folder / FILE, KIND, own)
    if found is None:
        return None
    tensors, about = found
    state = None
    if about["active"]:
        parts = {
            name.removeprefix("state/"): tensor.to(device)
            for name, tensor in tensors.items()
            if name.startswith("state/") and name != "state/steps"
        }
        state = State(**parts, steps=tensors["state/steps"].numpy())
    ended = {}
    for index, entry in about["ended"].items():
        values: dict[str, Any] = dict(entry["numbers"])
        values |= {name: tensors[f"ended/{index}/{name}"].numpy() for name in _ARRAYS}
        ended[int(index)] = Ended(Snapshot(**values), entry["error"])
    return Checkpoint(state, about["active"], ended, about["parts"], about["evaluations"])
