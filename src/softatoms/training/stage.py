"""The training stage: from labelled frames in a file to models and tables about their errors."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import provenance
from ..dataset.parquet_frames import read_frames
from ..errors import SoftatomsError
from ..evaluation import check_device
from ..potentials.registry import load_potential
from ..stopping import REQUEUE
from ..tables import write_table
from .card import save_trained
from .ensemble import uncertainty
from .examples import labelled
from .loop import Trained, train
from .metrics import force_rows, metric_rows, prediction_rows, predictions
from .settings import LossSettings, TrainingSettings

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..config.training import Training


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
) -> int:
    """Train the models of a campaign, evaluate them, and write everything.

    Args:
        config: The campaign, with a section ``training``.
        frames: Labelled frames.
        out: Directory of the first model.
        tables: Folder for the tables ``evaluation``, ``training_history``, ``prediction`` and
            ``force_prediction``.
        checkpoint: Folder for checkpoints.
        minutes: Wall time of all models together.
        say: Is told one line per epoch and file.

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
    settings = settings_of(config, section)
    dataset = read_frames(frames).frames
    started = time.monotonic()
    done: list[tuple[Trained, TrainingSettings]] = []
    for index in range(section.size):
        own = dataclasses.replace(settings, seed=settings.seed + index)
        options = dict(section.potential.options)
        if not section.potential.is_saved:
            options["seed"] = options.get("seed", settings.seed) + index
        trained = train(
            load_potential(section.potential.name, **options),
            dataset,
            own,
            folder=None if checkpoint is None else checkpoint / f"{index:02d}",
            wall_time=None if minutes is None else 60.0 * minutes - (time.monotonic() - started),
            report=lambda row: say(epoch_line(row)),
        )
        if trained.status == "stopped":
            say(f"stopped after {len(trained.history)} epochs: {trained.reason}")
            return REQUEUE
        done.append((trained, own))
    _write(config, dataset, done, out=out, tables=tables, say=say)
    return 0


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
    out: Path,
    tables: Path | None,
    say: Callable[[str], None],
) -> None:
    rows: list[dict[str, Any]] = []
    usable = labelled(dataset)
    for index, (trained, settings) in enumerate(done):
        name = out.name if index == 0 else f"{out.name}-{index:02d}"
        found = predictions(
            trained.potential, usable, coupling=settings.coupling, device=settings.device
        )
        own = metric_rows(name, found)
        rows += own
        save_trained(trained, out.with_name(name), frames=dataset, settings=settings, metrics=own)
        say(str(out.with_name(name)))
        if index == 0:
            first = found
    if tables is None:
        return
    potential = done[0][0].potential
    origin = provenance.collect(config, "training", potential.sha256())
    origin = dataclasses.replace(origin, dtype=settings.dtype)
    spreads: dict[str, Any] = {}
    if len(done) > 1:
        said = uncertainty(
            [trained.potential for trained, _ in done],
            [frame.soft for frame in usable],
            coupling=settings.coupling,
            dtype=settings.dtype,
            device=settings.device,
        )
        spreads = {
            "energy_spread": [float(one.energy_spread) for one in said],
            "force_spread": [one.force_spread.cpu().numpy() for one in said],
        }
    contents = {
        "evaluation": rows,
        "training_history": done[0][0].history,
        "prediction": prediction_rows(out.name, first, **spreads),
        "force_prediction": force_rows(out.name, first),
    }
    for name, content in contents.items():
        path = tables / f"{name}.parquet"
        write_table(path, name, content, origin)
        say(f"{path}: {len(content)} rows")
