"""Paths along λ from one Hamiltonian to another, and what their ΔF says of the ends.

Everything that is not sampled is here: springs, masses, and the centre of mass, which is at rest in
all simulations (Σ m r, with the masses of the simulation, stays where the reference positions have
it). Its terms are exact and differ from path to path:

removal
    Atoms fade while springs to their places grow in. At λ = 1 the crystal without them and
    independent oscillators are left, joined by the centre of mass alone. Integrated over the place
    of the crystal, ΔF = F(without) + Σ 3 kT ln(ħω/kT) − 3 kT ln(M/M') − F(with), with M' the mass
    of what stays.
substitution
    The energy does not change if everything moves, so the centre of mass cancels: ΔF plus
    (3/2) kT ln(m_A/m_B) per atom, as momenta are not sampled and masses kept.
frenkel_ladd
    The whole potential is scaled to 0 while springs of all sites grow in: F(crystal) = F(Einstein
    crystal with its centre of mass at rest) + F(free particle of the mass M in one primitive cell)
    − ΔF.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..dynamics import Schedule, Tethers
from ..errors import OptionError, StructureError
from ..potentials.options import check_elements, check_positive
from ..structure import SoftAtoms
from .einstein import (
    centre_of_mass_free_energy,
    einstein_free_energy,
    einstein_free_energy_at_rest,
    thermal_energy,
)

Floats = NDArray[np.float64]
Kind = Literal["removal", "substitution", "frenkel_ladd"]


@dataclass(frozen=True)
class Path:
    """A path from λ = 0 to λ = 1 at a fixed cell.

    Attributes:
        kind: What happens along it.
        soft: The structure at λ = 0 with reference positions: lattice sites, near which atoms stay.
        end: Weights θ at λ = 1, shape (n_parameters,).
        scale: Factor of the potential at λ = 0 and 1.
        tethers: Springs that grow in, or None.
        changed: Sites that fade or turn into something else.
        cell_volume: Volume of a primitive cell in Å³, of ``frenkel_ladd``.
        masses_before: Mass of each site at λ = 0 in amu, shape (n_sites,).
        masses_after: The same at λ = 1; atoms that fade keep theirs.
    """

    kind: Kind
    soft: SoftAtoms
    end: tuple[float, ...]
    scale: tuple[float, float]
    tethers: Tethers | None
    changed: tuple[int, ...]
    cell_volume: float
    masses_before: Floats
    masses_after: Floats

    @property
    def start(self) -> tuple[float, ...]:
        """Weights θ at λ = 0."""
        return tuple(self.soft.groups.theta.tolist())

    @property
    def masses(self) -> Floats:
        """Masses of the sites in simulations in amu, the same in both directions."""
        return 0.5 * (self.masses_before + self.masses_after)

    def schedule(self, n_steps: int, **more: object) -> Schedule:
        """How a run goes along the path; see :class:`softatoms.dynamics.Schedule`."""
        return replace(Schedule(self.start, self.end, n_steps, scale=self.scale), **more)  # type: ignore[arg-type]

    def value(self, difference: float, temperature: float) -> float:
        """The free energy that was asked for, from ΔF of the switching.

        Args:
            difference: ΔF = F(1) − F(0) of the simulated systems in eV.
            temperature: In K.

        Returns:
            In eV: F(without the atoms) − F(with them), F(after) − F(before) the substitution, or
            the absolute F of the crystal. Standard errors are those of ΔF.
        """
        return self.sign * difference + self.constant(temperature)

    @property
    def sign(self) -> int:
        """Sign with which ΔF enters."""
        return -1 if self.kind == "frenkel_ladd" else 1

    def constant(self, temperature: float) -> float:
        """What is added to ± ΔF in eV, see above."""
        thermal = thermal_energy(temperature)
        if self.kind == "substitution":
            ratios = self.masses_before / self.masses_after
            return 1.5 * thermal * float(np.log(ratios).sum())
        assert self.tethers is not None
        springs = np.array(self.tethers.stiffness)
        sites = list(self.tethers.sites)
        total = float(self.masses.sum())
        if self.kind == "removal":
            left = total - float(self.masses[sites].sum())
            oscillators = einstein_free_energy(springs, self.masses[sites], temperature)
            return 3.0 * thermal * float(np.log(total / left)) - oscillators
        at_rest = einstein_free_energy_at_rest(springs, self.masses[sites], temperature)
        return at_rest + centre_of_mass_free_energy(total, self.cell_volume, temperature)


def removal(soft: SoftAtoms, sites: int | Sequence[int], stiffness: ArrayLike) -> Path:
    """Atoms are switched off while springs are switched on at their places.

    Args:
        soft: The crystal with the atoms, at reference positions and without soft sites.
        sites: Which atoms: one for a vacancy, several for a cluster of them, an extra one to take
            an interstitial out.
        stiffness: Spring constants in eV/Å², one for all or one each.

    Raises:
        OptionError: If a site or a spring makes no sense.
        StructureError: If the structure has soft sites.
    """
    _check_plain(soft)
    chosen = _sites(sites, soft)
    if len(chosen) == len(soft):
        raise OptionError("removal: at least one atom has to stay")
    masses = site_masses(soft)
    springs = np.broadcast_to(np.asarray(stiffness, dtype=np.float64), len(chosen))
    springs = springs[np.argsort(np.atleast_1d(sites))]
    faded = soft.with_existence(chosen, 1.0).with_velocities(None)
    return Path(
        kind="removal",
        soft=faded,
        end=(0.0,) * len(faded.groups.theta),
        scale=(1.0, 1.0),
        tethers=Tethers(chosen, tuple(springs.tolist()), _rows(soft.positions[list(chosen)])),
        changed=chosen,
        cell_volume=np.nan,
        masses_before=masses,
        masses_after=masses,
    )


def substitution(soft: SoftAtoms, changes: Mapping[int, str]) -> Path:
    """Atoms turn into other elements: a whole sublattice, some of its sites, or a single one.

    Args:
        soft: The crystal before, at reference positions and without soft sites.
        changes: New element of each site that changes.

    Raises:
        OptionError: If a site does not exist or keeps its element.
        StructureError: If the structure has soft sites.
    """
    _check_plain(soft)
    chosen = _sites(list(changes), soft)
    check_elements(sorted(set(changes.values())))
    symbols = soft.to_ase().get_chemical_symbols()
    pairs: dict[tuple[str, str], list[int]] = {}
    for site in chosen:
        pairs.setdefault((symbols[site], changes[site]), []).append(site)
    after = site_masses(soft)
    turning = soft.with_velocities(None)
    for (old, new), sites in pairs.items():
        if old == new:
            raise OptionError(f"substitution: site {sites[0]} holds {new} already")
        turning = turning.with_candidates(sites, {old: 1.0, new: 0.0}, tie=f"{old}-{new}")
    node_of_new = turning.groups.theta[turning.node_parameter] == 0.0
    is_new = (turning.node_parameter >= 0) & node_of_new
    after[turning.node_site[is_new]] = turning.node_mass[is_new]
    return Path(
        kind="substitution",
        soft=turning,
        end=tuple((1.0 - turning.groups.theta).tolist()),
        scale=(1.0, 1.0),
        tethers=None,
        changed=chosen,
        cell_volume=np.nan,
        masses_before=site_masses(soft),
        masses_after=after,
    )


def frenkel_ladd(soft: SoftAtoms, stiffness: ArrayLike, *, cell_volume: float) -> Path:
    """A whole crystal is turned into an Einstein crystal.

    Args:
        soft: The crystal, perfect or with a defect, at reference positions and without soft sites.
        stiffness: Spring constants in eV/Å², one for all or one per site.
        cell_volume: Volume of one primitive cell of the perfect crystal in Å³.

    Raises:
        OptionError: If a spring or the volume makes no sense.
        StructureError: If the structure has soft sites.
    """
    _check_plain(soft)
    springs = np.broadcast_to(np.asarray(stiffness, dtype=np.float64), len(soft))
    return Path(
        kind="frenkel_ladd",
        soft=soft.with_velocities(None),
        end=(),
        scale=(1.0, 0.0),
        tethers=Tethers(tuple(range(len(soft))), tuple(springs.tolist()), _rows(soft.positions)),
        changed=(),
        cell_volume=check_positive(cell_volume, "cell_volume"),
        masses_before=site_masses(soft),
        masses_after=site_masses(soft),
    )


def site_masses(soft: SoftAtoms) -> Floats:
    """Mass of each site of a structure without soft sites in amu, shape (n_sites,)."""
    masses = np.zeros(len(soft))
    masses[soft.node_site] = soft.node_mass
    return masses


def _rows(positions: Floats) -> tuple[tuple[float, float, float], ...]:
    return tuple((float(x), float(y), float(z)) for x, y, z in positions)


def _check_plain(soft: SoftAtoms) -> None:
    if (soft.site_number == 0).any():
        raise StructureError("a path starts from a structure without soft sites")


def _sites(given: int | Sequence[int], soft: SoftAtoms) -> tuple[int, ...]:
    sites = np.atleast_1d(np.asarray(given))
    if sites.ndim != 1 or not sites.size or not np.issubdtype(sites.dtype, np.integer):
        raise OptionError(f"sites must be indices from 0, got {given!r}")
    listed = sites.tolist()
    if len(set(listed)) < len(listed) or min(listed) < 0 or max(listed) >= len(soft):
        raise OptionError(f"sites must be different indices from 0 to {len(soft) - 1}, got {given}")
    return tuple(sorted(listed))
