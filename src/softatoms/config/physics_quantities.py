"""What the physics checks compute: names, units, and which check gives them.

Nothing heavy is imported here, because configuration files are checked against these names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

CHECKS = ("equation_of_state", "elastic", "vacancy", "surface", "phonons")
"""What can be computed of a crystal."""

LATTICES = {
    "fcc": 1,
    "bcc": 1,
    "L1_2": 2,
    "B2": 2,
    "hcp": 1,
    "diamond": 1,
    "rocksalt": 2,
    "zincblende": 2,
    "cesiumchloride": 2,
    "fluorite": 2,
    "wurtzite": 2,
}
"""Crystals by name, and how many elements each holds."""

WITHOUT_LENGTH = ("fcc", "bcc", "L1_2", "B2", "hcp", "diamond")
"""Crystals whose lattice parameter may be left out."""


class Quantity(NamedTuple):
    """A number that a check gives.

    Attributes:
        unit: Its unit.
        check: The check, a facet included.
        is_property: Whether it is a property of the crystal that others may have published.
    """

    unit: str
    check: str
    is_property: bool = True


_NAMED = {
    "a": Quantity("Å", "equation_of_state"),
    "volume": Quantity("Å³/atom", "equation_of_state"),
    "energy": Quantity("eV/atom", "equation_of_state", False),
    "bulk_modulus": Quantity("GPa", "equation_of_state"),
    "bulk_modulus_derivative": Quantity("1", "equation_of_state"),
    "eos_residual": Quantity("eV/atom", "equation_of_state", False),
    "elastic_smallest_eigenvalue": Quantity("GPa", "elastic", False),
    "elastic_extrapolation": Quantity("GPa", "elastic", False),
    **{
        f"{modulus}_modulus_{mean}": Quantity("GPa", "elastic")
        for modulus in ("bulk", "shear")
        for mean in ("voigt", "reuss", "hill")
    },
    "phonon_lowest": Quantity("THz", "phonons"),
    "phonon_sum_rule": Quantity("eV/Å²", "phonons", False),
}
_VACANCY = re.compile(r"vacancy_([A-Z][a-z]?)_site\d+_(unrelaxed|fixed_cell|zero_stress)")
_SURFACE = re.compile(r"surface_\(-?\d+ -?\d+ -?\d+\)")
_PHONON = re.compile(r"phonon_\S+_[1-9]\d*")
_ELASTIC = re.compile(r"C([1-6])([1-6])")


def quantity(name: str) -> Quantity | None:
    """What a name stands for; None if there is no such number.

    ``energy``, whose zero differs between methods, and what tells how well others are known are no
    properties to compare with published numbers.
    """
    if name in _NAMED:
        return _NAMED[name]
    found = _ELASTIC.fullmatch(name)
    if found and found[1] <= found[2]:
        return Quantity("GPa", "elastic")
    if _VACANCY.fullmatch(name):
        return Quantity("eV", "vacancy")
    if _SURFACE.fullmatch(name):
        return Quantity("J/m²", name)
    if _PHONON.fullmatch(name):
        return Quantity("THz", "phonons")
    return None


def surface_name(facet: Sequence[int]) -> str:
    """Name of the energy of a facet."""
    return "surface_(" + " ".join(str(index) for index in facet) + ")"


def vacancy_element(name: str) -> str | None:
    """The element that is missing, of the name of a vacancy."""
    found = _VACANCY.fullmatch(name)
    return found[1] if found else None


def examples(elements: Sequence[str], facets: Sequence[Sequence[int]]) -> list[str]:
    """Names that a crystal with these elements may have, for messages."""
    return [
        *(name for name, what in _NAMED.items() if what.is_property),
        *("C11", "C12", "C44"),
        *(f"vacancy_{element}_site0_zero_stress" for element in elements or ("Cu",)),
        *(surface_name(facet) for facet in facets),
        *("phonon_Γ_1", "phonon_X_1"),
    ]
