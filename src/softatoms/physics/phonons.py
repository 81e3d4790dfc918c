"""Phonons at the wave vectors that fit into a supercell, from finite displacements.

At these wave vectors the sum over the copies in a supercell is exact, however far forces reach: a
supercell of n cells knows n wave vectors and no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from ..errors import OptionError
from ..evaluation import evaluate_batch
from ..potentials.options import check_positive
from ..units import THZ_PER_ROOT_EV_AMU_ANG
from .crystals import DEFAULT, Floats, Settings, as_crystal, checked_repeat, rest
from .errors import PhysicsError

if TYPE_CHECKING:
    from ..potentials.base import Potential
    from ..structure import SoftAtoms

DISPLACEMENT = 0.01
"""How far a site is moved to either side, in Å: customary, and far enough to look over the rounded
cusps that a network with bond angles may have at straight angles."""

COMMENSURATE = 1e-6
"""How far from a whole number the phase of a wave vector may be after a supercell."""

TRANSLATIONS = 3
"""Modes of Γ that are no vibrations."""


@dataclass(frozen=True)
class Phonons:
    """Phonons of one crystal.

    Imaginary frequencies are negative.

    Attributes:
        soft: The crystal at rest.
        points: Wave vectors of the named points in units of the reciprocal lattice vectors.
        frequencies: Frequencies at each named point in THz, ascending, shape (3 n_sites,).
        lowest: Lowest frequency in THz at any wave vector of the supercell, translations aside.
        lowest_at: Where that is, in units of the reciprocal lattice vectors.
        sum_rule: Largest force in eV/Å² that was left when all sites were moved together, before
            it was taken out.
        force_constants: Of the sites of the first cell with those of all cells, in eV/Å², shape
            (n_cells, n_sites, 3, n_sites, 3), the sum rule applied.
        cells: Cell of each, in lattice vectors, shape (n_cells, 3).
    """

    soft: SoftAtoms
    points: dict[str, tuple[float, float, float]]
    frequencies: dict[str, Floats]
    lowest: float
    lowest_at: tuple[float, float, float]
    sum_rule: float
    force_constants: Floats
    cells: NDArray[np.int64]

    @property
    def is_stable(self) -> bool:
        """Whether every vibration that fits into the supercell costs energy."""
        return self.lowest > 0.0

    def vibrations(self, point: str) -> Floats:
        """Frequencies at a named point in THz without the translations of Γ."""
        return _vibrations(self.frequencies[point], self.points[point])


def phonons(
    potential: Potential,
    crystal: SoftAtoms | Atoms,
    *,
    repeat: Sequence[int] = (2, 2, 2),
    points: Mapping[str, Sequence[float]] | None = None,
    displacement: float = DISPLACEMENT,
    settings: Settings = DEFAULT,
) -> Phonons:
    """Frequencies of a crystal at rest; all displacements are evaluated in one batch.

    Args:
        potential: The energy function.
        crystal: Its primitive cell, where to start; it is brought to rest first.
        repeat: Repetitions of the cell in the supercell.
        points: Wave vectors by name in units of the reciprocal lattice vectors of the cell; None
            for Γ and those special points of the Bravais lattice that fit into the supercell.
        displacement: In Å.
        settings: Tolerances and precision.

    Raises:
        OptionError: If a wave vector does not fit into the supercell.
        PhysicsError: If the crystal does not come to rest.
    """
    counts = np.array(checked_repeat(repeat))
    step = check_positive(displacement, "displacement")
    start = as_crystal(crystal)
    if len(start) * counts.prod() == 1:
        raise OptionError("a supercell of one site has no vibrations: raise repeat")
    named = special_points(start, counts) if points is None else _checked(points, counts)
    soft = rest(potential, start, settings).soft
    constants, cells = _force_constants(potential, soft, counts, step, settings)
    constants, drift = _without_translations(_exchanged(constants, cells, counts))
    masses = np.zeros(len(soft))
    np.add.at(masses, soft.node_site, soft.node_weight * soft.node_mass)
    if not (masses > 0.0).all():
        raise PhysicsError("a site without mass has no frequency")
    grid = np.stack(np.meshgrid(*(np.arange(n) / n for n in counts), indexing="ij"), -1)
    waves = grid.reshape(-1, 3)
    found = {
        _triple(wave): _vibrations(_frequencies(constants, cells, masses, wave), wave)
        for wave in waves
    }
    lowest, worst = min((float(each.min()), wave) for wave, each in found.items() if each.size)
    return Phonons(
        soft=soft,
        points=named,
        frequencies={
            name: _frequencies(constants, cells, masses, np.array(wave))
            for name, wave in named.items()
        },
        lowest=lowest,
        lowest_at=worst,
        sum_rule=drift,
        force_constants=constants,
        cells=cells,
    )


def _force_constants(
    potential: Potential,
    soft: SoftAtoms,
    counts: NDArray[np.int64],
    step: float,
    settings: Settings,
) -> tuple[Floats, NDArray[np.int64]]:
    """Force constants and the cells they lead to; see :class:`Phonons`."""
    large = soft.repeat(counts.tolist())
    count = len(soft)
    shifts = (large.positions - np.tile(soft.positions, (len(large) // count, 1)))[::count]
    cells = np.rint(shifts @ np.linalg.inv(soft.cell)).astype(np.int64)
    moved = []
    for site in range(count):
        for axis in range(3):
            for sign in (1.0, -1.0):
                positions = large.positions.copy()
                positions[site, axis] += sign * step
                moved.append(large.with_positions(positions))
    outs = evaluate_batch(potential, moved, properties=("forces",), **settings.evaluation())
    forces = np.stack([out.forces.cpu().numpy() for out in outs if out.forces is not None])
    if not np.isfinite(forces).all():
        raise PhysicsError("forces on displaced sites are not finite")
    pairs = forces.reshape(count, 3, 2, len(cells), count, 3)
    constants = (pairs[:, :, 1] - pairs[:, :, 0]) / (2.0 * step)
    return np.ascontiguousarray(constants.transpose(2, 0, 1, 3, 4)), cells


def _exchanged(constants: Floats, cells: NDArray[np.int64], counts: NDArray[np.int64]) -> Floats:
    """Force constants that are the same from either end of a pair, as a mean of both."""
    number = {tuple(cell): index for index, cell in enumerate(cells.tolist())}
    back = [number[tuple(cell)] for cell in ((-cells) % counts).tolist()]
    return 0.5 * (constants + constants[back].transpose(0, 3, 4, 1, 2))


def _without_translations(constants: Floats) -> tuple[Floats, float]:
    """Force constants by which a common translation costs no force, and the most it did in eV/Å².

    The sum over cells is projected onto all other motions and the change spread over the cells:
    of the wave vectors of the supercell only Γ notices.
    """
    n_cells, n_sites = constants.shape[:2]
    size = 3 * n_sites
    total = constants.sum(axis=0).reshape(size, size)
    together = np.tile(np.eye(3), (n_sites, 1))
    others = np.eye(size) - together @ together.T / n_sites
    change = (others @ total @ others - total).reshape(constants.shape[1:]) / n_cells
    return constants + change, float(np.abs(total @ together).max())


def _frequencies(
    constants: Floats, cells: NDArray[np.int64], masses: Floats, wave: Floats
) -> Floats:
    """Frequencies in THz at one wave vector, ascending, imaginary ones negative."""
    phases = np.exp(2j * np.pi * (cells @ wave))
    matrix = np.tensordot(phases, constants, axes=1)
    matrix = matrix / np.sqrt(masses[:, None, None, None] * masses[:, None])
    size = 3 * len(masses)
    matrix = matrix.reshape(size, size)
    squares = np.asarray(np.linalg.eigvalsh(0.5 * (matrix + matrix.conj().T)), np.float64)
    return np.sign(squares) * np.sqrt(np.abs(squares)) * THZ_PER_ROOT_EV_AMU_ANG


def _vibrations(frequencies: Floats, wave: ArrayLike) -> Floats:
    """Frequencies without those of the translations at Γ, which are zero up to rounding."""
    phases = np.asarray(wave, dtype=np.float64)
    if (np.abs(phases - np.rint(phases)) > COMMENSURATE).any():
        return frequencies
    return np.sort(frequencies[np.argsort(np.abs(frequencies))[TRANSLATIONS:]])


def special_points(
    soft: SoftAtoms, counts: NDArray[np.int64]
) -> dict[str, tuple[float, float, float]]:
    """Γ and those special points of the Bravais lattice that fit into a supercell.

    Args:
        soft: A primitive cell.
        counts: Repetitions of the cell in the supercell, shape (3,).
    """
    special = soft.to_ase().cell.bandpath(npoints=0).special_points
    found = {"Γ": (0.0, 0.0, 0.0)}
    for name, wave in sorted(special.items()):
        if name != "G" and _fits(wave, counts):
            found[name] = _triple(wave)
    return found


def _checked(
    points: Mapping[str, Sequence[float]], counts: NDArray[np.int64]
) -> dict[str, tuple[float, float, float]]:
    for name, wave in points.items():
        if np.shape(wave) != (3,) or not np.isfinite(wave).all():
            raise OptionError(f"point {name} must be three numbers, got {wave!r}")
        if not _fits(wave, counts):
            raise OptionError(
                f"point {name} {tuple(wave)} does not fit into a supercell of "
                f"{' × '.join(map(str, counts))} cells: its phase must return after each"
            )
    return {name: _triple(wave) for name, wave in points.items()}


def _fits(wave: ArrayLike, counts: NDArray[np.int64]) -> bool:
    phases = np.asarray(wave, dtype=np.float64) * counts
    return bool((np.abs(phases - np.rint(phases)) < COMMENSURATE).all())


def _triple(wave: ArrayLike) -> tuple[float, float, float]:
    first, second, third = np.asarray(wave, dtype=np.float64).tolist()
    return first, second, third
