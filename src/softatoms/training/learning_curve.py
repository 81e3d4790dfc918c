"""Errors over the number of frames: the same training on parts of its frames."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from ase.data import chemical_symbols

from .. import provenance
from ..dataset.frames import Frame
from ..dataset.parquet_frames import read_frames
from ..errors import SoftatomsError
from ..evaluation import check_device
from ..potentials.registry import load_potential, with_seed
from ..stopping import REQUEUE
from ..tables import write_table
from .batches import shuffled_batches
from .checkpoints import identity
from .ensemble import fraction_of
from .examples import ALL, FrameError, labelled, make_examples, split_frames
from .loop import Trained, TrainingError, train
from .metrics import UNITS, metric_rows, predictions
from .settings import TrainingSettings
from .stage import epoch_line, settings_of

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..potentials.base import Potential

HELD_OUT = ("validation", "test")
"""Parts whose errors make the curve: the same frames for every point of it."""


def run_learning_curve(
    config: CampaignConfig,
    *,
    frames: Path,
    out: Path,
    checkpoint: Path | None,
    minutes: float | None,
    say: Callable[[str], None],
) -> int:
    """Train on parts of the frames of a campaign and write the table ``learning_curve``.

    A part that cannot be trained on is a row with the reason.

    Args:
        config: The campaign, with a section ``training.learning_curve``.
        frames: Labelled frames.
        out: The table.
        checkpoint: Folder for checkpoints.
        minutes: Wall time of all trainings together.
        say: Is told one line per epoch and file.

    Returns:
        0, or ``REQUEUE`` if it was stopped: nothing is written then.
    """
    section = config.training
    if section is None or section.learning_curve is None:
        raise SoftatomsError("training.learning_curve: is required for a learning curve")
    curve = section.learning_curve
    provenance.code_digest()
    provenance.git_revision()
    torch.set_num_threads(config.compute.threads)
    check_device(config.compute.device)
    settings = settings_of(config, section)
    dataset = labelled(read_frames(frames).frames)
    split_frames(dataset)
    if not any(frame.split in HELD_OUT for frame in dataset):
        raise SoftatomsError(f"{frames}: a learning curve needs validation or test frames")
    started = time.monotonic()
    rows: list[dict[str, Any]] = []
    for fraction in sorted(curve.fractions):
        for repeat in range(curve.seeds):
            seed = settings.seed + repeat
            part = fraction_of(dataset, fraction, seed, whole_groups=curve.draw == "groups")
            options = dict(section.potential.options)
            if not section.potential.is_saved:
                options = with_seed(section.potential.name, options, settings.seed, index=repeat)
            start = load_potential(section.potential.name, **options)
            about = _about(fraction, seed, part)
            trained: Trained | None = None
            error = ""
            try:
                _check_elements(part)
                own = settings_of_part(
                    dataclasses.replace(settings, seed=seed),
                    start,
                    dataset,
                    part,
                    equal=curve.equal,
                )
                say(f"{about['n_frames']} frames, {own.epochs} epochs, seed {seed}")
                trained = train(
                    start,
                    part,
                    own,
                    folder=None if checkpoint is None else checkpoint / _folder(start, part, own),
                    wall_time=None
                    if minutes is None
                    else 60.0 * minutes - (time.monotonic() - started),
                    report=lambda row: say(epoch_line(row)),
                )
                if trained.status == "stopped":
                    say(f"stopped after {len(trained.history)} epochs: {trained.reason}")
                    return REQUEUE
                rows += list(_rows(about, trained, part, own))
            except (FrameError, TrainingError) as failure:
                error = " ".join(str(failure).split())
                say(f"failed: {error}")
                rows += list(_failed(about, part, error))
    origin = provenance.collect(config, "learning_curve")
    write_table(out, "learning_curve", rows, dataclasses.replace(origin, dtype=settings.dtype))
    bad = sum(row["status"] != "ok" for row in rows)
    say(f"{out}: {len(rows)} rows, {bad} of them not ok")
    return 0


def settings_of_part(
    settings: TrainingSettings,
    potential: Potential,
    whole: Sequence[Frame],
    part: Sequence[Frame],
    *,
    equal: Literal["steps", "epochs"],
) -> TrainingSettings:
    """Settings of a training on a part of the frames.

    Args:
        settings: Those of a training on all of them.
        potential: What is trained.
        whole: All frames.
        part: Those of the part.
        equal: Whether the part gets as many ``steps`` as the whole, by more epochs, in which case
            everything counted in epochs grows alike; or as many ``epochs``.
    """
    steps = [
        len(
            shuffled_batches(
                make_examples(split_frames(frames)[0], potential),
                settings.atoms_per_batch,
                settings.seed,
                0,
            )
        )
        for frames in (whole, part)
    ]
    more = steps[0] / steps[1] if equal == "steps" else 1.0
    patience = settings.patience
    return dataclasses.replace(
        settings,
        epochs=max(1, round(more * settings.epochs)),
        warm_up=more * settings.warm_up,
        plateau_epochs=max(1, round(more * settings.plateau_epochs)),
        patience=None if patience is None else max(1, round(more * patience)),
    )


def _about(fraction: float, seed: int, part: Sequence[Frame]) -> dict[str, Any]:
    used = [frame for frame in part if frame.split == "train"]
    return {
        "fraction": fraction,
        "seed": seed,
        "n_frames": len(used),
        "n_groups": len({frame.group for frame in used}),
        "n_atoms": float(sum(frame.soft.existence.sum() for frame in used)),
    }


def _check_elements(part: Sequence[Frame]) -> None:
    """Refuse a part without an element that the errors are measured on."""

    def elements(splits: Sequence[str]) -> set[int]:
        used = [frame for frame in part if frame.split in splits]
        return {number for frame in used for number in frame.soft.node_number.tolist()}

    missing = sorted(
        chemical_symbols[number] for number in elements(HELD_OUT) - elements(("train",))
    )
    if missing:
        raise FrameError(
            f"the part has no {', '.join(missing)}, which validation or test frames have; take "
            "larger fractions, or draw frames instead of groups"
        )


def _rows(
    about: dict[str, Any], trained: Trained, part: Sequence[Frame], settings: TrainingSettings
) -> Iterator[dict[str, Any]]:
    held_out = [frame for frame in part if frame.split in HELD_OUT]
    found = predictions(
        trained.potential, held_out, coupling=settings.coupling, device=settings.device
    )
    for row in metric_rows("", found):
        if row["group"] == row["element"] == ALL:
            yield {
                "curve_id": _name(about, row["split"], row["quantity"]),
                **about,
                "epochs": len(trained.history),
                "steps": trained.steps,
                **{name: row[name] for name in ("split", "quantity", "mae", "rmse", "unit", "n")},
                "status": "ok",
                "error": "",
            }


def _failed(about: dict[str, Any], part: Sequence[Frame], error: str) -> Iterator[dict[str, Any]]:
    splits = {frame.split for frame in part}
    for split in HELD_OUT:
        for quantity, unit in UNITS.items() if split in splits else ():
            yield {
                "curve_id": _name(about, split, quantity),
                **about,
                **dict.fromkeys(("epochs", "steps", "mae", "rmse", "n")),
                "split": split,
                "quantity": quantity,
                "unit": unit,
                "status": "failed",
                "error": error,
            }


def _folder(potential: Potential, part: Sequence[Frame], settings: TrainingSettings) -> str:
    """Folder of the checkpoint of one training and of no other."""
    own = identity(potential, *split_frames(part), settings)
    return hashlib.sha256("\n".join(own.values()).encode()).hexdigest()[:16]


def _name(about: dict[str, Any], split: str, quantity: str) -> str:
    return f"{about['fraction']:g}/{about['seed']}/{split}/{quantity}"
