"""Which of many compositions are worth a closer look."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import SoftatomsError
from ..units import BOLTZMANN_EV_PER_K

if TYPE_CHECKING:
    from ..config.screening import Filter, Screening

Row = dict[str, Any]

_PURE = 1.0 - 1e-9


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
    """
    chosen = [row for row in rows if row["status"] == "ok" and row["method"] in screening.methods]
    pure = _pure_energies(chosen, elements)
    ranked = [_ranked_row(row, screening, elements, pure) for row in chosen]
    if screening.best_prototype_only:
        ranked = _best_prototypes(ranked, elements)
    ranked = [row for row in ranked if all(_passes(row, f) for f in screening.filters)]
    sign = 1.0 if screening.order == "ascending" else -1.0
    if any(row[screening.rank_by] is None for row in ranked):
        raise SoftatomsError(
            f"screening.rank_by: '{screening.rank_by}' is missing in some rows that pass the "
            "filters; the scans must contain the pure elements for formation energies, and a "
            "method other than vegard for bulk moduli"
        )
    ranked.sort(key=lambda row: (sign * row[screening.rank_by], row["composition_id"]))
    return [{**row, "rank": i} for i, row in enumerate(ranked[: screening.keep], start=1)]


def ideal_entropy(fractions: Mapping[str, float]) -> float:
    """Entropy of ideal mixing on one lattice in eV/K per atom."""
    return -BOLTZMANN_EV_PER_K * math.fsum(x * math.log(x) for x in fractions.values() if x > 0)


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
    row: Row, screening: Screening, elements: Sequence[str], pure: Mapping[str, float]
) -> Row:
    fractions = fractions_of(row, elements)
    formation = None
    if all(element in pure for element in fractions):
        line = math.fsum(x * pure[element] for element, x in fractions.items())
        formation = row["energy_ev_per_atom"] - line
    copied = (
        *("composition_id", "scan", "prototype", "formula", "method", "replicate"),
        *(f"x_{element}" for element in elements),
        *("a_ang", "volume_ang3_per_atom", "energy_ev_per_atom", "mixing_ev_per_atom"),
        "bulk_modulus_gpa",
    )
    temperature = screening.temperature_k
    return {
        **{column: row[column] for column in copied},
        "rank": 0,
        "n_elements": len(fractions),
        "formation_ev_per_atom": formation,
        "mixing_free_energy_ev_per_atom": row["mixing_ev_per_atom"]
        - temperature * ideal_entropy(fractions),
        "temperature_k": temperature,
    }


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
