"""Rows of the tables of heat transport."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .correlation import DIRECTIONS, Array, conductivity_factor, standard_error
from .measure import METHODS, Measured
from .series import Series

Rows = list[dict[str, Any]]

POINTS = 400
"""Most points of one curve in a table."""


def conductivity_rows(
    name: str, temperature: float, series: Series, found: Measured, *, gauge: str
) -> Rows:
    """Rows of the table ``transport`` of one run."""
    shared = {
        "system": name,
        "temperature_k": temperature,
        "n_replicas": series.n_replicas,
        "length_ps": series.length_ps,
        "n_sites": len(series.soft),
        "volume_ang3": series.volume,
        "mean_temperature_k": float(series.temperatures.mean()),
        "gauge": gauge,
    }
    return [
        {
            "transport_id": f"{label(name, temperature)}-{one.direction}-{one.method}",
            **shared,
            "direction": one.direction,
            "method": one.method,
            "kappa_w_mk": one.kappa,
            "stderr_w_mk": one.stderr,
            "cutoff_fs": one.cutoff_fs,
            "cutoff_thz": one.cutoff_thz,
            "coefficients": one.coefficients,
            "warnings": "; ".join(one.warnings),
            "status": "failed" if one.error else "ok",
            "error": one.error,
        }
        for one in found.conductivities
    ]


def failed_rows(name: str, temperature: float, *, n_sites: int, gauge: str, error: str) -> Rows:
    """Rows of a run of which nothing came."""
    return [
        {
            "transport_id": f"{label(name, temperature)}-{direction}-{method}",
            "system": name,
            "temperature_k": temperature,
            "direction": direction,
            "method": method,
            "kappa_w_mk": None,
            "stderr_w_mk": None,
            "n_replicas": 0,
            "length_ps": 0.0,
            "n_sites": n_sites,
            "volume_ang3": None,
            "mean_temperature_k": None,
            "cutoff_fs": None,
            "cutoff_thz": None,
            "coefficients": None,
            "gauge": gauge,
            "warnings": "",
            "status": "failed",
            "error": error,
        }
        for method in METHODS[:3]
        for direction in DIRECTIONS
    ]


def correlation_rows(name: str, temperature: float, found: Measured) -> Rows:
    """Rows of the table ``transport_correlation`` of one run."""
    rows: Rows = []
    result = found.correlation
    chosen = thinned(len(result.times))
    for direction in DIRECTIONS:
        curves = result.correlation_along(direction)
        first = curves[:, 0].mean()
        running = result.running_along(direction)
        columns = {
            "time_fs": result.times,
            "correlation": curves.mean(axis=0) / first,
            "stderr_correlation": standard_error(curves) / first,
            "kappa_w_mk": running.mean(axis=0),
            "stderr_w_mk": standard_error(running),
        }
        rows += [
            {
                "row_id": f"{label(name, temperature)}-{direction}-{number}",
                "system": name,
                "temperature_k": temperature,
                "direction": direction,
                **{key: float(values[index]) for key, values in columns.items()},
            }
            for number, index in enumerate(chosen)
        ]
    return rows


def spectrum_rows(
    name: str,
    temperature: float,
    series: Series,
    found: Measured,
    densities: dict[str, tuple[Array, Array]],
) -> Rows:
    """Rows of the table ``transport_spectrum`` of one run.

    Args:
        name: Name of the system.
        temperature: In K.
        series: Its samples.
        found: What was made of them.
        densities: Frequencies in THz and density of states in 1/THz of every species.
    """
    factor = 0.5 * conductivity_factor(series.volume, temperature)
    spectrum = found.spectrum
    curves: list[tuple[str, str, Array, Array]] = [
        ("flux", "", spectrum.frequencies, factor * spectrum.values)
    ]
    if found.analysis is not None:
        smooth = found.analysis.smooth
        curves.append(("cepstral", "", spectrum.frequencies[: len(smooth)], factor * smooth))
    curves += [("vibrations", species, *curve) for species, curve in densities.items()]
    rows: Rows = []
    for quantity, species, frequencies, values in curves:
        ending = f"-{species}" if species else ""
        rows += [
            {
                "row_id": f"{label(name, temperature)}-{quantity}{ending}-{number}",
                "system": name,
                "temperature_k": temperature,
                "quantity": quantity,
                "species": species,
                "frequency_thz": frequency,
                "value": value,
            }
            for number, (frequency, value) in enumerate(binned(frequencies, values))
        ]
    return rows


def label(name: str, temperature: float) -> str:
    """What one run is called."""
    return f"{name}-{temperature:g}k"


def thinned(count: int) -> Sequence[int]:
    """Indices of at most :data:`POINTS` evenly spread points, both ends included."""
    return np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(int)).tolist()


def binned(frequencies: Array, values: Array) -> Iterator[tuple[float, float]]:
    """Means over bins of neighbouring frequencies, at most :data:`POINTS` of them."""
    pieces = min(len(values), POINTS)
    for own, heights in zip(
        np.array_split(frequencies, pieces), np.array_split(values, pieces), strict=True
    ):
        yield float(own.mean()), float(heights.mean())
