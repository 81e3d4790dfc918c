"""Import of the JSON lists in which pymatgen-based projects publish DFT data.

A file, gzipped or not, is a list of records with a pymatgen ``structure`` and ``outputs``: the
total energy in eV, forces in eV/Å and six numbers of stress in kbar. Which number is which
component and which sign they have is not written down; ``stress_convention.py`` tells it from
strained cells.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ..errors import SoftatomsError, StructureError
from ..structure import SoftAtoms
from ..weight_groups import atomic_number
from .frames import Frame
from .imported import Imported, ImportFailedError, Rejected, joined, labelled_frame
from .stress_convention import (
    VASP,
    StrainedCell,
    StressConvention,
    detect_stress_convention,
)

_TRAJECTORY = re.compile(r"^-?(\d+)-\d+$")
"""Notes such as ``300-37``: temperature and number of the snapshot."""

_STRAIN = re.compile(r"^(\d+)-{1,2}-?\d*\.\d+$")
"""Notes such as ``4--0.0900``: mode and size of a strain."""

Stress = Literal["detect", "fit", "vasp", "drop"]
"""Where the convention comes from: strained cells of the data, VASP's, or no stress is wanted."""


def read_maml(
    paths: Sequence[str | Path],
    *,
    stress: Stress | StressConvention = "detect",
    labeller: str = "dft",
) -> Imported:
    """Read JSON lists; their strained cells together decide how stresses are to be read.

    A frame is named after its file and the ``_id`` of its record, or the record's position. Its
    group is the trajectory if the notes tell one (``Mo_AIMD/Md-300``), else the pair of relaxed and
    unrelaxed copies (``MoTa_SS/157``), else the file.

    Args:
        paths: Files that end in ``.json`` or ``.json.gz``.
        stress: ``detect``; ``fit`` to add as well what stresses differ by from the energies of
            strained cells; ``vasp``; ``drop`` to leave stresses out; or a convention.
        labeller: What the labels come from.

    Returns:
        The frames. Records with unusable labels become failed frames, those without a usable
        structure are rejected by name.

    Raises:
        ImportFailedError: If a file is no such list.
        StressConventionError: If ``stress`` is ``detect`` and the data leave it open.
    """
    sources = [(Path(path), read_records(path)) for path in paths]
    if isinstance(stress, StressConvention):
        convention: StressConvention | None = stress
    elif stress in ("detect", "fit"):
        convention = maml_stress_convention([record for _, rows in sources for record in rows])
        if convention is not None and stress == "fit":
            convention = replace(convention, adds_offset=True)
    else:
        convention = VASP if stress == "vasp" else None
    whole = joined([_imported(path, rows, convention, labeller) for path, rows in sources])
    notes = () if convention is None else (convention.description,)
    return Imported(whole.frames, whole.rejected, notes)


def read_records(path: str | Path) -> list[Any]:
    """The records of one file.

    Raises:
        ImportFailedError: Naming the file and what is wrong with it.
    """
    source = Path(path)
    try:
        content = source.read_bytes()
        text = gzip.decompress(content) if source.suffix == ".gz" else content
        records = json.loads(text)
    except FileNotFoundError:
        raise ImportFailedError(f"{source}: no such file") from None
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ImportFailedError(f"{source}: is damaged or no JSON: {error}") from None
    if not isinstance(records, list):
        raise ImportFailedError(
            f"{source}: must be a list of records, got {type(records).__name__}"
        )
    return records


def maml_stress_convention(records: Sequence[Any]) -> StressConvention | None:
    """The convention that explains the strained cells among some records, None without stresses.

    Raises:
        StressConventionError: If there are stresses and the data leave it open.
    """
    cells: list[StrainedCell] = []
    for record in records:
        try:
            outputs = record["outputs"]
            six = np.array(outputs["stress"], dtype=np.float64)
            energy = float(outputs["energy"])
            numbers, fractional, cell = _geometry(record["structure"])
        except (KeyError, TypeError, ValueError, SoftatomsError):
            continue
        if six.shape == (6,) and abs(np.linalg.det(cell)) > 1e-6:
            cells.append(StrainedCell(numbers, fractional, cell, energy, six))
    if not cells and not any(_has_stress(record) for record in records):
        return None
    return detect_stress_convention(cells)


def _has_stress(record: Any) -> bool:
    outputs = record.get("outputs") if isinstance(record, Mapping) else None
    return isinstance(outputs, Mapping) and outputs.get("stress") is not None


def _imported(
    path: Path, records: Sequence[Any], convention: StressConvention | None, labeller: str
) -> Imported:
    stem = path.name.removesuffix(".gz").removesuffix(".json")
    names = [_own_name(record) for record in records]
    counts = {name: names.count(name) for name in set(names) if name}
    frames: list[Frame] = []
    rejected: list[Rejected] = []
    for index, (record, name) in enumerate(zip(records, names, strict=True)):
        own = name if name and counts[name] == 1 else f"{index:05d}"
        frame_id, group = f"{stem}-{own}", _group(stem, record)
        try:
            frames.append(_frame(frame_id, group, record, convention, labeller))
        except StructureError as error:
            rejected.append(Rejected(frame_id, group, f"{path}: record {index}: {error}"))
    return Imported(tuple(frames), tuple(rejected))


def _own_name(record: Any) -> str:
    given = record.get("_id") if isinstance(record, Mapping) else None
    return given if isinstance(given, str) and re.fullmatch(r"[\w.-]+", given) else ""


def _group(stem: str, record: Any) -> str:
    notes = record.get("notes") if isinstance(record, Mapping) else None
    for tag, value in notes.items() if isinstance(notes, Mapping) else ():
        found = _TRAJECTORY.match(str(value))
        if found:
            return f"{stem}/{tag}-{found[1]}"
        found = _STRAIN.match(str(value))
        if found:
            return f"{stem}/strain-{found[1]}"
        if str(value).isdecimal():
            # The tag says relaxed or not; both start from one structure and stay together.
            return f"{stem}/{value}"
    return stem


def _frame(
    frame_id: str,
    group: str,
    record: Any,
    convention: StressConvention | None,
    labeller: str,
) -> Frame:
    if not isinstance(record, Mapping) or "structure" not in record:
        raise StructureError("has no 'structure'")
    numbers, fractional, cell = _geometry(record["structure"])
    atoms = Atoms(numbers=numbers, positions=fractional @ cell, cell=cell, pbc=True)
    soft = SoftAtoms.from_ase(atoms)
    outputs = record.get("outputs")
    if not isinstance(outputs, Mapping):
        return labelled_frame(
            frame_id=frame_id,
            group=group,
            soft=soft,
            energy=None,
            forces=None,
            stress=None,
            labeller=labeller,
            error="has no 'outputs'",
        )
    absent = [name for name in ("energy", "forces") if outputs.get(name) is None]
    error = f"lacks {' and '.join(absent)}" if absent else ""
    tension: object = None
    if outputs.get("stress") is not None and convention is not None:
        try:
            six = np.array(outputs["stress"], dtype=np.float64)
            tension = convention.matrix(six) if six.shape == (6,) else six
        except (TypeError, ValueError):
            tension = outputs["stress"]
    return labelled_frame(
        frame_id=frame_id,
        group=group,
        soft=soft,
        energy=outputs.get("energy"),
        forces=outputs.get("forces"),
        stress=tension,
        labeller=labeller,
        error=error,
    )


def _geometry(
    structure: Any,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Atomic numbers, fractional coordinates and cell of an ordered pymatgen structure.

    Read directly: building thousands of pymatgen objects takes a hundred times as long.

    Raises:
        StructureError: If it is no ordered structure.
    """
    try:
        cell = np.array(structure["lattice"]["matrix"], dtype=np.float64)
        symbols, fractional = [], []
        for site in structure["sites"]:
            (species,) = site["species"]
            if float(species["occu"]) != 1.0:
                raise StructureError("has partial occupancies; labels of soft sites are not read")
            symbols.append(str(species["element"]))
            fractional.append(site["abc"])
        places = np.array(fractional, dtype=np.float64).reshape(-1, 3)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, StructureError):
            raise
        raise StructureError(f"is no ordered pymatgen structure ({error!r})") from None
    if cell.shape != (3, 3) or len(places) != len(symbols):
        raise StructureError("is no ordered pymatgen structure (shapes of lattice and sites)")
    return np.array([atomic_number(symbol) for symbol in symbols]), places, cell
