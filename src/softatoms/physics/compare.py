"""Two potentials, or one and published numbers, side by side: rows of ``physics_checks``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ase import Atoms

from ..config.physics_quantities import CHECKS, quantity
from ..errors import OptionError, suggest
from ..potentials.base import Potential
from .crystals import as_crystal, checked_repeat
from .measure import DEFAULT_OPTIONS, Item, Items, Options, measure
from .surfaces import checked_facet

if TYPE_CHECKING:
    from ..structure import SoftAtoms


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
        row
        for name, soft in started.items()
        for row in rows_of_potentials(
            name,
            (model, measure(potential, soft, options)),
            (reference, measure(labeller, soft, options)),
        )
    ]


def rows_of_potentials(
    crystal: str, model: tuple[str, Items], reference: tuple[str, Items]
) -> list[dict[str, Any]]:
    """Rows of one crystal by two potentials.

    Args:
        crystal: Name of the crystal.
        model: Name of the potential that is checked, and its numbers.
        reference: Name of the other one, and its numbers.
    """
    (ours, mine), (theirs, other) = model, reference
    return [
        _row(crystal, ours, theirs, name, (mine.get(name), other.get(name)))
        for name in {**mine, **other}
    ]


def rows_of_values(
    crystal: str, model: tuple[str, Items], source: str, values: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Rows of one crystal by a potential and published numbers, one per number.

    Args:
        crystal: Name of the crystal.
        model: Name of the potential that is checked, and its numbers.
        source: Where the numbers come from.
        values: Numbers by quantity, in the units of the table.

    Raises:
        OptionError: If a quantity is none that can be compared.
    """
    name, mine = model
    rows = []
    for key, value in values.items():
        what = quantity(key)
        if what is None or not what.is_property:
            raise OptionError(f"{source}: '{key}' is no quantity to compare with")
        # If its check failed as a whole, that says why there is no such number.
        ours = mine.get(key, mine.get(what.check))
        rows.append(_row(crystal, name, source, key, (ours, Item(value, what.unit))))
    return rows


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
