"""The numbers a reader looks for first, each with its spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..figures.data import Binary, CampaignTables, Series, binaries, composition_label

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..tables import Table


class KeyNumber(NamedTuple):
    """One line of the list of key numbers.

    Attributes:
        system: What it is about.
        quantity: What it is.
        value: The number with its unit.
        spread: Its uncertainty, or how it was obtained.
    """

    system: str
    quantity: str
    value: str
    spread: str


def key_numbers(config: CampaignConfig, data: CampaignTables) -> list[KeyNumber]:
    """Key numbers of all binaries and of the screening."""
    found: list[KeyNumber] = []
    for binary in binaries(config):
        found += _of_binary(binary, data.composition)
    if config.screening is not None:
        found += _of_screening(data)
    return found


def root_mean_square(values: Sequence[float] | np.ndarray) -> float:
    """Root of the mean of squares."""
    return float(np.sqrt(np.mean(np.square(values))))


def _signed(value: float, unit: str) -> str:
    return f"{value:+.1f} {unit}".replace("-", "−")


def _of_binary(binary: Binary, table: Table) -> list[KeyNumber]:
    found = []
    mixing = binary.series(table, "mean_field", "mixing_ev_per_atom")
    cells = binary.series(table, "sqs", "mixing_ev_per_atom")
    lattice = binary.series(table, "mean_field", "a_ang")
    if mixing is not None:
        found.append(_extreme_mixing(binary, mixing, "mean field"))
    if cells is not None:
        found.append(_extreme_mixing(binary, cells, "SQS"))
    if mixing is not None and cells is not None:
        _, here, there = np.intersect1d(mixing.occupations, cells.occupations, return_indices=True)
        # The pure elements are the same for all methods.
        mixed = (cells.x[there] > 0) & (cells.x[there] < 1)
        if mixed.any():
            difference = 1e3 * (mixing.y[here] - cells.y[there])[mixed]
            # The supercells of different compositions are independent.
            error = 1e3 * np.sqrt(np.sum(cells.error[there][mixed] ** 2)) / len(difference)
            known = f"standard error {error:.2f} meV/atom, " if np.isfinite(error) else ""
            found.append(
                KeyNumber(
                    binary.title,
                    "mean field minus SQS, energy of mixing",
                    _signed(difference.mean(), "meV/atom"),
                    f"{known}root mean square {root_mean_square(difference):.1f} meV/atom over "
                    f"{len(difference)} compositions",
                )
            )
    if lattice is not None and {0.0, 1.0} <= set(lattice.x):
        bowing = lattice.y - np.interp(lattice.x, [0.0, 1.0], lattice.y[[0, -1]])
        k = int(np.argmax(np.abs(bowing)))
        found.append(
            KeyNumber(
                binary.title,
                "largest deviation from Vegard's law, mean field",
                _signed(1e3 * bowing[k], "mÅ"),
                f"at {binary.second} fraction {lattice.x[k]:.3g}",
            )
        )
    return found


def _extreme_mixing(binary: Binary, series: Series, label: str) -> KeyNumber:
    k = int(np.argmax(np.abs(series.y)))
    where = f"at {binary.second} fraction {series.x[k]:.3g}"
    width = 1e3 * (series.high[k] - series.low[k])
    spread = f"{where}; replicates span {width:.1f} meV/atom" if label == "SQS" else where
    return KeyNumber(
        binary.title,
        f"energy of mixing farthest from 0, {label}",
        _signed(1e3 * series.y[k], "meV/atom"),
        spread,
    )


def _of_screening(data: CampaignTables) -> list[KeyNumber]:
    total = data.composition.data.num_rows
    passed = data.ranking.data.num_rows
    found = [KeyNumber("screening", "compositions ranked", str(passed), f"of {total} computed")]
    first = data.ranking.rows()[0] if passed else {}
    if first.get("mixing_free_energy_ev_per_atom") is not None:
        found.append(
            KeyNumber(
                "screening",
                f"first rank: {composition_label(first)} ({first['prototype']})",
                _signed(1e3 * first["mixing_free_energy_ev_per_atom"], "meV/atom"),
                f"free energy of mixing at {first['temperature_k']:g} K, energy of formation "
                + _signed(1e3 * first["formation_ev_per_atom"], "meV/atom"),
            )
        )
    return found
