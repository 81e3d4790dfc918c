"""Vacancies in elemental crystals, in the harmonic and the quasi-harmonic approximation.

G(vacancy) = F(N − 1 sites) − (N − 1)/N F(N sites) at the cell of the perfect crystal, where the
pressure is zero: what the vacancy's own pressure would change is of second order and goes with 1/N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial import Polynomial

from ..errors import OptionError
from ..evaluation import evaluate
from ..physics.crystals import (
    DEFAULT,
    Floats,
    Settings,
    as_crystal,
    checked_repeat,
    primitive,
    relax_all,
    rest,
    strained,
)
from ..physics.errors import PhysicsError
from .harmonic import Statistics, Vibrations, perfect_crystal, vibrations

if TYPE_CHECKING:
    from ase import Atoms

    from ..potentials.base import Potential
    from ..structure import SoftAtoms

STRAINS = (-0.005, 0.0, 0.005, 0.01, 0.015, 0.02)
"""Strains of all lengths at which the quasi-harmonic approximation is computed."""

_DEGREE = 4
"""Of the polynomial through energies of strained crystals, ..."""

_DEGREE_OF_VIBRATIONS = 2
"""... and through free energies of vibrations, which are much smoother."""


@dataclass(frozen=True)
class HarmonicVacancy:
    """A vacancy at one cell.

    Attributes:
        perfect: The crystal without it.
        broken: The crystal with it.
        cell_volume: Volume of one primitive cell in Å³.
    """

    perfect: Vibrations
    broken: Vibrations
    cell_volume: float

    @property
    def static(self) -> float:
        """Formation energy at rest in eV."""
        left = self.broken.n_sites / self.perfect.n_sites
        return self.broken.energy - left * self.perfect.energy

    def formation(self, temperature: float, statistics: Statistics = "classical") -> float:
        """F(N−1 sites) − (N−1)/N F(N sites) in eV; classically, masses and ħ cancel.

        Args:
            temperature: In K.
            statistics: Of the vibrations.
        """
        left = self.broken.n_sites / self.perfect.n_sites
        broken, perfect = (
            each.free_energy(temperature, cell_volume=self.cell_volume, statistics=statistics)
            for each in (self.broken, self.perfect)
        )
        return broken - left * perfect


@dataclass(frozen=True)
class QuasiHarmonicVacancy:
    """A vacancy at several volumes of the crystal.

    Attributes:
        strains: Strain of all lengths from the crystal at rest, ascending, shape (n_strains,).
        volume: Volume per site of the crystal at rest in Å³.
        states: The vacancy at each of them.
    """

    strains: Floats
    volume: float
    states: tuple[HarmonicVacancy, ...]

    def strain_at(self, temperature: float, statistics: Statistics = "classical") -> float:
        """Strain at which the free energy of the perfect crystal is lowest.

        Args:
            temperature: In K.
            statistics: Of the vibrations.

        Raises:
            PhysicsError: If that is none of the strains in between.
        """
        energies = np.array([state.perfect.energy for state in self.states])
        moving = np.array(
            [state.perfect.vibrational(temperature, statistics) for state in self.states]
        )
        degree = min(_DEGREE, len(self.states) - 1)
        curve = Polynomial.fit(self.strains, energies, degree)
        curve = curve + Polynomial.fit(self.strains, moving, _DEGREE_OF_VIBRATIONS, curve.domain)
        roots = curve.deriv().roots()
        low, high = self.strains[0], self.strains[-1]
        # The centre of mass has its say, of kT/V, with 1/N of everything else: it is left out.
        real = [
            root.real
            for root in roots
            if abs(root.imag) < 1e-9 and low <= root.real <= high and curve.deriv(2)(root.real) > 0
        ]
        if not real:
            raise PhysicsError(
                f"at {temperature:g} K the crystal has no volume of rest between strains of "
                f"{low:g} and {high:g}"
            )
        return float(min(real, key=curve))

    def volume_at(self, temperature: float, statistics: Statistics = "classical") -> float:
        """Volume per site in Å³ at zero pressure; see :meth:`strain_at`."""
        return self.volume * (1.0 + self.strain_at(temperature, statistics)) ** 3

    def formation(self, temperature: float, statistics: Statistics = "classical") -> float:
        """Free energy of formation in eV at the volume of :meth:`volume_at`.

        Args:
            temperature: In K.
            statistics: Of the vibrations.
        """
        at = self.strain_at(temperature, statistics)
        values = [state.formation(temperature, statistics) for state in self.states]
        return float(Polynomial.fit(self.strains, values, _DEGREE_OF_VIBRATIONS)(at))


def harmonic_vacancy(
    potential: Potential,
    crystal: SoftAtoms | Atoms,
    *,
    repeat: Sequence[int],
    site: int = 0,
    strain: float = 0.0,
    relax: bool = True,
    settings: Settings = DEFAULT,
) -> HarmonicVacancy:
    """Vibrations of an elemental crystal with and without a vacancy.

    Args:
        potential: The energy function.
        crystal: The cell to repeat.
        repeat: Repetitions.
        site: Which site of the cell is left empty.
        strain: Strain of all lengths from the crystal at rest, at which its sites relax.
        relax: Whether to bring the crystal to rest first; otherwise its cell is taken as it is.
        settings: Tolerances and precision.

    Raises:
        OptionError: If the crystal holds several elements, or the site does not exist.
        PhysicsError: If something does not come to rest, or is no minimum of the energy.
    """
    counts = checked_repeat(repeat)
    soft = rest(potential, crystal, settings).soft if relax else as_crystal(crystal)
    _check_element(soft)
    if not 0 <= site < len(soft):
        raise OptionError(f"site must be one of the cell, 0 to {len(soft) - 1}, got {site!r}")
    if strain:
        soft = strained(soft, (1.0 + strain) * np.eye(3))
    if strain or not relax:
        soft = relax_all(potential, [soft], settings, what="the crystal at its cell")[0].soft
    _, perfect = perfect_crystal(potential, soft, repeat=counts, relax=False, settings=settings)
    large = soft.repeat(counts)
    without = large.select(np.delete(np.arange(len(large)), site))
    broken = relax_all(potential, [without], settings, what="vacancy", is_defect=True)[0].soft
    energy = float(evaluate(potential, broken, properties=(), **settings.evaluation()).energy)
    return HarmonicVacancy(
        perfect=perfect,
        broken=vibrations(potential, broken, energy=energy, settings=settings),
        cell_volume=primitive_volume(soft),
    )


def quasi_harmonic_vacancy(
    potential: Potential,
    crystal: SoftAtoms | Atoms,
    *,
    repeat: Sequence[int],
    site: int = 0,
    strains: Sequence[float] = STRAINS,
    settings: Settings = DEFAULT,
) -> QuasiHarmonicVacancy:
    """A vacancy at several volumes; see :func:`harmonic_vacancy`.

    Args:
        potential: The energy function.
        crystal: The cell to repeat.
        repeat: Repetitions.
        site: Which site of the cell is left empty.
        strains: Strains of all lengths, at least three.
        settings: Tolerances and precision.
    """
    ordered = np.unique(np.asarray(strains, np.float64))
    if len(ordered) <= _DEGREE_OF_VIBRATIONS:
        raise OptionError(f"strains must be at least three different ones, got {strains!r}")
    soft = rest(potential, crystal, settings).soft
    states = [
        harmonic_vacancy(
            potential,
            strained(soft, (1.0 + strain) * np.eye(3)),
            repeat=repeat,
            site=site,
            relax=False,
            settings=settings,
        )
        for strain in ordered.tolist()
    ]
    volume = float(abs(np.linalg.det(soft.cell))) / len(soft)
    return QuasiHarmonicVacancy(ordered, volume, tuple(states))


def primitive_volume(soft: SoftAtoms) -> float:
    """Volume of a primitive cell of a perfect crystal in Å³."""
    return float(abs(np.linalg.det(primitive(soft).cell)))


def _check_element(soft: SoftAtoms) -> None:
    symbols = sorted(set(soft.to_ase().get_chemical_symbols()))
    if len(symbols) > 1 or (soft.site_number == 0).any():
        raise OptionError(
            "the free energy of a vacancy needs a crystal of one element, this one holds "
            f"{', '.join(symbols)}"
        )
