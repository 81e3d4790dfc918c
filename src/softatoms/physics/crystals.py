"""Crystals to be checked: by name or from ASE, their symmetry, and their state of rest."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from ..composition.prototypes import PROTOTYPES
from ..composition.structures import (
    experimental_volume,
    guessed_lattice_parameter,
    plain_crystal,
)
from ..errors import OptionError, StructureError, suggest
from ..potentials.options import check_elements, check_positive, check_whole
from ..relax import Relaxation, relax_batch
from ..structure import SoftAtoms
from .errors import PhysicsError

if TYPE_CHECKING:
    from ..potentials.base import Potential

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COMPOUNDS = ("rocksalt", "zincblende", "cesiumchloride", "fluorite", "diamond", "wurtzite", "hcp")
"""Crystals that are built by ASE, with names as there."""

PER_CUBE_OF_A = {"diamond": 8.0, "hcp": 2.0**0.5}
"""Atoms of an element in a volume of a³; hcp with the c of touching spheres."""

SYMMETRY_TOLERANCE = 1e-3
"""Distance in Å up to which sites count as equivalent: far above what a relaxation leaves."""

LOST_SYMMETRY = 0.02
"""Distance in Å from which on a symmetry that a crystal had counts as lost."""

LARGEST_VOLUME_CHANGE = 0.25
"""Relative change of the volume from which on a crystal at rest is another one, ..."""

LARGEST_SHAPE_CHANGE = 0.15
"""... largest change of a length by more than the volume explains (0.26 from fcc to bcc), ..."""

LARGEST_MOVE = 0.6
"""... and largest displacement of a site in Å besides the strain."""

CUBIC_POINT_GROUPS = frozenset({"23", "m-3", "432", "-43m", "m-3m"})

LOW_POINT_GROUPS = frozenset({"1", "-1", "2", "m", "2/m", "222", "mm2", "mmm"})
"""Those of crystals whose axes have no order or are none: which is a, b and c differs by author."""


@dataclass(frozen=True)
class Settings:
    """How everything is relaxed and evaluated.

    Attributes:
        fmax: Largest force in eV/Å in crystals, strained ones included. Elastic constants need it
            this low: an error of the forces counts relative to the strain.
        smax: Largest stress in eV/Å³ in crystals.
        defect_fmax: Largest force in eV/Å around vacancies and in slabs.
        defect_smax: Largest stress in eV/Å³ in cells with a vacancy.
        max_steps: Most evaluations of a relaxation.
        coupling: Coupling of soft sites.
        dtype: Precision of the potential.
        device: Where to compute.
    """

    fmax: float = 1e-5
    smax: float = 1e-6
    defect_fmax: float = 1e-3
    defect_smax: float = 1e-5
    max_steps: int = 500
    coupling: str = "mean_field"
    dtype: str = "float64"
    device: str = "cpu"

    def evaluation(self) -> dict[str, Any]:
        """Options of ``evaluate_batch``."""
        return {"coupling": self.coupling, "dtype": self.dtype, "device": self.device}


DEFAULT = Settings()


@dataclass(frozen=True)
class Symmetry:
    """Symmetry of a crystal.

    Attributes:
        rotations: Cartesian matrices of the point group, shape (n_operations, 3, 3).
        to_axes: Rotation from the axes of the crystal as given to conventional axes, shape (3, 3).
        representatives: First of the equivalent sites of each site, shape (n_sites,).
        point_group: Hermann–Mauguin symbol.
        cells_per_cube: Volume of the conventional cell in units of the given one.
    """

    rotations: Floats
    to_axes: Floats
    representatives: Ints
    point_group: str
    cells_per_cube: float

    @property
    def is_cubic(self) -> bool:
        """Whether the point group is one of the five cubic ones."""
        return self.point_group in CUBIC_POINT_GROUPS

    @property
    def has_main_axis(self) -> bool:
        """Whether the crystal is tetragonal, trigonal, hexagonal or cubic."""
        return self.point_group not in LOW_POINT_GROUPS


def crystal(
    prototype: str, species: str | Sequence[str] | Mapping[str, str], a: float | None = None
) -> SoftAtoms:
    """Primitive cell of a crystal by name.

    Args:
        prototype: ``fcc``, ``bcc``, ``L1_2``, ``B2``, or a crystal that ASE builds: ``rocksalt``,
            ``zincblende``, ``cesiumchloride``, ``fluorite``, ``diamond``, ``wurtzite``, ``hcp``.
        species: The element, elements in the order of sublattices, or the element of each
            sublattice by name (``{"corner": "Au", "face": "Cu"}``).
        a: Lattice parameter in Å; None takes the mean volume of the elements as they are found in
            nature, which only makes sense for the first four and for elements in ``diamond`` and
            ``hcp``.

    Raises:
        OptionError: If a name is unknown or elements do not fit.
    """
    known = (*PROTOTYPES, *COMPOUNDS)
    if prototype not in known:
        raise OptionError(f"unknown prototype '{prototype}': {suggest(str(prototype), known)}")
    constant = None if a is None else check_positive(a, "a")
    if prototype in PROTOTYPES:
        parent = PROTOTYPES[prototype]
        names = list(parent.sublattices)
        if not isinstance(species, Mapping):
            listed = [species] if isinstance(species, str) else list(species)
            if len(listed) != len(names):
                raise OptionError(
                    f"{prototype} has {len(names)} sublattices ({', '.join(names)}), got "
                    f"{len(listed)} elements"
                )
            species = dict(zip(names, listed, strict=True))
        if set(species) != set(names):
            raise OptionError(f"sublattices of {prototype} are {', '.join(names)}")
        check_elements(sorted(set(species.values())))
        if constant is None:
            # Volumes of dense crystals add up, roughly.
            cubes = [guessed_lattice_parameter(parent, species[s]) ** 3 for _, s in parent.sites]
            constant = float(np.mean(cubes)) ** (1.0 / 3.0)
        return plain_crystal(parent, constant, [species[label] for _, label in parent.sites])
    if isinstance(species, Mapping):
        raise OptionError(f"{prototype} takes its elements in the order of a formula")
    formula = species if isinstance(species, str) else "".join(species)
    if prototype == "fluorite" and not isinstance(species, str) and len(species) == 2:
        formula += "2"
    volume = experimental_volume(formula) if formula in atomic_numbers else None
    if constant is None and volume is not None and prototype in PER_CUBE_OF_A:
        constant = (volume * PER_CUBE_OF_A[prototype]) ** (1.0 / 3.0)
    if constant is None:
        raise OptionError(f"{prototype} needs a lattice parameter a in Å")
    try:
        atoms = bulk(formula, prototype, a=constant)
    except (ValueError, RuntimeError, KeyError) as error:
        raise OptionError(f"{prototype} of '{formula}' cannot be built: {error}") from None
    return SoftAtoms.from_ase(atoms)


def as_crystal(given: SoftAtoms | Atoms) -> SoftAtoms:
    """A structure that repeats in all directions, as soft structure.

    Raises:
        OptionError: If it is something else.
        StructureError: If it does not repeat.
    """
    if isinstance(given, Atoms):
        given = SoftAtoms.from_ase(given)
    if not isinstance(given, SoftAtoms):
        raise OptionError(
            f"a crystal must be SoftAtoms or ASE Atoms, got {given!r}; see physics.crystal for "
            "crystals by name"
        )
    if not given.pbc.all() or abs(np.linalg.det(given.cell)) < 1e-12 or len(given) == 0:
        raise StructureError("a crystal must have sites and repeat along three lattice vectors")
    return given


def symmetry(soft: SoftAtoms) -> Symmetry:
    """Symmetry of a crystal; soft sites are alike if their weights are."""
    with _quiet():
        dataset = _analyzer(soft).get_symmetry_dataset()
    fractional = np.unique(np.asarray(dataset.rotations), axis=0)
    cell = soft.cell.T
    return Symmetry(
        rotations=cell @ fractional @ np.linalg.inv(cell),
        to_axes=np.asarray(dataset.std_rotation_matrix, dtype=np.float64),
        representatives=np.asarray(dataset.equivalent_atoms, dtype=np.int64),
        point_group=str(dataset.pointgroup),
        cells_per_cube=float(abs(np.linalg.det(dataset.std_lattice) / np.linalg.det(soft.cell))),
    )


def relax_all(
    potential: Potential,
    systems: Sequence[SoftAtoms],
    settings: Settings,
    *,
    what: str,
    cell: str = "fixed",
    is_defect: bool = False,
) -> list[Relaxation]:
    """Relax structures together; all of them must come to rest.

    Args:
        potential: The energy function.
        systems: The structures.
        settings: Tolerances.
        what: What they are, for the message.
        cell: Which strains are free, as for :func:`softatoms.relax.relax_batch`.
        is_defect: Whether the wider tolerances apply.

    Raises:
        PhysicsError: If one does not.
    """
    done = relax_batch(
        potential,
        systems,
        cell=cell,
        fmax=settings.defect_fmax if is_defect else settings.fmax,
        smax=settings.defect_smax if is_defect else settings.smax,
        max_steps=settings.max_steps,
        **settings.evaluation(),
    )
    for index, result in enumerate(done):
        if result.status != "ok":
            which = what if len(done) == 1 else f"{what} {index + 1} of {len(done)}"
            raise PhysicsError(f"{which}: {result.error}", result.status)
    return done


def rest(potential: Potential, given: SoftAtoms | Atoms, settings: Settings) -> Relaxation:
    """A crystal without forces and stresses.

    Raises:
        PhysicsError: If the potential has no such state, or none near the crystal.
    """
    start = as_crystal(given)
    done = relax_all(potential, [start], settings, what="the crystal", cell="full")[0]
    check_same_crystal(start, done.soft)
    return done


def check_same_crystal(start: SoftAtoms, end: SoftAtoms) -> None:
    """See that a relaxation ended in the crystal in which it started.

    Args:
        start: The crystal before.
        end: The same sites after.

    Raises:
        PhysicsError: If volume, shape, sites or symmetry say that it became another crystal.
    """
    deformation = np.linalg.solve(start.cell, end.cell)
    volume = float(abs(np.linalg.det(deformation)))
    stretches = np.linalg.svd(deformation, compute_uv=False) / volume ** (1.0 / 3.0)
    shape = float(np.exp(np.abs(np.log(stretches)).max())) - 1.0
    shifts = end.positions @ np.linalg.inv(end.cell) - start.positions @ np.linalg.inv(start.cell)
    shifts = (shifts - np.rint(shifts)) @ end.cell
    moved = float(np.linalg.norm(shifts - shifts.mean(axis=0), axis=1).max())
    found = []
    if abs(volume - 1.0) > LARGEST_VOLUME_CHANGE:
        found.append(f"its volume changed by {100.0 * (volume - 1.0):+.0f} %")
    if shape > LARGEST_SHAPE_CHANGE:
        found.append(f"its shape changed by {100.0 * shape:.0f} %")
    if moved > LARGEST_MOVE:
        found.append(f"a site moved by {moved:.2g} Å")
    if not found:
        before, after = _group(start, SYMMETRY_TOLERANCE), _group(end, LOST_SYMMETRY)
        if before is not None and after is not None and after[1] < before[1]:
            found.append(f"its symmetry fell from {before[0]} to {after[0]}")
    if found:
        raise PhysicsError(
            f"the crystal became another one when it was brought to rest: {', '.join(found)}"
        )


def _group(soft: SoftAtoms, tolerance: float) -> tuple[str, int] | None:
    """Space group and number of its operations in this cell; None if it cannot be told."""
    try:
        with _quiet():
            dataset = _analyzer(soft, tolerance).get_symmetry_dataset()
    except PhysicsError:
        return None
    return (str(dataset.international), len(dataset.rotations))


def repeats(soft: SoftAtoms, length: float) -> tuple[int, int, int]:
    """How often to repeat a cell for its lattice planes to be ``length`` Å apart at least."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(soft.cell), axis=0)
    first, second, third = np.maximum(1, np.ceil(length / heights - 1e-6)).astype(int).tolist()
    return first, second, third


def checked_repeat(repeat: Sequence[int]) -> tuple[int, int, int]:
    """Repetitions of a cell along its three vectors.

    Raises:
        OptionError: If they are anything but three whole numbers from 1.
    """
    try:
        first, second, third = (check_whole(count, "repeat", least=1) for count in repeat)
    except (TypeError, ValueError):
        raise OptionError(
            f"repeat must be three whole numbers of at least 1, got {repeat!r}"
        ) from None
    return first, second, third


def strained(soft: SoftAtoms, deformation: Floats) -> SoftAtoms:
    """A structure after x → F x.

    Args:
        soft: The structure.
        deformation: F, shape (3, 3).
    """
    return soft.with_positions(soft.positions @ deformation.T, soft.cell @ deformation.T)


def primitive(soft: SoftAtoms) -> SoftAtoms:
    """The primitive cell of a crystal: the very same structure if its cell is one, or is not known.

    Raises:
        PhysicsError: If the cell is not primitive, and sites are soft or isotopes.
    """
    try:
        with _quiet():
            found = _analyzer(soft).find_primitive()
    except PhysicsError:
        return soft
    if found is None or len(found) >= len(soft):
        return soft
    plain = (soft.site_number != 0).all()
    if not plain or not np.array_equal(soft.site_mass, atomic_masses[soft.site_number]):
        raise PhysicsError(
            "phonons of a crystal with soft sites or isotopes need its primitive cell, of "
            f"{len(found)} sites; this one has {len(soft)}"
        )
    return SoftAtoms.from_pymatgen(found)


def conventional(soft: SoftAtoms) -> Atoms:
    """The conventional cell of a crystal, along conventional axes."""
    with _quiet():
        structure = _analyzer(soft).get_conventional_standard_structure()
    return SoftAtoms.from_pymatgen(structure).to_ase()


def _analyzer(soft: SoftAtoms, tolerance: float = SYMMETRY_TOLERANCE) -> Any:
    # Heavy, and of no use to whoever only imports the package.
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    try:
        return SpacegroupAnalyzer(soft.to_pymatgen(), symprec=tolerance)
    except ValueError as error:
        raise PhysicsError(f"the symmetry of the crystal cannot be told: {error}") from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No words on how spglib will raise errors one day, and on noble gases sorted by pymatgen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "No Pauling electronegativity", UserWarning)
        yield
