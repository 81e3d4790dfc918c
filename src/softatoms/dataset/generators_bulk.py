"""Crystals: volumes, strains, displacements, substitutions, random alloys, vacancies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from ..composition.prototypes import PROTOTYPES
from ..composition.sqs import decorate, shell_counts
from ..composition.structures import explicit_crystal, guessed_lattice_parameter, supercell
from .frames import Frame
from .parents import GenerationError, build_parent, rattled, stream, unlabelled

if TYPE_CHECKING:
    from ..config.generators import (
        Parent,
        RandomAlloys,
        Rattled,
        Strained,
        Substituted,
        Vacancies,
        Volumes,
    )


def volumes(name: str, parent: Parent, wanted: Volumes) -> Iterator[Frame]:
    """The parent at several volumes."""
    start = build_parent(parent)
    for index, factor in enumerate(wanted.factors):
        atoms = start.copy()
        atoms.set_cell(start.cell * factor ** (1 / 3), scale_atoms=True)
        yield unlabelled(f"{name}-{index:04d}", name, atoms)


def strained(name: str, parent: Parent, wanted: Strained, seed: int) -> Iterator[Frame]:
    """The parent in randomly strained cells."""
    start = build_parent(parent)
    for index in range(wanted.count):
        frame_id = f"{name}-{index:04d}"
        rng = stream(seed, frame_id)
        draw = rng.uniform(-wanted.strain, wanted.strain, size=(3, 3))
        # Symmetric, so that no part of it is a rotation.
        deformation = np.eye(3) + np.triu(draw) + np.triu(draw, 1).T
        atoms = start.copy()
        atoms.set_cell(np.array(start.cell) @ deformation, scale_atoms=True)
        yield unlabelled(frame_id, name, rattled(atoms, wanted.rattle_ang, rng))


def displaced(name: str, parent: Parent, wanted: Rattled, seed: int) -> Iterator[Frame]:
    """The parent with randomly displaced atoms."""
    start = build_parent(parent)
    for index in range(wanted.count):
        frame_id = f"{name}-{index:04d}"
        size = wanted.displacements_ang[index % len(wanted.displacements_ang)]
        yield unlabelled(frame_id, name, rattled(start, size, stream(seed, frame_id)))


def substituted(name: str, parent: Parent, wanted: Substituted, seed: int) -> Iterator[Frame]:
    """The parent with random elements on some sites.

    The composition is drawn first, evenly from all possible ones, so that dilute and pure fillings
    come as often as mixed ones.
    """
    start = build_parent(parent)
    sites = np.flatnonzero(start.symbols == wanted.species)
    if len(sites) == 0:
        raise GenerationError(
            f"generator '{name}': the parent {start.get_chemical_formula()} has no {wanted.species}"
        )
    for index in range(wanted.count):
        frame_id = f"{name}-{index:04d}"
        rng = stream(seed, frame_id)
        shares = rng.dirichlet(np.ones(len(wanted.elements)))
        amounts = np.floor(shares * len(sites)).astype(int)
        rest = np.argsort(amounts - shares * len(sites))[: len(sites) - amounts.sum()]
        amounts[rest] += 1
        atoms = start.copy()
        filling = rng.permutation(np.repeat(wanted.elements, amounts))
        symbols = np.array(start.get_chemical_symbols(), dtype=object)
        symbols[sites] = filling
        atoms.set_chemical_symbols(symbols.tolist())
        yield unlabelled(frame_id, name, rattled(atoms, wanted.rattle_ang, rng))


def random_alloys(name: str, wanted: RandomAlloys, seed: int) -> Iterator[Frame]:
    """Supercells with the pair correlations of random alloys, near the volume of their elements."""
    prototype = PROTOTYPES[wanted.prototype]
    empty = supercell(prototype, wanted.supercell)
    counts = shell_counts(empty, wanted.shells)
    (sublattice,) = prototype.sublattices
    for number, composition in enumerate(wanted.compositions):
        a = sum(x * guessed_lattice_parameter(prototype, e) for e, x in composition.items())
        for replicate in range(wanted.replicates):
            frame_id = f"{name}-{number:03d}-{replicate:03d}"
            rng = stream(seed, frame_id)
            decoration = decorate(
                empty,
                prototype,
                {sublattice: composition},
                counts,
                swaps=wanted.swaps,
                rng=rng,
            )
            atoms = explicit_crystal(empty, a, decoration.symbols).to_ase()
            group = f"{name}/{number:03d}"
            yield unlabelled(frame_id, group, rattled(atoms, wanted.rattle_ang, rng))


def vacancies(name: str, parent: Parent, wanted: Vacancies, seed: int) -> Iterator[Frame]:
    """The parent with some atoms missing."""
    start = build_parent(parent)
    if wanted.missing >= len(start):
        raise GenerationError(
            f"generator '{name}': {wanted.missing} atoms cannot be missing of {len(start)}"
        )
    for index in range(wanted.count):
        frame_id = f"{name}-{index:04d}"
        rng = stream(seed, frame_id)
        left = np.sort(rng.permutation(len(start))[wanted.missing :])
        atoms: Atoms = start[left]
        yield unlabelled(frame_id, name, rattled(atoms, wanted.rattle_ang, rng))
