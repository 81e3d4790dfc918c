"""Elastic constants from the stress of finitely strained crystals.

Strains are small symmetric matrices added to the identity, and stresses are Cauchy's. Around a
crystal without stress the slope of one by the other is the tensor of elastic constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ..errors import OptionError
from ..units import GPA_PER_EV_ANG3
from .crystals import DEFAULT, Floats, Settings, relax_all, rest, strained, symmetry
from .errors import PhysicsError

if TYPE_CHECKING:
    from ..potentials.base import Potential
    from ..structure import SoftAtoms

AMPLITUDES = (0.002, 0.004)
"""Strains whose central differences are extrapolated to zero."""

LARGEST_AMPLITUDE = 0.05

AXES = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Voigt's order; shears count twice in a strain and once in a stress."""


@dataclass(frozen=True)
class CubicConstants:
    """The three elastic constants of a cubic crystal along its cubic axes, in eV/Å³."""

    c11: float
    c12: float
    c44: float


@dataclass(frozen=True)
class ElasticConstants:
    """Elastic constants of one crystal at rest.

    Attributes:
        soft: The crystal at rest.
        tensor: In Voigt's order along x, y and z, averaged over the point group, in eV/Å³,
            shape (6, 6).
        raw: As the strains gave it, neither symmetric nor averaged, shape (6, 6).
        extrapolation: Largest difference in eV/Å³ between what the smallest strain gave and the
            extrapolation to zero: an upper bound of what is left of the finite strain.
        conventional: The tensor along the axes of the conventional cell where symmetry tells them
            apart (tetragonal, trigonal, hexagonal and cubic crystals); else as ``tensor``.
        cubic: The three constants of a cubic crystal; None for any other.
    """

    soft: SoftAtoms
    tensor: Floats
    raw: Floats
    conventional: Floats
    extrapolation: float
    cubic: CubicConstants | None

    @property
    def tensor_gpa(self) -> Floats:
        """The tensor in GPa, shape (6, 6)."""
        return self.tensor * GPA_PER_EV_ANG3

    @property
    def asymmetry(self) -> float:
        """Largest deviation in eV/Å³ of what was computed from the averaged tensor."""
        return float(np.abs(self.raw - self.tensor).max())

    @property
    def eigenvalues(self) -> Floats:
        """Stiffness against the six strains of unit norm in eV/Å³, ascending, shape (6,)."""
        # Voigt's shears are √2 times as long as the matrices they stand for.
        scale = np.sqrt([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
        return _float64(np.linalg.eigvalsh(scale[:, None] * self.tensor * scale))

    @property
    def is_stable(self) -> bool:
        """Whether every homogeneous strain costs energy."""
        return bool(self.eigenvalues[0] > 0.0)

    @property
    def voigt(self) -> tuple[float, float]:
        """Bulk and shear modulus in eV/Å³ if strain is uniform."""
        return _voigt(self.tensor)

    @property
    def reuss(self) -> tuple[float, float]:
        """Bulk and shear modulus in eV/Å³ if stress is uniform; nan for an unstable crystal."""
        if not self.is_stable:
            return float("nan"), float("nan")
        s = _float64(np.linalg.inv(self.tensor))
        direct, mixed, shear = _sums(s)
        bulk = 1.0 / (direct + 2.0 * mixed)
        return bulk, 15.0 / (4.0 * direct - 4.0 * mixed + 3.0 * shear)

    @property
    def hill(self) -> tuple[float, float]:
        """Mean of both; nan for an unstable crystal."""
        (bulk, shear), (low, soft) = self.voigt, self.reuss
        return 0.5 * (bulk + low), 0.5 * (shear + soft)


def _float64(values: Any) -> Floats:
    # numpy's linear algebra is declared for floats of any length.
    return np.asarray(values, dtype=np.float64)


def _sums(c: Floats) -> tuple[float, float, float]:
    """Sums over 11, 12 and 44 and what is like them."""
    return (
        float(np.trace(c[:3, :3])),
        float(c[0, 1] + c[1, 2] + c[0, 2]),
        float(np.trace(c[3:, 3:])),
    )


def _voigt(c: Floats) -> tuple[float, float]:
    direct, mixed, shear = _sums(c)
    return (direct + 2.0 * mixed) / 9.0, (direct - mixed + 3.0 * shear) / 15.0


def elastic_constants(
    potential: Potential,
    crystal: SoftAtoms | Atoms,
    *,
    amplitudes: Sequence[float] = AMPLITUDES,
    settings: Settings = DEFAULT,
) -> ElasticConstants:
    """Elastic constants with relaxed positions; all strains are relaxed in one batch.

    Args:
        potential: The energy function.
        crystal: Where to start; it is brought to rest first.
        amplitudes: Strains to apply in both directions. The error of a central difference is even
            in the strain, so a line in its square is fitted and its value at zero taken.
        settings: Tolerances and precision.

    Raises:
        OptionError: If the amplitudes are unusable.
        PhysicsError: If the crystal or a strained one does not come to rest.
    """
    sizes = np.unique(np.asarray(amplitudes, dtype=np.float64))
    if sizes.ndim != 1 or len(sizes) == 0 or not ((sizes > 0) & (sizes < LARGEST_AMPLITUDE)).all():
        raise OptionError(
            f"amplitudes must be strains between 0 and {LARGEST_AMPLITUDE:g}, got {amplitudes!r}"
        )
    soft = rest(potential, crystal, settings).soft
    systems = [
        strained(soft, np.eye(3) + sign * size * direction)
        for size in sizes
        for direction in _directions()
        for sign in (1.0, -1.0)
    ]
    done = relax_all(potential, systems, settings, what="strain")
    rows, columns = np.array(AXES).T
    stresses = []
    for result in done:
        if result.stress is None or not np.isfinite(result.stress).all():
            raise PhysicsError("the stress of a strained crystal is not finite")
        stresses.append(result.stress[rows, columns])
    found = np.array(stresses).reshape(len(sizes), 6, 2, 6)
    slopes = (found[:, :, 0] - found[:, :, 1]) / (2.0 * sizes[:, None, None])
    raw = slopes[0].T.copy()
    if len(sizes) > 1:
        design = np.stack([np.ones_like(sizes), sizes**2], axis=1)
        fitted = np.linalg.lstsq(design, slopes.reshape(len(sizes), 36))[0]
        raw = fitted[0].reshape(6, 6).T
    point_group = symmetry(soft)
    tensor = averaged(raw, point_group.rotations)
    along_axes = tensor
    if point_group.has_main_axis:
        along_axes = averaged(tensor, point_group.to_axes[None])
    return ElasticConstants(
        soft=soft,
        tensor=tensor,
        raw=raw,
        conventional=along_axes,
        extrapolation=float(np.abs(slopes[0].T - raw).max()),
        cubic=cubic_constants(along_axes) if point_group.is_cubic else None,
    )


def _directions() -> list[Floats]:
    """Matrices of the six strains whose Voigt component is 1."""
    directions = []
    for row, column in AXES:
        matrix = np.zeros((3, 3))
        matrix[row, column] += 0.5
        matrix[column, row] += 0.5
        directions.append(matrix)
    return directions


def averaged(tensor: Floats, rotations: Floats) -> Floats:
    """Mean of a tensor over rotations, symmetric in its two indices.

    Args:
        tensor: In Voigt's order, shape (6, 6).
        rotations: Orthogonal matrices, shape (n, 3, 3).
    """
    rows, columns = np.array(AXES).T
    full = np.zeros((3, 3, 3, 3))
    for i, (a, b) in enumerate(AXES):
        for j, (c, d) in enumerate(AXES):
            full[[a, b, a, b], [b, a, b, a], [c, c, d, d], [d, d, c, c]] = tensor[i, j]
    r = rotations
    turned = np.einsum("nia,njb,nkc,nld,abcd->ijkl", r, r, r, r, full, optimize=True) / len(r)
    voigt = turned[rows[:, None], columns[:, None], rows, columns]
    return 0.5 * (voigt + voigt.T)


def cubic_constants(tensor: Floats) -> CubicConstants:
    """The three constants of a tensor along cubic axes, shape (6, 6)."""
    direct, mixed, shear = _sums(tensor)
    return CubicConstants(direct / 3.0, mixed / 3.0, shear / 3.0)
