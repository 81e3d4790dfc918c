"""What has to hold of a run before its conductivity means anything, told in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase.data import chemical_symbols
from scipy.stats import chi2

from .. import units
from .correlation import GreenKubo, drowned, standard_error
from .diffusion import Displacement, displacements
from .errors import TransportError
from .spectra import Array

if TYPE_CHECKING:
    from .series import Series

LEAST_CORRELATION_TIMES = 50.0
"""Correlation times that one replica has to last."""

VISIBLE_DRIFT = 1e-3
"""Drift of the conserved energy over a run, per site and in k_B T, that is worth a warning."""

UNLIKELY = 1e-3
"""Probability of a test statistic below which chance is not believed."""


def run_warnings(
    series: Series, correlation: GreenKubo, integral: float, temperature: float
) -> list[str]:
    """What is wrong with a run as a whole.

    Args:
        series: Its samples.
        correlation: Correlation functions of its flux.
        integral: ½ S(0) of its flux in eV² Å²/fs, the mean of the directions, with all that mass
            currents carry; 0 if it is not known.
        temperature: Temperature in K that was wanted.
    """
    found = []
    times = series.length_ps * 1000.0 / max(correlation_time(correlation), series.spacing_fs)
    if times < LEAST_CORRELATION_TIMES:
        found.append(
            f"short: a replica lasts {times:.0f} correlation times of the flux, "
            f"{LEAST_CORRELATION_TIMES:.0f} are needed"
        )
    checks = (
        _drift_warning(series, temperature),
        _mean_flux_warning(series, integral),
        _temperature_warning(series, temperature),
    )
    found += [text for text in checks if text]
    if series.lost:
        name, error = next(iter(series.lost.items()))
        found.append(f"{len(series.lost)} replicas were lost: {name} in {error}")
    return found


def correlation_time(correlation: GreenKubo) -> float:
    """Time in fs at which half of the conductivity is reached for the last time.

    The integral of the normalised correlation would be small for a flux that oscillates, however
    slowly the part decays that carries heat.
    """
    curve = correlation.running_along("mean").mean(axis=0)
    end = drowned(correlation.correlation_along("mean"))[0]
    below = np.flatnonzero(curve[: end + 1] < 0.5 * curve[end])
    return float(correlation.times[below[-1] + 1 if len(below) else 0])


def disagreement(name: str, first: tuple[float, float], second: tuple[float, float]) -> str:
    """Words for two conductivities that differ by more than three combined errors, else empty."""
    error = float(np.hypot(first[1], second[1]))
    difference = abs(first[0] - second[0])
    if np.isfinite(error) and difference > 3.0 * error:
        return (
            f"cepstral analysis and the integral up to its {name} disagree by "
            f"{difference / error:.1f} standard errors"
        )
    return ""


def moving_species(series: Series) -> dict[str, Displacement]:
    """Species that leave their places, by symbol.

    Raises:
        TransportError: If soft sites move through the system: what they hold is fixed to a place
            of a crystal.
    """
    soft = series.soft
    dominant = np.empty(len(soft), dtype=np.int64)
    order = np.argsort(soft.node_weight, kind="stable")
    dominant[soft.node_site[order]] = soft.node_number[order]
    found = displacements(
        series.positions,
        dominant,
        spacing_fs=series.state_spacing_fs,
        distance=shortest_distance(series),
    )
    moving = {chemical_symbols[key]: one for key, one in found.items() if one.diffuses}
    if moving and len(soft.weights):
        raise TransportError(
            f"{', '.join(moving)} diffuses, but the structure has soft sites, whose occupation is "
            "that of a place in a crystal: lower the temperature or use a supercell of whole atoms"
        )
    return moving


def shortest_distance(series: Series) -> float:
    """Typical distance of nearest sites in Å, from the volume: fcc spheres of this density."""
    return float((2.0**0.5 * series.volume / len(series.soft)) ** (1.0 / 3.0))


def _drift_warning(series: Series, temperature: float) -> str:
    times = series.state_spacing_fs * np.arange(series.conserved.shape[1])
    slopes: Array = np.polyfit(times, series.conserved.T, 1)[0]
    drift = float(np.abs(slopes).max() * times[-1]) / len(series.soft)
    share = drift / (units.BOLTZMANN_EV_PER_K * temperature)
    if share < VISIBLE_DRIFT:
        return ""
    return (
        f"the total energy drifts by {share:.2g} k_B T per site over the run: shorten the time step"
    )


def _mean_flux_warning(series: Series, integral: float) -> str:
    """Means of a flux over a run have the variance S(0)/length.

    It is the spectrum of the whole flux that counts: that at vanishing mass currents, of which κ
    of a mixture is made, may be smaller by orders of magnitude.
    """
    if not integral > 0.0:
        return ""
    variance = 2.0 * integral / (1000.0 * series.length_ps)
    squares = series.flux.mean(axis=1) ** 2 / variance
    if chi2.sf(squares.sum(), squares.size) > UNLIKELY:
        return ""
    return (
        f"the mean heat flux is not zero: {float(np.sqrt(squares.mean())):.1f} times what chance "
        "gives"
    )


def _temperature_warning(series: Series, temperature: float) -> str:
    means = series.temperatures.mean(axis=1)
    error = float(standard_error(means))
    difference = float(means.mean()) - temperature
    if not abs(difference) > max(4.0 * error, 0.02 * temperature):
        return ""
    return (
        f"the mean temperature is {means.mean():.1f} K instead of {temperature:g} K: "
        "equilibrate longer"
    )
