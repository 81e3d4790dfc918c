"""The training stage: from labelled frames in a file to models and tables about their errors."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ase.data import chemical_symbols

from .. import provenance
from ..dataset.parquet_frames import read_frames
from ..errors import SoftatomsError
from ..evaluation import check_device
from ..stopping import REQUEUE
from ..tables import write_table
from .calibration import Calibration, calibrate, calibration_rows, errors_of
from .card import save_trained
from .checkpoints import identity
from .ensemble import Committee, committee
from .examples import labelled, split_frames
from .loop import Trained, train
from .metrics import Prediction, force_rows, metric_rows, prediction_rows, predictions
from .rounds import checkpoint_folder, is_fresh, settings_of_round, starting_potential
from .settings import LossSettings, TrainingSettings

MEAN = "-mean"
"""What stands behind the name of the first model for the mean of an ensemble."""

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..config.training import Training
    from ..dataset.frames import Frame
    from ..potentials.base import Potential


def settings_of(config: CampaignConfig, section: Training) -> TrainingSettings:
    """The settings that a configuration asks for."""
    values = section.settings()
    loss = LossSettings(**values.pop("loss"))
    return TrainingSettings(
        **values, loss=loss, seed=config.campaign.seed, device=config.compute.device
    )


def run_stage(
    config: CampaignConfig,
    *,
    frames: Path,
    out: Path,
    tables: Path | None,
    checkpoint: Path | None,
    minutes: float | None,
    say: Callable[[str], None],
    round_number: int | None = None,
    start: Path | None = None,
) -> int:
    """Train the models of a campaign, evaluate them, and write everything.

    Args:
        config: The campaign, with a section ``training``.
        frames: Labelled frames.
        out: Directory of the first model.
        tables: Folder for the tables ``evaluation``, ``training_history``, ``prediction`` and
            ``force_prediction``, and of an ensemble ``calibration``.
        checkpoint: Folder for checkpoints.
        minutes: Wall time of all models together.
        say: Is told one line per epoch and file.
        round_number: Round of active learning, if this is one.
        start: First model of the round before, to go on from; the others lie beside it.

    Returns:
        0, or ``REQUEUE`` if the training was stopped: nothing is written then.
    """
    section = config.training
    if section is None:
        raise SoftatomsError("training: is required to train")
    # Read now, and kept: the sources may change while the job runs.
    provenance.code_digest()
    provenance.git_revision()
    torch.set_num_threads(config.compute.threads)
    check_device(config.compute.device)
    settings = settings_of_round(config, settings_of(config, section), round_number, start)
    dataset = read_frames(frames).frames
    started = time.monotonic()
    done: list[tuple[Trained, TrainingSettings]] = []
    for index in range(section.size):
        own = dataclasses.replace(settings, seed=settings.seed + index)
        potential = starting_potential(section, settings.seed, index, start)
        if index == 0:
            _warn_of_elements(potential, dataset, is_fresh=is_fresh(section, start), say=say)
        fingerprints = identity(potential, *split_frames(dataset), own)
        trained = train(
            potential,
            dataset,
            own,
            folder=None
            if checkpoint is None
            else checkpoint_folder(checkpoint, index, fingerprints),
            wall_time=None if minutes is None else 60.0 * minutes - (time.monotonic() - started),
            report=lambda row: say(epoch_line(row)),
        )
        if trained.status == "stopped":
            say(f"stopped after {len(trained.history)} epochs: {trained.reason}")
            return REQUEUE
        done.append((trained, own))
    of = "active_learning" if round_number else "training"
    _write(config, dataset, done, of=of, out=out, tables=tables, say=say)
    return 0


def _warn_of_elements(
    potential: Potential, dataset: Sequence[Frame], *, is_fresh: bool, say: Callable[[str], None]
) -> None:
    """Say which elements a model will speak of without having learned them."""

    def elements(frames: Sequence[Frame]) -> set[str]:
        numbers = {number for frame in frames for number in frame.soft.node_number.tolist()}
        return {chemical_symbols[number] for number in numbers}

    usable = labelled(dataset)
    missing = elements(usable)
    if is_fresh:
        missing |= set(potential.species)
    missing -= elements(split_frames(dataset)[0])
    if missing:
        say(
            f"warning: no training frame has {', '.join(sorted(missing))}: what the model says of "
            "such atoms is not learned from these data"
        )


def epoch_line(row: dict[str, Any]) -> str:
    """One line about an epoch: root mean square errors in training and validation."""
    parts = [f"epoch {row['epoch']}"]
    for name, label, unit, factor in (
        ("energy_rmse_ev_per_atom", "E", "meV/atom", 1e3),
        ("forces_rmse_ev_per_ang", "F", "eV/Å", 1.0),
        ("stress_rmse_ev_per_ang3", "S", "meV/Å³", 1e3),
    ):
        values = [row[f"{part}_{name}"] for part in ("train", "validation")]
        numbers = " / ".join("–" if value is None else f"{value * factor:.3g}" for value in values)
        parts.append(f"{label} {numbers} {unit}")
    return "  ".join([*parts, f"{row['atoms_per_second']:.0f} atoms/s"])


def _write(
    config: CampaignConfig,
    dataset: tuple[Any, ...],
    done: list[tuple[Trained, TrainingSettings]],
    *,
    of: str,
    out: Path,
    tables: Path | None,
    say: Callable[[str], None],
) -> None:
    usable = labelled(dataset)
    names = [out.name, *(f"{out.name}-{index:02d}" for index in range(1, len(done)))]
    found = [
        predictions(trained.potential, usable, coupling=settings.coupling, device=settings.device)
        for trained, settings in done
    ]
    together = committee(found) if len(done) > 1 else None
    factors, calibrated = _calibration(out.name, together, len(done))
    rows: list[dict[str, Any]] = []
    for name, said, (trained, settings) in zip(names, found, done, strict=True):
        own = metric_rows(name, said)
        rows += own
        about = {
            "models": {n: one.potential.sha256() for n, (one, _) in zip(names, done, strict=True)},
            "calibration": factors.as_json(),
        }
        save_trained(
            trained,
            out.with_name(name),
            frames=dataset,
            settings=settings,
            metrics=own,
            ensemble=about if together is not None and name == out.name else None,
        )
        say(str(out.with_name(name)))
    if tables is None:
        return
    potential = done[0][0].potential
    origin = provenance.collect(config, of, potential.sha256())
    origin = dataclasses.replace(origin, dtype=done[0][1].dtype)
    spread: dict[str, Any] = {}
    if together is not None:
        rows += metric_rows(f"{out.name}{MEAN}", together.mean)
        spread = {"mean": together.mean, "force_spread": together.force_spread}
    energies = None if together is None else together.energy_spread
    contents = {
        "evaluation": rows,
        "training_history": done[0][0].history,
        "prediction": prediction_rows(out.name, found[0], **spread, energy_spread=energies),
        "force_prediction": force_rows(out.name, found[0], **spread),
    }
    if together is not None:
        contents["calibration"] = calibrated
    for name, content in contents.items():
        path = tables / f"{name}.parquet"
        write_table(path, name, content, origin)
        say(f"{path}: {len(content)} rows")


def _calibration(
    model: str, together: Committee | None, models: int
) -> tuple[Calibration, list[dict[str, Any]]]:
    """Factors fitted to the validation part, and how errors and spreads compare in each part."""
    if together is None:
        return Calibration(), []
    found = {}
    for split in sorted({item.frame.split for item in together.mean}):
        inside = [i for i, item in enumerate(together.mean) if item.frame.split == split]
        mean: list[Prediction] = [together.mean[i] for i in inside]
        found[split] = errors_of(
            mean,
            [together.energy_spread[i] for i in inside],
            [together.force_spread[i] for i in inside],
            models=models,
        )
    factors = calibrate(found.get("validation", {}))
    rows = [
        row
        for split, errors in found.items()
        for row in calibration_rows(model, split, errors, factors)
    ]
    return factors, rows
