"""Everything a training needs to go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..checkpoint_file import load_checkpoint, save_checkpoint
from ..dataset.frames import Frame
from ..potentials.base import Potential
from .examples import frames_digest
from .settings import TrainingSettings

FILE = "checkpoint.safetensors"
KIND = "training"


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
    save_checkpoint(folder / FILE, KIND, own, checkpoint.tensors, checkpoint.about)


def load(folder: Path, own: Mapping[str, str]) -> Checkpoint | None:
    """The checkpoint of a folder, or None if there is none.

    Raises:
        CheckpointError: If it is damaged, or belongs to another training.
    """
    found = load_checkpoint(folder / FILE, KIND, own)
    return None if found is None else Checkpoint(*found)
