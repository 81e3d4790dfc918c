"""Frames made ready for training: labels checked, neighbours found once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ..dataset.frames import Frame
from ..errors import SoftatomsError
from ..neighbours import Pairs
from ..neighbours_many import neighbour_pairs_of_many
from ..potentials.base import Potential
from .settings import LossSettings

ALL = "all"
"""Group and element of rows of tables that take everything together."""

SYSTEM = "system:"
"""What stands before the elements in the group of rows that take all frames of these elements
together."""

FEWEST_ATOMS = 1e-6
"""Sum of existences below which an energy per atom makes no sense."""


class FrameError(SoftatomsError):
    """A frame that cannot be trained on or evaluated."""


@dataclass(frozen=True)
class Example:
    """A frame with its neighbours.

    Attributes:
        frame: The frame.
        pairs: Pairs within the cutoff; they never change.
        atoms: Number of atoms, each counted by its existence.
        nodes: Number of (site, candidate) pairs: what an evaluation costs.
        width: Largest number of pairs of a site.
    """

    frame: Frame
    pairs: Pairs
    atoms: float
    nodes: int
    width: int


def labelled(frames: Sequence[Frame]) -> list[Frame]:
    """The frames that labelling did not fail on, checked.

    Raises:
        FrameError: If a frame has no label, a label that is not finite, no atom, a stress without
            a volume, or the name of another, or if its group is named as rows of all groups are.
    """
    for name, count in Counter(frame.frame_id for frame in frames).items():
        if count > 1:
            raise FrameError(f"frame {name}: comes {count} times")
    kept = [frame for frame in frames if frame.status != "failed"]
    for frame in kept:
        if frame.group == ALL or frame.group.startswith(SYSTEM):
            raise FrameError(
                f"frame {frame.frame_id}: its group '{frame.group}' is named as rows of tables are "
                "that hold several groups; call it otherwise"
            )
        labels = (("energy", frame.energy), ("forces", frame.forces), ("stress", frame.stress))
        if all(values is None for _, values in labels):
            raise FrameError(f"frame {frame.frame_id}: has neither energy, forces nor stress")
        for name, values in labels:
            if values is not None and not np.isfinite(np.asarray(values, dtype=np.float64)).all():
                raise FrameError(f"frame {frame.frame_id}: {name} is not finite")
        if frame.soft.existence.sum() < FEWEST_ATOMS:
            raise FrameError(f"frame {frame.frame_id}: has no atoms")
        if frame.stress is not None and not has_volume(frame.soft.cell):
            raise FrameError(f"frame {frame.frame_id}: has a stress, but its cell has no volume")
    return kept


def has_volume(cell: NDArray[np.float64]) -> bool:
    """Whether a cell, shape (3, 3), has a volume to divide by."""
    return bool(abs(np.linalg.det(cell)) >= 1e-12)


def refuse_unlabelled(frames: Sequence[Frame], loss: LossSettings, *, what: str) -> None:
    """See that a loss has something to be about.

    Args:
        frames: All frames of a part.
        loss: The loss.
        what: Name of the part, for the message.

    Raises:
        FrameError: If no frame has a label that the loss weighs.
    """
    weights = (
        ("energy", loss.energy_weight),
        ("forces", loss.forces_weight),
        ("stress", loss.stress_weight),
    )
    wanted = [name for name, weight in weights if weight > 0.0]
    if frames and all(getattr(frame, name) is None for frame in frames for name in wanted):
        raise FrameError(
            f"no {what} frame has {' or '.join(wanted)}, which is all that the loss weighs; give "
            "such labels, or weights to those that there are"
        )


def split_frames(frames: Sequence[Frame]) -> tuple[list[Frame], list[Frame]]:
    """Checked frames for training and for validation.

    Raises:
        FrameError: If only some frames have a split, a group stands in several, or there are no
            training frames.
    """
    kept = labelled(frames)
    unassigned = [frame for frame in kept if not frame.split]
    if len(unassigned) == len(kept):
        training, validation = kept, []
    elif unassigned:
        raise FrameError(
            f"frame {unassigned[0].frame_id}: has no split, but others have: assign one to every "
            "frame, or to none"
        )
    else:
        home: dict[str, Frame] = {}
        for frame in kept:
            first = home.setdefault(frame.group, frame)
            if first.split != frame.split:
                raise FrameError(
                    f"frame {frame.frame_id}: is in '{frame.split}', but frame {first.frame_id} of "
                    f"the same group '{frame.group}' is in '{first.split}'"
                )
        training = [frame for frame in kept if frame.split == "train"]
        validation = [frame for frame in kept if frame.split == "validation"]
    if not training:
        raise FrameError(f"there is no frame to train on among {len(frames)}")
    return training, validation


def group_importance(frames: Sequence[Frame], weights: Mapping[str, float]) -> dict[str, float]:
    """Factor of the penalties of each group of frames.

    Args:
        frames: The frames.
        weights: Factors by name of a group or pattern; the first that fits counts.

    Raises:
        FrameError: If a pattern fits no group.
    """
    groups = sorted({frame.group for frame in frames})
    for pattern in weights:
        if not any(fnmatchcase(group, pattern) for group in groups):
            close = get_close_matches(pattern, groups, n=3, cutoff=0.0)
            raise FrameError(
                f"group_weights: no group is called '{pattern}'; of {len(groups)} groups the "
                f"closest are {', '.join(close)}"
            )
    return {
        group: next((w for pattern, w in weights.items() if fnmatchcase(group, pattern)), 1.0)
        for group in groups
    }


def make_examples(frames: Sequence[Frame], potential: Potential) -> list[Example]:
    """Neighbours of every frame within the cutoff of a potential.

    Raises:
        FrameError: If the potential does not cover an element.
    """
    known = set(potential.species)
    for frame in frames:
        present = {chemical_symbols[number] for number in frame.soft.node_number.tolist()}
        if known and not present <= known:
            missing = ", ".join(sorted(present - known))
            raise FrameError(
                f"frame {frame.frame_id}: the {potential.name} potential does not cover {missing}"
            )
    found = neighbour_pairs_of_many([frame.soft for frame in frames], potential.cutoff)
    return [
        Example(
            frame=frame,
            pairs=pairs,
            atoms=float(frame.soft.existence.sum()),
            nodes=len(frame.soft.node_site),
            width=int(np.bincount(pairs.receivers, minlength=1).max()),
        )
        for frame, pairs in zip(frames, found, strict=True)
    ]


def composition_matrix(frames: Sequence[Frame], species: Sequence[str]) -> NDArray[np.float64]:
    """Number of atoms of each species in each frame, shape (n_frames, n_species)."""
    column = {symbol: index for index, symbol in enumerate(species)}
    counts = np.zeros((len(frames), len(species)))
    for row, frame in zip(counts, frames, strict=True):
        symbols = [column[chemical_symbols[n]] for n in frame.soft.node_number.tolist()]
        np.add.at(row, symbols, frame.soft.node_weight)
    return counts


def frames_digest(frames: Sequence[Frame]) -> str:
    """Fingerprint of structures, labels, groups and splits, in their order."""
    digest = hashlib.sha256()
    for frame in frames:
        soft = frame.soft
        digest.update("\0".join((frame.frame_id, frame.group, frame.split)).encode() + b"\n")
        energy = np.array([np.nan if frame.energy is None else frame.energy])
        none = np.zeros(0)
        arrays = (
            *(soft.positions, soft.cell, soft.pbc, soft.node_number, soft.node_site),
            *(soft.node_weight, soft.site_group, energy),
            none if frame.forces is None else frame.forces,
            none if frame.stress is None else frame.stress,
        )
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes() + b"|")
    return digest.hexdigest()
