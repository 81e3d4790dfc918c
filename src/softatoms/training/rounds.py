"""What training in a round of active learning has of its own: where it starts, and for how long."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SoftatomsError
from ..potentials.registry import load_potential, with_seed
from .settings import TrainingSettings

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..config.training import Training
    from ..potentials.base import Potential


def settings_of_round(
    config: CampaignConfig, settings: TrainingSettings, round_number: int | None, start: Path | None
) -> TrainingSettings:
    """Settings of a round of active learning.

    Args:
        config: The campaign.
        settings: Those of the section ``training``.
        round_number: Number of the round; None outside of active learning, 0 for the first
            training, which is like any other.
        start: First model of the round before, or None.

    Raises:
        SoftatomsError: If there is no such round, or it starts from something else.
    """
    rounds = 0 if config.active_learning is None else config.active_learning.rounds
    if round_number is not None and not 0 <= round_number <= rounds:
        raise SoftatomsError(f"--round: there is no round {round_number}; the last one is {rounds}")
    if config.active_learning is None or not round_number:
        if start is not None:
            raise SoftatomsError("--start: only rounds of active learning from 1 on go on from one")
        return settings
    wanted = config.active_learning
    if (start is None) != (wanted.start == "scratch"):
        said = "takes no --start" if start is not None else "needs --start"
        raise SoftatomsError(f"--start: active_learning.start '{wanted.start}' {said}")
    if wanted.epochs is not None:
        settings = dataclasses.replace(settings, epochs=wanted.epochs)
    if start is not None:
        # What the network has learned goes with the energies it has learned it with.
        settings = dataclasses.replace(settings, isolated_energies="keep")
    return settings


def starting_potential(section: Training, seed: int, index: int, start: Path | None) -> Potential:
    """Where the training of one model starts.

    Args:
        section: The section ``training``.
        seed: Seed of the first model.
        index: Number of the model in its ensemble.
        start: First model of the round before, or None.
    """
    if start is not None:
        name = start.name if index == 0 else f"{start.name}-{index:02d}"
        return load_potential(str(start.with_name(name)))
    options = dict(section.potential.options)
    if not section.potential.is_saved:
        options = with_seed(section.potential.name, options, seed, index=index)
    return load_potential(section.potential.name, **options)


def is_fresh(section: Training, start: Path | None) -> bool:
    """Whether a training starts from random parameters, which have learned of no element."""
    if start is not None or section.potential.is_saved:
        return False
    return "seed" in with_seed(section.potential.name, section.potential.options, 0)


def checkpoint_folder(checkpoint: Path, index: int, own: Mapping[str, str]) -> Path:
    """Folder for the checkpoint of one training and of no other.

    A campaign that was changed trains anew, and finds its checkpoint again if it is changed back.

    Args:
        checkpoint: Folder for all checkpoints.
        index: Number of the model in its ensemble.
        own: Fingerprints of everything that determines the numbers.
    """
    digest = hashlib.sha256(json.dumps(dict(own), sort_keys=True).encode()).hexdigest()
    return checkpoint / f"{index:02d}-{digest[:12]}"
