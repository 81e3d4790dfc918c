"""From the configuration to soft crystals, their conventional axes and their targets."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ...errors import SoftatomsError
from ...physics.stage import build_crystal
from ...relax import relax_batch
from ...structure import SoftAtoms
from .simplex import Floats
from .targets import Target

if TYPE_CHECKING:
    from ...config.optimisation import OptimisationSearch, OptimisationTarget
    from ...config.physics import Crystal
    from ...potentials.base import Potential

SYMMETRY_TOLERANCE = 1e-3
"""Distance in Å up to which sites count as equivalent."""


def soft_crystal_of(search: OptimisationSearch) -> tuple[SoftAtoms, Floats]:
    """The soft crystal of a search, with equal weights, and its conventional axes.

    Returns:
        The crystal, and how many of each lattice vector make a, b and c, shape (3, 3).

    Raises:
        SoftatomsError: If a sublattice has no site or shares one.
    """
    plain = build_crystal(search.crystal)
    soft = plain
    labels = plain.site_number.copy()
    taken: dict[int, str] = {}
    symbols = np.array(plain.to_ase().get_chemical_symbols())
    for number, (name, section) in enumerate(search.sublattices.items()):
        if section.sites is None:
            sites = np.flatnonzero(symbols == section.replaces)
        else:
            sites = np.array(sorted(set(section.sites)))
        where = f"search {search.name}, sublattice {name}"
        if len(sites) == 0:
            held = ", ".join(sorted(set(symbols)))
            raise SoftatomsError(f"{where}: the crystal holds no {section.replaces}, but {held}")
        if sites.max() >= len(plain):
            raise SoftatomsError(
                f"{where}: site {sites.max()} does not exist, there are {len(plain)} sites"
            )
        for site in sites.tolist():
            if site in taken:
                raise SoftatomsError(f"{where}: site {site} is on {taken[site]} already")
            taken[site] = name
        count = len(section.elements)
        soft = soft.with_candidates(sites, dict.fromkeys(section.elements, 1.0 / count), tie=name)
        # Sublattices are told apart even where their elements are the same.
        labels[sites] = 118 - number
    return soft, conventional_axes(plain, labels)


def conventional_axes(soft: SoftAtoms, labels: Any = None) -> Floats:
    """How many of each lattice vector make the vectors of the conventional cell, shape (3, 3).

    Args:
        soft: A crystal without soft sites.
        labels: Numbers that tell sites apart, shape (n_sites,); atomic numbers if not given.

    Raises:
        SoftatomsError: If the symmetry cannot be told.
    """
    # Heavy, and of no use to whoever only imports the package.
    import spglib

    numbers = soft.site_number if labels is None else labels
    atoms = Atoms(numbers, positions=soft.positions, cell=soft.cell, pbc=True)
    with warnings.catch_warnings():
        # On how errors will be raised one day.
        warnings.simplefilter("ignore", DeprecationWarning)
        found = spglib.get_symmetry_dataset(
            (atoms.cell.tolist(), atoms.get_scaled_positions().tolist(), atoms.numbers.tolist()),
            symprec=SYMMETRY_TOLERANCE,
        )
    if found is None:
        raise SoftatomsError("the symmetry of the crystal cannot be told: are sites too close?")
    axes: Floats = np.linalg.inv(np.asarray(found.transformation_matrix)).T
    return np.round(axes, 9)


def bounds_of(search: OptimisationSearch) -> dict[str, tuple[float, float]]:
    """Bounds by label of the weights."""
    return {
        f"{name}:{element}": (low, high)
        for name, section in search.sublattices.items()
        for element, (low, high) in section.bounds.items()
    }


def targets_of(
    search: OptimisationSearch, potential: Potential, options: dict[str, Any]
) -> tuple[list[Target], int]:
    """Targets of a search, substrates relaxed.

    Args:
        search: The section.
        potential: The energy function.
        options: Options of relaxations.

    Returns:
        The targets and the evaluations that the substrates took.
    """
    found: list[Target] = []
    evaluations = 0
    for section in search.targets:
        values: dict[str, float | None] = dict.fromkeys("abc", section.value)
        if section.substrate is not None:
            lengths, needed = substrate_lengths(section.substrate, potential, options)
            values = dict(zip("abc", lengths.tolist(), strict=True))
            evaluations += needed
        found += _targets(section, values)
    return found, evaluations


def _targets(section: OptimisationTarget, values: dict[str, float | None]) -> list[Target]:
    if section.quantity == "in_plane":
        return [
            Target(axis, "match", values[axis], 0.5 * section.weight, section.scale)
            for axis in ("a", "b")
        ]
    value = values[section.quantity] if section.quantity in ("a", "b", "c") else section.value
    exchanged = None
    if section.exchanged is not None:
        exchanged = section.exchanged[0], section.exchanged[1]
    return [
        Target(
            section.quantity,
            section.goal,
            value,
            section.weight,
            section.scale,
            exchanged,
            section.sublattice,
        )
    ]


def substrate_lengths(
    section: Crystal, potential: Potential, options: dict[str, Any]
) -> tuple[Floats, int]:
    """Lengths a, b and c of the conventional cell of a relaxed crystal in Å, and evaluations.

    Raises:
        SoftatomsError: If it cannot be relaxed.
    """
    plain = build_crystal(section)
    axes = conventional_axes(plain)
    done = relax_batch(potential, [plain], **{**options, "cell": "full"})[0]
    if done.status != "ok":
        raise SoftatomsError(f"the substrate cannot be relaxed: {done.error}")
    lengths: Floats = np.linalg.norm(axes @ done.soft.cell, axis=1)
    return lengths, done.evaluations
