"""Structures that are no bulk crystals: surfaces, crowded sites, dimers, atoms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.build import surface
from ase.data import atomic_numbers, covalent_radii

from .frames import Frame
from .parents import (
    GenerationError,
    build_parent,
    closest_ratio,
    rattled,
    stream,
    unlabelled,
)

if TYPE_CHECKING:
    from ..config.generators import Atoms as IsolatedAtoms
    from ..config.generators import Dimers, Ghosts, Parent, Slabs

ATTEMPTS = 500
"""Random places tried for one atom."""

OXYGEN_HEIGHT = 0.2
"""Height in Å of the adsorbate above the added atoms of an added row."""


def slabs(name: str, parent: Parent, wanted: Slabs, seed: int) -> Iterator[Frame]:
    """Slabs, bare or with adsorbed atoms and added rows."""
    crystal = build_parent(parent)
    for index in range(wanted.count):
        frame_id = f"{name}-{index:04d}"
        rng = stream(seed, frame_id)
        if wanted.added_row:
            atoms = added_row(
                crystal.get_chemical_symbols()[0],
                str(wanted.adsorbate),
                # The conventional cell of an fcc parent is a cube.
                float(crystal.cell[0, 0]) / parent.repeat[0],
                layers=wanted.layers,
                size=(wanted.size[0], wanted.size[1]),
                vacuum=wanted.vacuum_ang,
            )
        else:
            atoms = surface(crystal, tuple(wanted.miller), wanted.layers, vacuum=wanted.vacuum_ang)
            atoms = atoms.repeat((*wanted.size, 1))
            atoms.pbc = True
        if wanted.adsorbate is not None:
            # The first frame of an added row stays as it is known.
            count = int(rng.integers(0 if wanted.added_row else 1, wanted.most_adsorbed + 1))
            count = 0 if wanted.added_row and index == 0 else count
            for _ in range(count):
                atoms = adsorbed(atoms, wanted.adsorbate, rng)
        yield unlabelled(frame_id, name, rattled(atoms, wanted.rattle_ang, rng))


def added_row(
    metal: str, adsorbate: str, a: float, *, layers: int, size: tuple[int, int], vacuum: float
) -> Atoms:
    """The p(2×1) added-row structure on the (110) face of an fcc metal.

    Args:
        metal: The metal.
        adsorbate: The atom between the added ones.
        a: Lattice parameter in Å.
        layers: Layers of the slab below the added row.
        size: Surface cells along [001] and, in pairs, along [1-10].
        vacuum: Vacuum on either side in Å.
    """
    along, across = a, a / np.sqrt(2)
    spacing = a / (2 * np.sqrt(2))
    places = []
    for layer in range(layers):
        # Layers alternate between the corners and the centre of the rectangle.
        odd = (layers - 1 - layer) % 2
        places += [
            [0.5 * along * odd, across * (row + 0.5 * odd), layer * spacing] for row in range(2)
        ]
    height = layers * spacing
    places.append([0.5 * along, 0.5 * across, height])
    places.append([0.0, 0.5 * across, height + OXYGEN_HEIGHT])
    symbols = [metal] * (2 * layers + 1) + [adsorbate]
    atoms = Atoms(symbols, places, cell=[along, 2 * across, 1.0], pbc=True)
    atoms.center(vacuum=vacuum, axis=2)
    return atoms.repeat((size[0], size[1], 1))


def adsorbed(atoms: Atoms, symbol: str, rng: np.random.Generator) -> Atoms:
    """A copy with one more atom at a random place on the top of a slab.

    Raises:
        GenerationError: If no free place is found.
    """
    top = atoms.positions[:, 2].max()
    radius = covalent_radii[atomic_numbers[symbol]]
    for _ in range(ATTEMPTS):
        place = rng.uniform(size=2) @ np.array(atoms.cell)[:2]
        # Let it down until it touches the slab.
        own = Atoms([symbol], [place], cell=atoms.cell, pbc=atoms.pbc)
        own.positions[0, 2] = top + 4.0
        away = np.array(atoms.positions - own.positions[0])
        scaled = away @ np.linalg.inv(np.array(atoms.cell))
        scaled[:, :2] -= np.round(scaled[:, :2])
        flat = scaled @ np.array(atoms.cell)
        touch = covalent_radii[atoms.numbers] + radius
        square = touch**2 - (flat[:, :2] ** 2).sum(axis=1)
        below = square > 0
        if not below.any():
            continue
        own.positions[0, 2] = (atoms.positions[below, 2] + np.sqrt(square[below])).max()
        grown = atoms + own
        if closest_ratio(grown) > 0.9 and own.positions[0, 2] > top - 0.5:
            return grown
    raise GenerationError(f"{atoms.get_chemical_formula()}: no free place for another {symbol}")


def ghosts(name: str, parent: Parent, wanted: Ghosts, seed: int) -> Iterator[Frame]:
    """The parent with extra atoms, of which a random part is removed again."""
    start = build_parent(parent)
    for index in range(wanted.count):
        frame_id = f"{name}-{index:04d}"
        rng = stream(seed, frame_id)
        atoms = rattled(start, wanted.rattle_ang, rng)
        extra: list[int] = []
        for _ in range(wanted.extra):
            symbol = str(rng.choice(wanted.species))
            atoms = _with_extra(name, atoms, symbol, wanted.closest, rng)
            extra.append(len(atoms) - 1)
        removed = [site for site in extra if rng.uniform() >= wanted.keep]
        yield unlabelled(frame_id, name, atoms[np.setdiff1d(np.arange(len(atoms)), removed)])


def _with_extra(
    name: str, atoms: Atoms, symbol: str, closest: float, rng: np.random.Generator
) -> Atoms:
    usual = closest_ratio(atoms)
    for _ in range(ATTEMPTS):
        place = rng.uniform(size=3) @ np.array(atoms.cell)
        grown = atoms + Atoms([symbol], [place])
        if closest_ratio(grown) >= min(closest, usual):
            return grown
    raise GenerationError(
        f"generator '{name}': found no place for another {symbol} that keeps {closest:g} of the "
        "covalent radii; lower 'closest' or 'extra'"
    )


def dimers(name: str, wanted: Dimers) -> Iterator[Frame]:
    """Two atoms in vacuum at several distances."""
    for pair in wanted.pairs:
        shortest = wanted.closest * sum(covalent_radii[atomic_numbers[s]] for s in pair)
        label = "-".join(pair)
        if shortest >= wanted.farthest_ang:
            raise GenerationError(
                f"generator '{name}': the shortest distance of {label} is {shortest:.2f} Å, beyond "
                f"farthest_ang {wanted.farthest_ang:g}"
            )
        # Even in the logarithm: short distances are where energies change fast.
        for index, distance in enumerate(np.geomspace(shortest, wanted.farthest_ang, wanted.count)):
            atoms = Atoms(pair, [[0.0, 0.0, 0.0], [0.0, 0.0, distance]])
            yield unlabelled(f"{name}-{label}-{index:04d}", f"{name}/{label}", atoms)


def isolated_atoms(name: str, wanted: IsolatedAtoms) -> Iterator[Frame]:
    """Isolated atoms."""
    for symbol in wanted.species:
        yield unlabelled(f"{name}-{symbol}", f"{name}/{symbol}", Atoms(symbol))
