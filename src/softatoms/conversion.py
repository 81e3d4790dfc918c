"""Soft structures to and from ASE, pymatgen and extended XYZ."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_masses, chemical_symbols

from . import units
from .errors import StructureError
from .structure import PLAIN, SoftAtoms, atomic_number

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure


def from_ase(atoms: Atoms) -> SoftAtoms:
    """See :meth:`SoftAtoms.from_ase`."""
    numbers = atoms.get_atomic_numbers().astype(np.int64)
    unknown = np.flatnonzero((numbers < 1) | (numbers >= len(chemical_symbols)))
    if unknown.size:
        raise StructureError(
            f"unknown species {atoms.get_chemical_symbols()[unknown[0]]!r} at site {unknown[0]}"
        )
    return SoftAtoms(
        positions=atoms.get_positions(),
        cell=np.array(atoms.cell, dtype=np.float64),
        pbc=np.array(atoms.pbc, dtype=bool),
        site_number=numbers,
        site_mass=np.asarray(atoms.get_masses(), dtype=np.float64),
        velocities=(
            units.velocity_from_ase(atoms.get_velocities()) if atoms.has("momenta") else None
        ),
    )


def dominant_numbers(soft: SoftAtoms) -> np.ndarray:
    """Atomic number of the heaviest-weighted candidate of each site, the first one in a tie."""
    order = np.lexsort((np.arange(len(soft.node_site)), -soft.node_weight, soft.node_site))
    first = np.cumsum(soft.candidate_counts) - soft.candidate_counts
    return soft.node_number[order[first]]


def to_ase(soft: SoftAtoms) -> Atoms:
    """See :meth:`SoftAtoms.to_ase`."""
    from ase import Atoms

    atoms = Atoms(
        numbers=dominant_numbers(soft), positions=soft.positions, cell=soft.cell, pbc=soft.pbc
    )
    changed = (soft.site_group == PLAIN) & (soft.site_mass != atoms.get_masses())
    if changed.any():
        atoms.set_masses(np.where(changed, soft.site_mass, atoms.get_masses()))
    if soft.velocities is not None:
        atoms.set_velocities(units.velocity_to_ase(soft.velocities))
    if len(soft.groups.theta):
        for number in np.unique(soft.groups.numbers):
            here = soft.node_number == number
            column = np.bincount(
                soft.node_site[here], weights=soft.node_weight[here], minlength=len(soft)
            )
            atoms.set_array(f"weight_{chemical_symbols[number]}", column)
        atoms.set_array("existence", soft.existence)
        atoms.set_array("tie", np.array(_tie_column(soft)))
    return atoms


def from_pymatgen(structure: Structure, *, tie_equivalent: bool) -> SoftAtoms:
    """See :meth:`SoftAtoms.from_pymatgen`."""
    occupancies: list[dict[str, float]] = []
    for index, site in enumerate(structure):
        held: dict[str, float] = {}
        for species, amount in site.species.items():
            symbol = getattr(species, "symbol", str(species))
            try:
                atomic_number(symbol)
            except StructureError as error:
                raise StructureError(f"site {index}: {error}") from None
            # Oxidation states of one element on one site are one candidate.
            held[symbol] = held.get(symbol, 0.0) + float(amount)
        if not held:
            raise StructureError(f"site {index} has no species")
        occupancies.append(held)
    plain = [len(held) == 1 and abs(next(iter(held.values())) - 1) < 1e-8 for held in occupancies]
    numbers = np.array([atomic_number(max(held, key=lambda s: held[s])) for held in occupancies])
    soft = SoftAtoms(
        positions=np.array(structure.cart_coords, dtype=np.float64),
        cell=np.array(structure.lattice.matrix, dtype=np.float64),
        pbc=np.array(structure.lattice.pbc, dtype=bool),
        site_number=numbers,
        site_mass=atomic_masses[numbers].astype(np.float64),
    )
    sublattices: dict[tuple[tuple[str, float], ...], list[int]] = {}
    for index, held in enumerate(occupancies):
        if not plain[index]:
            sublattices.setdefault(tuple(sorted(held.items())), []).append(index)
    for count, (occupancy, sites) in enumerate(sublattices.items()):
        tie = f"sublattice{count}" if tie_equivalent else None
        soft = soft.with_candidates(sites, dict(occupancy), tie=tie)
    return soft


def to_pymatgen(soft: SoftAtoms) -> Structure:
    """See :meth:`SoftAtoms.to_pymatgen`."""
    from pymatgen.core import Lattice, Structure

    if abs(np.linalg.det(soft.cell)) < 1e-12:
        raise StructureError(
            "a pymatgen Structure needs a cell of finite volume; this one has none"
        )
    species, sites = [], []
    for site in range(len(soft)):
        held = {symbol: weight for symbol, weight in soft.candidates(site).items() if weight > 0}
        if held:
            species.append(held)
            sites.append(site)
    if not sites:
        raise StructureError("no site has a weight above 0: there is nothing to convert")
    return Structure(
        Lattice(soft.cell, pbc=tuple(bool(periodic) for periodic in soft.pbc)),
        species,
        soft.positions[sites],
        coords_are_cartesian=True,
    )


def _tie_column(soft: SoftAtoms) -> list[str]:
    names = [soft.labelled_site(group) for group in range(len(soft.groups.ties))]
    return ["-" if group == PLAIN else names[group] for group in soft.site_group.tolist()]


def to_extxyz(soft: SoftAtoms, path: str | Path | None) -> str:
    """See :meth:`SoftAtoms.to_extxyz`.

    Written here rather than by ASE, which rounds positions to eight decimals: a structure in a
    table must give back the energy that stands beside it.
    """
    symbols = [chemical_symbols[number] for number in dominant_numbers(soft)]
    properties = ["species:S:1", "pos:R:3"]
    columns: list[list[str]] = [symbols, _real_columns(soft.positions)]
    if len(soft.groups.theta):
        properties += ["candidates:S:1", "tie:S:1"]
        untied = [tie is None for tie in soft.groups.ties]
        columns.append([_candidate_text(soft, site) for site in range(len(soft))])
        columns.append(
            [
                "-" if group == PLAIN or untied[group] else tie
                for group, tie in zip(soft.site_group.tolist(), _tie_column(soft), strict=True)
            ]
        )
    plain = soft.site_group == PLAIN
    standard = np.where(plain, atomic_masses[soft.site_number], np.nan)
    if (soft.site_mass[plain] != standard[plain]).any():
        properties.append("masses:R:1")
        columns.append(_real_columns(np.where(plain, soft.site_mass, 0.0)[:, None]))
    if soft.velocities is not None:
        properties.append("velocities_ang_per_fs:R:3")
        columns.append(_real_columns(soft.velocities))
    header = (
        f'Lattice="{" ".join(map(repr, soft.cell.ravel().tolist()))}" '
        f"Properties={':'.join(properties)} "
        f'pbc="{" ".join("FT"[int(periodic)] for periodic in soft.pbc)}"'
    )
    rows = [" ".join(row) for row in zip(*columns, strict=True)]
    text = "\n".join([str(len(soft)), header, *rows]) + "\n"
    if path is not None:
        target = Path(path)
        partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
        partial.write_text(text)
        partial.replace(target)
    return text


def _real_columns(values: np.ndarray) -> list[str]:
    return [" ".join(map(repr, row)) for row in values.tolist()]


def _candidate_text(soft: SoftAtoms, site: int) -> str:
    if soft.site_group[site] == PLAIN:
        return "-"
    return ",".join(f"{symbol}={weight!r}" for symbol, weight in soft.candidates(site).items())


def from_extxyz(source: str | Path) -> SoftAtoms:
    """See :meth:`SoftAtoms.from_extxyz`."""
    from ase.io import read

    is_text = isinstance(source, str) and "\n" in source
    where = "the given text" if is_text else str(source)
    if not is_text and not Path(source).is_file():
        raise StructureError(f"{where}: no such file")
    try:
        atoms = read(io.StringIO(str(source)) if is_text else source, format="extxyz")
    except Exception as error:
        raise StructureError(f"{where} is not an extended-XYZ structure: {error}") from error
    velocities = atoms.arrays.pop("velocities_ang_per_fs", None)
    soft = from_ase(atoms)
    if velocities is not None:
        soft = soft.with_velocities(velocities)
    if "candidates" not in atoms.arrays:
        return soft
    ties = atoms.arrays.get("tie", np.full(len(atoms), "-"))
    members: dict[tuple[str, str], list[int]] = {}
    for site, (text, tie) in enumerate(zip(atoms.arrays["candidates"], ties, strict=True)):
        if text != "-":
            members.setdefault((str(text), str(tie)), []).append(site)
    for (text, tie), sites in members.items():
        try:
            weights = {s: float(w) for s, w in (item.split("=") for item in text.split(","))}
        except ValueError:
            raise StructureError(
                f"{where}: candidates of site {sites[0]} must look like 'Al=0.8,Sc=0.2', "
                f"got {text!r}"
            ) from None
        soft = soft.with_candidates(sites, weights, tie=None if tie == "-" else tie)
    return soft
