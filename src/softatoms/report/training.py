"""What the page says of the trained potential: its errors, part by part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..tables import Table

HEAD = (
    "model",
    "part",
    "group",
    "frames",
    "energy MAE / RMSE (meV/atom)",
    "force MAE / RMSE (eV/Å)",
    "stress MAE / RMSE (meV/Å³)",
)
_QUANTITIES = {"energy": (1e3, 1), "force": (1.0, 3), "stress": (1e3, 2)}
"""Factor to the unit of the column, and digits behind the point."""

_ALL = "all"


def labellers(config: CampaignConfig) -> str:
    """What computed the labels, empty if files came with some of them."""
    if config.dataset is None or config.dataset.imports:
        return ""
    if config.training is None or config.training.frames is not None:
        return ""
    labels = config.dataset.labels
    return labels.potential.name if labels.calculator == "softatoms" else labels.calculator


def error_rows(table: Table) -> Iterator[tuple[str, ...]]:
    """Rows of the list of errors: the test part by group, then each other part as a whole.

    Args:
        table: The table ``evaluation``.
    """
    found: dict[tuple[str, str, str], dict[str, Mapping[str, Any]]] = {}
    for row in table.rows():
        if row["element"] == _ALL:
            key = (row["model"], row["split"], row["group"])
            found.setdefault(key, {})[row["quantity"]] = row
    for (model, split, group), errors in sorted(found.items(), key=lambda item: _order(item[0])):
        if group != _ALL and split != "test":
            continue
        frames = str(errors["energy"]["n"]) if "energy" in errors else ""
        cells = [
            f"{scale * errors[name]['mae']:.{digits}f} / {scale * errors[name]['rmse']:.{digits}f}"
            if name in errors
            else ""
            for name, (scale, digits) in _QUANTITIES.items()
        ]
        yield (model, split, group, frames, *cells)


def _order(key: tuple[str, str, str]) -> tuple[str, int, bool, str]:
    model, split, group = key
    parts = ("test", "validation", "train", "")
    return model, parts.index(split) if split in parts else len(parts), group != _ALL, group
