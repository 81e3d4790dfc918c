"""Free energies over temperature by all methods; vacancies with their concentration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..free_energy.estimators import EstimateError
from ..free_energy.temperature import FormationFit, formation_fit
from ..units import BOLTZMANN_EV_PER_K
from .data import CampaignTables, require
from .style import grid_of_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..config import CampaignConfig
    from ..tables import Table

CAPTION = (
    "Free energies over temperature: alchemical, by full paths to Einstein crystals "
    "(Frenkel–Ladd), by harmonic vibrations, and at rest. Bars are 95 % intervals. Below "
    "vacancies stands the equilibrium concentration exp(−G/kT) of the alchemical ones, or of "
    "the first method there is, with the line of Arrhenius; its enthalpy and entropy of "
    "formation have their standard errors."
)

STYLES = {
    "alchemical": ("#0072B2", "o", "alchemical"),
    "frenkel_ladd": ("#D55E00", "s", "Frenkel–Ladd"),
    "harmonic": ("#009E73", "", "harmonic"),
    "static": ("#7F7F7F", "", "at rest"),
}
"""Colour, marker and name of each method."""


def draw(config: CampaignConfig, data: CampaignTables) -> Figure:
    """One panel per system, with a second one below for vacancies."""
    table = data.free_energy
    ok = table.text("status") == "ok"
    systems = list(dict.fromkeys(table.text("system")[ok]))
    require(bool(systems), "free_energies", "free energies")
    figure, panels = grid_of_panels(len(systems), rows_per_panel=2)
    for system, (upper, lower) in zip(systems, panels, strict=True):
        own = ok & (table.text("system") == system)
        is_vacancy = table.text("quantity")[own][0] == "vacancy"
        _draw_values(upper, table, own, is_vacancy=bool(is_vacancy))
        upper.set_title(system)
        if is_vacancy:
            _draw_concentration(lower, table, own)
        else:
            lower.set_visible(False)
    # One narrow panel has no room for all methods beside each other.
    handles, labels = panels[0][0].get_legend_handles_labels()
    columns = 2 if len(systems) == 1 else 4
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    return figure


def _draw_values(axes: Axes, table: Table, own: NDArray[np.bool_], *, is_vacancy: bool) -> None:
    scale = 1.0 if is_vacancy else 1e3
    for method, (colour, marker, label) in STYLES.items():
        chosen = own & (table.text("method") == method)
        if not chosen.any():
            continue
        order = np.argsort(table.real("temperature_k")[chosen], kind="stable")
        kelvin, value, low, high = (
            table.real(name)[chosen][order]
            for name in ("temperature_k", "value_ev", "low_ev", "high_ev")
        )
        if method == "static":
            axes.axhline(scale * value[0], color=colour, linestyle=(0, (4, 2)), label=label)
        elif method == "harmonic":
            axes.plot(kelvin, scale * value, color=colour, marker=".", label=label)
        else:
            errors = scale * np.stack([value - low, high - value])
            axes.errorbar(
                kelvin,
                scale * value,
                yerr=errors,
                color=colour,
                marker=marker,
                linestyle="none",
                capsize=2,
                label=label,
                zorder=4 if method == "alchemical" else 3,
            )
    axes.set_xlabel("temperature (K)")
    axes.set_ylabel("G of a vacancy (eV)" if is_vacancy else "change of G (meV/atom)")


def _draw_concentration(axes: Axes, table: Table, own: NDArray[np.bool_]) -> None:
    for method, (colour, marker, _) in STYLES.items():
        chosen = own & (table.text("method") == method)
        if method == "static" or not chosen.any():
            continue
        kelvin, value, low, high = (
            table.real(name)[chosen] for name in ("temperature_k", "value_ev", "low_ev", "high_ev")
        )
        thermal = BOLTZMANN_EV_PER_K * kelvin
        scale = 1.0 / np.log(10.0)
        inverse = 1e3 / kelvin
        bars = scale * np.stack([high - value, value - low]) / thermal
        axes.errorbar(
            inverse,
            -scale * value / thermal,
            yerr=None if np.isnan(bars).any() else bars,
            color=colour,
            marker=marker or ".",
            linestyle="none",
            capsize=2,
        )
        fit = fit_of(table, chosen)
        if fit is not None:
            x = np.linspace(inverse.min(), inverse.max(), 50)
            share, _, _ = fit.concentration(1e3 / x)
            axes.plot(x, np.log10(share), color=colour, linewidth=1.0)
            axes.text(
                0.98,
                0.95,
                f"H = {fit.enthalpy:.3f} ± {fit.enthalpy_stderr:.3f} eV\n"
                f"S = {fit.entropy_in_k:.2f} ± {fit.entropy_stderr / BOLTZMANN_EV_PER_K:.2f} k",
                transform=axes.transAxes,
                ha="right",
                va="top",
                fontsize=7,
            )
        break
    axes.set_xlabel("1000 K / temperature")
    axes.set_ylabel("log₁₀ of concentration")


def fit_of(table: Table, chosen: NDArray[np.bool_]) -> FormationFit | None:
    """Enthalpy and entropy from rows of one method; None if there are too few temperatures."""
    errors = table.real("stderr_ev")[chosen]
    try:
        return formation_fit(
            table.real("temperature_k")[chosen],
            table.real("value_ev")[chosen],
            errors if (errors > 0.0).all() else None,
        )
    except EstimateError:
        return None
