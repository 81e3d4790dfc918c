"""The steps of a round: explore and select, then join labels with the frames there were.

Labels come from the dataset stage, models from the training stage. Every step reads and writes
files, so that a workflow can run them as jobs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .. import provenance
from ..dataset.checks import check_frames
from ..dataset.descriptor import describe
from ..dataset.findings import Report, mark_failed
from ..dataset.frames import Frame
from ..dataset.parquet_frames import FramesError, read_frames, structure_digest, write_frames
from ..dataset.rows import frame_row
from ..dataset.stage import limits_of
from ..dataset.stage import section as dataset_section
from ..errors import SoftatomsError
from ..evaluation import check_device
from ..progress import Progress
from ..tables import write_table
from .dynamics import explore_by_dynamics
from .jury import Jury, load_jury
from .selection import chosen, parts
from .walks import Visited, Walk, own_stream

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..config.active_learning import ActiveLearning, Exploration

Say = Callable[[str], None]


def section_of(config: CampaignConfig, round_number: int, *, last: int) -> ActiveLearning:
    """The section of the configuration.

    Args:
        config: The campaign.
        round_number: Round of the step.
        last: Number of the last round that has this step.

    Raises:
        SoftatomsError: If there is no such section or round.
    """
    if config.active_learning is None:
        raise SoftatomsError("active_learning: the configuration has no such section")
    if not 0 <= round_number <= last:
        raise SoftatomsError(
            f"--round: there is no round {round_number} for this step; they are numbered 0 to "
            f"{last}"
        )
    return config.active_learning


def explore_step(
    config: CampaignConfig,
    *,
    round_number: int,
    frames: Path,
    model: Path,
    out: Path,
    candidates: Path,
    table: Path,
    checkpoint: Path | None,
    say: Say,
) -> None:
    """Explore with the models of a round and select what gets a label.

    Args:
        config: The campaign.
        round_number: Number of the round, from 0.
        frames: Frames that the models were trained on.
        model: Directory of the first model of the round.
        out: File of the frames to label.
        candidates: File of all structures between the limits.
        table: Table with one row per trajectory.
        checkpoint: Folder where finished stretches are kept.
        say: Takes one line for the user.
    """
    rounds = 0 if config.active_learning is None else config.active_learning.rounds
    wanted = section_of(config, round_number, last=rounds - 1)
    # Read now, and kept: the sources may change while the job runs.
    provenance.code_digest()
    provenance.git_revision()
    torch.set_num_threads(config.compute.threads)
    check_device(config.compute.device)
    jury = load_jury(config, model)
    known = read_round(config, frames, round_number)
    walks: list[Walk] = []
    for one in wanted.explore:
        walks += _explored(config, one, jury, known, round_number, checkpoint)
    split = parts(
        [walk.name for walk in walks], wanted.validation, _seed(config, round_number, "parts")
    )
    found = [
        (walk, visit)
        for walk in walks
        for visit in walk.visited
        if visit.spread >= wanted.uncertainty.lower
    ]
    picked = chosen(
        [visit.spread for _, visit in found],
        wanted.per_round,
        pool=wanted.pool,
        how=wanted.choose,
        describe=lambda indices: describe([found[index][1].soft for index in indices]),
        rng=own_stream(config.campaign.seed, round_number, "choice"),
    )
    as_frames = [
        Frame(
            frame_id=frame_name(round_number, walk, visit),
            group=f"active-learning/{round_number}/{walk.name}",
            soft=visit.soft,
            split=split[walk.name],
        )
        for walk, visit in found
    ]
    origin = provenance.collect(config, "active_learning", jury.models[0].sha256())
    origin = dataclasses.replace(origin, dtype=jury.dtype)
    write_frames(candidates, as_frames, origin)
    selected = [as_frames[index] for index in sorted(picked)]
    write_frames(out, selected, origin)
    rows = [_row(round_number, walk, split[walk.name], wanted, selected) for walk in walks]
    write_table(table, "exploration", rows, origin)
    _summary(walks, found, selected, wanted, round_number, say)


def merge_step(
    config: CampaignConfig,
    *,
    round_number: int,
    frames: Path,
    selected: Path,
    labels: Sequence[Path],
    out: Path,
    table: Path | None,
    say: Say,
) -> None:
    """Join what was labelled in a round with the frames there were: the frames of the next one.

    Frames that were there stay as they are; only new ones are checked.

    Args:
        config: The campaign.
        round_number: Round in which the new frames were selected.
        frames: Frames of this round.
        selected: Frames that were to be labelled.
        labels: Files of the label jobs.
        out: File of the frames of the next round.
        table: Table with one row per frame, if wanted.
        say: Takes one line for the user.

    Raises:
        SoftatomsError: If a label is missing, comes twice or belongs to something else.
    """
    rounds = 0 if config.active_learning is None else config.active_learning.rounds
    section_of(config, round_number, last=rounds - 1)
    known = read_round(config, frames, round_number)
    waiting = {
        frame.frame_id: structure_digest(frame.soft) for frame in read_round(config, selected, None)
    }
    fresh: dict[str, Frame] = {}
    for path in labels:
        for frame in read_round(config, path, None):
            if frame.frame_id in fresh:
                raise FramesError(f"{path}: frame {frame.frame_id} was labelled by another job too")
            if waiting.get(frame.frame_id) != structure_digest(frame.soft):
                raise FramesError(f"{path}: frame {frame.frame_id} is none of {selected}")
            fresh[frame.frame_id] = frame
    missing = [name for name in waiting if name not in fresh]
    if missing:
        raise FramesError(
            f"{len(missing)} frames have no label, the first is {missing[0]}: give the files of "
            "all jobs"
        )
    joined = [*known, *(fresh[name] for name in waiting)]
    report = check_frames(joined, limits_of(dataset_section(config)))
    # The test part has to be the same in all rounds, whatever joins it.
    findings = tuple(one for one in report.findings if one.frame_id in fresh)
    checked = [
        dataclasses.replace(frame, split="") if frame.status == "failed" else frame
        for frame in mark_failed(joined, Report(len(fresh), findings))
    ]
    origin = provenance.collect(config, "active_learning")
    write_frames(out, checked, origin)
    if table is not None:
        write_table(table, "dataset", [frame_row(frame) for frame in checked], origin)
    failed = sum(frame.status == "failed" for frame in checked if frame.frame_id in fresh)
    say(f"{out}: {len(known)} frames and {len(fresh)} new ones, {failed} of these failed")


def read_round(config: CampaignConfig, path: Path, round_number: int | None) -> list[Frame]:
    """Frames of a round, if they belong to this configuration.

    Args:
        config: The campaign.
        path: The file.
        round_number: Number of the round if these are its frames, those of round 0 being the
            dataset; None for what a round made on its way.
    """
    read = read_frames(path)
    own = "dataset" if round_number == 0 else "active_learning"
    if read.provenance is None or read.provenance.config_hash != config.section_digest(own):
        raise FramesError(f"{path}: belongs to another configuration; run the step before again")
    return list(read.frames)


def frame_name(round_number: int, walk: Walk, visit: Visited) -> str:
    """Name of a structure that was found."""
    return f"al{round_number:02d}-{walk.name}-{visit.step:06d}"


def _explored(
    config: CampaignConfig,
    one: Exploration,
    jury: Jury,
    frames: Sequence[Frame],
    round_number: int,
    checkpoint: Path | None,
) -> list[Walk]:
    """All trajectories of one exploration, of whichever kind it is."""
    assert config.active_learning is not None
    limits = config.active_learning.uncertainty
    if one.dynamics is None:
        raise SoftatomsError(f"active_learning.explore '{one.name}' does nothing")
    section = one.dynamics
    total = len(section.temperatures_k) * section.replicas * section.snapshots
    with Progress(total, label=one.name, unit="structures") as progress:
        return explore_by_dynamics(
            one,
            jury,
            frames,
            upper=limits.upper,
            unit=limits.unit,
            closest=config.active_learning.closest,
            seed=config.campaign.seed,
            round_number=round_number,
            checkpoint=checkpoint,
            progress=progress,
        )


def _seed(config: CampaignConfig, round_number: int, name: str) -> int:
    return int(own_stream(config.campaign.seed, round_number, name).integers(2**63))


def _row(
    round_number: int, walk: Walk, split: str, wanted: ActiveLearning, selected: Sequence[Frame]
) -> dict[str, Any]:
    spreads = np.array([visit.spread for visit in walk.visited])
    names = {frame_name(round_number, walk, visit) for visit in walk.visited}
    return {
        "trajectory_id": f"{round_number}/{walk.name}",
        "round": round_number,
        "exploration": walk.exploration,
        "temperature_k": walk.temperature,
        "split": split,
        "steps": walk.steps,
        "visited": len(spreads),
        "candidates": int((spreads >= wanted.uncertainty.lower).sum()),
        "selected": sum(frame.frame_id in names for frame in selected),
        "mean_uncertainty": float(spreads.mean()) if len(spreads) else None,
        "largest_uncertainty": float(spreads.max()) if len(spreads) else None,
        "uncertainty_unit": wanted.uncertainty.unit,
        "status": walk.status,
        "error": walk.error,
    }


def _summary(
    walks: Sequence[Walk],
    found: Sequence[tuple[Walk, Visited]],
    selected: Sequence[Frame],
    wanted: ActiveLearning,
    round_number: int,
    say: Say,
) -> None:
    visited = sum(len(walk.visited) for walk in walks)
    ended = {status: sum(w.status == status for w in walks) for status in ("stopped", "lost")}
    say(
        f"round {round_number}: {len(walks)} trajectories, {ended['stopped']} stopped by a "
        f"limit, {ended['lost']} lost; {visited} structures, {len(found)} of them uncertain, "
        f"{len(selected)} selected"
    )
    if not selected:
        limits = wanted.uncertainty
        say(
            f"nothing to label: no structure has an uncertainty between {limits.lower:g} and "
            f"{limits.upper:g} {limits.unit}"
        )
