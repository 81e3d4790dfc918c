"""What every way to explore gives back, and where trajectories start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from ..dataset.frames import Frame
from ..dataset.parents import build_parent, rattled, stream
from ..errors import SoftatomsError, suggest
from ..structure import SoftAtoms
from ..weight_groups import PLAIN

if TYPE_CHECKING:
    import numpy as np

    from ..config.active_learning import Exploration

START = 0.02
"""Displacement in Å that breaks the symmetry of a parent."""

Status = Literal["ok", "stopped", "lost"]


@dataclass(frozen=True)
class Visited:
    """A structure on the way.

    Attributes:
        step: When, in steps of the exploration.
        soft: The structure, without velocities.
        spread: How far the models disagree about it.
    """

    step: int
    soft: SoftAtoms
    spread: float


@dataclass(frozen=True)
class Walk:
    """What one trajectory has seen.

    Attributes:
        name: Name, unique in its round.
        exploration: Name of the exploration.
        temperature: In K; None where there is none.
        steps: Steps it took.
        visited: Structures that the models agree about up to the upper threshold.
        status: ``ok``; ``stopped`` where they no longer did; ``lost`` if the dynamics broke down.
        error: Why it is not ``ok``.
    """

    name: str
    exploration: str
    temperature: float | None
    steps: int
    visited: tuple[Visited, ...]
    status: Status
    error: str


def starting_structure(
    wanted: Exploration, frames: Sequence[Frame], rng: np.random.Generator
) -> SoftAtoms:
    """Where one trajectory starts.

    Args:
        wanted: The exploration.
        frames: All frames of the round; only those that models are trained on are started from.
        rng: Source of randomness.

    Raises:
        SoftatomsError: If there is no such structure.
    """
    where = f"active_learning.explore '{wanted.name}'"
    if wanted.parent is not None:
        atoms = build_parent(wanted.parent)
        if wanted.missing >= len(atoms):
            raise SoftatomsError(
                f"{where}: missing: the parent has {len(atoms)} atoms, {wanted.missing} cannot be "
                "left out"
            )
        gone = rng.choice(len(atoms), size=wanted.missing, replace=False)
        del atoms[gone.tolist()]
        return SoftAtoms.from_ase(rattled(atoms, START, rng))
    pattern = wanted.frames or ""
    usable = [f for f in frames if f.status == "ok" and f.split in ("train", "")]
    fitting = [f for f in usable if fnmatchcase(f.group, pattern)]
    if not fitting:
        groups = sorted({frame.group for frame in usable})
        raise SoftatomsError(
            f"{where}: frames: no group of training frames is called '{pattern}': "
            f"{suggest(pattern, groups)}"
        )
    start = fitting[int(rng.integers(len(fitting)))]
    if (start.soft.site_group != PLAIN).any():
        raise SoftatomsError(f"{where}: frames: {start.frame_id} has soft sites")
    return start.soft.with_velocities(None)


def own_stream(seed: int, round_number: int, name: str) -> np.random.Generator:
    """Random numbers of their own for whatever has a name in a round."""
    return stream(seed, f"active-learning/{round_number}/{name}")
