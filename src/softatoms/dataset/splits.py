"""Dividing frames into training, validation and test parts, group by group.

The part of a group follows from its name and the seed alone. Frames of one group, such as the
snapshots of one trajectory, therefore never stand in different parts, and adding frames or groups
moves none of the others.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal

from ..errors import OptionError, suggest
from .frames import Frame

Part = Literal["train", "validation", "test"]

PARTS: tuple[Part, ...] = ("train", "validation", "test")

SUM_TOLERANCE = 1e-6


def split_frames(
    frames: Sequence[Frame],
    *,
    fractions: Mapping[str, float],
    seed: int,
    assigned: Mapping[str, str] | None = None,
) -> list[Frame]:
    """Frames with their part filled in; frames that failed belong to none.

    Frames that come with a part keep it, and so do all others of their group.

    Args:
        frames: The frames.
        fractions: Expected share of the groups in ``train``, ``validation`` and ``test``.
        seed: Another seed gives another division.
        assigned: Part of some groups, by name or pattern such as ``W_AIMD/*``; the first pattern
            that fits counts.

    Raises:
        OptionError: If the fractions do not sum to 1, a part or a group does not exist, or frames
            of one group come with different parts.
    """
    check_fractions(fractions)
    patterns = dict(assigned or {})
    for pattern, part in patterns.items():
        if part not in PARTS:
            raise OptionError(f"unknown part '{part}' of group '{pattern}': {suggest(part, PARTS)}")
    groups = sorted({frame.group for frame in frames})
    for pattern in patterns:
        if not any(fnmatchcase(group, pattern) for group in groups):
            raise OptionError(f"no group is called '{pattern}': {suggest(pattern, groups)}")
    parts = {group: part_of(group, fractions, seed, patterns) for group in groups}
    parts.update(_given(frames, patterns))
    return [
        dataclasses.replace(frame, split="" if frame.status == "failed" else parts[frame.group])
        for frame in frames
    ]


def _given(frames: Sequence[Frame], assigned: Mapping[str, str]) -> dict[str, Part]:
    """Parts that groups come with, unless they are assigned another one."""
    given: dict[str, Part] = {}
    for frame in frames:
        if not frame.split or any(fnmatchcase(frame.group, pattern) for pattern in assigned):
            continue
        before = given.setdefault(frame.group, frame.split)
        if before != frame.split:
            raise OptionError(
                f"frame {frame.frame_id} comes with the part '{frame.split}', others of its group "
                f"'{frame.group}' with '{before}': assign one to the group"
            )
    return given


def part_of(
    group: str, fractions: Mapping[str, float], seed: int, assigned: Mapping[str, str]
) -> Part:
    """Part of one group; see :func:`split_frames`."""
    for pattern, part in assigned.items():
        if fnmatchcase(group, pattern):
            return next(known for known in PARTS if known == part)
    place = _uniform(f"{seed}\n{group}")
    total = 0.0
    for part in PARTS:
        total += fractions.get(part, 0.0)
        if place < total:
            return part
    # Fractions may sum to a rounding error less than 1.
    return next(part for part in reversed(PARTS) if fractions.get(part, 0.0) > 0)


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Raise unless the fractions are those of known parts and sum to 1.

    Raises:
        OptionError: Saying what is wrong.
    """
    for part, fraction in fractions.items():
        if part not in PARTS:
            raise OptionError(f"unknown part '{part}': {suggest(part, PARTS)}")
        if not 0 <= fraction <= 1:
            raise OptionError(f"the fraction of '{part}' must lie in [0, 1], got {fraction:g}")
    if abs(sum(fractions.values()) - 1) > SUM_TOLERANCE:
        raise OptionError(f"fractions must sum to 1, got {sum(fractions.values()):g}")


def _uniform(text: str) -> float:
    """A number in [0, 1) that looks random and depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2.0**64
