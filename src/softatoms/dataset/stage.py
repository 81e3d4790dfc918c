"""The dataset stage: plan the frames, label them in jobs, join and check them.

Every step reads and writes files, so that a workflow can run label jobs side by side; one call does
all of them in turn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import provenance
from ..errors import SoftatomsError
from ..progress import Progress
from ..tables import read_table, write_table
from .checks import Limits, check_frames
from .extxyz_frames import write_extxyz
from .findings import mark_failed
from .frames import Frame
from .generation import Plan, plan_dataset
from .labelling import label_frames, potential_sha256, shard_of
from .parquet_frames import FramesError, read_frames, structure_digest, write_frames
from .rows import frame_row, skipped_rows

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..config.dataset import Dataset

Say = Callable[[str], None]


def generate_step(config: CampaignConfig, *, out: Path, skipped: Path, say: Say) -> None:
    """Write the frames of the dataset, most of them still without labels.

    Args:
        config: The campaign.
        out: File of the frames.
        skipped: Table of what was left out: copies, frames that others cover, unusable records.
        say: Takes one line for the user.
    """
    plan = plan_dataset(config)
    origin = provenance.collect(config, "dataset")
    write_frames(out, plan.frames, origin)
    write_table(skipped, "dataset", skipped_rows(plan), origin)
    for note in plan.notes:
        say(note)
    say(f"{out}: {len(plan.frames)} frames, {_left_out(plan)} left out; see {skipped}")


def label_step(
    config: CampaignConfig,
    *,
    frames: Path,
    shard: int,
    out: Path,
    checkpoint: Path | None,
    round_number: int | None = None,
) -> None:
    """Label the share of one job.

    Args:
        config: The campaign.
        frames: Frames of the dataset.
        shard: Number of the job, from 0.
        out: File of the labelled frames.
        checkpoint: Folder where labels are kept as soon as they are known.
        round_number: Round of active learning that the frames come from; None for the dataset.

    Raises:
        SoftatomsError: If there is no such job, or the frames are of another configuration.
    """
    wanted = section(config)
    if not 0 <= shard < wanted.labels.jobs:
        raise SoftatomsError(
            f"--shard: there is no job {shard}; the jobs are numbered 0 to {wanted.labels.jobs - 1}"
        )
    of, name = "dataset", f"label-{shard:05d}"
    if round_number is not None:
        if config.active_learning is None:
            raise SoftatomsError("--round: the configuration has no section 'active_learning'")
        of, name = "active_learning", f"round-{round_number:02d}-{name}"
    chosen = shard_of(_planned(config, frames, of), shard, wanted.labels.jobs)
    done = _labelled(config, chosen, checkpoint, name)
    write_frames(out, done, _origin(config, done, of))


def merge_step(
    config: CampaignConfig,
    *,
    frames: Path,
    skipped: Path,
    labels: Sequence[Path],
    out: Path,
    table: Path | None,
    extxyz: Path | None,
    say: Say,
) -> None:
    """Join the labels of all jobs, check every frame and write the dataset.

    Args:
        config: The campaign.
        frames: Frames of the dataset.
        skipped: Table of what was left out.
        labels: Files of the jobs.
        out: File of the frames to write.
        table: Table with one row per frame, if wanted.
        extxyz: Sound frames for other programs, if wanted.
        say: Takes one line for the user.

    Raises:
        SoftatomsError: If a label is missing, comes twice or belongs to something else.
    """
    planned = _planned(config, frames)
    left_out = read_table(skipped, "dataset")
    waiting = {f.frame_id: structure_digest(f.soft) for f in planned if f.status == "unlabelled"}
    found: dict[str, Frame] = {}
    for path in labels:
        part = read_frames(path)
        _check_origin(config, path, part.provenance)
        for frame in part.frames:
            if frame.frame_id in found:
                raise FramesError(f"{path}: frame {frame.frame_id} was labelled by another job too")
            if waiting.get(frame.frame_id) != structure_digest(frame.soft):
                raise FramesError(f"{path}: frame {frame.frame_id} is none of {frames}")
            found[frame.frame_id] = frame
    missing = [name for name in waiting if name not in found]
    if missing:
        raise FramesError(
            f"{len(missing)} frames have no label, the first is {missing[0]}: give the files of "
            "all jobs"
        )
    _finish(
        config,
        [found.get(frame.frame_id, frame) for frame in planned],
        left_out.rows(),
        out=out,
        table=table,
        extxyz=extxyz,
        say=say,
    )


def whole_stage(
    config: CampaignConfig,
    *,
    out: Path,
    table: Path | None,
    extxyz: Path | None,
    checkpoint: Path | None,
    say: Say,
) -> None:
    """All steps in turn, in one process; see the steps for the arguments."""
    plan = plan_dataset(config)
    for note in plan.notes:
        say(note)
    _finish(
        config,
        _labelled(config, list(plan.frames), checkpoint, "label"),
        skipped_rows(plan),
        out=out,
        table=table,
        extxyz=extxyz,
        say=say,
    )


def section(config: CampaignConfig) -> Dataset:
    """The section of the configuration.

    Raises:
        SoftatomsError: If there is none.
    """
    if config.dataset is None:
        raise SoftatomsError("dataset: the configuration has no such section")
    return config.dataset


def limits_of(wanted: Dataset) -> Limits:
    """Limits of the checks as the configuration has them."""
    checks = wanted.checks
    return Limits(
        required=tuple(checks.required),
        energy=checks.energy_ev_per_atom,
        force=checks.force_ev_per_ang,
        stress=checks.stress_ev_per_ang3,
        closest=checks.closest,
        # Copies are gone already, unless they were to stay.
        duplicates=not wanted.deduplicate,
    )


def _labelled(
    config: CampaignConfig, frames: list[Frame], checkpoint: Path | None, name: str
) -> list[Frame]:
    if not any(frame.status == "unlabelled" for frame in frames):
        return frames
    import torch

    torch.set_num_threads(config.compute.threads)
    with Progress(len(frames), label=name, unit="frames") as progress:
        return label_frames(
            frames,
            section(config).labels,
            config.compute,
            checkpoint=checkpoint,
            job=name,
            progress=progress,
        )


def _finish(
    config: CampaignConfig,
    frames: list[Frame],
    left_out: Sequence[dict[str, object]],
    *,
    out: Path,
    table: Path | None,
    extxyz: Path | None,
    say: Say,
) -> None:
    report = check_frames(frames, limits_of(section(config)))
    checked = [
        dataclasses.replace(frame, split="") if frame.status == "failed" else frame
        for frame in mark_failed(frames, report)
    ]
    origin = _origin(config, checked)
    write_frames(out, checked, origin)
    if table is not None:
        rows = [*map(frame_row, checked), *left_out]
        write_table(table, "dataset", rows, origin)
    sound = [frame for frame in checked if frame.status == "ok"]
    if extxyz is not None:
        write_extxyz(extxyz, sound)
    for line in report.summary():
        say(line)
    labellers = sorted({frame.labeller for frame in sound})
    if len(labellers) > 1:
        say(
            f"labels come from {', '.join(name or '(unnamed)' for name in labellers)}: their "
            "energies may have different zeros"
        )
    parts = ", ".join(
        f"{sum(frame.split == part for frame in sound)} {part}"
        for part in ("train", "validation", "test")
    )
    failed = len(checked) - len(sound)
    say(f"{out}: {len(sound)} frames ({parts}), {failed} failed, {len(left_out)} left out")


def _origin(
    config: CampaignConfig, frames: Sequence[Frame], of: str = "dataset"
) -> provenance.Provenance:
    labels = section(config).labels
    used = any(frame.status == "ok" for frame in frames) and labels.calculator == "softatoms"
    fresh = section(config).generators or of != "dataset"
    fingerprint = potential_sha256(labels) if used and fresh else ""
    return provenance.collect(config, of, fingerprint)


def _planned(config: CampaignConfig, path: Path, of: str = "dataset") -> list[Frame]:
    read = read_frames(path)
    _check_origin(config, path, read.provenance, of)
    return list(read.frames)


def _check_origin(
    config: CampaignConfig, path: Path, origin: provenance.Provenance | None, of: str = "dataset"
) -> None:
    if origin is None or origin.config_hash != config.section_digest(of):
        raise FramesError(f"{path}: belongs to another configuration; run the step before again")


def _left_out(plan: Plan) -> int:
    return len(plan.copies) + len(plan.unselected) + len(plan.rejected)
