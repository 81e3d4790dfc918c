"""Figures of a campaign, one module each.

Every module has a function ``draw(config, tables)`` that returns a matplotlib figure.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..config import CampaignConfig

FORMATS = ("png", "pdf")


def draw_all(config: CampaignConfig, tables: Path, out: Path) -> Iterator[Path]:
    """Draw all figures that the configuration names.

    Args:
        config: The campaign.
        tables: Folder of its tables.
        out: Folder for ``<name>.png`` and ``<name>.pdf``.

    Yields:
        Every file once it is written.
    """
    from ..files import replacing
    from .data import CampaignTables
    from .style import apply_style, close

    apply_style()
    data = CampaignTables(tables)
    for name in config.figure_names():
        figure = importlib.import_module(f".{name}", __name__).draw(config, data)
        for ending in FORMATS:
            path = out / f"{name}.{ending}"
            with replacing(path) as partial:
                # Without dates and versions the same tables give the same files.
                unstamped = {"CreationDate": None} if ending == "pdf" else {"Software": None}
                figure.savefig(partial, dpi=config.figures.dots_per_inch, metadata=unstamped)
            yield path
        close(figure)
