"""Free energies without sampling: harmonic vibrations, and energies at rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SoftatomsError
from ..evaluation import evaluate, evaluate_batch
from ..physics.crystals import as_crystal, relax_all, rest, strained, symmetry
from ..physics.vacancy import vacancies
from ..structure import SoftAtoms
from .harmonic import Statistics, Vibrations, perfect_crystal, vibrations
from .harmonic_vacancy import harmonic_vacancy, primitive_volume, quasi_harmonic_vacancy
from .tasks import Task, row

if TYPE_CHECKING:
    from ..potentials.base import Potential

Rows = list[dict[str, Any]]

STRAIN = 0.005
"""Strain of all lengths to either side for derivatives by the volume."""


def controls(potential: Potential, task: Task, *, method: str) -> Rows:
    """Rows of ``harmonic`` or ``static``; what fails is a row with the reason.

    Args:
        potential: The energy function.
        task: What is asked for.
        method: ``harmonic`` or ``static``.
    """
    compute = {
        ("vacancy", "harmonic"): _harmonic_vacancy,
        ("vacancy", "static"): _static_vacancy,
        ("composition_change", "harmonic"): _harmonic_change,
        ("composition_change", "static"): _static_change,
    }[task.quantity, method]
    try:
        return compute(potential, task)
    except SoftatomsError as error:
        kelvins = (0.0,) if method == "static" else task.temperatures
        return [row(task, method, kelvin, error=str(error)) for kelvin in kelvins]


def changed_crystal(large: SoftAtoms, changes: dict[int, str]) -> SoftAtoms:
    """A supercell in which sites hold other elements."""
    atoms = large.to_ase()
    symbols = np.array(atoms.get_chemical_symbols(), dtype=object)
    for site, element in changes.items():
        symbols[site] = element
    atoms.set_chemical_symbols(symbols.tolist())
    # Masses of the elements that were there would stay.
    atoms.set_masses("defaults")
    return SoftAtoms.from_ase(atoms)


def isolated_change(potential: Potential, before: SoftAtoms, after: SoftAtoms) -> float:
    """Energy of isolated atoms after minus before in eV, per atom."""
    ends = [
        float(evaluate(potential, soft, properties=()).isolated_energy) for soft in (before, after)
    ]
    return (ends[1] - ends[0]) / len(before)


def volume_slope(potential: Potential, cell: SoftAtoms, task: Task) -> float:
    """How the energy of forming a vacancy changes with the logarithm of the volume, in eV.

    The pressure of a crystal with a vacancy is not zero where that of the perfect one is, so an
    error of the mean volume is one of the free energy. At rest it is known well enough for that.

    Args:
        potential: The energy function.
        cell: The crystal at rest.
        task: What is asked for.
    """
    large = [
        strained(cell, (1.0 + strain) * np.eye(3)).repeat(task.repeat)
        for strain in (-STRAIN, STRAIN)
    ]
    broken = [soft.select(np.delete(np.arange(len(soft)), task.site)) for soft in large]
    done = relax_all(potential, broken, task.settings, what="strained vacancy", is_defect=True)
    perfect = evaluate_batch(potential, large, properties=(), **task.settings.evaluation())
    left = 1.0 - 1.0 / len(large[0])
    ends = [one.energy - left * float(two.energy) for one, two in zip(done, perfect, strict=True)]
    return (ends[1] - ends[0]) / (3.0 * (np.log1p(STRAIN) - np.log1p(-STRAIN)))


def _static_vacancy(potential: Potential, task: Task) -> Rows:
    found = vacancies(potential, task.cell, repeat=task.repeat, settings=task.settings)
    equivalent = _representative(potential, task)
    own = next(vacancy for vacancy in found if vacancy.site == equivalent)
    values: dict[str, Any] = {"value_ev": own.fixed_cell, "n_atoms": own.n_sites, "n_changed": 1}
    return [row(task, "static", 0.0, stderr_ev=0.0, isolated_ev=0.0, estimator="rest", **values)]


def _representative(potential: Potential, task: Task) -> int:
    """Which of the inequivalent sites stands for the one that is asked for."""
    soft = rest(potential, task.cell, task.settings).soft
    return int(symmetry(soft).representatives[task.site])


def _harmonic_vacancy(potential: Potential, task: Task) -> Rows:
    is_static = task.equilibration.cell == "static"
    compute: Any = harmonic_vacancy if is_static else quasi_harmonic_vacancy
    found = compute(
        potential, task.cell, repeat=task.repeat, site=task.site, settings=task.settings
    )
    share = primitive_volume(task.cell) / float(abs(np.linalg.det(task.cell.cell)))
    per_primitive = share * len(task.cell)
    rows = []
    for kelvin in task.temperatures:
        try:
            volume = found.cell_volume / per_primitive if is_static else found.volume_at(kelvin)
            values = {
                "value_ev": found.formation(kelvin),
                "quantum_ev": found.formation(kelvin, "quantum"),
                "volume_ang3_per_atom": volume,
            }
        except SoftatomsError as error:
            rows.append(row(task, "harmonic", kelvin, error=str(error)))
            continue
        rows.append(
            row(
                task,
                "harmonic",
                kelvin,
                stderr_ev=0.0,
                isolated_ev=0.0,
                estimator="harmonic" if is_static else "quasi_harmonic",
                n_atoms=len(task.cell) * int(np.prod(task.repeat)),
                n_changed=1,
                **values,
            )
        )
    return rows


def _ends(potential: Potential, task: Task) -> tuple[SoftAtoms, SoftAtoms, dict[int, str]]:
    """The crystal at rest in its supercell, and what it becomes, at rest as well."""
    cell = rest(potential, task.cell, task.settings).soft
    large = cell.repeat(task.repeat)
    changes = task.changed_sites(large)
    is_whole = task.share == 1.0
    if is_whole:
        start = changed_crystal(cell, task.changed_sites(cell))
    else:
        start = changed_crystal(large, changes)
    what = "the changed crystal"
    if task.equilibration.cell == "static":
        # Sampled methods stay in the cell of the start as well.
        after = relax_all(
            potential, [start], task.settings, what=what, cell="fixed", is_defect=not is_whole
        )[0].soft
    elif is_whole:
        # Other elements may need a volume so different that it counts as another crystal.
        near = relax_all(potential, [start], task.settings, what=what, cell="isotropic")[0].soft
        after = rest(potential, near, task.settings).soft
    else:
        after = relax_all(
            potential, [start], task.settings, what=what, cell="full", is_defect=True
        )[0].soft
    return cell, after, changes


def _static_change(potential: Potential, task: Task) -> Rows:
    before, after, changes = _ends(potential, task)
    energies = [
        float(evaluate(potential, soft, properties=(), **task.settings.evaluation()).energy)
        / len(soft)
        for soft in (before, after)
    ]
    large = before.repeat(task.repeat)
    isolated = isolated_change(potential, large, changed_crystal(large, changes))
    return [
        row(
            task,
            "static",
            0.0,
            value_ev=energies[1] - energies[0],
            stderr_ev=0.0,
            isolated_ev=isolated,
            estimator="rest",
            n_atoms=len(large),
            n_changed=len(changes),
        )
    ]


def _harmonic_change(potential: Potential, task: Task) -> Rows:
    before, after, changes = _ends(potential, task)
    large = before.repeat(task.repeat)
    _, first = perfect_crystal(
        potential, before, repeat=task.repeat, relax=False, settings=task.settings
    )
    if task.share == 1.0:
        _, second = perfect_crystal(
            potential, after, repeat=task.repeat, relax=False, settings=task.settings
        )
    else:
        energy = evaluate(potential, after, properties=(), **task.settings.evaluation()).energy
        second = vibrations(
            potential, as_crystal(after), energy=float(energy), settings=task.settings
        )
    isolated = isolated_change(potential, large, changed_crystal(large, changes))
    volumes = [_cell_volume(before, before), _cell_volume(before, after)]

    def change(kelvin: float, statistics: Statistics) -> float:
        ends: list[tuple[Vibrations, float]] = list(zip((first, second), volumes, strict=True))
        values = [
            each.free_energy(kelvin, cell_volume=volume, statistics=statistics)
            for each, volume in ends
        ]
        return (values[1] - values[0]) / len(large)

    return [
        row(
            task,
            "harmonic",
            kelvin,
            value_ev=change(kelvin, "classical"),
            quantum_ev=change(kelvin, "quantum"),
            stderr_ev=0.0,
            isolated_ev=isolated,
            estimator="harmonic",
            volume_ang3_per_atom=float(abs(np.linalg.det(after.cell))) / len(after),
            n_atoms=len(large),
            n_changed=len(changes),
        )
        for kelvin in task.temperatures
    ]


def _cell_volume(parent: SoftAtoms, soft: SoftAtoms) -> float:
    """Volume in Å³ of one primitive cell of the parent, strained as the structure is."""
    own = float(abs(np.linalg.det(soft.cell))) / len(soft)
    return primitive_volume(parent) * own * len(parent) / float(abs(np.linalg.det(parent.cell)))
