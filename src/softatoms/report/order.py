"""What the page says of order and disorder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..config.figures import OF_ORDER
from .parts import Listing, Part

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..figures.data import CampaignTables
    from ..tables import Table

HEAD = (
    *("compound", "experiment", "best order", "ordering energy (meV)", "temperature (K)"),
    *("class", "status"),
)

ROC_HEAD = ("score", "ordered", "disordered", "area", "95 % interval", "minus baseline", "p")


def part(config: CampaignConfig, data: CampaignTables) -> Part | None:
    """What the page says of the stage; nothing if the campaign lacks it.

    Args:
        config: The campaign.
        data: Its tables.
    """
    if config.order is None:
        return None
    listings = [Listing("order", HEAD, summary_rows(data.order_summary))]
    if config.order.is_compared():
        listings.append(Listing("order-roc", ROC_HEAD, roc_rows(data.order_roc)))
    return Part(
        "Order and disorder",
        "Ordering energies are those of the disordered reference above the best ordered structure, "
        "per mixed site. Temperatures divide them by the ideal entropy of mixing. Compounds "
        "without a result are listed with the reason.",
        listings,
        OF_ORDER,
    )


def summary_rows(table: Table) -> Iterator[tuple[str, ...]]:
    """One line per compound.

    Args:
        table: The table ``order_summary``.
    """
    for row in table.rows():
        energy, kelvin = row["ordering_energy_ev_per_mixed_site"], row["ordering_temperature_k"]
        spread = row["stderr_temperature_k"]
        around = "" if spread is None else f" ± {spread:.0f}"
        status = row["status"] if not row["error"] else f"{row['status']}: {row['error']}"
        observed = row["observed"] + (" (source not read)" if row["checked"] == "no" else "")
        yield (
            row["compound"],
            observed,
            row["best_order"],
            "" if energy is None else f"{1e3 * energy:.1f}",
            "" if kelvin is None else f"{kelvin:.0f}{around}",
            row["classification"],
            status,
        )


def roc_rows(table: Table) -> Iterator[tuple[str, ...]]:
    """One line per score.

    Args:
        table: The table ``order_roc``.
    """
    for row in table.rows():
        p = row["p_value"]
        yield (
            row["score"].replace("_", " "),
            str(row["n_ordered"]),
            str(row["n_disordered"]),
            f"{row['area']:.3f}",
            f"{row['area_low']:.3f} to {row['area_high']:.3f}",
            f"{row['minus_baseline']:+.3f} ({row['minus_baseline_low']:+.3f} to "
            f"{row['minus_baseline_high']:+.3f})",
            "" if p is None else f"{p:.3f}",
        )
