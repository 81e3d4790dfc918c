"""Soft structures: sites with continuous identity and continuous existence.

A *plain* site holds one species with weight 1. A *soft* site holds one or several candidate
species, each with a weight in [0, 1]; what is missing from a sum of 1 is vacancy. Sites that are
*tied* share their weights. A *group* is one set of tied sites; an untied soft site is a group of
its own. The free parameters θ are the weights of all groups, one after the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase.data import atomic_masses, chemical_symbols
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .errors import StructureError
from .structure_checks import check_geometry, real_array, shorten
from .weight_groups import (
    PLAIN,
    WeightGroups,
    check_tie_name,
    checked_candidates,
    renumbered_groups,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms
    from pymatgen.core.structure import Structure


class SoftAtoms:
    """A structure whose sites may be several species at once, or exist only in part.

    Objects are immutable in spirit: every ``with_*`` method returns a new one, and arrays must not
    be written to. Build one with :meth:`from_ase` or :meth:`from_pymatgen`.

    Attributes:
        positions: Cartesian positions in Å, shape (n_sites, 3).
        cell: Lattice vectors as rows in Å, shape (3, 3).
        pbc: Periodicity along each lattice vector, shape (3,).
        velocities: Velocities in Å/fs, shape (n_sites, 3), or None.
        groups: The weight groups.
        site_group: Group of each site, shape (n_sites,); -1 for a plain site.
        site_number: Atomic number of each plain site, 0 at soft sites, shape (n_sites,).
        site_mass: Mass of each site in amu, shape (n_sites,); nan at soft sites whose candidates
            have the mean masses of their elements.
    """

    def __init__(
        self,
        *,
        positions: NDArray[np.float64],
        cell: NDArray[np.float64],
        pbc: NDArray[np.bool_],
        site_number: NDArray[np.int64],
        site_mass: NDArray[np.float64],
        site_group: NDArray[np.int64] | None = None,
        groups: WeightGroups | None = None,
        velocities: NDArray[np.float64] | None = None,
    ) -> None:
        self.positions = positions
        self.cell = cell
        self.pbc = pbc
        self.site_number = site_number
        self.site_mass = site_mass
        self.site_group = np.full(len(positions), PLAIN) if site_group is None else site_group
        self.groups = WeightGroups.empty() if groups is None else groups
        self.velocities = velocities
        check_geometry(
            positions=positions,
            cell=cell,
            pbc=pbc,
            velocities=velocities,
            masses=site_mass,
            is_soft=self.site_group != PLAIN,
        )
        self.groups.check([self.labelled_site(group) for group in range(len(self.groups.ties))])

    def _copy(self, **changes: Any) -> SoftAtoms:
        state = {
            name: getattr(self, name)
            for name in (
                [
                    "positions",
                    "cell",
                    "pbc",
                    "site_number",
                    "site_mass",
                    "site_group",
                    "groups",
                    "velocities",
                ]
            )
        }
        return SoftAtoms(**{**state, **changes})

    # Construction and conversion

    @classmethod
    def from_ase(cls, atoms: Atoms) -> SoftAtoms:
        """Take over an ASE structure; every atom is plain and has weight 1.

        Momenta become velocities in Å/fs and changed masses are kept. Constraints and calculators
        are not looked at.
        """
        from .conversion import from_ase

        return from_ase(atoms)

    def to_ase(self) -> Atoms:
        """ASE structure with the dominant candidate of every site.

        The weights are kept in arrays: ``weight_<symbol>`` for every candidate species,
        ``existence`` (their sum) and ``tie``.
        """
        from .conversion import to_ase

        return to_ase(self)

    @classmethod
    def from_pymatgen(cls, structure: Structure, *, tie_equivalent: bool = False) -> SoftAtoms:
        """Take over a pymatgen structure; partial occupancies become weights.

        Oxidation states and spins are dropped. A site that is fully occupied by one element is
        plain, every other site is soft.

        Args:
            structure: Ordered or disordered structure.
            tie_equivalent: Tie all sites that have the same occupancies, as the sites of one
                sublattice of a disordered CIF do. Otherwise every soft site has weights of its own.
        """
        from .conversion import from_pymatgen

        return from_pymatgen(structure, tie_equivalent=tie_equivalent)

    def to_pymatgen(self) -> Structure:
        """Pymatgen structure with weights as occupancies; sites of weight 0 are left out."""
        from .conversion import to_pymatgen

        return to_pymatgen(self)

    @classmethod
    def from_extxyz(cls, source: str | Path) -> SoftAtoms:
        """Read a structure from an extended-XYZ file, or from text in that format."""
        from .conversion import from_extxyz

        return from_extxyz(source)

    def to_extxyz(self, path: str | Path | None = None) -> str:
        """Extended-XYZ text with candidates, weights and ties, written to ``path`` if given."""
        from .conversion import to_extxyz

        return to_extxyz(self, path)

    # Softening sites

    def with_candidates(
        self,
        sites: int | Sequence[int] | NDArray[np.int64],
        weights: Mapping[str, float],
        tie: str | None = None,
    ) -> SoftAtoms:
        """Put several candidate species on each of some sites.

        Args:
            sites: Site or sites to make soft. What they held before is replaced.
            weights: Weight of each candidate; at most 1 in sum, the rest is vacancy.
            tie: Name under which the sites share their weights. A tie that exists already is
                joined, and must have the same candidates with the same weights. None leaves every
                site with weights of its own.
        """
        chosen = self._site_indices(sites)
        wanted = checked_candidates(weights, where=f"sites {shorten(chosen)}")
        check_tie_name(tie)
        groups = self.groups
        if tie is not None and tie in groups.ties:
            group = groups.ties.index(tie)
            held = groups.candidates(group)
            outside = set(np.flatnonzero(self.site_group == group)) - set(chosen.tolist())
            if outside:
                if set(held) != set(wanted):
                    raise StructureError(
                        f"tie '{tie}' joins sites with different candidates: it holds "
                        f"{sorted(held)}, sites {shorten(chosen)} would bring {sorted(wanted)}"
                    )
                if any(abs(held[symbol] - wanted[symbol]) > 1e-12 for symbol in held):
                    raise StructureError(
                        f"tie '{tie}' already has the weights {held}; sites {shorten(chosen)} "
                        f"would join it with {wanted}"
                    )
                assigned = np.full(len(chosen), group)
                return self._with_groups(chosen, assigned, groups)
        ties: list[str | None] = [None] * len(chosen) if tie is None else [tie]
        first = len(groups.ties)
        added = groups.append(ties, wanted)
        assigned = first + (np.arange(len(chosen)) if tie is None else np.zeros(len(chosen), int))
        return self._with_groups(chosen, assigned, added)

    def with_existence(
        self,
        sites: int | Sequence[int] | NDArray[np.int64],
        q: float,
        tie: str | None = None,
    ) -> SoftAtoms:
        """Let the one species of some sites exist with weight ``q``.

        Args:
            sites: Site or sites with one candidate each. An isotopic mass is kept.
            q: Existence between 0 and 1.
            tie: Name under which the sites share their existence; they must hold one species.
        """
        chosen = self._site_indices(sites)
        species: dict[str, list[int]] = {}
        for site in chosen.tolist():
            held = self.candidates(site)
            if len(held) > 1:
                raise StructureError(
                    f"site {site} has the candidates {sorted(held)}; existence is for sites with "
                    "one candidate: use with_candidates with weights that sum to less than 1"
                )
            species.setdefault(next(iter(held)), []).append(site)
        if tie is not None and len(species) > 1:
            raise StructureError(
                f"tie '{tie}' joins sites with different candidates: {sorted(species)}"
            )
        soft = self
        for symbol, members in species.items():
            soft = soft.with_candidates(members, {symbol: q}, tie=tie)
        return soft.with_isotopes(np.isin(np.arange(len(self)), chosen), self.site_mass)

    def with_isotopes(self, sites: NDArray[np.bool_], masses: NDArray[np.float64]) -> SoftAtoms:
        """The same structure with other masses where they differ from an element's mean mass.

        Args:
            sites: Sites with one candidate whose masses to take over, shape (n_sites,).
            masses: Masses in amu, shape (n_sites,); nan for the mean mass of the element.
        """
        standard = np.ones(len(self))
        standard[self.node_site] = atomic_masses[self.node_number]
        changed = sites & np.isfinite(masses) & (masses != standard)
        if not changed.any():
            return self
        return self._copy(site_mass=np.where(changed, masses, self.site_mass))

    def with_weights(self, theta: ArrayLike | Tensor) -> SoftAtoms:
        """The same structure with other weights.

        Args:
            theta: New value of :attr:`weights`, shape (n_parameters,).
        """
        given = theta.detach().cpu().numpy() if isinstance(theta, Tensor) else theta
        values = real_array(given, "weights")
        if values.shape != self.groups.theta.shape:
            raise StructureError(
                f"weights must have shape {self.groups.theta.shape} "
                f"(one per entry of weight_labels), got {values.shape}"
            )
        return self._copy(groups=dataclasses.replace(self.groups, theta=values))

    def with_positions(self, positions: ArrayLike, cell: ArrayLike | None = None) -> SoftAtoms:
        """The same structure at other positions (Å) and, if given, in another cell (Å)."""
        moved = real_array(positions, "positions")
        if moved.shape != self.positions.shape:
            raise StructureError(
                f"positions must have shape {self.positions.shape}, got {moved.shape}"
            )
        box = self.cell if cell is None else real_array(cell, "cell")
        return self._copy(positions=moved, cell=box)

    def with_velocities(self, velocities: ArrayLike | None) -> SoftAtoms:
        """The same structure with other velocities (Å/fs, shape (n_sites, 3)) or without any."""
        moving = None if velocities is None else real_array(velocities, "velocities")
        return self._copy(velocities=moving)

    def select(
        self,
        sites: Sequence[int] | NDArray[np.int64],
        *,
        positions: NDArray[np.float64] | None = None,
        cell: NDArray[np.float64] | None = None,
        pbc: NDArray[np.bool_] | None = None,
    ) -> SoftAtoms:
        """Only some sites, in this order; copies of one site share its weights.

        Args:
            sites: Indices of the sites, where one may come several times, or a mask of all sites.
            positions: Where to put them (Å), shape (len(sites), 3); where they are, if None.
            cell: Cell to put them into (Å), the same one if None.
            pbc: Its periodicity, the same if None.
        """
        chosen = self._existing(sites)
        site_group, kept = renumbered_groups(self.site_group[chosen])
        groups = self.groups.keep(kept)
        sharing = np.bincount(site_group[site_group != PLAIN], minlength=len(kept))
        ties = list(groups.ties)
        for group, (tie, n, old) in enumerate(zip(groups.ties, sharing, kept, strict=True)):
            if tie is None and n > 1:
                ties[group] = f"copies-of-{self.labelled_site(int(old))}"
                while ties.count(ties[group]) > 1:
                    ties[group] = f"copies-of-{ties[group]}"
        return self._copy(
            positions=(
                self.positions[chosen] if positions is None else real_array(positions, "positions")
            ),
            cell=self.cell if cell is None else real_array(cell, "cell"),
            pbc=self.pbc if pbc is None else np.array(pbc, dtype=bool),
            site_number=self.site_number[chosen],
            site_mass=self.site_mass[chosen],
            site_group=site_group,
            groups=dataclasses.replace(groups, ties=tuple(ties)),
            velocities=None if self.velocities is None else self.velocities[chosen],
        )

    def repeat(self, times: Sequence[int]) -> SoftAtoms:
        """Supercell; the copies of a soft site stay tied to it, so the energy is extensive."""
        counts = np.asarray(times)
        if (
            counts.shape != (3,)
            or not np.issubdtype(counts.dtype, np.integer)
            or (counts < 1).any()
        ):
            raise StructureError(f"repeat needs three whole numbers of at least 1, got {times}")
        for axis in np.flatnonzero((counts > 1) & ~self.cell.any(axis=1)):
            raise StructureError(f"cannot repeat along lattice vector {axis}: it is zero")
        shifts = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), -1).reshape(-1, 3)
        offsets = np.repeat(shifts @ self.cell, len(self), axis=0)
        copies = np.tile(np.arange(len(self)), len(shifts))
        return self.select(
            copies, positions=self.positions[copies] + offsets, cell=counts[:, None] * self.cell
        )

    # Reading weights

    @property
    def weights(self) -> Tensor:
        """The free parameters θ as a fresh float64 tensor, shape (n_parameters,)."""
        return torch.from_numpy(self.groups.theta.copy())

    @cached_property
    def weight_labels(self) -> tuple[str, ...]:
        """Name of each parameter: ``<tie>:<species>``, or ``site<index>:<species>`` if untied."""
        return tuple(
            f"{self.labelled_site(int(group))}:{chemical_symbols[number]}"
            for group, number in zip(self.groups.parameter_group, self.groups.numbers, strict=True)
        )

    def labelled_site(self, group: int) -> str:
        """The tie of a group, or the name of its one site."""
        tie = self.groups.ties[group]
        return f"site{self._first_site[group]}" if tie is None else tie

    @cached_property
    def _first_site(self) -> dict[int, int]:
        groups, first = np.unique(self.site_group, return_index=True)
        return dict(zip(groups.tolist(), first.tolist(), strict=True))

    def candidates(self, site: int) -> dict[str, float]:
        """Candidates of one site with their weights."""
        group = int(self.site_group[site])
        if group == PLAIN:
            return {chemical_symbols[self.site_number[site]]: 1.0}
        return self.groups.candidates(group)

    # The expansion into nodes, one per (site, candidate)

    @cached_property
    def candidate_counts(self) -> NDArray[np.int64]:
        """Number of candidates of each site, shape (n_sites,)."""
        if len(self.groups.sizes) == 0:
            return np.ones(len(self), dtype=np.int64)
        return np.where(self.site_group == PLAIN, 1, self.groups.sizes[self.site_group])

    @cached_property
    def node_site(self) -> NDArray[np.int64]:
        """Site of each node, shape (n_nodes,)."""
        return np.repeat(np.arange(len(self)), self.candidate_counts)

    @cached_property
    def node_parameter(self) -> NDArray[np.int64]:
        """Index into θ of each node's weight, shape (n_nodes,); -1 where the weight is 1."""
        if len(self.groups.sizes) == 0:
            return np.full(len(self), PLAIN)
        starts = np.cumsum(self.candidate_counts) - self.candidate_counts
        position = np.arange(len(self.node_site)) - starts[self.node_site]
        group = self.site_group[self.node_site]
        return np.where(group == PLAIN, PLAIN, self.groups.offsets[group] + position)

    @cached_property
    def node_number(self) -> NDArray[np.int64]:
        """Atomic number of each node, shape (n_nodes,)."""
        numbers = self.site_number[self.node_site]
        soft = self.node_parameter != PLAIN
        numbers[soft] = self.groups.numbers[self.node_parameter[soft]]
        return numbers

    @cached_property
    def node_mass(self) -> NDArray[np.float64]:
        """Mass of each node in amu, shape (n_nodes,)."""
        masses = self.site_mass[self.node_site]
        mean = np.isnan(masses)
        masses[mean] = atomic_masses[self.node_number[mean]]
        return masses

    @cached_property
    def node_weight(self) -> NDArray[np.float64]:
        """Weight of each node, shape (n_nodes,)."""
        weights = np.ones(len(self.node_site))
        soft = self.node_parameter != PLAIN
        weights[soft] = self.groups.theta[self.node_parameter[soft]]
        return weights

    @cached_property
    def existence(self) -> NDArray[np.float64]:
        """Sum of the weights of each site, shape (n_sites,)."""
        sums = np.bincount(self.node_site, weights=self.node_weight, minlength=len(self))
        return sums.astype(np.float64)

    def __len__(self) -> int:
        return len(self.positions)

    def __repr__(self) -> str:
        soft_sites = int((self.site_group != PLAIN).sum())
        return (
            f"SoftAtoms({len(self)} sites, {soft_sites} soft, {len(self.groups.theta)} weights, "
            f"pbc={''.join('TF'[not p] for p in self.pbc)})"
        )

    # Validation

    def _site_indices(self, sites: int | Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        chosen = self._existing(sites)
        values, counts = np.unique(chosen, return_counts=True)
        if (counts > 1).any():
            raise StructureError(f"site {values[counts > 1][0]} is named twice")
        return chosen

    def _existing(self, sites: int | Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        given = np.atleast_1d(np.asarray(sites))
        if given.dtype == bool and given.shape == (len(self),):
            given = np.flatnonzero(given)
        if given.ndim != 1 or given.size == 0 or not np.issubdtype(given.dtype, np.integer):
            raise StructureError(f"sites must be one or more whole numbers, got {sites!r}")
        outside = given[(given < -len(self)) | (given >= len(self))]
        if outside.size:
            raise StructureError(f"site {outside[0]} does not exist: there are {len(self)} sites")
        return given.astype(np.int64) % len(self)

    def _with_groups(
        self, sites: NDArray[np.int64], assigned: NDArray[np.int64], groups: WeightGroups
    ) -> SoftAtoms:
        site_group = self.site_group.copy()
        site_group[sites] = assigned
        site_group, used = renumbered_groups(site_group)
        site_number, site_mass = self.site_number.copy(), self.site_mass.copy()
        site_number[sites], site_mass[sites] = 0, np.nan
        return self._copy(
            site_group=site_group,
            site_number=site_number,
            site_mass=site_mass,
            groups=groups.keep(used),
        )
