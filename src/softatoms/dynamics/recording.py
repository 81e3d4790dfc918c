"""Samples and frames on their way to disk.

A run has a folder. What was sampled since the last flush is written as one more numbered part:
``samples/<observer>/part-000003.parquet`` and ``frames/part-000003.extxyz``. A checkpoint notes
how many parts there are; on resuming, parts beyond are removed and their rows come again. So each
row is there once, whenever the run was killed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..files import replacing, write_text
from ..structure import SoftAtoms
from ..tables import TableError
from .observers import INDEX, TABLE, VERSION, Observer

MOST_BYTES = 64 * 2**20
"""Memory that samples and frames may fill before they are written."""

_OVERHEAD = 4096
"""Memory that a batch of rows takes besides its numbers, about."""

FRAMES = "frames"
_TABLE, _VERSION, _ORIGIN = b"softatoms.table", b"softatoms.table_version", b"softatoms.origin"


class Recorder:
    """Collects rows and frames and writes them in parts.

    Args:
        folder: Folder of the run; None keeps everything in memory.
        observers: What is sampled.
        origin: Where the numbers come from, for the metadata of the files.
    """

    def __init__(
        self, folder: Path | None, observers: Sequence[Observer], origin: Mapping[str, Any]
    ) -> None:
        self._folder = folder
        self._rows: dict[str, list[pa.RecordBatch]] = {o.name: [] for o in observers}
        metadata = {
            _TABLE: TABLE.encode(),
            _VERSION: str(VERSION).encode(),
            _ORIGIN: json.dumps(dict(origin), sort_keys=True).encode(),
        }
        self._schemas = {o.name: o.schema.with_metadata(metadata) for o in observers}
        self._frames: list[str] = []
        self._pending = 0
        self.parts: dict[str, int] = dict.fromkeys([*self._rows, FRAMES], 0)

    def add(self, observer: str, rows: pa.RecordBatch) -> None:
        """Take some rows of one observer."""
        self._rows[observer].append(rows)
        self._count(rows.nbytes + _OVERHEAD)

    def add_frame(self, soft: SoftAtoms, **about: str | float) -> None:
        """Take a structure, with what is to be said about it in its comment line."""
        count, comment, rest = soft.to_extxyz().split("\n", 2)
        said = " ".join(f"{name}={json.dumps(value)}" for name, value in about.items())
        frame = f"{count}\n{comment} {said}\n{rest}"
        self._frames.append(frame)
        self._count(len(frame))

    def _count(self, n_bytes: int) -> None:
        self._pending += n_bytes
        if self._folder is not None and self._pending >= MOST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was taken since the last time."""
        self._pending = 0
        if self._folder is None:
            return
        for name, batches in self._rows.items():
            if batches:
                table = pa.Table.from_batches(batches).cast(self._schemas[name])
                with replacing(self._part(name)) as partial:
                    pq.write_table(table, partial, compression="zstd")
                batches.clear()
                self.parts[name] += 1
        if self._frames:
            write_text(self._part(FRAMES), "".join(self._frames))
            self._frames.clear()
            self.parts[FRAMES] += 1

    def rewind(self, parts: Mapping[str, int]) -> None:
        """Remove what was written after a checkpoint.

        Args:
            parts: Number of parts of each kind at the checkpoint.
        """
        if self._folder is None:
            return
        for name in self.parts:
            self.parts[name] = parts.get(name, 0)
            for path in self._part(name).parent.glob("part-*"):
                if _number(path) >= self.parts[name]:
                    path.unlink()

    def in_memory(self) -> dict[str, pa.Table]:
        """Everything that was taken, of each observer."""
        return {
            # One piece: filtering costs as much for each piece as for many rows.
            name: pa.Table.from_batches(batches, schema=self._schemas[name]).combine_chunks()
            for name, batches in self._rows.items()
        }

    def _part(self, name: str) -> Path:
        folder = Path(self._folder or ".")
        if name == FRAMES:
            return folder / FRAMES / f"part-{self.parts[name]:06d}.extxyz"
        return folder / "samples" / name / f"part-{self.parts[name]:06d}.parquet"


def read_samples(folder: str | Path, observer: str) -> pa.Table:
    """All samples of one observer of a run, in the order in which they were taken.

    Args:
        folder: Folder of the run.
        observer: Name of the observer.

    Raises:
        TableError: If there are none, or files are damaged or do not belong together.
    """
    place = Path(folder) / "samples" / observer
    paths = sorted(place.glob("part-*.parquet"), key=_number)
    if not paths:
        raise TableError(f"{place}: holds no samples")
    tables = []
    for number, path in enumerate(paths):
        if _number(path) != number:
            raise TableError(f"{place}: part {number} is missing")
        try:
            # Of the file itself: pyarrow would take the folders above for columns.
            table = pq.ParquetFile(path).read()
        except (pa.ArrowInvalid, OSError) as error:
            raise TableError(
                f"{path}: is damaged or no Parquet file: {str(error).splitlines()[0]}"
            ) from None
        metadata = table.schema.metadata or {}
        if metadata.get(_TABLE) != TABLE.encode():
            raise TableError(f"{path}: holds no samples of a trajectory")
        if metadata.get(_VERSION) != str(VERSION).encode():
            raise TableError(f"{path}: was written by another version of softatoms")
        tables.append(table)
    joined = pa.concat_tables(tables)
    keys = joined.select([column.name for column in INDEX[:2]])
    if keys.group_by(keys.column_names).aggregate([]).num_rows < joined.num_rows:
        raise TableError(f"{place}: a row comes twice")
    return joined


def of_system(table: pa.Table, system: str) -> pa.Table:
    """The rows of one system of a table of samples."""
    return table.filter(pc.equal(table["system"], system))


def read_frames(folder: str | Path) -> list[tuple[dict[str, Any], SoftAtoms]]:
    """All frames of a run with what is known about each: system, step, time_fs, energy_ev.

    Args:
        folder: Folder of the run.
    """
    paths = sorted((Path(folder) / FRAMES).glob("part-*.extxyz"), key=_number)
    frames = []
    for path in paths:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        start = 0
        while start < len(lines):
            end = start + 2 + int(lines[start])
            soft = SoftAtoms.from_extxyz("".join(lines[start:end]))
            said = re.findall(r'(system|step|time_fs|energy_ev)=("[^"]*"|\S+)', lines[start + 1])
            frames.append(({name: json.loads(value) for name, value in said}, soft))
            start = end
    return frames


def _number(path: Path) -> int:
    return int(path.name.removeprefix("part-").split(".")[0])
