"""Which of many compositions are worth a closer look."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from ..composition.prototypes import PROTOTYPES
from ..composition.tasks import ideal_entropy as entropy_in_kb
from ..composition.tasks import parse_occupation, prototype_entropy
from ..config.composition import SUPERCELLS
from ..config.screening import DISTANCE, FRONT
from ..errors import SoftatomsError
from ..units import BOLTZMANN_EV_PER_K
from .pareto import pareto_fronts

if TYPE_CHECKING:
    from ..config.screening import Filter, Screening

Row = dict[str, Any]

_PURE = 1.0 - 1e-9

_OWN_ZERO = "mixing_ev_per_atom"
"""Energies whose zero differs between parent lattices."""

_ALONE = {"replicates": 1, "standard_error_ev_per_atom": None}
"""Columns of a row that is no mean."""

_AVERAGED = (
    *("a_ang", "volume_ang3_per_atom", "energy_ev_per_atom", "mixing_ev_per_atom"),
    "bulk_modulus_gpa",
)


def rank(rows: Sequence[Row], screening: Screening, elements: Sequence[str]) -> list[Row]:
    """Filter and order rows of the table ``composition``.

    Only rows with status ``ok`` take part. Equal values are ordered by their identifier, so that
    the ranking does not depend on the order of the rows.

    Args:
        rows: Rows of the table ``composition``.
        screening: Filters and order.
        elements: Elements with columns in the table.

    Returns:
        Rows of the table ``ranking``, best first.

    Raises:
        SoftatomsError: If the order is by a value that some rows lack, or if energies are compared
            that have different zeros.
    """
    good = [row for row in rows if row["status"] == "ok"]
    one_zero = _share_no_end_member(good, elements)
    pure = None if one_zero else _pure_energies(good, elements)
    chosen: list[Row] = [{**row, **_ALONE} for row in good if row["method"] in screening.methods]
    if screening.best_prototype_only:
        chosen = _best_prototypes(_averaged(chosen), elements)
    ranked = [_ranked_row(row, screening, elements, pure) for row in chosen]
    common = [f for f in screening.filters if f.column != _OWN_ZERO]
    own = [f for f in screening.filters if f.column == _OWN_ZERO]
    ranked = [row for row in ranked if all(_passes(row, f) for f in common)]
    lattices = sorted({_end_members(row) for row in ranked})
    used = {
        "rank_by": screening.rank_by == _OWN_ZERO,
        "filters": bool(own),
        "objectives": any(o.column == _OWN_ZERO for o in screening.objectives),
    }
    if len(lattices) > 1 and any(used.values()):
        key = next(name for name, is_used in used.items() if is_used)
        raise SoftatomsError(
            f"screening.{key}: '{_OWN_ZERO}' has a zero of its own on each of the lattices "
            f"{', '.join(lattices)}; compare them by 'formation_ev_per_atom', or filter 'prototype'"
        )
    ranked = [row for row in ranked if all(_passes(row, f) for f in own)]
    _add_fronts(ranked, screening)
    sign = 1.0 if screening.order == "ascending" else -1.0
    if any(row[screening.rank_by] is None for row in ranked):
        raise SoftatomsError(
            f"screening.rank_by: '{screening.rank_by}' is missing in some rows that pass the "
            "filters; the scans must contain the pure elements for energies that compare parent "
            "lattices, and a method other than vegard for bulk moduli"
        )
    ranked.sort(key=lambda row: (sign * row[screening.rank_by], row["composition_id"]))
    kept = [
        row
        for i, row in enumerate(ranked)
        if screening.keep is None or i < screening.keep or row[FRONT] == 1
    ]
    return [{**row, "rank": i} for i, row in enumerate(kept, start=1)]


def _add_fronts(rows: Sequence[Row], screening: Screening) -> None:
    """Tell every row its Pareto front; those that lack a value stand on none."""
    objectives = screening.objectives
    whole = [row for row in rows if all(row[o.column] is not None for o in objectives)]
    if not objectives or not rows:
        return
    for objective in objectives:
        if all(row[objective.column] is None for row in rows):
            raise SoftatomsError(
                f"screening.objectives: '{objective.column}' is missing in all rows that pass the "
                "filters"
            )
    losses = np.array(
        [[o.loss(row[o.column], row["prototype"]) for o in objectives] for row in whole]
    ).reshape(-1, len(objectives))
    for row, front in zip(whole, pareto_fronts(losses).tolist(), strict=True):
        row[FRONT] = front


def _target_distance(row: Row, screening: Screening) -> float | None:
    """Largest relative distance from a target, None without one."""
    distances = [
        None if row[o.column] is None else o.loss(row[o.column], row["prototype"])
        for o in screening.objectives
        if o.goal == "target"
    ]
    known = [distance for distance in distances if distance is not None]
    return max(known) if known and len(known) == len(distances) else None


def ideal_entropy(fractions: Mapping[str, float]) -> float:
    """Entropy of ideal mixing on one lattice in eV/K per atom."""
    return BOLTZMANN_EV_PER_K * entropy_in_kb(fractions)


def entropy_of(prototype: str, occupation: str) -> float:
    """Entropy of ideal mixing on each sublattice for itself, in eV/K per atom.

    Args:
        prototype: Name of the parent lattice.
        occupation: Column ``occupation`` of a table.
    """
    kb = prototype_entropy(PROTOTYPES[prototype], parse_occupation(occupation))
    return BOLTZMANN_EV_PER_K * kb


def fractions_of(row: Row, elements: Sequence[str]) -> dict[str, float]:
    """Atomic fractions of the elements that are present."""
    return {e: row[f"x_{e}"] for e in elements if row[f"x_{e}"] > 0}


def _pure_energies(rows: Sequence[Row], elements: Sequence[str]) -> dict[str, float]:
    """Lowest energy per atom of each pure element over all prototypes."""
    energies: dict[str, float] = {}
    for row in rows:
        for element in elements:
            if row[f"x_{element}"] > _PURE:
                energy = row["energy_ev_per_atom"]
                energies[element] = min(energy, energies.get(element, energy))
    return energies


def _ranked_row(
    row: Row, screening: Screening, elements: Sequence[str], pure: Mapping[str, float] | None
) -> Row:
    """A row of the ranking; ``pure`` is None where energies of mixing have one zero."""
    fractions = fractions_of(row, elements)
    formation = row["mixing_ev_per_atom"] if pure is None else None
    if pure is not None and all(element in pure for element in fractions):
        line = math.fsum(x * pure[element] for element, x in fractions.items())
        formation = row["energy_ev_per_atom"] - line
    copied = (
        *("composition_id", "scan", "prototype", "formula", "method", "replicate"),
        *(f"x_{element}" for element in elements),
        "occupation",
        *_AVERAGED,
        *_ALONE,
    )
    temperature = screening.temperature_k
    entropy = (
        BOLTZMANN_EV_PER_K * row["entropy_kb"]
        if row.get("entropy_kb") is not None
        else entropy_of(row["prototype"], row["occupation"])
    )
    found = {
        **{column: row[column] for column in copied},
        "label": row.get("label", ""),
        "rank": 0,
        "n_elements": len(fractions),
        "formation_ev_per_atom": formation,
        "mixing_free_energy_ev_per_atom": None
        if formation is None
        else formation - temperature * entropy,
        "temperature_k": temperature,
        FRONT: None,
    }
    return {**found, DISTANCE: _target_distance(found, screening)}


def _share_no_end_member(rows: Sequence[Row], elements: Sequence[str]) -> bool:
    """Whether energies of mixing have one zero: no two lattices compete for an end member.

    Lattices that do not hold the same elements as one of their end members, such as MO and MO2
    with other metals, count from compounds of their own, which no other lattice offers.
    """
    held: dict[frozenset[str], set[str]] = {}
    known: set[tuple[str, frozenset[str], tuple[frozenset[str], ...]]] = set()
    for row in rows:
        lattice = _end_members(row)
        occupation = parse_occupation(row["occupation"])
        shared = tuple(frozenset(weights) for weights in occupation.values())
        present = frozenset(element for element in elements if row[f"x_{element}"] > 0)
        if (lattice, present, shared) in known:
            continue
        known.add((lattice, present, shared))
        plain = present.difference(*shared)
        if row["prototype"] in PROTOTYPES:
            members = [frozenset({element}) for element in present]
        else:
            members = [plain.union(chosen) for chosen in product(*shared)]
        for member in members:
            held.setdefault(member, set()).add(lattice)
    return all(len(lattices) == 1 for lattices in held.values())


def _end_members(row: Row) -> str:
    """Lattice of the pure elements to which the energy of mixing refers."""
    prototype: str = row["prototype"]
    return PROTOTYPES[prototype].reference if prototype in PROTOTYPES else prototype


def _averaged(rows: Sequence[Row]) -> list[Row]:
    """One row for all supercells of one occupation: the first, with means and their error."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row["replicate"], row["composition_id"])):
        key = (row["method"], row["prototype"], row["occupation"])
        groups.setdefault(key, []).append(row)
    averaged: list[Row] = []
    for (method, *_), group in groups.items():
        row = dict(group[0])
        if method in SUPERCELLS and len(group) > 1:
            for column in _AVERAGED:
                values = [member[column] for member in group]
                row[column] = None if None in values else statistics.fmean(values)
            energies = [member["energy_ev_per_atom"] for member in group]
            error = statistics.stdev(energies) / math.sqrt(len(group))
            row.update(replicates=len(group), standard_error_ev_per_atom=error)
        averaged.append(row)
    return averaged


def _best_prototypes(rows: Sequence[Row], elements: Sequence[str]) -> list[Row]:
    best: dict[tuple[float | str, ...], Row] = {}
    for row in rows:
        key = (row["method"], *(round(row[f"x_{element}"], 9) for element in elements))
        held = best.get(key)
        order = (row["energy_ev_per_atom"], row["composition_id"])
        if held is None or order < (held["energy_ev_per_atom"], held["composition_id"]):
            best[key] = row
    return list(best.values())


def _passes(row: Row, condition: Filter) -> bool:
    value = row[condition.column]
    if condition.one_of is not None:
        return value in condition.one_of
    if value is None:
        return False
    low = -math.inf if condition.at_least is None else condition.at_least
    high = math.inf if condition.at_most is None else condition.at_most
    return bool(low <= value <= high)
