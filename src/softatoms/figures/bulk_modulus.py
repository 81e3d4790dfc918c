"""Bulk modulus over composition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .curves import finish, plot_methods
from .data import CampaignTables, binaries, require
from .style import grid_of_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..config import CampaignConfig

CAPTION = (
    "Bulk modulus at zero pressure from the pressure at volumes 0.5 % above and below. Kinks "
    "appear where a neighbour shell passes through the range in which the potential is switched "
    "off."
)


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """One panel per binary, all methods that give a bulk modulus."""
    shown = binaries(config)
    figure, panels = grid_of_panels(len(shown))
    drawn = False
    for binary, (axes,) in zip(shown, panels, strict=True):
        drawn |= plot_methods(axes, data.composition, binary, "bulk_modulus_gpa")
        axes.set_ylabel("bulk modulus (GPa)")
    require(drawn, "bulk_modulus", "bulk moduli of a binary scan")
    finish(figure, panels, shown, data)
    return figure
