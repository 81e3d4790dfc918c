"""Formation energies of vacancies in supercells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from ..errors import OptionError, StructureError
from ..evaluation import evaluate_batch
from ..potentials.options import check_finite, check_positive
from ..structure import SoftAtoms
from .crystals import (
    DEFAULT,
    Settings,
    as_crystal,
    checked_repeat,
    relax_all,
    repeats,
    rest,
    symmetry,
)
from .errors import PhysicsError

if TYPE_CHECKING:
    from ..potentials.base import Potential

SMALLEST_LENGTH = 8.0
"""Distance in Å between lattice planes of a supercell, unless it is given."""


@dataclass(frozen=True)
class Vacancy:
    """Formation energies of one vacancy, E(without) + μ − E(with).

    Attributes:
        element: What is missing.
        site: Index of the site in the cell of the crystal.
        n_sites: Sites of the supercell before.
        chemical_potential: Energy μ in eV of the atom where it went.
        unrelaxed: Nothing moved, in eV.
        fixed_cell: Positions relaxed, in eV.
        zero_stress: Positions and cell relaxed, in eV.
    """

    element: str
    site: int
    n_sites: int
    chemical_potential: float
    unrelaxed: float
    fixed_cell: float
    zero_stress: float


def vacancies(
    potential: Potential,
    crystal: SoftAtoms | Atoms,
    *,
    repeat: Sequence[int] | None = None,
    smallest_length: float = SMALLEST_LENGTH,
    chemical_potentials: Mapping[str, float] | None = None,
    references: Mapping[str, SoftAtoms | Atoms] | None = None,
    settings: Settings = DEFAULT,
) -> list[Vacancy]:
    """Vacancies on all inequivalent sites of a crystal, relaxed in one batch.

    Args:
        potential: The energy function.
        crystal: Where to start; it is brought to rest first.
        repeat: Repetitions of the cell that is given; None for lattice planes at least
            ``smallest_length`` apart.
        smallest_length: In Å.
        chemical_potentials: Energy of an atom of each element in eV.
        references: Elemental crystals or molecules whose energy per atom, at rest, is taken for
            elements without a chemical potential. An element needs neither in its own crystal.
        settings: Tolerances and precision.

    Raises:
        PhysicsError: If something does not come to rest or a chemical potential is unknown.
    """
    start = as_crystal(crystal)
    if (start.site_number == 0).any():
        raise StructureError("vacancies are made in crystals without soft sites")
    if repeat is None:
        counts = repeats(start, check_positive(smallest_length, "smallest_length"))
    else:
        counts = checked_repeat(repeat)
    relaxed = rest(potential, start, settings)
    soft, energy = relaxed.soft, relaxed.energy
    symbols = soft.to_ase().get_chemical_symbols()
    sites = sorted(set(symmetry(soft).representatives.tolist()))
    known = _potentials(
        potential,
        symbols,
        energy / len(soft),
        chemical_potentials or {},
        references or {},
        settings,
    )
    large = soft.repeat(counts)
    with_all = energy * (len(large) / len(soft))
    # Copies of the first cell come first, so its sites keep their indices.
    broken = [large.select(np.delete(np.arange(len(large)), site)) for site in sites]
    straight = evaluate_batch(potential, broken, properties=(), **settings.evaluation())
    fixed = relax_all(potential, broken, settings, what="vacancy", is_defect=True)
    free = relax_all(
        potential,
        [result.soft for result in fixed],
        settings,
        what="vacancy at zero stress",
        cell="full",
        is_defect=True,
    )
    return [
        Vacancy(
            element=symbols[site],
            site=site,
            n_sites=len(large),
            chemical_potential=known[symbols[site]],
            unrelaxed=float(one.energy) + known[symbols[site]] - with_all,
            fixed_cell=two.energy + known[symbols[site]] - with_all,
            zero_stress=three.energy + known[symbols[site]] - with_all,
        )
        for site, one, two, three in zip(sites, straight, fixed, free, strict=True)
    ]


def _potentials(
    potential: Potential,
    symbols: Sequence[str],
    energy_per_site: float,
    given: Mapping[str, float],
    references: Mapping[str, SoftAtoms | Atoms],
    settings: Settings,
) -> dict[str, float]:
    """Chemical potential of each element of a crystal in eV."""
    elements = sorted(set(symbols))
    found: dict[str, float] = {}
    for element in elements:
        if element in given:
            found[element] = check_finite(given[element], f"chemical potential of {element}")
        elif element in references:
            found[element] = _reference_energy(potential, element, references[element], settings)
        elif len(elements) == 1:
            found[element] = energy_per_site
        else:
            raise PhysicsError(
                f"the chemical potential of {element} is unknown: give it, or a reference crystal"
            )
    return found


def _reference_energy(
    potential: Potential, element: str, given: SoftAtoms | Atoms, settings: Settings
) -> float:
    """Energy per atom in eV of a crystal, or of a molecule, at rest."""
    soft = SoftAtoms.from_ase(given) if isinstance(given, Atoms) else given
    if set(soft.to_ase().get_chemical_symbols()) != {element} or (soft.site_number == 0).any():
        raise OptionError(f"the reference of {element} must hold {element} only")
    if soft.pbc.all():
        return rest(potential, soft, settings).energy / len(soft)
    done = relax_all(potential, [soft], settings, what=f"the reference of {element}")
    return done[0].energy / len(soft)
