"""Two potentials side by side: rows of the table ``physics_checks``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms

from ..errors import OptionError, SoftatomsError, suggest
from ..potentials.base import Potential
from ..units import GPA_PER_EV_ANG3
from .crystals import DEFAULT, Settings, as_crystal, checked_repeat
from .elastic import elastic_constants
from .eos import equation_of_state
from .errors import PhysicsError
from .phonons import phonons
from .surfaces import checked_facet, surface_energy
from .vacancy import vacancies

if TYPE_CHECKING:
    from ..structure import SoftAtoms

CHECKS = ("equation_of_state", "elastic", "vacancy", "surface", "phonons")
"""What can be compared."""

FACETS = ((1, 0, 0), (1, 1, 0), (1, 1, 1))


@dataclass(frozen=True)
class Options:
    """What to compare, and how.

    Attributes:
        checks: Any of ``CHECKS``.
        facets: Miller indices of the surfaces.
        vacancy_repeat: Supercell of the vacancies; chosen by length if None.
        phonon_repeat: Supercell of the phonons.
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


def compare(
    potential: Potential,
    labeller: Potential,
    crystals: Mapping[str, SoftAtoms | Atoms],
    *,
    model: str = "model",
    reference: str = "labeller",
    options: Options = DEFAULT_OPTIONS,
) -> list[dict[str, Any]]:
    """Compare a potential with another one, crystal by crystal.

    Each potential is taken at its own state of rest. What one of them cannot do is a row with a
    status and a message.

    Args:
        potential: What is checked.
        labeller: What it should agree with.
        crystals: Structures by name, best as primitive cells.
        model: Name of the potential in the rows.
        reference: Name of the labeller.
        options: What to compare, and how.

    Returns:
        Rows of the table ``physics_checks``.

    Raises:
        OptionError: If there is nothing to compare, or an option is unusable.
    """
    for name, given in (("potential", potential), ("labeller", labeller)):
        if not isinstance(given, Potential):
            raise OptionError(f"{name} must come from load_potential, got {given!r}")
    if not isinstance(crystals, Mapping) or not crystals:
        raise OptionError("crystals must be a mapping of names to structures, with one at least")
    for check in options.checks:
        if check not in CHECKS:
            raise OptionError(f"unknown check '{check}': {suggest(str(check), CHECKS)}")
    for facet in options.facets:
        checked_facet(facet)
    for repeat in (options.phonon_repeat, options.vacancy_repeat):
        if repeat is not None:
            checked_repeat(repeat)
    started = {name: as_crystal(given) for name, given in crystals.items()}
    return [
        _row(name, model, reference, quantity, pair)
        for name, soft in started.items()
        for quantity, pair in _joined(
            measure(potential, soft, options), measure(labeller, soft, options)
        ).items()
    ]


def measure(potential: Potential, crystal: SoftAtoms | Atoms, options: Options) -> Items:
    """All numbers of one crystal by quantity; a check that fails is an item without a value.

    Args:
        potential: The energy function.
        crystal: Where to start.
        options: What to compute, and how.
    """
    soft = as_crystal(crystal)
    runs: dict[str, Callable[[], Items]] = {}
    for check in options.checks:
        if check == "surface":
            for facet in options.facets:
                runs[_surface_name(facet)] = partial(_surface, potential, soft, facet, options)
        else:
            runs[check] = partial(_CHECKS[check], potential, soft, options)
    found: Items = {}
    for name, run in runs.items():
        try:
            found.update(run())
        except torch.OutOfMemoryError:
            raise
        except PhysicsError as error:
            found[name] = Item(None, status=error.status, error=str(error))
        except (SoftatomsError, RuntimeError) as error:
            message = f"{type(error).__name__}: {error}"
            found[name] = Item(None, status="failed", error=message)
    return found


def _equation_of_state(potential: Potential, soft: SoftAtoms, options: Options) -> Items:
    out = equation_of_state(potential, soft, settings=options.settings)
    items = {"volume": Item(out.volume / out.n_sites, "Å³/atom")}
    if not np.isnan(out.a):
        items["a"] = Item(out.a, "Å")
    items["energy"] = Item(out.energy / out.n_sites, "eV/atom")
    items["bulk_modulus"] = Item(out.bulk_modulus_gpa, "GPa")
    items["bulk_modulus_derivative"] = Item(out.derivative, "1")
    items["eos_residual"] = Item(out.residual / out.n_sites, "eV/atom")
    return items


def _elastic(potential: Potential, soft: SoftAtoms, options: Options) -> Items:
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
            f"C{i + 1}{j + 1}": float(out.tensor[i, j]) for i in range(6) for j in range(i, 6)
        }
    for kind, averages in (("voigt", out.voigt), ("reuss", out.reuss), ("hill", out.hill)):
        values |= {f"bulk_modulus_{kind}": averages[0], f"shear_modulus_{kind}": averages[1]}
    values["elastic_extrapolation"] = out.extrapolation
    # Reuss's average of an unstable crystal does not exist.
    return {
        name: Item(None if np.isnan(value) else value * GPA_PER_EV_ANG3, "GPa", *state)
        for name, value in values.items()
    }


def _vacancy(potential: Potential, soft: SoftAtoms, options: Options) -> Items:
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
    potential: Potential, soft: SoftAtoms, facet: Sequence[int], options: Options
) -> Items:
    out = surface_energy(potential, soft, facet, settings=options.settings)
    return {_surface_name(facet): Item(out.relaxed_j_per_m2, "J/m²")}


def _surface_name(facet: Sequence[int]) -> str:
    return "surface_(" + " ".join(str(index) for index in facet) + ")"


def _phonons(potential: Potential, soft: SoftAtoms, options: Options) -> Items:
    out = phonons(potential, soft, repeat=options.phonon_repeat, settings=options.settings)
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


def _joined(ours: Items, theirs: Items) -> dict[str, tuple[Item | None, Item | None]]:
    return {name: (ours.get(name), theirs.get(name)) for name in (*ours, *theirs)}


def _row(
    crystal: str,
    model: str,
    reference: str,
    quantity: str,
    pair: tuple[Item | None, Item | None],
) -> dict[str, Any]:
    ours, theirs = pair
    value = ours.value if ours is not None else None
    target = theirs.value if theirs is not None else None
    known = [item for item in pair if item is not None]
    problems = []
    for name, item in ((model, ours), (reference, theirs)):
        if item is None:
            problems.append(f"{name}: has no such number")
        elif item.error:
            problems.append(f"{name}: {item.error}")
    severity = ("ok", "unstable", "unconverged", "failed")
    status = max((item.status for item in known), key=severity.index)
    if len(known) < 2:
        status = max(status, "failed", key=severity.index)
    difference = None if value is None or target is None else value - target
    return {
        "check_id": f"{crystal}/{model}/{reference}/{quantity}",
        "crystal": crystal,
        "model": model,
        "reference": reference,
        "quantity": quantity,
        "unit": next((item.unit for item in known if item.unit), ""),
        "model_value": value,
        "reference_value": target,
        "difference": difference,
        "relative_error": None if difference is None or not target else difference / abs(target),
        "status": status,
        "error": "; ".join(problems),
    }
