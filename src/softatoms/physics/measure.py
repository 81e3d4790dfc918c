"""All numbers of one crystal by one potential, for rows of the table ``physics_checks``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from ase import Atoms

from ..config.physics_quantities import CHECKS, surface_name
from ..errors import SoftatomsError
from ..units import GPA_PER_EV_ANG3
from .crystals import DEFAULT, Settings, as_crystal, checked_repeat, primitive, rest
from .elastic import elastic_constants
from .eos import equation_of_state
from .errors import PhysicsError
from .phonons import phonons, special_points
from .surfaces import surface_energy
from .vacancy import vacancies

if TYPE_CHECKING:
    from ..potentials.base import Potential
    from ..structure import SoftAtoms

FACETS = ((1, 0, 0), (1, 1, 0), (1, 1, 1))


@dataclass(frozen=True)
class Options:
    """What to compare, and how.

    Attributes:
        checks: Any of ``CHECKS``.
        facets: Miller indices of the surfaces.
        vacancy_repeat: Supercell of the vacancies; chosen by length if None.
        phonon_repeat: Supercell of the phonons, in primitive cells.
        references: Elemental structures for the chemical potentials of vacancies in compounds.
        settings: Tolerances and precision.
    """

    checks: Sequence[str] = CHECKS
    facets: Sequence[Sequence[int]] = FACETS
    vacancy_repeat: Sequence[int] | None = None
    phonon_repeat: Sequence[int] = (2, 2, 2)
    references: Mapping[str, SoftAtoms | Atoms] = field(default_factory=dict)
    settings: Settings = DEFAULT


DEFAULT_OPTIONS = Options()


@dataclass(frozen=True)
class Item:
    """One number of one potential.

    Attributes:
        value: The number; None if there is none.
        unit: Its unit.
        status: ``ok``, ``unstable`` (it is no property of a stable crystal), ``unconverged`` or
            ``failed``.
        error: What is wrong, empty if nothing is.
    """

    value: float | None
    unit: str = ""
    status: str = "ok"
    error: str = ""


Items = dict[str, Item]
Report = Callable[[str, Items], None]


def measure(
    potential: Potential,
    crystal: SoftAtoms | Atoms,
    options: Options,
    report: Report | None = None,
) -> Items:
    """All numbers of one crystal by quantity; a check that fails is an item without a value.

    Args:
        potential: The energy function.
        crystal: Where to start.
        options: What to compute, and how.
        report: Is told the name and the items of every check as soon as it is done.
    """
    start = as_crystal(crystal)
    soft: SoftAtoms | None = None
    broken: Item | None = None
    try:
        # Once for all checks: a crystal at rest is at rest when it is relaxed again.
        soft = rest(potential, start, options.settings).soft
    except torch.OutOfMemoryError:
        raise
    except (SoftatomsError, RuntimeError) as error:
        broken = _failure(error)
    found: Items = {}
    for name, run in _runs(options).items():
        items = {} if broken is None else {name: broken}
        if soft is not None:
            try:
                items = run(potential, soft, start)
            except torch.OutOfMemoryError:
                raise
            except (SoftatomsError, RuntimeError) as error:
                items = {name: _failure(error)}
        found.update(items)
        if report is not None:
            report(name, items)
    return found


Run = Callable[["Potential", "SoftAtoms", "SoftAtoms"], Items]
"""One check of a potential: the crystal at rest, and as it was given."""


def _runs(options: Options) -> dict[str, Run]:
    """The checks by name, one per facet of surfaces."""
    runs: dict[str, Run] = {}
    for check in options.checks:
        if check == "surface":
            for facet in options.facets:
                runs[surface_name(facet)] = partial(_surface, facet=facet, options=options)
        else:
            runs[check] = partial(_CHECKS[check], options=options)
    return runs


def _failure(error: Exception) -> Item:
    if isinstance(error, PhysicsError):
        return Item(None, status=error.status, error=str(error))
    return Item(None, status="failed", error=f"{type(error).__name__}: {error}")


def _equation_of_state(
    potential: Potential, soft: SoftAtoms, start: SoftAtoms, *, options: Options
) -> Items:
    out = equation_of_state(potential, soft, settings=options.settings)
    items = {"volume": Item(out.volume / out.n_sites, "Å³/atom")}
    if not np.isnan(out.a):
        items["a"] = Item(out.a, "Å")
    items["energy"] = Item(out.energy / out.n_sites, "eV/atom")
    items["bulk_modulus"] = Item(out.bulk_modulus_gpa, "GPa")
    items["bulk_modulus_derivative"] = Item(out.derivative, "1")
    items["eos_residual"] = Item(out.residual / out.n_sites, "eV/atom")
    return items


def _elastic(potential: Potential, soft: SoftAtoms, start: SoftAtoms, *, options: Options) -> Items:
    out = elastic_constants(potential, soft, settings=options.settings)
    state = ("ok", "")
    if not out.is_stable:
        worst = out.eigenvalues[0] * GPA_PER_EV_ANG3
        state = ("unstable", f"a strain gains energy: smallest eigenvalue {worst:.3g} GPa")
    values = {"elastic_smallest_eigenvalue": float(out.eigenvalues[0])}
    if out.cubic is not None:
        values |= {"C11": out.cubic.c11, "C12": out.cubic.c12, "C44": out.cubic.c44}
    else:
        values |= {
            f"C{i + 1}{j + 1}": float(out.conventional[i, j]) for i in range(6) for j in range(i, 6)
        }
    for kind, averages in (("voigt", out.voigt), ("reuss", out.reuss), ("hill", out.hill)):
        values |= {f"bulk_modulus_{kind}": averages[0], f"shear_modulus_{kind}": averages[1]}
    values["elastic_extrapolation"] = out.extrapolation
    # Reuss's average of an unstable crystal does not exist.
    return {
        name: Item(None if np.isnan(value) else value * GPA_PER_EV_ANG3, "GPa", *state)
        for name, value in values.items()
    }


def _vacancy(potential: Potential, soft: SoftAtoms, start: SoftAtoms, *, options: Options) -> Items:
    found = vacancies(
        potential,
        soft,
        repeat=options.vacancy_repeat,
        references=options.references,
        settings=options.settings,
    )
    items: Items = {}
    for one in found:
        name = f"vacancy_{one.element}_site{one.site}"
        items[f"{name}_unrelaxed"] = Item(one.unrelaxed, "eV")
        items[f"{name}_fixed_cell"] = Item(one.fixed_cell, "eV")
        items[f"{name}_zero_stress"] = Item(one.zero_stress, "eV")
    return items


def _surface(
    potential: Potential,
    soft: SoftAtoms,
    start: SoftAtoms,
    *,
    facet: Sequence[int],
    options: Options,
) -> Items:
    out = surface_energy(potential, soft, facet, settings=options.settings)
    return {surface_name(facet): Item(out.relaxed_j_per_m2, "J/m²")}


def _phonons(potential: Potential, soft: SoftAtoms, start: SoftAtoms, *, options: Options) -> Items:
    # Of the crystal as given: rounding at rest must not decide how a lattice is called. In a larger
    # cell the same names stand for other wave vectors.
    smallest = primitive(start)
    soft = soft if smallest is start else smallest
    points = special_points(smallest, np.array(checked_repeat(options.phonon_repeat)))
    out = phonons(
        potential, soft, repeat=options.phonon_repeat, points=points, settings=options.settings
    )
    state = ("ok", "")
    if not out.is_stable:
        where = ", ".join(f"{entry:.3g}" for entry in out.lowest_at)
        state = ("unstable", f"imaginary frequency {-out.lowest:.3g} THz at ({where})")
    items = {
        "phonon_lowest": Item(out.lowest, "THz", *state),
        "phonon_sum_rule": Item(out.sum_rule, "eV/Å²", *state),
    }
    for point in out.points:
        for mode, value in enumerate(out.vibrations(point).tolist(), start=1):
            items[f"phonon_{point}_{mode}"] = Item(value, "THz", *state)
    return items


_CHECKS = {
    "equation_of_state": _equation_of_state,
    "elastic": _elastic,
    "vacancy": _vacancy,
    "phonons": _phonons,
}
