"""What the page says of the physics checks: every property with its error, failures included."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..config.figures import OF_PHYSICS
from ..config.physics_quantities import quantity
from ..figures.physics_checks import phonon_summary
from .parts import Listing, Part

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..figures.data import CampaignTables
    from ..tables import Table

HEAD = ("crystal", "property", "model", "reference", "value", "unit", "error", "status")

_MODES = re.compile(r"phonon_\S+_\d+")
_LEFT_OUT = re.compile(r"vacancy_.*_(unrelaxed|fixed_cell)|.*_modulus_(voigt|reuss)")
"""Variants of a number that has a line: they are in the table."""


def part(config: CampaignConfig, data: CampaignTables) -> Part | None:
    """What the page says of the stage; nothing if the campaign lacks it.

    Args:
        config: The campaign.
        data: Its tables.
    """
    if config.physics is None:
        return None
    return Part(
        "Physics checks",
        "Properties of crystals, each at rest in its own potential. Errors are model minus "
        "reference over the size of the reference. What has no value is listed too, with the "
        "reason; all numbers are in <code>tables/physics_checks.parquet</code>.",
        [Listing("checks", HEAD, check_rows(data.physics_checks))],
        OF_PHYSICS,
    )


def check_rows(table: Table) -> Iterator[tuple[str, ...]]:
    """Rows of the list: properties as they are in the table, frequencies summed up.

    Args:
        table: The table ``physics_checks``.
    """
    modes: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in table.rows():
        if _MODES.fullmatch(row["quantity"]):
            modes.setdefault((row["crystal"], row["reference"]), []).append(row)
    told: set[tuple[str, str]] = set()
    for row in table.rows():
        key = (row["crystal"], row["reference"])
        if _MODES.fullmatch(row["quantity"]):
            if key not in told:
                told.add(key)
                yield _of_phonons(modes[key])
        elif _is_listed(row):
            yield (
                row["crystal"],
                row["quantity"],
                _number(row["model_value"]),
                row["reference"],
                _number(row["reference_value"]),
                row["unit"],
                _percent(row["relative_error"]),
                _status(row),
            )


def _is_listed(row: Mapping[str, Any]) -> bool:
    if _LEFT_OUT.fullmatch(row["quantity"]):
        return False
    what = quantity(row["quantity"])
    # A name that is no quantity is that of a check that failed as a whole.
    return what is None or what.is_property


def _of_phonons(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    summary = phonon_summary(rows)
    error = _percent(summary["relative_error"]).lstrip("+")
    return (
        rows[0]["crystal"],
        f"phonons, {len(rows)} frequencies",
        "",
        rows[0]["reference"],
        "",
        "THz",
        f"{error} (RMS)" if error else "",
        _status(next(row for row in rows if row["status"] == summary["status"])),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}".replace("-", "−")


def _percent(error: float | None) -> str:
    return "" if error is None else f"{100.0 * error:+.1f} %".replace("-", "−")


def _status(row: Mapping[str, Any]) -> str:
    return f"{row['status']}: {row['error']}" if row["error"] else str(row["status"])
