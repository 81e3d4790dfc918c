"""Energy of mixing over composition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .curves import finish, plot_methods
from .data import CampaignTables, binaries, require
from .style import grid_of_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..config import CampaignConfig

CAPTION = (
    "Energy of mixing per atom relative to the relaxed end members on the same lattice. Points "
    "are explicit supercells with atoms on lattice sites; bars span their replicates."
)


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """One panel per binary, all methods."""
    shown = binaries(config)
    figure, panels = grid_of_panels(len(shown))
    drawn = False
    for binary, (axes,) in zip(shown, panels, strict=True):
        drawn |= plot_methods(axes, data.composition, binary, "mixing_ev_per_atom", scale=1e3)
        axes.set_ylabel("energy of mixing (meV/atom)")
    require(drawn, "mixing", "energies of a binary scan")
    finish(figure, panels, shown, data)
    return figure
