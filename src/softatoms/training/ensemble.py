"""Several models that differ in their seeds, and how far they disagree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..dataset.frames import Frame
from ..errors import OptionError
from ..evaluation import evaluate_batch
from ..neighbours_many import neighbour_pairs_of_many
from ..potentials.base import Potential
from ..potentials.registry import load_potential
from ..structure import SoftAtoms
from .loop import Trained, train
from .settings import TrainingSettings


@dataclass(frozen=True)
class Uncertainty:
    """Mean and spread of an ensemble on one structure; all float64.

    Spreads are standard deviations between models (with n − 1). They say where the training data
    leave the models free, which is more often than not too little for the error itself.

    Attributes:
        energy: Mean energy in eV, scalar.
        energy_spread: Standard deviation of the energy in eV, scalar.
        forces: Mean forces in eV/Å, shape (n_sites, 3).
        force_spread: Root of the summed variance of the three components of each force in eV/Å,
            shape (n_sites,).
    """

    energy: Tensor
    energy_spread: Tensor
    forces: Tensor
    force_spread: Tensor


def train_ensemble(
    name: str,
    options: Mapping[str, Any],
    frames: Sequence[Frame],
    settings: TrainingSettings,
    *,
    size: int,
    folder: str | Path | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> list[Trained]:
    """Train models that differ in initial parameters and in the order of frames.

    Args:
        name: Name of the potential in the registry.
        options: Its options; the seed is replaced.
        frames: See :func:`softatoms.training.train`.
        settings: The seeds count up from the one here.
        size: Number of models.
        folder: Where to keep checkpoints, one folder per model; None keeps nothing.
        report: Is told the row of every epoch.
    """
    if size < 2:
        raise OptionError(f"an ensemble needs at least 2 models, got {size!r}")
    models = []
    for index in range(size):
        seed = settings.seed + index
        start = load_potential(name, **{**options, "seed": seed})
        home = None if folder is None else Path(folder) / f"{index:02d}"
        models.append(
            train(start, frames, replace(settings, seed=seed), folder=home, report=report)
        )
    return models


def uncertainty(
    models: Sequence[Potential],
    systems: Iterable[SoftAtoms],
    *,
    coupling: str = "mean_field",
    dtype: str = "float32",
    device: str = "cpu",
) -> list[Uncertainty]:
    """Mean and spread of energies and forces.

    Args:
        models: At least two models.
        systems: Structures; neighbours are searched once for all models.
        coupling: Coupling of soft sites.
        dtype: Precision of the models.
        device: Where to compute.

    Returns:
        One entry per structure, in the same order.
    """
    if len(models) < 2:
        raise OptionError(f"a spread needs at least 2 models, got {len(models)}")
    structures = list(systems)
    pairs = neighbour_pairs_of_many(structures, max(model.cutoff for model in models))
    by_model = [
        evaluate_batch(
            model,
            structures,
            properties=("forces",),
            coupling=coupling,
            dtype=dtype,
            device=device,
            pairs=pairs,
        )
        for model in models
    ]
    found = []
    for results in zip(*by_model, strict=True):
        energies = torch.stack([result.energy for result in results])
        forces = torch.stack([result.forces for result in results if result.forces is not None])
        found.append(
            Uncertainty(
                energy=energies.mean(),
                energy_spread=energies.std(),
                forces=forces.mean(0),
                force_spread=forces.var(0).sum(1).sqrt(),
            )
        )
    return found


def fraction_of(frames: Sequence[Frame], fraction: float, seed: int) -> list[Frame]:
    """The frames of a learning curve: only a part of those to train on, all others.

    Parts are nested: a larger fraction contains the smaller ones of the same seed.

    Args:
        frames: Frames with splits.
        fraction: Part of the training frames, above 0 and at most 1.
        seed: Seed of the choice.
    """
    if not 0.0 < fraction <= 1.0:
        raise OptionError(f"fraction must be above 0 and at most 1, got {fraction!r}")
    training = [index for index, frame in enumerate(frames) if frame.split == "train"]
    order = np.random.default_rng(seed).permutation(len(training)).tolist()
    kept = {training[index] for index in order[: max(1, round(fraction * len(training)))]}
    return [frame for index, frame in enumerate(frames) if frame.split != "train" or index in kept]
