"""Frames to and from extended XYZ, the format other trainers read.

Written are the keys ``REF_energy`` (eV), ``REF_forces`` (eV/Å) and ``REF_stress`` (eV/Å³, ASE's
sign) with all digits; a label that a frame lacks is left out rather than written as zero.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from ase.data import atomic_masses, chemical_symbols

from ..errors import SoftatomsError
from ..files import write_text
from ..units import velocity_to_ase
from ..weight_groups import PLAIN
from .ase_frames import frame_of_atoms
from .frames import Frame, Split
from .imported import Imported, ImportFailedError, Rejected

if TYPE_CHECKING:
    from ase import Atoms

_TEXTS = ("frame_id", "group", "split", "labeller")
_LABEL = re.compile("energ|force|stress|virial", re.IGNORECASE)
_TEXT = re.compile(r'(?:^|\s)([\w-]+)=(?:"((?:\\.|[^"\\])*)"|(\S+))')
"""Any key and its value, so that what looks like a key inside of a quoted value is none."""


class ExportError(SoftatomsError):
    """A frame that cannot be handed to another program."""


def write_extxyz(path: str | Path, frames: Sequence[Frame]) -> None:
    """Write frames for other trainers; the file appears whole or not at all.

    Args:
        path: The file.
        frames: Frames of plain sites that did not fail.

    Raises:
        ExportError: Naming a frame that failed or has soft sites.
    """
    for frame in frames:
        if frame.status == "failed":
            raise ExportError(
                f"{path}: frame {frame.frame_id} failed ({frame.error}); leave it out"
            )
        if (frame.soft.site_group != PLAIN).any():
            raise ExportError(
                f"{path}: frame {frame.frame_id} has soft sites, which no other program understands"
            )
    write_text(path, "".join(_text(frame) for frame in frames))


def read_extxyz(
    path: str | Path, *, labeller: str = "", keys: Mapping[str, str] | None = None
) -> Imported:
    """Read labelled structures from extended XYZ.

    A frame is called and grouped as ``frame_id`` and ``group`` (or ``config_type``) in its comment
    line say, else after the file.

    Args:
        path: The file.
        labeller: What the labels come from, where the file does not say it.
        keys: Other names of ``energy``, ``forces`` or ``stress``.

    Raises:
        ImportFailedError: If the file is empty or damaged, naming the structure.
    """
    from ase.io.extxyz import read_xyz

    source = Path(path)
    if not source.is_file():
        raise ImportFailedError(f"{source}: no such file")
    frames: list[Frame] = []
    rejected: list[Rejected] = []
    unread: dict[str, int] = {}
    index = 0
    with source.open(encoding="utf-8") as handle:
        structures = read_xyz(handle, index=slice(None), properties_parser=_comment)
        while True:
            try:
                atoms = next(structures, None)
            except Exception as error:  # ASE raises whatever the broken line leads to
                what = f"{type(error).__name__}: {error}"
                raise ImportFailedError(f"{source}: structure {index}: {what}") from None
            if atoms is None:
                break
            texts = {name: str(atoms.info.pop(f"{name}\0", "")) for name in _TEXTS}
            group = texts["group"] or str(atoms.info.get("config_type\0", "")) or source.stem
            frame_id = texts["frame_id"] or f"{source.stem}-{index:05d}"
            try:
                frame = frame_of_atoms(
                    atoms,
                    frame_id=frame_id,
                    group=group,
                    labeller=texts["labeller"] or labeller,
                    keys=keys,
                )
                frames.append(_with_split(frame, texts["split"]))
                if frame.status == "unlabelled":
                    for name in _possible_labels(atoms):
                        unread[name] = unread.get(name, 0) + 1
            except SoftatomsError as error:
                rejected.append(Rejected(frame_id, group, f"{source}: structure {index}: {error}"))
            index += 1
    if index == 0:
        raise ImportFailedError(f"{source}: holds no structure")
    notes = [
        f"{source}: {count} structures without labels have '{name}'; to read it, name it in 'keys'"
        for name, count in unread.items()
    ]
    return Imported(tuple(frames), tuple(rejected), tuple(notes))


def _possible_labels(atoms: Atoms) -> list[str]:
    """What a structure carries under names that sound like labels."""
    found = [*atoms.info, *atoms.arrays]
    return sorted(name for name in found if _LABEL.search(name))


def _with_split(frame: Frame, split: str) -> Frame:
    known: dict[str, Split] = {name: name for name in get_args(Split)}
    if split not in known:
        return replace(frame, status="failed", error=f"unknown split '{split}'")
    return replace(frame, split=known[split])


def _comment(line: str) -> dict[str, Any]:
    """ASE's reading of a comment line, with names as texts: ASE makes 12 of ``"0012"``."""
    from ase.io.extxyz import key_val_str_to_dict

    values: dict[str, Any] = key_val_str_to_dict(line)
    for found in _TEXT.finditer(line):
        if found[1] not in (*_TEXTS, "config_type"):
            continue
        quoted = found[2] if found[2] is not None else found[3]
        values.pop(found[1], None)
        values[f"{found[1]}\0"] = re.sub(r"\\(.)", r"\1", quoted)
    return values


def _text(frame: Frame) -> str:
    soft = frame.soft
    columns = [
        np.array([chemical_symbols[number] for number in soft.site_number])[:, None],
        _digits(soft.positions),
    ]
    properties = "species:S:1:pos:R:3"
    if frame.forces is not None:
        columns.append(_digits(frame.forces))
        properties += ":REF_forces:R:3"
    if (soft.site_mass != atomic_masses[soft.site_number]).any():
        columns.append(_digits(soft.site_mass[:, None]))
        properties += ":masses:R:1"
    if soft.velocities is not None:
        momenta = velocity_to_ase(soft.velocities) * soft.site_mass[:, None]
        columns.append(_digits(momenta))
        properties += ":momenta:R:3"
    header = [
        f'Lattice="{" ".join(map(repr, soft.cell.ravel().tolist()))}"',
        f"Properties={properties}",
        f'pbc="{" ".join("FT"[int(periodic)] for periodic in soft.pbc)}"',
    ]
    header += [f"{name}={_quoted(getattr(frame, name))}" for name in _TEXTS if getattr(frame, name)]
    if frame.energy is not None:
        header.append(f"REF_energy={float(frame.energy)!r}")
    if frame.stress is not None:
        header.append(f'REF_stress="{" ".join(map(repr, frame.stress.ravel().tolist()))}"')
    rows = [" ".join(row) for row in np.concatenate(columns, axis=1).tolist()]
    return "\n".join([str(len(soft)), " ".join(header), *rows]) + "\n"


def _digits(values: np.ndarray) -> np.ndarray:
    return np.array([[repr(value) for value in row] for row in values.tolist()])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{" ".join(escaped.split())}"'
