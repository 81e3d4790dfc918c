"""Everything a run needs to go on, in one file that is replaced as a whole.

Tensors stand in safetensors, the rest as JSON in its metadata: nothing in it can run code. A run
that goes on from it makes the same numbers to the last bit on the same kind of processor, because
random numbers depend on seed and step alone, and sums over neighbours do not depend on the age of
the neighbour lists.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import torch
from numpy.typing import NDArray

from ..errors import CheckpointError
from ..files import replacing
from ..structure import SoftAtoms
from .settings import Settings
from .state import Snapshot, State

FILE = "checkpoint.safetensors"
FORMAT = "softatoms-dynamics"
FORMAT_VERSION = 1
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
    arrays: dict[str, NDArray[Any]] = {}
    if checkpoint.state is not None:
        for name, tensor in checkpoint.state.tensors().items():
            arrays[f"state/{name}"] = np.ascontiguousarray(tensor.cpu().numpy())
        arrays["state/steps"] = checkpoint.state.steps
    ended = {}
    for index, end in checkpoint.ended.items():
        values = end.snapshot._asdict()
        for name in _ARRAYS:
            arrays[f"ended/{index}/{name}"] = np.ascontiguousarray(values.pop(name))
        ended[index] = {"error": end.error, "numbers": values}
    about = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "identity": dict(own),
        "active": checkpoint.active,
        "ended": ended,
        "parts": checkpoint.parts,
        "evaluations": checkpoint.evaluations,
    }
    with replacing(folder / FILE) as partial:
        safetensors.numpy.save_file(arrays, partial, metadata={"softatoms": json.dumps(about)})


def load(folder: Path, own: Mapping[str, str], device: torch.device) -> Checkpoint | None:
    """The checkpoint of a folder, or None if there is none.

    Raises:
        CheckpointError: If it is damaged, or belongs to another run.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safetensors.safe_open(path, framework="numpy") as handle:
            about = json.loads((handle.metadata() or {}).get("softatoms", "{}"))
            arrays = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if about.get("format") != FORMAT or about.get("version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} is no checkpoint of dynamics that this version of softatoms reads: remove it "
            "to start anew"
        )
    other = [name for name, value in own.items() if about["identity"].get(name) != value]
    if other:
        raise CheckpointError(
            f"{path} belongs to another run: {', '.join(other)} differ; use another folder, or "
            "remove this one to start anew"
        )
    state = None
    if about["active"]:
        tensors = {
            name.removeprefix("state/"): torch.from_numpy(array).to(device)
            for name, array in arrays.items()
            if name.startswith("state/") and name != "state/steps"
        }
        state = State(**tensors, steps=arrays["state/steps"])
    ended = {
        int(index): Ended(
            Snapshot(
                **{name: arrays[f"ended/{index}/{name}"] for name in _ARRAYS}, **entry["numbers"]
            ),
            entry["error"],
        )
        for index, entry in about["ended"].items()
    }
    return Checkpoint(state, about["active"], ended, about["parts"], about["evaluations"])
