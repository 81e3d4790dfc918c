"""Surface energies from slabs of several thicknesses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.build import surface

from ..errors import OptionError, StructureError
from ..evaluation import evaluate_batch
from ..potentials.options import check_positive
from ..structure import SoftAtoms
from ..units import J_PER_M2_PER_EV_ANG2
from .crystals import DEFAULT, Floats, Settings, as_crystal, conventional, relax_all, rest

if TYPE_CHECKING:
    from ..potentials.base import Potential

THICKNESSES = (8.0, 12.0, 16.0)
"""Least thicknesses of the slabs in Å."""

FEWEST = 2

NOISE = 1e-4
"""Part of the distance of lattice planes that is rounding."""

SAME_GAP = 0.02
"""Difference in Å up to which two distances of planes count as the same."""

VACUUM = 5.0
"""Room in Å on either side of a slab in its cell."""


@dataclass(frozen=True)
class SurfaceEnergy:
    """Energy of one facet, mean of the two sides of the slabs.

    The energy of a slab of N sites and area A is 2 A γ + N e; γ and e follow from a straight line
    through several thicknesses, so an error of e does not grow with thickness.

    Attributes:
        facet: Miller indices of the conventional cell.
        relaxed: γ in eV/Å², positions relaxed.
        unrelaxed: γ in eV/Å² of cut crystals.
        bulk_error: e of the line (relaxed) minus the energy per site of the crystal, in eV: how
            far the thicknesses are from their limit.
        residual: Root mean square deviation from the line (relaxed) in eV/Å².
        area: Area A in Å².
        n_sites: Sites of each slab, shape (n_slabs,).
        energies: Relaxed energies of the slabs in eV, shape (n_slabs,).
    """

    facet: tuple[int, int, int]
    relaxed: float
    unrelaxed: float
    bulk_error: float
    residual: float
    area: float
    n_sites: Floats
    energies: Floats

    @property
    def relaxed_j_per_m2(self) -> float:
        """γ in J/m², positions relaxed."""
        return self.relaxed * J_PER_M2_PER_EV_ANG2


def surface_energy(
    potential: Potential,
    crystal: SoftAtoms | Atoms,
    facet: Sequence[int],
    *,
    thicknesses: Sequence[float] = THICKNESSES,
    settings: Settings = DEFAULT,
) -> SurfaceEnergy:
    """Energy of a facet; all slabs are relaxed in one batch.

    Slabs are whole repetitions of the oriented conventional cell, so they have the composition of
    the crystal. They end where planes of atoms are farthest apart. Where the two sides end
    differently the energy is their mean, and a polar slab is cut as it is.

    Args:
        potential: The energy function.
        crystal: Where to start; it is brought to rest first. No site may be soft.
        facet: Miller indices of the conventional cell.
        thicknesses: Least thicknesses of the slabs in Å, at least two.
        settings: Tolerances and precision.

    Raises:
        PhysicsError: If the crystal or a slab does not come to rest.
    """
    indices = checked_facet(facet)
    sizes = [check_positive(size, "thicknesses") for size in thicknesses]
    if len(sizes) < FEWEST:
        raise OptionError(f"thicknesses must be at least {FEWEST}, got {thicknesses!r}")
    start = as_crystal(crystal)
    if (start.site_number == 0).any():
        raise StructureError("surfaces are cut from crystals without soft sites")
    relaxed = rest(potential, start, settings)
    per_site = relaxed.energy / len(relaxed.soft)
    # (2 2 2) is the plane (1 1 1), and ASE makes something else of common factors.
    plane = lowest_terms(indices)
    unit = cut_at_widest_gap(conventional(relaxed.soft), plane)
    one = surface(unit, plane, 1, periodic=True)
    area = float(np.linalg.norm(np.cross(one.cell[0], one.cell[1])))
    layer = float(abs(np.linalg.det(unit.cell.array))) * len(one) / len(unit) / area
    layers = sorted({int(np.ceil(size / layer - 1e-6)) for size in sizes})
    if len(layers) < FEWEST:
        layers = [layers[0], layers[0] + 1]
    slabs = [_slab(unit, plane, count) for count in layers]
    cut = evaluate_batch(potential, slabs, properties=(), **settings.evaluation())
    done = relax_all(potential, slabs, settings, what="slab", is_defect=True)
    n_sites = np.array([float(len(slab)) for slab in slabs])
    energies = np.array([result.energy for result in done])
    gamma, slope, residual = _line(n_sites, energies, per_site, area)
    return SurfaceEnergy(
        facet=indices,
        relaxed=gamma,
        unrelaxed=_line(n_sites, np.array([float(out.energy) for out in cut]), per_site, area)[0],
        bulk_error=slope - per_site,
        residual=residual,
        area=area,
        n_sites=n_sites,
        energies=energies,
    )


def checked_facet(facet: Sequence[int]) -> tuple[int, int, int]:
    """Miller indices.

    Raises:
        OptionError: If they are not three whole numbers, or all zero.
    """
    listed = list(facet)
    whole = all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in listed)
    if len(listed) != 3 or not whole or not any(listed):
        raise OptionError(f"facet must be three whole numbers that are not all 0, got {facet!r}")
    return int(listed[0]), int(listed[1]), int(listed[2])


def lowest_terms(facet: tuple[int, int, int]) -> tuple[int, int, int]:
    """Miller indices without a common factor."""
    first, second, third = (np.array(facet) // np.gcd.reduce(facet)).tolist()
    return first, second, third


def cut_at_widest_gap(unit: Atoms, facet: tuple[int, int, int]) -> Atoms:
    """A crystal moved so that slabs of whole cells end where planes of a facet are farthest apart.

    Where a cell begins is a convention; the surface that a crystal has is not. Of equal gaps the
    first one counts.

    Args:
        unit: The conventional cell.
        facet: Miller indices without a common factor.
    """
    normal = np.array(facet, dtype=np.float64)
    spacing = 1.0 / float(np.linalg.norm(np.linalg.inv(unit.cell.array) @ normal))
    scaled = unit.get_scaled_positions(wrap=False)
    # Heights in units of the spacing; what is 1 up to rounding is 0.
    heights = np.sort((scaled @ normal + NOISE) % 1.0 - NOISE)
    gaps = np.append(heights[1:], heights[0] + 1.0) - heights
    widest = int(np.flatnonzero(gaps > gaps.max() - SAME_GAP / spacing)[0])
    cut = heights[widest] + 0.5 * gaps[widest]
    moved = unit.copy()
    moved.set_scaled_positions(scaled - cut * normal / (normal @ normal))
    return moved


def _slab(unit: Atoms, facet: tuple[int, int, int], layers: int) -> SoftAtoms:
    # Nothing repeats across the slab, so how much vacuum the cell holds changes no energy.
    slab = surface(unit, facet, layers, vacuum=VACUUM, periodic=False)
    return SoftAtoms.from_ase(slab)


def _line(
    n_sites: Floats, energies: Floats, per_site: float, area: float
) -> tuple[float, float, float]:
    """γ in eV/Å², energy per site in eV, and deviation in eV/Å² of the line through slabs."""
    excess = energies - n_sites * per_site
    slope, offset = np.polyfit(n_sites, excess, 1)
    deviation = excess - (offset + slope * n_sites)
    residual = float(np.sqrt(np.mean(deviation**2))) / (2.0 * area)
    return float(offset) / (2.0 * area), per_site + float(slope), residual
