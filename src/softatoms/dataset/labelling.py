"""Energies, forces and stresses for frames that have none."""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..evaluation import evaluate_batch
from ..provenance import code_digest
from ..weight_groups import PLAIN
from .calculators import IN_FOLDER, make_calculator
from .frames import Frame
from .label_checkpoint import LabelCheckpoint
from .parquet_frames import structure_digest

if TYPE_CHECKING:
    from torch import Tensor

    from ..config.compute import Compute
    from ..config.dataset import Labels
    from ..potentials.base import Potential
    from ..progress import Progress
    from ..structure import SoftAtoms

_LONGEST_ERROR = 500

Labeller = Callable[[Sequence[Frame]], list[Frame]]
"""Gives some frames their labels, or the reason why they have none."""


def label_frames(
    frames: Sequence[Frame],
    labels: Labels,
    compute: Compute,
    *,
    checkpoint: Path | None = None,
    job: str = "all",
    progress: Progress | None = None,
) -> list[Frame]:
    """Give labels to frames that have none; the others are returned as they are.

    Args:
        frames: The frames.
        labels: What computes the labels.
        compute: Device and precision of potentials.
        checkpoint: Folder where labels are kept as soon as they are known; jobs may share it.
        job: Name of the job that labels.
        progress: Is told of every frame done.

    Returns:
        The frames in the same order. What could not be labelled has failed, with the reason.

    Raises:
        OptionError: If the calculator cannot be made at all.
    """
    labeller, identity = _labeller(labels, compute, checkpoint)
    done: dict[int, Frame] = {}
    with LabelCheckpoint(checkpoint, identity, job) as kept:
        waiting: list[int] = []
        for index, frame in enumerate(frames):
            known = frame if frame.status != "unlabelled" else kept.labelled(frame)
            if known is None:
                waiting.append(index)
            else:
                done[index] = known
        if progress is not None:
            progress.advance(len(done))
        step = labels.batch if labels.calculator == "softatoms" else 1
        for start in range(0, len(waiting), step):
            batch = waiting[start : start + step]
            fresh = labeller([frames[index] for index in batch])
            kept.keep(fresh)
            done.update(zip(batch, fresh, strict=True))
            if progress is not None:
                progress.advance(len(batch))
    return [done[index] for index in range(len(frames))]


def shard_of(frames: Sequence[Frame], shard: int, jobs: int) -> list[Frame]:
    """Frames without labels that one job takes care of.

    Sizes are dealt out in turn, so that all jobs have about as much to do.

    Args:
        frames: All frames of the dataset.
        shard: Number of the job, from 0.
        jobs: Number of jobs.
    """
    waiting = [frame for frame in frames if frame.status == "unlabelled"]
    return sorted(waiting, key=lambda frame: (-frame.n_sites, frame.frame_id))[shard::jobs]


def potential_sha256(labels: Labels) -> str:
    """Fingerprint of the potential that labels."""
    from ..potentials.registry import load_potential

    return load_potential(labels.potential.name, **labels.potential.options).sha256()


def _labeller(labels: Labels, compute: Compute, folder: Path | None) -> tuple[Labeller, list[str]]:
    """What labels, and everything that determines its labels."""
    if labels.calculator == "softatoms":
        from ..potentials.registry import load_potential

        section = labels.potential
        potential = load_potential(section.name, **section.options)
        name = section.name if not section.is_saved else Path(section.name).name
        identity = [name, potential.sha256(), code_digest(), compute.dtype, compute.device]
        return _by_potential(potential, name, compute), identity
    settings = [labels.calculator, labels.options, labels.pseudopotentials]
    # Once here, so that options no frame could use are an error of the configuration.
    _made(labels, Path(tempfile.gettempdir()))
    # Labels of external codes cost too much to depend on the version of this program.
    return _by_calculator(labels, folder), [json.dumps(settings, sort_keys=True)]


def _by_potential(potential: Potential, name: str, compute: Compute) -> Labeller:
    def evaluated(frames: Sequence[Frame], *, stress: bool) -> list[Frame]:
        wanted = ("energy", "forces", "stress") if stress else ("energy", "forces")
        results = evaluate_batch(
            potential,
            [frame.soft for frame in frames],
            properties=wanted,
            dtype=compute.dtype,
            device=compute.device,
        )
        return [
            _checked(
                frame,
                name,
                float(out.energy),
                _numbers(out.forces),
                _numbers(out.stress) if stress else None,
            )
            for frame, out in zip(frames, results, strict=True)
        ]

    def label(frames: Sequence[Frame]) -> list[Frame]:
        by_kind: dict[bool, list[Frame]] = {}
        for frame in frames:
            by_kind.setdefault(_has_stress(frame.soft), []).append(frame)
        found: dict[str, Frame] = {}
        for stress, members in by_kind.items():
            try:
                fresh = evaluated(members, stress=stress)
            except Exception:  # one bad structure must not take the others along
                fresh = [one for frame in members for one in _alone(frame, stress)]
            found.update({frame.frame_id: frame for frame in fresh})
        return [found[frame.frame_id] for frame in frames]

    def _alone(frame: Frame, stress: bool) -> Iterator[Frame]:
        try:
            yield from evaluated([frame], stress=stress)
        except Exception as error:  # whatever it is becomes a row
            yield _failed(frame, name, error)

    return label


def _by_calculator(labels: Labels, folder: Path | None) -> Labeller:
    def label(frames: Sequence[Frame]) -> list[Frame]:
        return [_by_ase(frame, labels, folder) for frame in frames]

    return label


def _by_ase(frame: Frame, labels: Labels, folder: Path | None) -> Frame:
    name = labels.calculator
    if (frame.soft.site_group != PLAIN).any():
        return _failed(frame, name, ValueError(f"{name} knows no soft sites"))
    atoms = frame.soft.to_ase()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch)
            if folder is not None and name in IN_FOLDER:
                # What an external code wrote is worth keeping.
                readable = re.sub(r"[^\w-]", "_", frame.frame_id)[:80]
                place = folder / "runs" / f"{readable}-{structure_digest(frame.soft)[:12]}"
                place.mkdir(parents=True, exist_ok=True)
            atoms.calc = _made(labels, place)
            energy = float(atoms.get_potential_energy())
            forces = np.array(atoms.get_forces(apply_constraint=False), dtype=np.float64)
            stress = None
            if _has_stress(frame.soft) and "stress" in atoms.calc.implemented_properties:
                stress = np.array(atoms.get_stress(voigt=False), dtype=np.float64)
    except Exception as error:  # whatever an external code does becomes a row
        return _failed(frame, name, error)
    return _checked(frame, name, energy, forces, stress)


def _made(labels: Labels, place: Path) -> object:
    return make_calculator(
        labels.calculator,
        labels.options,
        command=labels.command,
        pseudopotentials=labels.pseudopotentials,
        folder=place,
    )


def _numbers(values: Tensor | None) -> NDArray[np.float64]:
    assert values is not None
    return values.detach().cpu().numpy().astype(np.float64)


def _has_stress(soft: SoftAtoms) -> bool:
    return bool(soft.pbc.all()) and abs(float(np.linalg.det(soft.cell))) > 1e-9


def _checked(
    frame: Frame,
    name: str,
    energy: float,
    forces: NDArray[np.float64],
    stress: NDArray[np.float64] | None,
) -> Frame:
    values = [np.array(energy), forces, *([] if stress is None else [stress])]
    if not all(np.isfinite(value).all() for value in values):
        return _failed(frame, name, ValueError("gave nan or infinite numbers"))
    return dataclasses.replace(
        frame,
        energy=energy,
        forces=forces.astype(np.float64),
        stress=None if stress is None else stress.astype(np.float64),
        labeller=name,
        status="ok",
        error="",
    )


def _failed(frame: Frame, name: str, error: Exception) -> Frame:
    text = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_ERROR]
    return dataclasses.replace(frame, labeller=name, status="failed", error=text)
