"""Frames from labelled ASE structures, wherever ASE keeps the labels, and from ASE databases.

ASE has moved labels about: up to 3.22 the energies and forces of an extended-XYZ file stood in
``info`` and ``arrays``, from 3.23 on they stand in a calculator, and whoever looks in the old place
finds nothing. Constraints make ``get_forces`` return zeros. Here all places are searched, and the
forces are those the file holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress

from ..errors import SoftatomsError
from ..structure import SoftAtoms
from .frames import Frame
from .imported import Imported, ImportFailedError, Rejected, labelled_frame

if TYPE_CHECKING:
    from ase import Atoms

QUANTITIES = ("energy", "forces", "stress")
REFERENCE_KEYS = {name: f"REF_{name}" for name in QUANTITIES}
"""Names under which trainers expect labels, so that no calculator is taken for the reference."""

LOPSIDED = 1e-3
"""Part of a stress by which it may differ from its transpose."""

_REFERENCE_VIRIALS = ("REF_virial", "REF_virials")
_VIRIALS = ("virial", "virials")


def frame_of_atoms(
    atoms: Atoms,
    *,
    frame_id: str,
    group: str,
    labeller: str = "",
    keys: Mapping[str, str] | None = None,
) -> Frame:
    """A frame with the labels of an ASE structure.

    Labels are taken from the named keys, else from ``REF_energy``, ``REF_forces`` and
    ``REF_stress`` (or ``REF_virial``), else from the plain names, else from the results of the
    attached calculator. A name with ``virial`` in it holds a virial in eV, which is minus the
    stress times the volume. Nothing is computed and no constraint is applied.

    Args:
        atoms: The structure; energies in eV, forces in eV/Å, stresses in eV/Å³ with ASE's sign, as
            3×3 or in ASE's Voigt order (xx yy zz yz xz xy).
        frame_id: Name of the frame.
        group: Group of the frame.
        labeller: What the labels come from.
        keys: Other names of ``energy``, ``forces`` or ``stress`` in ``info`` and ``arrays``.

    Raises:
        StructureError: If the structure itself is impossible.
    """
    named = dict(keys or {})
    missing = [key for key in named.values() if key not in atoms.info and key not in atoms.arrays]
    found = {name: _label(atoms, name, named.get(name)) for name in ("energy", "forces")}
    stress, error = _stress(atoms, named.get("stress"))
    problems = [error] if error else []
    problems += [f"has no '{key}'" for key in missing]
    return labelled_frame(
        frame_id=frame_id,
        group=group,
        soft=SoftAtoms.from_ase(atoms),
        energy=found["energy"],
        forces=found["forces"],
        stress=stress,
        labeller=labeller,
        error="; ".join(problems),
    )


def read_ase_db(
    path: str | Path, *, labeller: str = "", group_key: str | None = None, selection: str = ""
) -> Imported:
    """Read an ASE database.

    Args:
        path: The database.
        labeller: What the labels come from; the calculator a row names, if empty.
        group_key: Key-value pair of the rows that names the group; all rows are one group without.
        selection: Condition in ASE's own language, such as ``natoms<50``.

    Returns:
        One frame per row, named after the file and the row's unique identifier.

    Raises:
        ImportFailedError: If the file is no database or the selection is none.
    """
    from ase.db import connect

    source = Path(path)
    if not source.is_file():
        raise ImportFailedError(f"{source}: no such file")
    frames: list[Frame] = []
    rejected: list[Rejected] = []
    try:
        rows = list(connect(source).select(selection))
    except Exception as error:  # every back end of ASE has errors of its own
        raise ImportFailedError(f"{source}: cannot be read as an ASE database: {error}") from None
    for row in rows:
        frame_id = f"{source.stem}-{row.unique_id}"
        group = source.stem
        if group_key is not None and group_key in row.key_value_pairs:
            group = f"{source.stem}/{row.key_value_pairs[group_key]}"
        try:
            frames.append(
                frame_of_atoms(
                    row.toatoms(),
                    frame_id=frame_id,
                    group=group,
                    labeller=labeller or row.get("calculator", ""),
                )
            )
        except SoftatomsError as error:
            rejected.append(Rejected(frame_id, group, f"{source}: row {row.id}: {error}"))
    return Imported(tuple(frames), tuple(rejected))


def _label(atoms: Atoms, name: str, own: str | None) -> Any:
    results = {} if atoms.calc is None else getattr(atoms.calc, "results", {})
    names = [own] if own else [REFERENCE_KEYS[name], name]
    for key in names:
        for place in (atoms.info, atoms.arrays):
            if key in place:
                return place[key]
    if own:
        return None
    found = results.get(name)
    return results.get("free_energy") if name == "energy" and found is None else found


def _stress(atoms: Atoms, own: str | None) -> tuple[Any, str]:
    """The stress as a matrix, also if it is given as a virial, and what is wrong with it."""
    places: list[str] = [own] if own else ["REF_stress", *_REFERENCE_VIRIALS, "stress"]
    if not own and "stress" not in getattr(atoms.calc, "results", {}):
        places += _VIRIALS
    key = next((key for key in places if key in atoms.info or key in atoms.arrays), None)
    if key is None or "virial" not in key.lower():
        return _full_matrix(_label(atoms, "stress", own), key or "stress")
    virial, error = _full_matrix(atoms.info.get(key), key)
    if virial is None:
        return None, error
    if abs(atoms.cell.volume) < 1e-9:
        return None, "" if not own else f"{key} says nothing about the stress without a cell"
    return -virial / atoms.cell.volume, ""


def _full_matrix(given: Any, name: str) -> tuple[Any, str]:
    """A symmetric matrix from nine or six numbers, and what is wrong with them."""
    if given is None:
        return None, ""
    try:
        values = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        return None, f"{name} must be numbers"
    if values.shape == (6,):
        return voigt_6_to_full_3x3_stress(values), ""
    if values.shape not in ((9,), (3, 3)):
        return None, f"{name} must have 3×3, 9 or 6 numbers, got shape {values.shape}"
    values = values.reshape(3, 3)
    if np.abs(values - values.T).max() > 1e-6 + LOPSIDED * np.abs(values).max():
        return None, f"{name} is not symmetric"
    return values, ""
