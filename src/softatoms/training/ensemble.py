"""Several models that differ in their seeds, and how far they disagree."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..dataset.frames import Frame
from ..errors import CheckpointError, OptionError
from ..evaluation import evaluate_batch
from ..neighbours_many import neighbour_pairs_of_many
from ..potentials.base import Potential
from ..potentials.registry import load_potential, with_seed
from ..structure import SoftAtoms
from .calibration import Calibration
from .loop import Trained, train
from .metrics import Prediction
from .settings import TrainingSettings


@dataclass(frozen=True)
class Uncertainty:
    """Mean and spread of an ensemble on one structure; all float64.

    Spreads are standard deviations between models (with n − 1). They say where the training data
    leave the models free, which is more often than not too little for the error itself.
    Uncertainties are spreads times the factor of a calibration: the error of the mean is smaller
    with a probability of 68 %, where structures are like those that the factor was fitted to.

    Attributes:
        energy: Mean energy in eV, scalar.
        energy_spread: Standard deviation of the energy in eV, scalar.
        forces: Mean forces in eV/Å, shape (n_sites, 3).
        force_spread: Root of the summed variance of the three components of each force in eV/Å,
            shape (n_sites,).
        energy_uncertainty: Of the energy in eV, scalar; None without a calibration of energies.
        force_uncertainty: Of each component of a force in eV/Å, shape (n_sites,); None without a
            calibration of forces.
    """

    energy: Tensor
    energy_spread: Tensor
    forces: Tensor
    force_spread: Tensor
    energy_uncertainty: Tensor | None = None
    force_uncertainty: Tensor | None = None


class Committee(NamedTuple):
    """What the models of an ensemble say of frames together.

    Attributes:
        mean: Mean predictions.
        energy_spread: Standard deviation of each energy in eV.
        force_spread: Root of the summed variance of the components of each force in eV/Å, arrays
            of shape (n_sites,).
    """

    mean: list[Prediction]
    energy_spread: list[float]
    force_spread: list[NDArray[np.float64]]


class Ensemble(NamedTuple):
    """A trained ensemble from disk.

    Attributes:
        models: The models.
        calibration: Factors of their spreads; empty if there was no validation part.
    """

    models: list[Potential]
    calibration: Calibration


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
        own = {key: value for key, value in options.items() if key != "seed"}
        start = load_potential(name, **with_seed(name, own, seed))
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
    calibration: Calibration | None = None,
) -> list[Uncertainty]:
    """Mean and spread of energies and forces.

    Args:
        models: At least two models.
        systems: Structures; neighbours are searched once for all models.
        coupling: Coupling of soft sites.
        dtype: Precision of the models.
        device: Where to compute.
        calibration: Factors of the spreads of these very models, see :func:`load_ensemble`.

    Returns:
        One entry per structure, in the same order.
    """
    if len(models) < 2:
        raise OptionError(f"a spread needs at least 2 models, got {len(models)}")
    widths = _half_widths(calibration, len(models))
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
        energy_spread, force_spread = energies.std(), forces.var(0).sum(1).sqrt()
        of_energy, of_force = widths.get("energy"), widths.get("force")
        found.append(
            Uncertainty(
                energy=energies.mean(),
                energy_spread=energy_spread,
                forces=forces.mean(0),
                force_spread=force_spread,
                energy_uncertainty=None if of_energy is None else of_energy * energy_spread,
                force_uncertainty=None
                if of_force is None
                else of_force * force_spread / np.sqrt(3.0),
            )
        )
    return found


def _half_widths(calibration: Calibration | None, models: int) -> dict[str, float]:
    """Half-widths of 68 % intervals over the spread of a component, by quantity."""
    if calibration is None:
        return {}
    for name, components in (("energy", 1), ("force", 3)):
        scale = calibration.scales.get(name)
        if scale is not None and scale.degrees != components * (models - 1):
            raise OptionError(
                f"the calibration belongs to {scale.degrees // components + 1} models, not {models}"
            )
    return {name: scale.half_width() for name, scale in calibration.scales.items()}


def committee(found: Sequence[Sequence[Prediction]]) -> Committee:
    """Mean and spread of what several models say of the same frames.

    Args:
        found: Predictions of each model, at least two, of the same frames in the same order.
    """
    if len(found) < 2:
        raise OptionError(f"a spread needs at least 2 models, got {len(found)}")
    mean, energy_spread, force_spread = [], [], []
    for said in zip(*found, strict=True):
        energies = np.array([one.energy for one in said])
        forces = np.stack([one.forces for one in said])
        stresses = np.stack([one.stress for one in said])
        mean.append(
            replace(
                said[0],
                energy=float(energies.mean()),
                forces=forces.mean(axis=0),
                stress=stresses.mean(axis=0),
            )
        )
        energy_spread.append(float(energies.std(ddof=1)))
        force_spread.append(np.sqrt(forces.var(axis=0, ddof=1).sum(axis=1)))
    return Committee(mean, energy_spread, force_spread)


def load_ensemble(directory: str | Path) -> Ensemble:
    """Load all models of an ensemble, and its calibration, by the directory of the first one.

    Raises:
        CheckpointError: If the card beside the directory names no ensemble, or a model is not the
            one that was trained.
    """
    home = Path(directory)
    card = home.with_name(f"{home.name}.json")
    if not card.is_file():
        raise CheckpointError(f"{card}: no such file; give the directory of a trained model")
    about = json.loads(card.read_text(encoding="utf-8")).get("ensemble")
    if about is None:
        raise CheckpointError(f"{card} names no ensemble; train one with training.size above 1")
    models = []
    for name, sha256 in about["models"].items():
        path = home.with_name(name)
        if not path.is_dir():
            raise CheckpointError(f"{path}: no such directory; {card} names it as a model")
        model = load_potential(path)
        if model.sha256() != sha256:
            raise CheckpointError(f"{path} is not the model of the ensemble of {card}")
        models.append(model)
    return Ensemble(models, Calibration.from_json(about["calibration"]))


def fraction_of(
    frames: Sequence[Frame], fraction: float, seed: int, *, whole_groups: bool = False
) -> list[Frame]:
    """The frames of a learning curve: only a part of those to train on, all others.

    Parts are nested: a larger fraction contains the smaller ones of the same seed.

    Args:
        frames: Frames with splits.
        fraction: Part of the training frames, above 0 and at most 1.
        seed: Seed of the choice.
        whole_groups: Take groups as a whole, one after the other until there are enough frames,
            instead of single frames wherever they come from.
    """
    if not 0.0 < fraction <= 1.0:
        raise OptionError(f"fraction must be above 0 and at most 1, got {fraction!r}")
    training = [index for index, frame in enumerate(frames) if frame.split == "train"]
    wanted = max(1, round(fraction * len(training)))
    rng = np.random.default_rng(seed)
    if whole_groups:
        members: dict[str, list[int]] = {}
        for index in training:
            members.setdefault(frames[index].group, []).append(index)
        names = sorted(members)
        kept: set[int] = set()
        for position in rng.permutation(len(names)).tolist():
            if len(kept) < wanted:
                kept.update(members[names[position]])
    else:
        order = rng.permutation(len(training)).tolist()
        kept = {training[index] for index in order[:wanted]}
    return [frame for index, frame in enumerate(frames) if frame.split != "train" or index in kept]
