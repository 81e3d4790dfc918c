"""Labels on disk, one line each, so that a killed job loses none and computes none twice.

Lines are only ever appended, and each is forced to disk before the next label is computed. A line
that was cut short by the kill is removed when the job starts again; one that was damaged later is
passed over and costs the others nothing. The file is locked, so that two jobs never write to it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import SoftatomsError
from .frames import Frame
from .parquet_frames import structure_digest

_FORMAT = 1


class CheckpointBusyError(SoftatomsError):
    """Another job writes to the same checkpoint."""


class LabelCheckpoint:
    """Labels of one job, as a context manager.

    Labels are found again by the structure and by what labelled it, also if another job of the same
    folder computed them; those of other settings stay in files of their own.

    Args:
        folder: Where to keep them; None keeps nothing.
        identity: Everything besides the structure that determines a label.
        job: Name of the job.
    """

    def __init__(self, folder: Path | None, identity: Sequence[str], job: str = "all") -> None:
        self._folder = folder
        self._job = job
        self._key = hashlib.sha256("\n".join([str(_FORMAT), *identity]).encode()).hexdigest()
        self._handle: BinaryIO | None = None
        self._known: dict[str, dict[str, Any]] = {}

    @property
    def path(self) -> Path | None:
        """The file of this job, if there is one."""
        return None if self._folder is None else self._folder / f"{self._stem}-{self._job}.jsonl"

    @property
    def _stem(self) -> str:
        return f"labels-{self._key[:16]}"

    def __enter__(self) -> LabelCheckpoint:
        if self.path is None:
            return self
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = self.path.open("a+b")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            raise CheckpointBusyError(f"{self.path}: another job writes to it") from None
        except OSError as error:
            # Some network file systems have no locks; a scheduler starts a job once even there.
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                handle.close()
                raise
        self._handle = handle
        for other in sorted(self.path.parent.glob(f"{self._stem}-*.jsonl")):
            if other != self.path:
                with other.open("rb") as lines:
                    self._read(lines)
        handle.seek(0)
        good = self._read(handle)
        handle.seek(0, os.SEEK_END)
        if handle.tell() > good:
            # The rest of a line that a kill cut short.
            handle.truncate(good)
        return self

    def _read(self, lines: BinaryIO) -> int:
        """Take over all whole lines; returns where the last of them ends, in bytes."""
        good = end = 0
        for line in lines:
            end += len(line)
            entry = _entry(line)
            if entry is not None:
                self._known[entry["structure"]] = entry
                good = end
        return good

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def __len__(self) -> int:
        return len(self._known)

    def labelled(self, frame: Frame) -> Frame | None:
        """The frame with its labels, if they are known already."""
        entry = self._known.get(structure_digest(frame.soft))
        if entry is None:
            return None
        return Frame(
            frame_id=frame.frame_id,
            group=frame.group,
            soft=frame.soft,
            energy=entry["energy"],
            forces=_array(entry["forces"]),
            stress=_array(entry["stress"]),
            split=frame.split,
            labeller=entry["labeller"],
            status=entry["status"],
            error=entry["error"],
        )

    def keep(self, frames: Sequence[Frame]) -> None:
        """Write the labels of some frames and wait until they are on the disk."""
        lines = []
        for frame in frames:
            structure = structure_digest(frame.soft)
            entry: dict[str, Any] = {
                "structure": structure,
                "frame_id": frame.frame_id,
                "energy": frame.energy,
                "forces": None if frame.forces is None else frame.forces.tolist(),
                "stress": None if frame.stress is None else frame.stress.tolist(),
                "labeller": frame.labeller,
                "status": frame.status,
                "error": frame.error,
            }
            self._known[structure] = entry
            text = json.dumps(entry)
            lines.append(f"{hashlib.sha256(text.encode()).hexdigest()[:16]} {text}\n")
        if self._handle is not None:
            self._handle.write("".join(lines).encode())
            self._handle.flush()
            os.fsync(self._handle.fileno())


def _entry(line: bytes) -> dict[str, Any] | None:
    """One line, or None if it is not whole."""
    digest, _, text = line.partition(b" ")
    if not line.endswith(b"\n") or hashlib.sha256(text[:-1]).hexdigest()[:16] != digest.decode(
        "ascii", "replace"
    ):
        return None
    entry: dict[str, Any] = json.loads(text)
    return entry


def _array(values: Any) -> NDArray[np.float64] | None:
    return None if values is None else np.array(values, dtype=np.float64)
