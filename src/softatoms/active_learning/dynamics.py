"""Exploration by molecular dynamics in short stretches.

All trajectories of an exploration move in one batch. After each stretch the models are asked how
far they agree; trajectories beyond the upper threshold end there, and never reach the structures
at which a network goes astray. What was computed is kept stretch by stretch, so that a killed job
goes on, with the same numbers, from the last whole one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..checkpoint_file import load_checkpoint, save_checkpoint
from ..config.active_learning import BAROSTAT_INTERVAL
from ..dataset.frames import Frame
from ..dataset.parents import closest_ratio
from ..dataset.parquet_frames import structure_digest
from ..dynamics import Settings, run_dynamics
from ..structure import SoftAtoms
from ..units import GPA_PER_EV_ANG3
from .jury import Jury
from .walks import Status, Visited, Walk, own_stream, starting_structure

if TYPE_CHECKING:
    from ..config.active_learning import Exploration, ExploringDynamics
    from ..progress import Progress

_KIND = "exploration"


@dataclass(frozen=True)
class _Place:
    """Where a trajectory stands after a stretch."""

    soft: SoftAtoms
    steps: int
    spread: float
    status: Status = "ok"
    error: str = ""


def explore_by_dynamics(
    wanted: Exploration,
    jury: Jury,
    frames: Sequence[Frame],
    *,
    upper: float,
    unit: str,
    closest: float,
    seed: int,
    round_number: int,
    checkpoint: Path | None,
    progress: Progress | None = None,
) -> list[Walk]:
    """Run all trajectories of one exploration.

    Args:
        wanted: The exploration.
        jury: The models; the first one drives.
        frames: Frames of the round, for explorations that start from them.
        upper: Disagreement beyond which a trajectory ends.
        unit: Its unit, for messages.
        closest: Distance of two atoms over the sum of covalent radii below which one ends.
        seed: Seed of the campaign.
        round_number: Number of the round.
        checkpoint: Folder for finished stretches.
        progress: Counts structures that were looked at.

    Returns:
        One entry per trajectory, whatever became of it.
    """
    section = wanted.dynamics
    assert section is not None
    temperatures: dict[str, float] = {
        f"{wanted.name}-{index:02d}-{replica:02d}": temperature
        for index, temperature in enumerate(section.temperatures_k)
        for replica in range(section.replicas)
    }
    places = {
        name: _Place(
            starting_structure(wanted, frames, own_stream(seed, round_number, name)), 0, 0.0
        )
        for name in temperatures
    }
    own = _identity(
        wanted, jury, places, limits=(upper, closest), seed=seed, round_number=round_number
    )
    home = None if checkpoint is None else checkpoint / f"{wanted.name}-{_digest(own)[:12]}"
    visited: dict[str, list[Visited]] = {name: [] for name in places}
    for stretch in range(section.snapshots):
        live = [name for name, place in places.items() if place.status == "ok"]
        if not live:
            break
        path = None if home is None else home / f"{stretch:05d}.safetensors"
        before = {name: places[name] for name in live}
        after = None if path is None else _load(path, own, before)
        if after is None:
            seeds = {
                name: int(own_stream(seed, round_number, f"{name}/{stretch}").integers(2**63))
                for name in live
            }
            after = _moved(section, jury, before, temperatures, seeds)
            after = {name: _judged(place, upper, unit, closest) for name, place in after.items()}
            if path is not None:
                _save(path, own, after)
        places.update(after)
        for name, place in after.items():
            if place.status == "ok":
                soft = place.soft.with_velocities(None)
                visited[name].append(Visited(place.steps, soft, place.spread))
        if progress is not None:
            progress.advance(len(live))
    return [
        Walk(
            name=name,
            exploration=wanted.name,
            temperature=temperatures[name],
            steps=place.steps,
            visited=tuple(visited[name]),
            status=place.status,
            error=place.error,
        )
        for name, place in places.items()
    ]


def _moved(
    section: ExploringDynamics,
    jury: Jury,
    before: Mapping[str, _Place],
    temperatures: Mapping[str, float],
    seeds: Mapping[str, int],
) -> dict[str, _Place]:
    """Every trajectory one stretch later, with what the models say of it."""
    names = list(before)
    settings = [
        Settings(
            timestep=section.timestep_fs,
            temperature=temperatures[name],
            thermostat="langevin",
            friction=section.friction_per_fs,
            cell=section.cell,
            pressure=section.pressure_gpa / GPA_PER_EV_ANG3,
            barostat_interval=BAROSTAT_INTERVAL,
            seed=seeds[name],
        )
        for name in names
    ]
    outcomes = run_dynamics(
        jury.models[0],
        [before[name].soft for name in names],
        settings,
        n_steps=section.every,
        names=names,
        dtype=jury.dtype,
        device=jury.device,
    )
    whole = [end.soft for end in outcomes if end.status == "ok"]
    spreads = iter(jury.spreads(whole))
    after = {}
    for name, end in zip(names, outcomes, strict=True):
        steps = before[name].steps + end.steps
        if end.status == "ok":
            after[name] = _Place(end.soft, steps, next(spreads))
        else:
            after[name] = _Place(end.soft, steps, 0.0, "lost", end.error)
    return after


def _judged(place: _Place, upper: float, unit: str, closest: float) -> _Place:
    """Stopped, if the models no longer agree or atoms sit on each other."""
    if place.status != "ok":
        return place
    # Networks know no repulsion that they were not shown, and may agree that there is none.
    ratio = closest_ratio(place.soft.to_ase())
    if place.spread > upper:
        said = f"{place.spread:.4g} {unit}" if np.isfinite(place.spread) else "no number"
        error = f"the uncertainty is {said}, the limit is {upper:g} {unit}"
    elif ratio < closest:
        error = f"two atoms are at {ratio:.3g} of their covalent radii, the limit is {closest:g}"
    else:
        return place
    return replace(place, spread=0.0, status="stopped", error=f"step {place.steps}: {error}")


def _identity(
    wanted: Exploration,
    jury: Jury,
    places: Mapping[str, _Place],
    *,
    limits: tuple[float, float],
    seed: int,
    round_number: int,
) -> dict[str, str]:
    """Fingerprints of everything that determines the numbers, by what it is."""
    # More snapshots continue trajectories.
    section = wanted.model_dump(mode="json")
    del section["dynamics"]["snapshots"]
    settings = [section, *limits, seed, round_number, jury.measure]
    return {
        "models": "".join(model.sha256() for model in jury.models),
        "precision": f"{jury.dtype} {jury.device}",
        "starts": "".join(structure_digest(place.soft) for place in places.values()),
        "settings": json.dumps(settings, sort_keys=True),
    }


def _digest(own: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(own), sort_keys=True).encode()).hexdigest()


def _save(path: Path, own: Mapping[str, str], places: Mapping[str, _Place]) -> None:
    tensors, about = {}, {}
    for name, place in places.items():
        about[name] = [place.steps, place.spread, place.status, place.error]
        velocities = place.soft.velocities
        for part, values in (
            ("positions", place.soft.positions),
            ("velocities", np.zeros((0, 3)) if velocities is None else velocities),
            ("cell", place.soft.cell),
        ):
            tensors[f"{name}/{part}"] = torch.from_numpy(np.array(values, dtype=np.float64))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, _KIND, own, tensors, about)


def _load(
    path: Path, own: Mapping[str, str], before: Mapping[str, _Place]
) -> dict[str, _Place] | None:
    found = load_checkpoint(path, _KIND, own)
    if found is None:
        return None
    tensors, about = found
    return {name: _place(name, before[name], tensors, about[name]) for name in before}


def _place(
    name: str, before: _Place, tensors: Mapping[str, torch.Tensor], said: Sequence[Any]
) -> _Place:
    positions, velocities, cell = (
        tensors[f"{name}/{part}"].numpy() for part in ("positions", "velocities", "cell")
    )
    soft = before.soft.with_positions(positions, cell)
    return _Place(soft.with_velocities(velocities if len(velocities) else None), *said)
