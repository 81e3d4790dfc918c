"""Bulk modulus over composition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .curves import one_quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..config import CampaignConfig
    from .data import CampaignTables

CAPTION = (
    "Bulk modulus at zero pressure from the pressure at volumes 0.5 % above and below. Kinks "
    "appear where a neighbour shell passes through the range in which the potential is switched "
    "off."
)


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """One panel per binary, all methods that give a bulk modulus."""
    return one_quantity(
        config,
        data,
        "bulk_modulus",
        column="bulk_modulus_gpa",
        label="bulk modulus (GPa)",
        scale=1.0,
    )
