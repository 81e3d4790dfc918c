"""What the page says of optimisations: the best start of each search, and what verifies it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config.figures import OF_OPTIMISATION
from .parts import Listing, Part

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..figures.data import CampaignTables
    from ..tables import Table

HEAD = ("search", "method", "composition", "found", "wanted", "evaluations", "remark")

Row = Mapping[str, Any]


def part(config: CampaignConfig, data: CampaignTables) -> Part | None:
    """What the page says of the stage; nothing if the campaign lacks it.

    Args:
        config: The campaign.
        data: Its tables.
    """
    if config.optimisation is None:
        return None
    return Part(
        "Optimised compositions",
        "The best start of each search, and supercells with one element on every site at the "
        "nearest composition that fits (mean and standard error). All starts are in "
        "<code>tables/optimisation.parquet</code>.",
        [Listing("searches", HEAD, search_rows(data.optimisation))],
        OF_OPTIMISATION,
    )


def search_rows(table: Table) -> Iterator[tuple[str, ...]]:
    """One row per search and method, and one for its supercells.

    Args:
        table: The table ``optimisation``.
    """
    held: dict[tuple[str, str], list[Row]] = {}
    for row in table.rows():
        held.setdefault((row["search"], row["method"]), []).append(row)
    for (search, method), rows in held.items():
        yield _of_supercells(search, rows) if method == "sqs" else _of_starts(search, method, rows)


def _of_starts(search: str, method: str, rows: Sequence[Row]) -> tuple[str, ...]:
    good = [row for row in rows if row["status"] == "ok"]
    remark = f"{len(good)} of {len(rows)} starts ok"
    wanted = rows[0]["wanted"].replace(";", ", ")
    if not good:
        return (search, method, "", "", wanted, "", f"{remark}: {rows[0]['error']}")
    best = min(good, key=lambda row: float(row["objective"]))
    counts = [row["evaluations"] for row in good]
    return (
        search,
        method,
        best["occupation"],
        best["targets"].replace(";", ", "),
        wanted,
        f"{min(counts)} to {max(counts)} per start",
        remark,
    )


def _of_supercells(search: str, rows: Sequence[Row]) -> tuple[str, ...]:
    good = [row for row in rows if row["status"] == "ok"]
    remark = f"{len(good)} of {len(rows)} supercells ok"
    if not good:
        return (search, "supercells", "", "", "", "", f"{remark}: {rows[0]['error']}")
    values: dict[str, list[float]] = {}
    for row in good:
        for text in row["targets"].split(";"):
            name, _, value = text.partition("=")
            if value:
                values.setdefault(name, []).append(float(value))
    found = [
        f"{name}={np.mean(own):.6g} ± {np.std(own, ddof=1) / len(own) ** 0.5:.2g}"
        if len(own) > 1
        else f"{name}={own[0]:.6g}"
        for name, own in values.items()
    ]
    return (
        search,
        f"supercells of {good[0]['n_sites']} sites",
        good[0]["occupation"],
        ", ".join(found),
        rows[0]["wanted"].replace(";", ", "),
        f"{sum(row['evaluations'] for row in good)}",
        f"{remark}; weights rounded by {good[0]['rounding']:.3f}",
    )
