"""Soft structures: sites with continuous identity and continuous existence.

A *plain* site holds one species with weight 1. A *soft* site holds one or several candidate species,
each with a weight in [0, 1]; what is missing from a sum of 1 is vacancy. Sites that are *tied* share
their weights. A *group* is one set of tied sites; an untied soft site is a group of its own. The
free parameters θ are the weights of all groups, one after the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase.data import atomic_masses, atomic_numbers, chemical_symbols
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .errors import StructureError
from .neighbours import complete_cell, neighbour_pairs, pair_vectors

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms
    from pymatgen.core import Structure

WEIGHT_TOLERANCE = 1e-4
"""How far a weight may lie outside [0, 1], or a sum above 1: occupancies in files are rounded to four
decimals, and finite-difference steps leave the simplex by their own size."""

COINCIDENCE_DISTANCE = 0.1
"""Two sites closer than this (Å) lie on top of each other."""

PLAIN = -1
"""Group and parameter index of what carries no weight."""


def atomic_number(symbol: str) -> int:
    """Atomic number of a chemical symbol.

    Raises:
        StructureError: If there is no such element.
    """
    number = atomic_numbers.get(symbol, 0) if isinstance(symbol, str) else 0
    if number == 0:
        raise StructureError(
            f"unknown species {symbol!r}; give a chemical symbol such as 'Cu' "
            "(a vacancy is what is missing from a sum of weights, not a species)"
        )
    return int(number)


@dataclasses.dataclass(frozen=True)
class WeightGroups:
    """The simplexes of weights of a soft structure, stored flat.

    Attributes:
        ties: Name of each group's tie, or None for a site that is tied to nothing.
        sizes: Number of candidates of each group, shape (n_groups,).
        numbers: Atomic number behind each parameter, shape (n_parameters,).
        theta: Weight of each parameter, shape (n_parameters,), float64.
    """

    ties: tuple[str | None, ...]
    sizes: NDArray[np.int64]
    numbers: NDArray[np.int64]
    theta: NDArray[np.float64]

    @staticmethod
    def empty() -> WeightGroups:
        """No soft site at all."""
        whole = np.zeros(0, dtype=np.int64)
        return WeightGroups((), whole, whole, np.zeros(0))

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Index of the first parameter of each group, shape (n_groups,)."""
        return np.cumsum(self.sizes) - self.sizes

    @cached_property
    def parameter_group(self) -> NDArray[np.int64]:
        """Group that each parameter belongs to, shape (n_parameters,)."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def candidates(self, group: int) -> dict[str, float]:
        """Candidates of one group with their weights, in order."""
        part = slice(self.offsets[group], self.offsets[group] + self.sizes[group])
        return {
            chemical_symbols[number]: float(weight)
            for number, weight in zip(self.numbers[part], self.theta[part], strict=True)
        }

    def keep(self, kept: NDArray[np.int64]) -> WeightGroups:
        """The groups with these indices, in this order."""
        parameters = np.concatenate(
            [np.zeros(0, dtype=np.int64)]
            + [np.arange(self.offsets[g], self.offsets[g] + self.sizes[g]) for g in kept]
        )
        return WeightGroups(
            tuple(self.ties[g] for g in kept),
            self.sizes[kept],
            self.numbers[parameters],
            self.theta[parameters],
        )

    def append(self, ties: Sequence[str | None], weights: Mapping[str, float]) -> WeightGroups:
        """Add one group per entry of ``ties``, all with the same candidates and weights."""
        count = len(ties)
        numbers = [atomic_number(symbol) for symbol in weights]
        return WeightGroups(
            (*self.ties, *ties),
            np.concatenate([self.sizes, np.full(count, len(weights), dtype=np.int64)]),
            np.concatenate([self.numbers, np.tile(np.array(numbers, dtype=np.int64), count)]),
            np.concatenate([self.theta, np.tile(np.array(list(weights.values())), count)]),
        )


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
        site_mass: Mass of each plain site in amu, nan at soft sites, shape (n_sites,).
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
        self._validate_geometry()
        self._validate_weights()

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
        """Extended-XYZ text with candidates, weights and ties; also written to ``path`` if given."""
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
        wanted = self._checked_candidates(weights, where=f"sites {_shorten(chosen)}")
        _check_tie_name(tie)
        groups = self.groups
        if tie is not None and tie in groups.ties:
            group = groups.ties.index(tie)
            held = groups.candidates(group)
            outside = set(np.flatnonzero(self.site_group == group)) - set(chosen.tolist())
            if outside:
                if set(held) != set(wanted):
                    raise StructureError(
                        f"tie '{tie}' joins sites with different candidates: it holds "
                        f"{sorted(held)}, sites {_shorten(chosen)} would bring {sorted(wanted)}"
                    )
                if any(abs(held[symbol] - wanted[symbol]) > 1e-12 for symbol in held):
                    raise StructureError(
                        f"tie '{tie}' already has the weights {held}; sites {_shorten(chosen)} "
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
            sites: Site or sites with one candidate each.
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
        return soft

    def with_weights(self, theta: ArrayLike | Tensor) -> SoftAtoms:
        """The same structure with other weights.

        Args:
            theta: New value of :attr:`weights`, shape (n_parameters,).
        """
        given = theta.detach().cpu().numpy() if isinstance(theta, Tensor) else theta
        values = np.array(given, dtype=np.float64)
        if values.shape != self.groups.theta.shape:
            raise StructureError(
                f"weights must have shape {self.groups.theta.shape} "
                f"(one per entry of weight_labels), got {values.shape}"
            )
        return self._copy(groups=dataclasses.replace(self.groups, theta=values))

    def with_positions(self, positions: ArrayLike, cell: ArrayLike | None = None) -> SoftAtoms:
        """The same structure at other positions (Å) and, if given, in another cell (Å)."""
        moved = np.array(positions, dtype=np.float64)
        if moved.shape != self.positions.shape:
            raise StructureError(
                f"positions must have shape {self.positions.shape}, got {moved.shape}"
            )
        box = self.cell if cell is None else np.array(cell, dtype=np.float64)
        return self._copy(positions=moved, cell=box)

    def with_velocities(self, velocities: ArrayLike | None) -> SoftAtoms:
        """The same structure with other velocities (Å/fs, shape (n_sites, 3)) or without any."""
        moving = None if velocities is None else np.array(velocities, dtype=np.float64)
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
            sites: Indices of the sites; an index may come several times.
            positions: Where to put them (Å), shape (len(sites), 3); where they are, if None.
            cell: Cell to put them into (Å), the same one if None.
            pbc: Its periodicity, the same if None.
        """
        chosen = np.asarray(sites, dtype=np.int64)
        site_group, kept = _renumbered(self.site_group[chosen])
        groups = self.groups.keep(kept)
        sharing = np.bincount(site_group[site_group != PLAIN], minlength=len(kept))
        ties = tuple(
            f"copies-of-{self.labelled_site(int(old))}" if tie is None and n > 1 else tie
            for tie, n, old in zip(groups.ties, sharing, kept, strict=True)
        )
        return self._copy(
            positions=self.positions[chosen] if positions is None else positions,
            cell=self.cell if cell is None else cell,
            pbc=self.pbc if pbc is None else pbc,
            site_number=self.site_number[chosen],
            site_mass=self.site_mass[chosen],
            site_group=site_group,
            groups=dataclasses.replace(groups, ties=ties),
            velocities=None if self.velocities is None else self.velocities[chosen],
        )

    def repeat(self, times: Sequence[int]) -> SoftAtoms:
        """Supercell; the copies of a soft site stay tied to it, so the energy is extensive."""
        counts = np.asarray(times, dtype=np.int64)
        if counts.shape != (3,) or (counts < 1).any():
            raise StructureError(f"repeat needs three whole numbers of at least 1, got {times}")
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
        soft = self.node_parameter != PLAIN
        masses[soft] = atomic_masses[self.groups.numbers[self.node_parameter[soft]]]
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
        return np.bincount(self.node_site, weights=self.node_weight, minlength=len(self))

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
        given = np.atleast_1d(np.asarray(sites))
        if given.ndim != 1 or given.size == 0 or not np.issubdtype(given.dtype, np.integer):
            raise StructureError(f"sites must be one or more whole numbers, got {sites!r}")
        outside = given[(given < -len(self)) | (given >= len(self))]
        if outside.size:
            raise StructureError(f"site {outside[0]} does not exist: there are {len(self)} sites")
        chosen = given.astype(np.int64) % len(self)
        values, counts = np.unique(chosen, return_counts=True)
        if (counts > 1).any():
            raise StructureError(f"site {values[counts > 1][0]} is named twice")
        return chosen

    def _checked_candidates(self, weights: Mapping[str, float], where: str) -> dict[str, float]:
        if not isinstance(weights, Mapping):
            raise StructureError(
                f"weights of {where} must be a mapping such as {{'Al': 0.8, 'Sc': 0.2}}, got "
                f"{weights!r}: a species named twice would be a duplicate candidate"
            )
        if not weights:
            raise StructureError(f"{where} need at least one candidate")
        for symbol, weight in weights.items():
            atomic_number(symbol)
            if isinstance(weight, bool) or not isinstance(weight, int | float | np.number):
                raise StructureError(f"weight of {symbol} at {where} must be a number: {weight!r}")
        return {symbol: float(weight) for symbol, weight in weights.items()}

    def _with_groups(
        self, sites: NDArray[np.int64], assigned: NDArray[np.int64], groups: WeightGroups
    ) -> SoftAtoms:
        site_group = self.site_group.copy()
        site_group[sites] = assigned
        site_group, used = _renumbered(site_group)
        site_number, site_mass = self.site_number.copy(), self.site_mass.copy()
        site_number[sites], site_mass[sites] = 0, np.nan
        return self._copy(
            site_group=site_group,
            site_number=site_number,
            site_mass=site_mass,
            groups=groups.keep(used),
        )

    def _validate_geometry(self) -> None:
        if self.positions.ndim != 2 or self.positions.shape[1] != 3 or len(self.positions) == 0:
            raise StructureError(
                f"positions must have shape (n_sites, 3) with n_sites > 0, "
                f"got {self.positions.shape}"
            )
        if self.cell.shape != (3, 3):
            raise StructureError(f"cell must have shape (3, 3), got {self.cell.shape}")
        if not np.isfinite(self.cell).all():
            raise StructureError("cell contains nan or infinite values")
        finite = np.isfinite(self.positions).all(axis=1)
        if not finite.all():
            raise StructureError(
                f"position of site {np.flatnonzero(~finite)[0]} contains nan or infinite values"
            )
        if self.velocities is not None:
            if self.velocities.shape != self.positions.shape:
                raise StructureError(
                    f"velocities must have shape {self.positions.shape}, "
                    f"got {self.velocities.shape}"
                )
            moving = np.isfinite(self.velocities).all(axis=1)
            if not moving.all():
                raise StructureError(
                    f"velocity of site {np.flatnonzero(~moving)[0]} contains nan or infinite values"
                )
        lengths = np.linalg.norm(self.cell, axis=1)
        if self.pbc.any():
            if (lengths[self.pbc] == 0).any():
                axis = np.flatnonzero(self.pbc & (lengths == 0))[0]
                raise StructureError(f"cell is singular: periodic lattice vector {axis} is zero")
            full = complete_cell(self.cell, self.pbc)
            if abs(np.linalg.det(full)) < 1e-8 * np.prod(np.linalg.norm(full, axis=1)):
                raise StructureError("cell is singular: its lattice vectors are linearly dependent")
        # A search with a tiny radius would make a grid of tiny boxes; this one is many times faster.
        near = neighbour_pairs(self.positions, self.cell, self.pbc, 10 * COINCIDENCE_DISTANCE)
        vectors = pair_vectors(self.positions, self.cell, near)
        coincident = np.flatnonzero((vectors**2).sum(axis=1) < COINCIDENCE_DISTANCE**2)
        if coincident.size:
            pair = coincident[0]
            raise StructureError(
                f"sites {near.receivers[pair]} and {near.senders[pair]} lie on top of each other "
                f"(closer than {COINCIDENCE_DISTANCE} Å): a position that may hold several species "
                "is one site with several candidates"
            )

    def _validate_weights(self) -> None:
        theta = self.groups.theta
        if not np.isfinite(theta).all():
            index = np.flatnonzero(~np.isfinite(theta))[0]
            raise StructureError(f"weight {self.weight_labels[index]} is nan or infinite")
        outside = (theta < -WEIGHT_TOLERANCE) | (theta > 1 + WEIGHT_TOLERANCE)
        if outside.any():
            index = np.flatnonzero(outside)[0]
            raise StructureError(
                f"weight {self.weight_labels[index]} = {theta[index]:g} lies outside [0, 1]"
            )
        sums = np.bincount(
            self.groups.parameter_group, weights=theta, minlength=len(self.groups.sizes)
        )
        if (sums > 1 + WEIGHT_TOLERANCE * (1 + 1e-6)).any():
            group = int(np.argmax(sums))
            raise StructureError(
                f"weights of {self.labelled_site(group)} sum to {sums[group]:g}, more than 1: "
                f"{self.groups.candidates(group)}"
            )


def _renumbered(
    site_group: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number groups in the order of their first sites, and drop those without any.

    The order of θ is then a property of the structure, not of the calls that made it.

    Returns:
        The new group of each site, and the old index of each new group.
    """
    soft = site_group != PLAIN
    used, first, member = np.unique(site_group[soft], return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    renumbered = np.full(len(site_group), PLAIN)
    renumbered[soft] = rank[member]
    return renumbered, used[order]


def _check_tie_name(tie: str | None) -> None:
    if tie is not None and (
        not isinstance(tie, str) or not tie or any(c.isspace() or c in ':,"=' for c in tie)
    ):
        raise StructureError(
            f"tie must be a name without spaces, quotes, ':', ',' or '=', got {tie!r}"
        )


def _shorten(sites: Iterable[int]) -> str:
    listed = [int(site) for site in sites]
    if len(listed) <= 6:
        return str(listed)
    return f"[{', '.join(map(str, listed[:5]))}, ... {len(listed)} in all]"
