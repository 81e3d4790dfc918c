"""What is searched: on which substrate, where, for which atoms, at which chemical potentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_masses, atomic_numbers, chemical_symbols, covalent_radii
from numpy.typing import NDArray

from ..errors import OptionError, StructureError
from ..structure import SoftAtoms
from ..weight_groups import PLAIN, WeightGroups, atomic_number
from .geometry import Space
from .region import Region

if TYPE_CHECKING:
    from ..external import External
    from ..potentials.base import Potential

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reservoir:
    """Where atoms come from.

    Attributes:
        chemical_potentials: μ of each species in eV, on the scale of the potential.
        counts: Numbers of atoms to hold in the region; the reservoir decides on the others.
    """

    chemical_potentials: Mapping[str, float]
    counts: Mapping[str, int] | None = None

    def potentials_of(self, species: Sequence[str]) -> Floats:
        """μ in eV in the order of some species, shape (n_species,); 0 if only a number is held."""
        return np.array([float(self.chemical_potentials.get(name, 0.0)) for name in species])

    def counts_of(self, species: Sequence[str]) -> Floats:
        """Numbers to hold in the order of some species, nan where none is, shape (n_species,)."""
        held = self.counts or {}
        return np.array([float(held.get(name, np.nan)) for name in species])

    def check(self, species: Sequence[str]) -> None:
        """Raise unless every species has a chemical potential or a number.

        Raises:
            OptionError: Naming the species.
        """
        held = self.counts or {}
        for name in (*self.chemical_potentials, *held):
            if name not in species:
                raise OptionError(
                    f"the reservoir names {name}, but the search is for {', '.join(species)}"
                )
        for name in species:
            if name not in self.chemical_potentials and name not in held:
                raise OptionError(
                    f"{name} needs an entry in chemical_potentials (eV) or in counts (atoms)"
                )
        for name, value in self.chemical_potentials.items():
            if not np.isfinite(value):
                raise OptionError(f"chemical potential of {name} must be a number, got {value!r}")
        for name, count in held.items():
            if isinstance(count, bool) or int(count) != count or count < 0:
                raise OptionError(f"count of {name} must be a whole number, got {count!r}")


@dataclass(frozen=True)
class Problem:
    """A substrate, a region above it, and what may come there.

    Attributes:
        potential: The energy function.
        substrate: Atoms that are always there, all plain; None for empty space without a cell.
        region: Where atoms may come and go.
        species: What they may be.
        fixed: Which atoms of the substrate must not move, shape (n_substrate,); none if None.
        external: Energy of every atom by itself, or None.
        reference: Energy of the bare substrate in eV, subtracted from Ω.
        radii: Radius of each species in Å, half of a usual bond; covalent radii if None.
        closest: Two atoms nearer than ``closest`` times the sum of their radii are one too many.
        linked: Atoms up to ``linked`` times the sum of their radii apart hang together.
        dtype: Precision of the potential.
        device: Where to evaluate it.
    """

    potential: Potential
    substrate: SoftAtoms | None
    region: Region
    species: tuple[str, ...]
    fixed: NDArray[np.bool_] | None = None
    external: External | None = None
    reference: float = 0.0
    radii: Mapping[str, float] | None = None
    closest: float = 0.65
    linked: float = 1.5
    dtype: str = "float64"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not self.species or len(set(self.species)) != len(self.species):
            raise OptionError(f"species must be one or more different elements: {self.species!r}")
        for name in self.species:
            atomic_number(name)
        if self.substrate is not None and (self.substrate.site_group != PLAIN).any():
            raise OptionError("the substrate of a search must be plain atoms of weight 1")
        if self.fixed is not None and np.shape(self.fixed) != (self.n_substrate,):
            raise OptionError(
                f"fixed needs one entry per atom of the substrate: {self.n_substrate}, got "
                f"shape {np.shape(self.fixed)}"
            )
        if not 0.0 < self.closest < self.linked:
            raise OptionError(
                f"closest ({self.closest}) must be positive and below linked ({self.linked})"
            )

    @cached_property
    def space(self) -> Space:
        """Distances in the cell of the substrate."""
        return Space(self.cell, self.pbc)

    @cached_property
    def cell(self) -> Floats:
        """Cell in Å, shape (3, 3)."""
        return np.zeros((3, 3)) if self.substrate is None else self.substrate.cell

    @cached_property
    def pbc(self) -> NDArray[np.bool_]:
        """Periodicity along each lattice vector, shape (3,)."""
        return np.zeros(3, dtype=bool) if self.substrate is None else self.substrate.pbc

    @cached_property
    def substrate_positions(self) -> Floats:
        """Positions of the substrate in Å, shape (n_substrate, 3)."""
        return np.zeros((0, 3)) if self.substrate is None else self.substrate.positions

    @cached_property
    def substrate_numbers(self) -> NDArray[np.int64]:
        """Atomic numbers of the substrate, shape (n_substrate,)."""
        none = np.zeros(0, dtype=np.int64)
        return none if self.substrate is None else self.substrate.site_number

    @cached_property
    def substrate_masses(self) -> Floats:
        """Masses of the substrate in amu, shape (n_substrate,)."""
        return np.zeros(0) if self.substrate is None else self.substrate.site_mass

    @cached_property
    def n_substrate(self) -> int:
        """Number of atoms of the substrate."""
        return 0 if self.substrate is None else len(self.substrate)

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """Atomic numbers of the species, shape (n_species,)."""
        return np.array([atomic_numbers[name] for name in self.species], dtype=np.int64)

    @cached_property
    def species_radii(self) -> Floats:
        """Radii of the species in Å, shape (n_species,)."""
        return np.array([self.radius_of(name) for name in self.species])

    @cached_property
    def substrate_radii(self) -> Floats:
        """Radii of the atoms of the substrate in Å, shape (n_substrate,)."""
        names = [chemical_symbols[number] for number in self.substrate_numbers]
        return np.array([self.radius_of(name) for name in names])

    def radius_of(self, name: str) -> float:
        """Radius of an element in Å."""
        given = self.radii or {}
        return float(given.get(name, covalent_radii[atomic_numbers[name]]))

    @cached_property
    def mean_bond(self) -> float:
        """Mean length of a bond between two atoms of the region in Å."""
        return float(2.0 * self.species_radii.mean())

    @cached_property
    def fixed_substrate(self) -> NDArray[np.bool_]:
        """Which atoms of the substrate are fixed, shape (n_substrate,)."""
        if self.fixed is None:
            return np.zeros(self.n_substrate, dtype=bool)
        return np.asarray(self.fixed, dtype=bool)

    def pool(self, positions: Floats, weights: Floats) -> SoftAtoms:
        """The substrate with a pool of soft sites.

        Args:
            positions: Of the substrate and the pool in Å, shape (n_substrate + n_pool, 3).
            weights: Of the pool, shape (n_pool, n_species).
        """
        n_pool = len(positions) - self.n_substrate
        n_species = len(self.species)
        groups = WeightGroups(
            ties=(None,) * n_pool,
            sizes=np.full(n_pool, n_species),
            numbers=np.tile(self.numbers, n_pool),
            theta=np.clip(weights, 0.0, 1.0).ravel(),
        )
        none = np.zeros(n_pool, dtype=np.int64)
        return SoftAtoms(
            positions=positions,
            cell=self.cell,
            pbc=self.pbc,
            site_number=np.concatenate([self.substrate_numbers, none]),
            site_mass=np.concatenate([self.substrate_masses, np.full(n_pool, np.nan)]),
            site_group=np.concatenate(
                [np.full(self.n_substrate, PLAIN), np.arange(n_pool, dtype=np.int64)]
            ),
            groups=groups,
        )

    def atoms(self, positions: Floats, species: NDArray[np.int64]) -> SoftAtoms:
        """The substrate with atoms.

        Args:
            positions: Of the substrate and the atoms in Å, shape (n_substrate + n, 3).
            species: Index of the species of each atom, shape (n,).

        Raises:
            StructureError: If there is no atom at all.
        """
        if len(positions) == 0:
            raise StructureError("no atom at all: neither in the substrate nor in the region")
        numbers = np.concatenate([self.substrate_numbers, self.numbers[species]])
        masses = np.concatenate([self.substrate_masses, atomic_masses[self.numbers[species]]])
        return SoftAtoms(
            positions=positions,
            cell=self.cell,
            pbc=self.pbc,
            site_number=numbers,
            site_mass=masses,
        )

    def rounded(self, positions: Floats, digits: int) -> Floats:
        """Positions to some decimals; what is fixed stays to the last digit.

        Results of a batch differ from those of a structure alone by rounding errors. Positions that
        are rounded from time to time do not let them grow.

        Args:
            positions: Of the substrate and more in Å, shape (n_substrate + n, 3).
            digits: Decimals to keep.
        """
        kept = np.round(positions, digits)
        fixed = np.flatnonzero(self.fixed_substrate)
        kept[fixed] = self.substrate_positions[fixed]
        return kept

    def omega(self, energy: float, numbers: NDArray[Any], reservoir: Reservoir) -> float:
        """Ω = E − E_reference − Σ μ_c N_c in eV.

        Args:
            energy: E in eV.
            numbers: N_c in the region, weights included, shape (n_species,).
            reservoir: Where the atoms come from.
        """
        cost = reservoir.potentials_of(self.species) @ numbers
        return float(energy - self.reference - cost)
