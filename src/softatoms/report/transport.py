"""What the page says of heat transport."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..config.figures import OF_TRANSPORT
from .parts import Listing, Part

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..figures.data import CampaignTables
    from ..tables import Table

HEAD = ("system", "temperature (K)", "method", "κ (W/(m K))", "replicas", "length (ps)", "remarks")


def part(config: CampaignConfig, data: CampaignTables) -> Part | None:
    """What the page says of the stage; nothing if the campaign lacks it.

    Args:
        config: The campaign.
        data: Its tables.
    """
    if config.transport is None:
        return None
    return Part(
        "Heat transport",
        "Thermal conductivities by several analyses of the same heat flux, with standard errors. "
        "Remarks say what speaks against a number, or why there is none.",
        [Listing("transport", HEAD, rows(data.transport))],
        OF_TRANSPORT,
    )


def rows(table: Table) -> Iterator[tuple[str, ...]]:
    """One line per run and method: the mean of the directions.

    Args:
        table: The table ``transport``.
    """
    for row in table.rows():
        if row["direction"] != "mean":
            continue
        kappa = row["kappa_w_mk"]
        yield (
            row["system"],
            f"{row['temperature_k']:g}",
            row["method"].replace("_", " "),
            "" if kappa is None else f"{kappa:.4g} ± {row['stderr_w_mk']:.2g}",
            str(row["n_replicas"]),
            f"{row['length_ps']:.4g}",
            row["warnings"] if row["status"] == "ok" else f"{row['status']}: {row['error']}",
        )
