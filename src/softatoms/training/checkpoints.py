"""Everything a training needs to go on, in one file that is replaced as a whole.

Tensors stand in safetensors, the rest as JSON in its metadata: nothing in it can run code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
from torch import Tensor

from ..dataset.frames import Frame
from ..errors import CheckpointError
from ..files import replacing
from ..potentials.base import Potential
from .examples import frames_digest
from .settings import TrainingSettings

FILE = "checkpoint.safetensors"
FORMAT = "softatoms-training"
FORMAT_VERSION = 1


class Checkpoint(NamedTuple):
    """A training between two steps.

    Attributes:
        tensors: Parameters, their averages and the state of the optimiser, by name.
        about: The rest, as JSON knows it.
    """

    tensors: dict[str, Tensor]
    about: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names start with ``prefix/``, under the rest of their names."""
        return {
            name.removeprefix(f"{prefix}/"): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(f"{prefix}/")
        }


def identity(
    potential: Potential,
    training: Sequence[Frame],
    validation: Sequence[Frame],
    settings: TrainingSettings,
) -> dict[str, str]:
    """Fingerprints of everything that determines the numbers, by what it is."""
    values = asdict(settings)
    del values["checkpoint_minutes"]
    text = json.dumps(values, sort_keys=True)
    return {
        "potential": potential.sha256(),
        "training frames": frames_digest(training),
        "validation frames": frames_digest(validation),
        "settings": hashlib.sha256(text.encode()).hexdigest(),
    }


def save(folder: Path, checkpoint: Checkpoint, own: Mapping[str, str]) -> None:
    """Write a checkpoint; the one before is there until this one is complete."""
    about = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "identity": dict(own),
        **checkpoint.about,
    }
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()
    }
    with replacing(folder / FILE) as partial:
        safetensors.torch.save_file(tensors, partial, metadata={"softatoms": json.dumps(about)})


def load(folder: Path, own: Mapping[str, str]) -> Checkpoint | None:
    """The checkpoint of a folder, or None if there is none.

    Raises:
        CheckpointError: If it is damaged, or belongs to another training.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as handle:
            about = json.loads((handle.metadata() or {}).get("softatoms", "{}"))
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if about.get("format") != FORMAT or about.get("version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} is no checkpoint of training that this version of softatoms reads: remove it "
            "to start anew"
        )
    other = [name for name, value in own.items() if about["identity"].get(name) != value]
    if other:
        raise CheckpointError(
            f"{path} belongs to another training: {', '.join(other)} differ; use another folder, "
            "or remove this one to start anew"
        )
    return Checkpoint(tensors, about)
