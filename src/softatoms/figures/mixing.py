"""Energy of mixing over composition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .curves import one_quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..config import CampaignConfig
    from .data import CampaignTables

CAPTION = (
    "Energy of mixing per atom relative to the relaxed end members on the same lattice. Points "
    "are explicit supercells with atoms on lattice sites; bars span their replicates."
)


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """One panel per binary, all methods."""
    return one_quantity(
        config,
        data,
        "mixing",
        column="mixing_ev_per_atom",
        label="energy of mixing (meV/atom)",
        scale=1e3,
    )
