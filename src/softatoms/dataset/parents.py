"""Crystals that generators start from, and what all generators do to structures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, covalent_radii, reference_states
from numpy.typing import NDArray

from ..composition.structures import experimental_volume
from ..errors import SoftatomsError
from ..neighbours import neighbour_pairs, pair_vectors
from ..structure import SoftAtoms
from .frames import Frame

if TYPE_CHECKING:
    from ..config.generators import Parent

NEAREST = {
    "sc": 1.0,
    "fcc": 0.5**0.5,
    "bcc": 0.75**0.5,
    "hcp": 1.0,
    "diamond": 0.75**0.5 / 2,
    "rocksalt": 0.5,
    "zincblende": 0.75**0.5 / 2,
    "cesiumchloride": 0.75**0.5,
    "wurtzite": (3 / 8) ** 0.5,
    "fluorite": 0.75**0.5 / 2,
}
"""Shortest distance between sites in units of the lattice parameter a."""

PER_CUBE_OF_A = {"sc": 1.0, "fcc": 4.0, "bcc": 2.0, "hcp": 2.0**0.5, "diamond": 8.0}
"""Atoms of an element in a volume of a³; hcp with the c of touching spheres."""

DENSE = frozenset({"fcc", "bcc", "hcp", "bct"})
"""Lattices between which the volume of an atom changes little."""

CLOSEST = 0.6
"""Generated atoms stay apart by this fraction of the sum of covalent radii."""


class GenerationError(SoftatomsError):
    """A generator cannot make what it is told to."""


def build_parent(parent: Parent) -> Atoms:
    """The structure a generator starts from, without labels and constraints.

    Raises:
        GenerationError: If a file holds no structure.
    """
    if parent.file is not None:
        return read_structure(parent.file).repeat(parent.repeat)
    lattice = parent.lattice or "fcc"
    a = parent.a_ang
    if a is None:
        a = guessed_length(lattice, parent.species)
    name = "".join(parent.species) + ("2" if lattice == "fluorite" else "")
    options = {} if lattice in ("hcp", "wurtzite") else {"cubic": True}
    return bulk(name, lattice, a=a, **options).repeat(parent.repeat)


def guessed_length(lattice: str, species: Sequence[str]) -> float:
    """Lattice parameter in Å of a crystal whose own is not given.

    That of the volume which an element has in nature, if it is found on this lattice or on one as
    dense. Else neighbours touch with their covalent radii, which for metals are up to a fifth too
    long and for compounds right within a tenth.

    Args:
        lattice: Name of the crystal.
        species: Its elements in the order of the formula.
    """
    if len(species) == 1 and lattice in PER_CUBE_OF_A:
        volume = experimental_volume(species[0])
        state = reference_states[atomic_numbers[species[0]]]
        if volume is not None and state is not None:
            found = state["symmetry"]
            if found == lattice or {found, lattice} <= DENSE:
                return float((PER_CUBE_OF_A[lattice] * volume) ** (1.0 / 3.0))
    radii = [covalent_radii[atomic_numbers[symbol]] for symbol in species]
    return float(radii[0] + radii[-1]) / NEAREST[lattice]


def read_structure(path: str) -> Atoms:
    """The first structure of a file that ASE reads, geometry only.

    Raises:
        GenerationError: Naming the file.
    """
    from ase.io import read

    if not Path(path).is_file():
        raise GenerationError(f"{path}: no such file")
    try:
        atoms = read(path, index=0)
    except Exception as error:  # every reader of ASE has errors of its own
        raise GenerationError(f"{path}: holds no structure that ASE reads: {error}") from None
    assert isinstance(atoms, Atoms)
    return Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)


def stream(seed: int, name: str) -> np.random.Generator:
    """Random numbers of their own for whatever has a name.

    Args:
        seed: Seed of the campaign.
        name: Name of the frame or trajectory.
    """
    own = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return np.random.default_rng([seed, own])


def unlabelled(frame_id: str, group: str, atoms: Atoms) -> Frame:
    """A frame without labels."""
    return Frame(frame_id, group, SoftAtoms.from_ase(atoms))


def rattled(atoms: Atoms, size: float, rng: np.random.Generator) -> Atoms:
    """A copy with displaced atoms, none of them impossibly close to another.

    Args:
        atoms: The structure.
        size: Standard deviation of the displacement in Å, per direction.
        rng: Source of randomness.

    Raises:
        GenerationError: If atoms keep coming too close.
    """
    if size == 0.0:
        return atoms.copy()
    shortest = closest_ratio(atoms)
    for _ in range(20):
        copy = atoms.copy()
        copy.positions += rng.normal(scale=size, size=copy.positions.shape)
        if closest_ratio(copy) > min(CLOSEST, 0.999 * shortest):
            return copy
    raise GenerationError(
        f"{atoms.get_chemical_formula()}: displacements of {size:g} Å bring atoms closer than "
        f"{CLOSEST:g} of their covalent radii time and again; make them smaller"
    )


def closest_ratio(atoms: Atoms) -> float:
    """Shortest distance over the sum of covalent radii; infinite if no two atoms are near."""
    radii: NDArray[np.float64] = covalent_radii[atoms.numbers]
    cell, pbc = np.array(atoms.cell), np.array(atoms.pbc)
    pairs = neighbour_pairs(atoms.positions, cell, pbc, 2.0 * float(radii.max()))
    distances = np.linalg.norm(pair_vectors(atoms.positions, cell, pairs), axis=1)
    ratios = distances / (radii[pairs.receivers] + radii[pairs.senders])
    return float(ratios.min(initial=np.inf))
