"""Parent structures of scans: any crystal whose sublattices are shared by elements."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from ..config.scan_parents import ScanParent
from ..errors import SoftatomsError, suggest
from ..files import content_digest
from ..structure import SoftAtoms
from .tasks import Occupation, ideal_entropy

if TYPE_CHECKING:
    from ..config.composition import Scan, Sublattice

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_WHOLE = 1e-6
"""Deviation from 1 up to which occupancies fill a site."""

_SYMMETRY = 1e-3
"""Distance in Å up to which sites count as equivalent when the conventional cell is looked for."""


@dataclass(frozen=True)
class Host:
    """A structure as it was given.

    Attributes:
        soft: Positions and cell; every site is plain and holds its most frequent species.
        labels: Label of each site, its element where the file has none.
        occupancies: Species of each site with their weights.
    """

    soft: SoftAtoms
    labels: tuple[str, ...]
    occupancies: tuple[dict[str, float], ...]


@dataclass(frozen=True)
class Parent:
    """A structure with named sublattices.

    Attributes:
        name: Name in tables.
        start: Positions and cell to relax from; every site is plain.
        sublattices: Sites of each shared sublattice.
        given: Occupations that the file fixes, of sublattices that the scan does not name.
        conventional: Vectors of the cell whose lengths are reported, as rows in terms of those of
            ``start``, shape (3, 3).
        rotations: Rotations of the space group in terms of the vectors of ``start``, acting on
            columns, shape (n, 3, 3).
    """

    name: str
    start: SoftAtoms
    sublattices: dict[str, Ints]
    given: Occupation
    conventional: Floats
    rotations: Ints

    def lattice(self, cell: Floats) -> Floats:
        """Cell whose lengths and angles are reported, with the symmetry of the parent.

        A supercell breaks it by chance; the mean metric over the rotations is that of the crystal
        it stands for.

        Args:
            cell: Vectors of the parent's cell as rows in Å, shape (3, 3).
        """
        r = self.rotations
        metric = np.einsum("nki,kl,nlj->ij", r, cell @ cell.T, r) / len(r)
        return np.asarray(self.conventional @ np.linalg.cholesky(metric), dtype=np.float64)

    def fractions(self, occupation: Occupation) -> dict[str, float]:
        """Atomic fraction of each element."""
        shared = np.concatenate([np.zeros(0, dtype=np.int64), *self.sublattices.values()])
        totals: dict[str, float] = {}
        for site in range(len(self.start)):
            if site not in shared:
                (symbol,) = self.start.candidates(site)
                totals[symbol] = totals.get(symbol, 0.0) + 1.0
        for name, weights in occupation.items():
            for symbol, weight in weights.items():
                totals[symbol] = totals.get(symbol, 0.0) + len(self.sublattices[name]) * weight
        return {symbol: n / len(self.start) for symbol, n in totals.items() if n > 0}

    def entropy(self, occupation: Occupation) -> float:
        """Entropy of ideal mixing on each sublattice, in units of kB per site."""
        return math.fsum(
            len(self.sublattices[name]) / len(self.start) * ideal_entropy(weights)
            for name, weights in occupation.items()
        )

    def soft(self, occupation: Occupation, cell: Floats, scaled: Floats) -> SoftAtoms:
        """The solid solution: every sublattice is one group of soft sites.

        Args:
            occupation: Weights on each sublattice.
            cell: Lattice vectors in Å, shape (3, 3).
            scaled: Fractional positions, shape (n_sites, 3).
        """
        soft = self.start.with_positions(scaled @ cell, cell)
        for name, weights in occupation.items():
            soft = soft.with_candidates(self.sublattices[name], weights, tie=name)
        return soft

    def plain(self, filling: dict[str, str], cell: Floats, scaled: Floats) -> SoftAtoms:
        """An end member: one element on every sublattice; arguments as for :meth:`soft`."""
        atoms = self.start.with_positions(scaled @ cell, cell).to_ase()
        for name, symbol in filling.items():
            atoms.symbols[self.sublattices[name]] = symbol
        return SoftAtoms.from_ase(_bare(atoms))


def _bare(atoms: Any) -> Any:
    """The same atoms without arrays that describe weights or masses of what was there before."""
    from ase import Atoms

    return Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)


def build_parent(scan: Scan) -> Parent:
    """The parent of a scan with its sublattices.

    Raises:
        SoftatomsError: Naming the scan and the key if the structure or the choice is unusable.
    """
    parent = scan.parent
    assert parent is not None
    where = f"composition.scans '{scan.name}'"
    try:
        host = load_host(parent)
    except (SoftatomsError, OSError) as error:
        raise SoftatomsError(f"{where}: parent: {error}") from None
    sublattices: dict[str, Ints] = {}
    taken: dict[int, str] = {}
    for name, own in scan.sublattices.items():
        key = f"{where}: sublattices.{name}.sites"
        sublattices[name] = _chosen(host, name, own, key)
        for site in sublattices[name].tolist():
            if site in taken:
                raise SoftatomsError(f"{key}: site {site} is on sublattice '{taken[site]}' too")
            taken[site] = name
    given = _given(host, sublattices, taken)
    if not sublattices:
        raise SoftatomsError(
            f"{where}: sublattices: is required, as {parent.file} has no partial occupancies"
        )
    return Parent(
        parent.label(),
        host.soft,
        sublattices,
        given,
        *_symmetry(host.soft, sublattices, conventional=parent.is_conventional()),
    )


def _given(host: Host, sublattices: dict[str, Ints], taken: dict[int, str]) -> Occupation:
    """Add what the file itself shares to the sublattices; its occupations."""
    shared: dict[tuple[tuple[str, float], ...], list[int]] = {}
    for site, held in enumerate(host.occupancies):
        if site not in taken and len(held) > 1:
            shared.setdefault(tuple(sorted(held.items())), []).append(site)
    given: Occupation = {}
    for held_items, sites in shared.items():
        name = "-".join(symbol for symbol, _ in held_items)
        while name in sublattices:
            name += "-2"
        sublattices[name] = np.array(sites, dtype=np.int64)
        given[name] = dict(held_items)
    return given


def _chosen(host: Host, name: str, own: Sublattice, key: str) -> Ints:
    """Sites of one sublattice."""
    n_sites = len(host.soft)
    known = sorted({*host.labels, *(e for held in host.occupancies for e in held)})
    if own.sites is None:
        mixed = [set(held) for held in host.occupancies]
        sites = [i for i, held in enumerate(mixed) if len(held) > 1 and held <= set(own.elements)]
        sites = sites or _named(host, name)
        if not sites:
            hint = suggest(name, known)
            raise SoftatomsError(
                f"{key}: is required, as the parent has neither '{name}' nor sites that "
                f"{', '.join(own.elements)} share: {hint}"
            )
        return np.array(sites, dtype=np.int64)
    chosen: list[int] = []
    for item in [own.sites] if isinstance(own.sites, str) else own.sites:
        found = [item] if isinstance(item, int) else _named(host, item)
        if isinstance(item, int) and not 0 <= item < n_sites:
            raise SoftatomsError(f"{key}: there is no site {item}, only 0 to {n_sites - 1}")
        if not found:
            raise SoftatomsError(f"{key}: the parent has no '{item}': {suggest(str(item), known)}")
        chosen += [site for site in found if site not in chosen]
    if not chosen:
        raise SoftatomsError(f"{key}: must not be empty")
    return np.array(sorted(chosen), dtype=np.int64)


def _named(host: Host, item: str) -> list[int]:
    """Sites with this label, or else with this element."""
    labelled = [site for site, label in enumerate(host.labels) if label == item]
    return labelled or [site for site, held in enumerate(host.occupancies) if item in held]


def load_host(parent: ScanParent) -> Host:
    """The structure of a parent.

    Raises:
        SoftatomsError: If it cannot be built or read, or does not repeat in three directions.
    """
    if parent.prototype is None:
        return _read(str(parent.file), content_digest(str(parent.file)))
    from ..physics.crystals import crystal
    from .prototypes import PROTOTYPES

    species = parent.species[0] if len(parent.species) == 1 else parent.species
    soft = crystal(parent.prototype, species, parent.a_ang)
    symbols = _symbols(soft)
    labels = symbols
    if parent.prototype in PROTOTYPES:
        labels = [label for _, label in PROTOTYPES[parent.prototype].sites]
    return Host(soft, tuple(labels), tuple({symbol: 1.0} for symbol in symbols))


def file_elements(file: str) -> list[str]:
    """Elements in the file of a parent."""
    held = _read(file, content_digest(file)).occupancies
    return sorted({symbol for site in held for symbol in site})


@lru_cache(maxsize=16)
def _read(file: str, digest: str) -> Host:
    """The structure in a file; ``digest`` makes a changed file another entry of the cache."""
    path = Path(file)
    if not path.is_file():
        raise SoftatomsError(f"file: there is no file {file}")
    try:
        with _quiet():
            soft, labels = _parsed(path)
    except SoftatomsError as error:
        raise SoftatomsError(f"{file}: {error}") from None
    except Exception as error:  # whatever a reader of files raises
        raise SoftatomsError(f"{file} cannot be read as a structure: {error}") from None
    if not soft.pbc.all() or abs(np.linalg.det(soft.cell)) < 1e-6:
        raise SoftatomsError(f"{file}: must repeat along three lattice vectors")
    occupancies = [soft.candidates(site) for site in range(len(soft))]
    for site, held in enumerate(occupancies):
        total = math.fsum(held.values())
        if abs(total - 1.0) > _WHOLE:
            raise SoftatomsError(
                f"{file}: occupancies of site {site} sum to {total:g}; sites must be full"
            )
    return Host(_plain(soft), tuple(labels), tuple(occupancies))


def _parsed(path: Path) -> tuple[SoftAtoms, Sequence[str]]:
    if path.suffix.lower() in (".cif", ".mcif"):
        from pymatgen.core.structure import Structure

        structure = Structure.from_file(path)
        soft = SoftAtoms.from_pymatgen(structure)
        labels = [str(site.label) for site in structure]
        symbols = _symbols(soft)
        return soft, [label if label else s for label, s in zip(labels, symbols, strict=True)]
    from ase.io import read

    if path.suffix.lower() in (".extxyz", ".xyz"):
        soft = SoftAtoms.from_extxyz(path)
        atoms: Any = read(path, format="extxyz")
    else:
        atoms = read(path)
        soft = SoftAtoms.from_ase(_bare(atoms))
    given = atoms.arrays.get("labels", atoms.arrays.get("label", _symbols(soft)))
    return soft, [str(label) for label in given]


def _symbols(soft: SoftAtoms) -> list[str]:
    """Most frequent species of each site."""
    held = [soft.candidates(site) for site in range(len(soft))]
    return [max(weights, key=lambda symbol: weights[symbol]) for weights in held]


def _plain(soft: SoftAtoms) -> SoftAtoms:
    from ase import Atoms

    return SoftAtoms.from_ase(
        Atoms(_symbols(soft), positions=soft.positions, cell=soft.cell, pbc=True)
    )


def _symmetry(
    soft: SoftAtoms, sublattices: dict[str, Ints], *, conventional: bool
) -> tuple[Floats, Ints]:
    """Reported cell in terms of the given one, and rotations; sites of a sublattice are alike."""
    import spglib

    kinds = np.array([atomic_numbers[symbol] for symbol in _symbols(soft)])
    for index, sites in enumerate(sublattices.values()):
        kinds[sites] = 200 + index
    scaled = soft.positions @ np.linalg.inv(soft.cell)
    with _quiet():
        crystal: Any = (soft.cell, scaled, kinds)
        dataset = spglib.get_symmetry_dataset(crystal, symprec=_SYMMETRY)
    if dataset is None:
        raise SoftatomsError("the symmetry of the parent cannot be told: are sites on one place?")
    rotations = np.asarray(dataset.rotations, dtype=np.int64)
    if not conventional:
        return np.eye(3), rotations
    to_given = np.asarray(dataset.transformation_matrix, dtype=np.float64)
    return np.asarray(np.linalg.inv(to_given).T, dtype=np.float64), rotations


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No words on rounded coordinates in files and on what spglib will raise one day."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
