"""The states of one composition whose energies are compared."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from .enumeration import enumerate_orders
from .perovskites import ORDERS, cubic_parent, order_cell, ordered_species, tilted
from .random_cells import random_cell

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..graph import Coupling
    from ..structure import SoftAtoms
    from .experiments import Compound
    from .parents import Parent, Supercell

State = Literal["mean_field", "replica", "random", "sqs", "ordered"]
"""How the mixed sites are occupied."""


@dataclass(frozen=True)
class Options:
    """Which states there are.

    Attributes:
        states: The disordered states.
        supercell: Vectors of explicit random supercells in units of the parent, as rows.
        replicates: Number of random supercells of each kind.
        shells: Neighbour shells whose pairs are made random.
        swaps: Most exchanges of atoms for one of them.
        largest: Most primitive cells of an enumerated structure.
        tilt: Angle in degrees by which the octahedra of perovskites are turned at the start.
        seed: Seed of the random supercells.
    """

    states: tuple[State, ...] = ("mean_field", "replica", "sqs")
    supercell: tuple[tuple[int, int, int], ...] = ((2, 0, 0), (0, 2, 0), (0, 0, 2))
    replicates: int = 3
    shells: int = 3
    swaps: int = 400
    largest: int = 4
    tilt: float = 0.0
    seed: int = 0

    @property
    def matrix(self) -> NDArray[np.int64]:
        """The supercell as an array."""
        return np.array(self.supercell, dtype=np.int64)


@dataclass(frozen=True)
class Variant:
    """One state, before its relaxation.

    Attributes:
        state: How the mixed sites are occupied.
        name: Name of the order, or of the state.
        replicate: Index among random supercells, else 0.
        soft: The structure.
        n_mixed: Number of its mixed sites.
        correlation_error: Deviation of pairs from randomness; None unless it is random.
    """

    state: State
    name: str
    replicate: int
    soft: SoftAtoms
    n_mixed: int
    correlation_error: float | None = None

    @property
    def coupling(self) -> Coupling:
        """Coupling of soft sites."""
        return "replica" if self.state == "replica" else "mean_field"


def perovskite_variants(
    compound: Compound, options: Options, *, a: float | None = None
) -> list[Variant]:
    """Named orders and disordered states of a double perovskite.

    Args:
        compound: The compound.
        options: Which states.
        a: Lattice parameter to start from in Å; by ionic radii if None.
    """
    parent = cubic_parent(compound, a)
    turned = options.tilt != 0.0

    def cell(matrix: NDArray[np.int64]) -> Supercell:
        whole = parent.supercell(matrix)
        return tilted(whole, matrix, options.tilt) if turned else whole

    found = []
    for order in ORDERS:
        matrix = order_cell(order, turned)
        filled = cell(matrix)
        structure = filled.decorated(ordered_species(filled, matrix, order))
        found.append(Variant("ordered", order, 0, structure, len(filled.mixed)))
    home = cell(order_cell("disorder", turned))
    return found + _disordered(home, cell(options.matrix), options, compound.formula)


def enumerated_variants(parent: Parent, options: Options, name: str) -> list[Variant]:
    """Enumerated orders and disordered states of any parent.

    Args:
        parent: The parent.
        options: Which states.
        name: Its name, of which the seeds depend.
    """
    from .enumeration import primitive

    small = primitive(parent)
    found = []
    for number, order in enumerate(enumerate_orders(parent, options.largest)):
        filled = small.supercell(order.matrix)
        structure = filled.decorated(order.species)
        label = f"order-{len(order.species) // small.n_mixed}-{number}"
        found.append(Variant("ordered", label, 0, structure, len(order.species)))
    home = small.supercell(np.eye(3, dtype=np.int64))
    return found + _disordered(home, parent.supercell(options.matrix), options, name)


def _disordered(home: Supercell, large: Supercell, options: Options, name: str) -> list[Variant]:
    """Soft states of one cell and explicit supercells of another."""
    found = []
    for state in options.states:
        if state in ("mean_field", "replica"):
            found.append(Variant(state, state, 0, home.soft(), len(home.mixed)))
            continue
        for replicate in range(options.replicates):
            rng = _rng(options.seed, [name, state, str(replicate)])
            decoration = random_cell(
                large,
                "sqs" if state == "sqs" else "random",
                shells=options.shells,
                swaps=options.swaps,
                rng=rng,
            )
            structure = large.decorated(decoration.symbols)
            sites = len(large.mixed)
            found.append(Variant(state, state, replicate, structure, sites, decoration.error))
    return found


def _rng(seed: int, parts: Sequence[str]) -> np.random.Generator:
    digest = hashlib.sha256("\n".join(parts).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
