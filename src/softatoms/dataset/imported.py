"""What an importer returns: frames, and the records of which no frame could be made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import SoftatomsError
from ..structure import SoftAtoms
from .frames import Frame


class ImportFailedError(SoftatomsError):
    """A file that cannot be read as a dataset at all."""


@dataclass(frozen=True)
class Rejected:
    """A record without a usable structure; it becomes a failed row, not a frame.

    Attributes:
        frame_id: Name the frame would have had.
        group: Group the frame would have had.
        error: What is wrong with it, with the place it comes from.
    """

    frame_id: str
    group: str
    error: str


@dataclass(frozen=True)
class Imported:
    """What a file holds.

    Attributes:
        frames: One per usable record, in the order of the file.
        rejected: The other records.
        notes: What a user should know about how it was read.
    """

    frames: tuple[Frame, ...]
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()


def joined(parts: Sequence[Imported]) -> Imported:
    """Several imports as one.

    Raises:
        ImportFailedError: If a name comes twice.
    """
    whole = Imported(
        tuple(frame for part in parts for frame in part.frames),
        tuple(rejected for part in parts for rejected in part.rejected),
        tuple(note for part in parts for note in part.notes),
    )
    seen: set[str] = set()
    names = [frame.frame_id for frame in whole.frames]
    names += [rejected.frame_id for rejected in whole.rejected]
    for name in names:
        if name in seen:
            raise ImportFailedError(f"frame {name} comes twice; rename it, or one of the files")
        seen.add(name)
    return whole


def in_blocks(imported: Imported, count: int) -> Imported:
    """Each group cut into runs of consecutive frames, which become groups of their own.

    Args:
        imported: Frames in the order of their files.
        count: Number of runs per group; a group of fewer frames has one run per frame.
    """
    sizes = Counter(frame.group for frame in imported.frames)
    seen: Counter[str] = Counter()
    frames = []
    for frame in imported.frames:
        block = seen[frame.group] * count // max(sizes[frame.group], count)
        seen[frame.group] += 1
        frames.append(replace(frame, group=f"{frame.group}/block-{block}"))
    return replace(imported, frames=tuple(frames))


def labelled_frame(
    *,
    frame_id: str,
    group: str,
    soft: SoftAtoms,
    energy: object,
    forces: object,
    stress: object,
    labeller: str,
    error: str = "",
) -> Frame:
    """A frame from labels as a file has them; what has a wrong shape is left out and reported.

    Args:
        frame_id: Name of the frame.
        group: Group of the frame.
        soft: The structure.
        energy: Energy in eV, or None.
        forces: Forces in eV/Å, or None.
        stress: Stress in eV/Å³ with ASE's sign, shape (3, 3), or None.
        labeller: What the labels come from.
        error: What is known to be wrong already.
    """
    errors = [error] if error else []
    total = _number(energy, errors)
    pulls = _array(forces, soft.positions.shape, "forces", errors)
    tension = _array(stress, (3, 3), "stress", errors)
    labelled = any(value is not None for value in (total, pulls, tension))
    return Frame(
        frame_id=frame_id,
        group=group,
        soft=soft,
        energy=total,
        forces=pulls,
        stress=None if tension is None else (tension + tension.T) / 2,
        labeller=labeller if labelled else "",
        status="failed" if errors else ("ok" if labelled else "unlabelled"),
        error="; ".join(errors),
    )


def _number(value: object, errors: list[str]) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        errors.append(f"energy must be a number, got {value!r:.40}")
        return None
    return float(value)


def _array(
    value: object, shape: tuple[int, ...], name: str, errors: list[str]
) -> NDArray[np.float64] | None:
    if value is None:
        return None
    try:
        given: ArrayLike = value  # type: ignore[assignment]
        array = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        errors.append(f"{name} must be numbers of shape {shape}")
        return None
    if array.shape != shape:
        errors.append(f"{name} must have shape {shape}, got {array.shape}")
        return None
    return array
