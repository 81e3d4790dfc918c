"""Spectra of the heat flux, and densities of states where velocities were kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .data import CampaignTables, require
from .style import PANEL_HEIGHT, PANEL_WIDTH, SEQUENCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..config import CampaignConfig
    from ..tables import Table

CAPTION = (
    "Spectrum of the heat flux in units of the conductivity, which is its value at frequency 0: "
    "averaged periodogram (grey) and what cepstral analysis makes of its lowest frequencies "
    "(blue). Below, where velocities were kept: vibrational density of states per site."
)

NEGLIGIBLE = 1e-3
"""Share of the power beyond the largest frequency that is drawn."""


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """One column per system and temperature."""
    from matplotlib.figure import Figure

    assert config.transport is not None
    runs = config.transport.runs()
    table = data.transport_spectrum
    require(bool(table.rows()), "transport_spectrum", "spectra")
    has_states = any(row["quantity"] == "vibrations" for row in table.rows())
    lines = 2 if has_states else 1
    size = (PANEL_WIDTH * len(runs), lines * PANEL_HEIGHT)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(lines, len(runs), squeeze=False, sharex="col")
    for column, run in enumerate(runs):
        panels[0][column].set_title(f"{run[0]}, {run[1]:g} K")
        panels[-1][column].set_xlabel("frequency (THz)")
        _draw_flux(panels[0][column], table, run)
        if has_states:
            _draw_states(panels[1][column], table, run)
    panels[0][0].set_ylabel("flux spectrum (W/(m K))")
    if has_states:
        panels[1][0].set_ylabel("states per site (1/THz)")
    return figure


def _curves(
    table: Table, run: tuple[str, float], quantity: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Frequencies and values by species."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in table.rows():
        if (row["system"], row["temperature_k"], row["quantity"]) == (*run, quantity):
            found.setdefault(row["species"], []).append((row["frequency_thz"], row["value"]))
    return {key: (np.array(pairs)[:, 0], np.array(pairs)[:, 1]) for key, pairs in found.items()}


def _draw_flux(axes: Axes, table: Table, run: tuple[str, float]) -> None:
    for frequencies, values in _curves(table, run, "flux").values():
        axes.semilogy(frequencies, values, color="#7F7F7F", linewidth=0.8)
        power = np.cumsum(values) / values.sum()
        axes.set_xlim(0.0, frequencies[int(np.searchsorted(power, 1.0 - NEGLIGIBLE))])
    for frequencies, values in _curves(table, run, "cepstral").values():
        axes.semilogy(frequencies, values, color="#0072B2", linewidth=1.4)


def _draw_states(axes: Axes, table: Table, run: tuple[str, float]) -> None:
    curves = _curves(table, run, "vibrations")
    for (species, (frequencies, values)), colour in zip(curves.items(), SEQUENCE, strict=False):
        axes.plot(frequencies, values, color=colour, linewidth=1.2, label=species)
    if curves:
        axes.legend(loc="best", fontsize=7)
        axes.set_ylim(bottom=0.0)
