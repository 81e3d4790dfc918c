"""Soft structures to and from ASE, pymatgen and extended XYZ."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_masses, chemical_symbols
from numpy.typing import NDArray

from . import units
from .errors import StructureError
from .structure import SoftAtoms
from .weight_groups import PLAIN, atomic_number

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core.structure import Structure


def from_ase(atoms: Atoms) -> SoftAtoms:
    """See :meth:`SoftAtoms.from_ase`."""
    if not hasattr(atoms, "get_atomic_numbers"):
        raise StructureError(f"from_ase takes an ase.Atoms, got {type(atoms).__name__}")
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
    masses = _masses(soft)
    if (masses != atoms.get_masses()).any():
        atoms.set_masses(masses)
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


def _masses(soft: SoftAtoms) -> NDArray[np.float64]:
    """Mass of each site in amu, that of its dominant candidate where no other is known."""
    return np.where(np.isnan(soft.site_mass), atomic_masses[dominant_numbers(soft)], soft.site_mass)


def from_pymatgen(structure: Structure, *, tie_equivalent: bool) -> SoftAtoms:
    """See :meth:`SoftAtoms.from_pymatgen`."""
    if not hasattr(structure, "lattice"):
        raise StructureError(
            f"from_pymatgen takes a pymatgen Structure, got {type(structure).__name__}"
        )
    occupancies: list[dict[str, float]] = []
    isotopes = np.full(len(structure), np.nan)
    for index, site in enumerate(structure):
        held: dict[str, float] = {}
        for species, amount in site.species.items():
            symbol = getattr(species, "symbol", str(species))
            try:
                atomic_number(symbol)
            except StructureError as error:
                raise StructureError(f"site {index}: {error}") from None
            element = getattr(species, "element", species)
            if element.name in ("D", "T"):
                isotopes[index] = float(element.atomic_mass)
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
    pure = np.array([len(site.species) == 1 for site in structure])
    return soft.with_isotopes(pure, isotopes)


def to_pymatgen(soft: SoftAtoms) -> Structure:
    """See :meth:`SoftAtoms.to_pymatgen`."""
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure

    if abs(np.linalg.det(soft.cell)) < 1e-12:
        raise StructureError(
            "a pymatgen Structure needs a cell of finite volume; this one has none"
        )
    species, sites = [], []
    for site in range(len(soft)):
        held = {symbol: weight for symbol, weight in soft.candidates(site).items() if weight > 0}
        if held:
            # Weights may exceed 1 in sum by a rounding error, which pymatgen does not accept.
            excess = max(1.0, sum(held.values()))
            held = {symbol: weight / excess for symbol, weight in held.items()}
            species.append(held)
            sites.append(site)
    if not sites:
        raise StructureError("no site has a weight above 0: there is nothing to convert")
    return Structure(
        Lattice(soft.cell, pbc=(bool(soft.pbc[0]), bool(soft.pbc[1]), bool(soft.pbc[2]))),
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
    masses = _masses(soft)
    if (masses != atomic_masses[dominant_numbers(soft)]).any():
        properties.append("masses:R:1")
        columns.append(_real_columns(masses[:, None]))
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
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    return text


def _real_columns(values: np.ndarray) -> list[str]:
    return [" ".join(map(repr, row)) for row in values.tolist()]


def _candidate_text(soft: SoftAtoms, site: int) -> str:
    if soft.site_group[site] == PLAIN:
        return "-"
    return ",".join(f"{symbol}={weight!r}" for symbol, weight in soft.candidates(site).items())


def from_extxyz(source: str | Path) -> SoftAtoms:
    """See :meth:`SoftAtoms.from_extxyz`."""
    from ase.io import iread

    is_text = isinstance(source, str) and "\n" in source
    where = "the given text" if is_text else str(source)
    if not is_text and not Path(source).is_file():
        raise StructureError(f"{where}: no such file")
    try:
        frames = list(iread(io.StringIO(str(source)) if is_text else source, format="extxyz"))
    except Exception as error:
        raise StructureError(f"{where} is not an extended-XYZ structure: {error}") from error
    if len(frames) != 1:
        raise StructureError(f"{where} holds {len(frames)} structures instead of one")
    try:
        return _soft_from_arrays(frames[0])
    except StructureError as error:
        raise StructureError(f"{where}: {error}") from None


def _soft_from_arrays(atoms: Atoms) -> SoftAtoms:
    """The structure whose weights stand in the columns that :func:`to_extxyz` writes."""
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
                f"candidates of site {sites[0]} must look like 'Al=0.8,Sc=0.2', got {text!r}"
            ) from None
        if len(weights) < text.count("="):
            raise StructureError(f"site {sites[0]} has a duplicate candidate in {text!r}")
        soft = soft.with_candidates(sites, weights, tie=None if tie == "-" else tie)
    return soft.with_isotopes(soft.candidate_counts == 1, atoms.get_masses())
