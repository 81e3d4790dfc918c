"""Frames in Parquet files, bit for bit.

One row per frame; positions, velocities and forces are lists of vectors, cells and stresses lists
of nine numbers, row by row. Units stand in the metadata of the columns, the version of the layout,
the provenance and a fingerprint of all frames in that of the file. A file that was cut short or
edited is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ase.data import atomic_masses
from numpy.typing import NDArray

from ..conversion import dominant_numbers
from ..errors import SoftatomsError
from ..files import replacing
from ..provenance import Provenance
from ..structure import SoftAtoms
from ..weight_groups import PLAIN
from .frames import Frame

VERSION = 1
"""Raised whenever the meaning of a column changes."""

_VERSION, _PROVENANCE = b"softatoms.frames_version", b"softatoms.provenance"
_SEAL = b"softatoms.frames_sha256"

_VECTORS = pa.list_(pa.list_(pa.float64(), 3))
_NINE = pa.list_(pa.float64(), 9)

_COLUMNS: tuple[tuple[str, pa.DataType, bool, str, str], ...] = (
    ("frame_id", pa.string(), False, "", "name, unique in its dataset"),
    ("group", pa.string(), False, "", "origin; frames of one group stay in one split"),
    ("split", pa.string(), False, "", "train, validation, test or empty"),
    ("status", pa.string(), False, "", "ok, unlabelled or failed"),
    ("error", pa.string(), False, "", "what went wrong"),
    ("labeller", pa.string(), False, "", "what the labels come from"),
    ("numbers", pa.list_(pa.int64()), False, "1", "atomic numbers, the main candidate of a site"),
    ("positions", _VECTORS, False, "Å", "Cartesian positions"),
    ("cell", _NINE, False, "Å", "lattice vectors, one after the other"),
    ("pbc", pa.list_(pa.bool_(), 3), False, "", "periodicity along the lattice vectors"),
    ("masses", pa.list_(pa.float64()), True, "amu", "missing where they are those of the elements"),
    ("velocities", _VECTORS, True, "Å/fs", "velocities"),
    ("soft", pa.string(), True, "", "the whole structure as extended XYZ if it has soft sites"),
    ("energy", pa.float64(), True, "eV", "energy of the whole structure"),
    ("forces", _VECTORS, True, "eV/Å", "forces"),
    ("stress", _NINE, True, "eV/Å³", "stress, positive in tension"),
)


class FramesError(SoftatomsError):
    """A file of frames that is damaged, of another version, or does not hold what it should."""


@dataclass(frozen=True)
class FrameFile:
    """What a file holds.

    Attributes:
        frames: The frames in order.
        provenance: Where they come from, None if nobody said.
    """

    frames: tuple[Frame, ...]
    provenance: Provenance | None


def write_frames(
    path: str | Path, frames: Sequence[Frame], provenance: Provenance | None = None
) -> None:
    """Write frames to a Parquet file that appears whole or not at all.

    Args:
        path: The file.
        frames: The frames; their names must differ.
        provenance: Where they come from.

    Raises:
        FramesError: If a name comes twice.
    """
    seen: set[str] = set()
    for frame in frames:
        if frame.frame_id in seen:
            raise FramesError(f"{path}: frame {frame.frame_id} comes more than once")
        seen.add(frame.frame_id)
    schema = _schema().with_metadata(
        {
            _VERSION: str(VERSION).encode(),
            _PROVENANCE: b"" if provenance is None else provenance.to_json().encode(),
            _SEAL: frames_digest(frames).encode(),
        }
    )
    rows = [_row(frame) for frame in frames]
    columns = [
        pa.array([row[field.name] for row in rows], type=field.type, from_pandas=False)
        if field.type not in (_VECTORS, _NINE)
        else _numbers_column([row[field.name] for row in rows], field.type)
        for field in schema
    ]
    with replacing(path) as partial:
        table = pa.Table.from_arrays(columns, schema=schema)
        pq.write_table(table, partial, compression="zstd")


def read_frames(path: str | Path) -> FrameFile:
    """Read and check a file of frames.

    Raises:
        FramesError: Naming the file and what is wrong with it.
    """
    source = Path(path)
    if not source.is_file():
        raise FramesError(f"{source}: no such file of frames")
    try:
        data = pq.read_table(source)
    except (pa.ArrowInvalid, OSError) as error:
        first = str(error).splitlines()[0]
        raise FramesError(f"{source}: is damaged or no Parquet file: {first}") from None
    metadata = data.schema.metadata or {}
    version = metadata.get(_VERSION)
    if version is None:
        raise FramesError(f"{source}: holds no frames written by softatoms")
    if version != str(VERSION).encode():
        raise FramesError(
            f"{source}: has layout version {version.decode()}, this program reads {VERSION}; "
            "make the dataset again"
        )
    expected = _schema()
    if data.schema.names != expected.names or any(
        data.schema.field(field.name).type != field.type for field in expected
    ):
        raise FramesError(f"{source}: columns differ from the declared ones")
    try:
        frames = tuple(_frames(data))
        origin = metadata.get(_PROVENANCE, b"")
        provenance = Provenance.from_json(origin) if origin else None
    except ValueError as error:
        raise FramesError(f"{source}: {error}") from None
    if frames_digest(frames).encode() != metadata.get(_SEAL):
        raise FramesError(f"{source}: frames do not match their fingerprint; the file was changed")
    return FrameFile(frames, provenance)


def frames_digest(frames: Sequence[Frame]) -> str:
    """SHA-256 of everything in some frames, in their order."""
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(frame_digest(frame).encode())
    return digest.hexdigest()


def frame_digest(frame: Frame) -> str:
    """SHA-256 of everything in a frame."""
    soft = frame.soft
    texts = [frame.frame_id, frame.group, frame.split, frame.status, frame.error, frame.labeller]
    digest = hashlib.sha256(json.dumps([*texts, structure_digest(soft)]).encode())
    for value in (frame.energy, frame.forces, frame.stress):
        content = b"-" if value is None else np.asarray(value, dtype=np.float64).tobytes()
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def structure_digest(soft: SoftAtoms) -> str:
    """SHA-256 of a structure: its sites, what is on them, cell and velocities."""
    digest = hashlib.sha256()
    for values in (
        *(soft.positions, soft.cell, soft.pbc, soft.site_mass, soft.site_group, soft.site_number),
        *(soft.groups.theta, soft.groups.numbers, soft.groups.sizes),
        np.zeros(0) if soft.velocities is None else soft.velocities,
    ):
        content = np.ascontiguousarray(values).tobytes()
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def _schema() -> pa.Schema:
    return pa.schema(
        [
            pa.field(
                name, kind, nullable=missing, metadata={"unit": unit, "description": description}
            )
            for name, kind, missing, unit, description in _COLUMNS
        ]
    )


def _row(frame: Frame) -> dict[str, Any]:
    soft = frame.soft
    is_soft = bool((soft.site_group != PLAIN).any())
    numbers = dominant_numbers(soft)
    ordinary = is_soft or bool((soft.site_mass == atomic_masses[numbers]).all())
    return {
        "frame_id": frame.frame_id,
        "group": frame.group,
        "split": frame.split,
        "status": frame.status,
        "error": frame.error,
        "labeller": frame.labeller,
        "numbers": numbers,
        "positions": soft.positions,
        "cell": soft.cell,
        "pbc": soft.pbc.tolist(),
        "masses": None if ordinary else soft.site_mass,
        "velocities": soft.velocities,
        "soft": soft.to_extxyz() if is_soft else None,
        "energy": None if frame.energy is None else float(frame.energy),
        "forces": frame.forces,
        "stress": frame.stress,
    }


def _numbers_column(values: Sequence[NDArray[np.float64] | None], kind: pa.DataType) -> pa.Array:
    """A column of arrays, made from one flat array: lists of lists would be a hundred times slower.

    Args:
        values: One array per row, or None.
        kind: ``_VECTORS`` or ``_NINE``.
    """
    absent = np.array([value is None for value in values], dtype=bool)
    width = 9 if kind == _NINE else 3
    filler = np.zeros(9) if kind == _NINE else np.zeros(0)
    parts = [filler if value is None else np.asarray(value, np.float64).ravel() for value in values]
    flat = pa.array(np.concatenate(parts) if parts else np.zeros(0))
    if kind == _NINE:
        return pa.FixedSizeListArray.from_arrays(flat, width, mask=pa.array(absent))
    counts = np.array([len(part) // width for part in parts], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    rows = pa.FixedSizeListArray.from_arrays(flat, width)
    return pa.ListArray.from_arrays(pa.array(offsets), rows, mask=pa.array(absent))


def _frames(data: pa.Table) -> list[Frame]:
    arrays = {
        name: _reader(data[name].combine_chunks())
        for name in ("positions", "cell", "velocities", "forces", "stress", "numbers", "masses")
    }
    texts = data.select(
        ["frame_id", "group", "split", "status", "error", "labeller", "pbc", "soft", "energy"]
    ).to_pylist()
    frames = []
    for index, row in enumerate(texts):
        own = {name: read(index) for name, read in arrays.items()}
        soft_text, pbc = row.pop("soft"), row.pop("pbc")
        if soft_text is not None:
            soft = SoftAtoms.from_extxyz(soft_text)
        else:
            numbers = own["numbers"]
            if numbers is None or own["positions"] is None or own["cell"] is None:
                raise FramesError(f"frame {row['frame_id']} has no structure")
            masses = own["masses"]
            soft = SoftAtoms(
                positions=own["positions"].reshape(-1, 3),
                cell=own["cell"].reshape(3, 3),
                pbc=np.array(pbc, dtype=bool),
                site_number=numbers.astype(np.int64),
                site_mass=(
                    atomic_masses[numbers.astype(np.int64)] if masses is None else masses
                ).astype(np.float64),
                velocities=_shaped(own["velocities"], (-1, 3)),
            )
        frames.append(
            Frame(
                **row,
                soft=soft,
                forces=_shaped(own["forces"], (-1, 3)),
                stress=_shaped(own["stress"], (3, 3)),
            )
        )
    return frames


def _shaped(
    values: NDArray[np.float64] | None, shape: tuple[int, ...]
) -> NDArray[np.float64] | None:
    return None if values is None else values.reshape(shape)


def _reader(column: pa.Array) -> Callable[[int], NDArray[Any] | None]:
    """Access to the rows of a column as flat arrays that belong to nobody else."""
    absent = np.asarray(column.is_null())
    fixed = pa.types.is_fixed_size_list(column.type)
    inner = column.values
    width = 1
    if pa.types.is_fixed_size_list(inner.type):
        width, inner = inner.type.list_size, inner.values
    flat = inner.to_numpy(zero_copy_only=False)
    if fixed:
        size = column.type.list_size
        starts = (np.arange(len(column)) + column.offset) * size
        ends = starts + size
    else:
        offsets = column.offsets.to_numpy(zero_copy_only=False).astype(np.int64) * width
        starts, ends = offsets[:-1], offsets[1:]

    def read(index: int) -> NDArray[Any] | None:
        return None if absent[index] else flat[starts[index] : ends[index]].copy()

    return read
