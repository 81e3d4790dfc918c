"""What the page says of the trained potential: its errors, part by part."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..config.figures import OF_TRAINING
from ..units import GPA_PER_EV_ANG3
from .parts import Listing, Part

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..figures.data import CampaignTables
    from ..tables import Table

HEAD = (
    "model",
    "part",
    "group",
    "frames",
    "energy MAE / RMSE (meV/atom)",
    "force MAE / RMSE (eV/Å)",
    "stress MAE / RMSE (GPa)",
)
_QUANTITIES = {"energy": (1e3, 1), "force": (1.0, 3), "stress": (GPA_PER_EV_ANG3, 2)}
"""Factor to the unit of the column, and digits behind the point."""

ELEMENT_HEAD = (
    "model",
    "part",
    "group",
    "element",
    "sites",
    "force MAE (eV/Å)",
    "force RMSE (eV/Å)",
    "largest error of a component (eV/Å)",
)

CALIBRATION_HEAD = (
    "part",
    "quantity",
    "errors",
    "groups",
    "RMSE of the mean",
    "RMS spread",
    "rank correlation",
    "factor",
    "inside 68 % (as it is)",
    "inside 95 % (as it is)",
)

_ALL = "all"


def part(config: CampaignConfig, data: CampaignTables) -> Part | None:
    """What the page says of the stage; nothing if the campaign lacks it.

    Args:
        config: The campaign.
        data: Its tables.
    """
    if config.training is None:
        return None
    name = html.escape(config.training.potential.name)
    labels = labellers(config)
    source = f", which come from <code>{html.escape(labels)}</code>" if labels else ""
    return Part(
        "Trained potential",
        f"Predictions of <code>{name}</code> minus labels{source}. The training saw frames of the "
        "part train, chose its epoch by the part validation, and did not look at the part test; no "
        "group stands in two parts.",
        [Listing("errors", HEAD, error_rows(data.evaluation)), *_more_errors(config, data)],
        OF_TRAINING,
    )


def _more_errors(config: CampaignConfig, data: CampaignTables) -> list[Listing]:
    """Errors of forces by element, and of an ensemble what its spread is worth."""
    lists = []
    elements = list(element_rows(data.evaluation))
    if elements:
        title = "Forces by element, test part"
        lists.append(Listing("errors-by-element", ELEMENT_HEAD, elements, title))
    if config.training is not None and config.training.size > 1:
        words = (
            "Errors are those of the mean of the models. The factor between spread and error is "
            "fitted to the validation part. Intervals of 68 % and 95 % should hold as many of the "
            "errors of the test part."
        )
        rows = calibration_rows(data.calibration)
        lists.append(
            Listing("calibration", CALIBRATION_HEAD, rows, "Spread of the ensemble", words)
        )
    return lists


def labellers(config: CampaignConfig) -> str:
    """What computed the labels, empty if files came with some of them."""
    if config.dataset is None or config.dataset.imports:
        return ""
    if config.training is None or config.training.frames is not None:
        return ""
    labels = config.dataset.labels
    return labels.potential.name if labels.calculator == "softatoms" else labels.calculator


def error_rows(table: Table) -> Iterator[tuple[str, ...]]:
    """Rows of the list of errors: the test part by group and elements, other parts as a whole.

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


def element_rows(table: Table) -> Iterator[tuple[str, ...]]:
    """Rows of the list of force errors by element: the test part, as a whole and by group.

    Args:
        table: The table ``evaluation``.
    """
    rows = [
        row
        for row in table.rows()
        if row["split"] == "test" and row["quantity"] == "force" and row["element"] != _ALL
    ]
    for row in sorted(
        rows, key=lambda row: (*_order((row["model"], "test", row["group"])), row["element"])
    ):
        yield (
            *(row[name] for name in ("model", "split", "group", "element")),
            str(row["n"] // 3),
            *(f"{row[name]:.3f}" for name in ("mae", "rmse", "largest")),
        )


def calibration_rows(table: Table) -> Iterator[tuple[str, ...]]:
    """Rows of the list about the spread of an ensemble: validation and test part as a whole.

    Args:
        table: The table ``calibration``.
    """
    shown = {"energy": ("meV/atom", 1e3, 1), "force": ("eV/Å", 1.0, 3)}
    for row in table.rows():
        if row["group"] != _ALL or row["split"] == "train":
            continue
        unit, scale, digits = shown[row["quantity"]]
        ranks, factor, error = (
            row[name] for name in ("rank_correlation", "factor", "factor_error")
        )
        yield (
            row["split"],
            row["quantity"],
            str(row["n"]),
            str(row["n_groups"]),
            *(f"{scale * row[name]:.{digits}f} {unit}" for name in ("rmse", "rms_spread")),
            "" if ranks is None else f"{ranks:.2f}",
            "none" if factor is None else f"{factor:.2f}" + (f" ± {error:.2f}" if error else ""),
            *(
                ("" if factor is None else f"{100.0 * row[f'coverage_{level}']:.0f} % ")
                + f"({100.0 * row[f'coverage_{level}_raw']:.0f} %)"
                for level in ("68", "95")
            ),
        )


def _order(key: tuple[str, str, str]) -> tuple[str, int, bool, str]:
    model, split, group = key
    parts = ("test", "validation", "train", "")
    return model, parts.index(split) if split in parts else len(parts), group != _ALL, group
