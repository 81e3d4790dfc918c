"""Conductivities of one measurement by all methods, each with its error or why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .cepstral import Cepstral, Spectrum, cepstral, conserved_spectrum, flux_spectrum
from .checks import disagreement, moving_species, run_warnings
from .correlation import (
    DIRECTIONS,
    Array,
    Estimate,
    GreenKubo,
    conductivity_factor,
    first_dip,
    green_kubo,
    in_blocks,
    plateau,
)
from .diffusion import Displacement
from .errors import TransportError
from .series import Series

Method = Literal["first_dip", "plateau", "cepstral", "cepstral_multicomponent"]

METHODS: tuple[Method, ...] = ("first_dip", "plateau", "cepstral", "cepstral_multicomponent")

BLOCKS = 8
"""Replicas, or blocks of them, that the error of a direct integral rests on."""


@dataclass(frozen=True)
class Options:
    """How samples are analysed.

    Attributes:
        correlation_ps: Longest lag of correlation functions in ps; None for a quarter of a block.
        smoothing_fs: Width of the moving average over correlations before a dip or the noise is
            looked for, in fs.
        cutoff_thz: Largest frequency of the cepstral analysis in THz; None to let the data choose.
        is_isotropic: Whether x, y and z are equivalent: their spectra are then averaged before
            their logarithm is taken, which gives smaller errors.
    """

    correlation_ps: float | None = None
    smoothing_fs: float = 0.0
    cutoff_thz: float | None = None
    is_isotropic: bool = True


@dataclass(frozen=True)
class Conductivity:
    """One number of a measurement.

    Attributes:
        direction: ``xx``, ``yy``, ``zz`` or ``mean``.
        method: How it was found.
        kappa: In W/(m K); None if there is none.
        stderr: Standard error in W/(m K); None if there is none.
        cutoff_fs: Time up to which a direct integral runs, in fs.
        cutoff_thz: Largest frequency of the cepstral analysis in THz.
        coefficients: Cepstral coefficients.
        warnings: What speaks against the number.
        error: Why there is none.
    """

    direction: str
    method: Method
    kappa: float | None = None
    stderr: float | None = None
    cutoff_fs: float | None = None
    cutoff_thz: float | None = None
    coefficients: int | None = None
    warnings: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Measured:
    """Everything that was made of the samples of one measurement.

    Attributes:
        conductivities: One entry per method and direction.
        correlation: Correlation functions and running integrals, of blocks.
        spectrum: Spectrum of the flux, averaged over replicas and directions.
        analysis: Its cepstral analysis; None if that failed.
        moving: Species that diffuse.
    """

    conductivities: tuple[Conductivity, ...]
    correlation: GreenKubo
    spectrum: Spectrum
    analysis: Cepstral | None
    moving: dict[str, Displacement]


def measure(series: Series, *, temperature: float, options: Options | None = None) -> Measured:
    """Thermal conductivity of a measurement.

    A system of several species, one of which diffuses, has its conductivity at vanishing mass
    currents; what the heat flux alone gives depends on the zero of energy of each species. Rows of
    such methods carry an error in place of a number.

    Args:
        series: The samples.
        temperature: In K.
        options: How to analyse them.

    Raises:
        TransportError: If nothing can be made of them.
    """
    options = options or Options()
    factor = conductivity_factor(series.volume, temperature)
    correlation = _correlation(series, temperature, options)
    moving = moving_species(series)
    several = len(series.species) > 1
    spectrum = flux_spectrum(series.flux, spacing_fs=series.spacing_fs)
    if several and moving:
        refused = (
            f"{', '.join(moving)} diffuses among {len(series.species)} species: this integral "
            "holds heat that is carried by mass currents; see cepstral_multicomponent"
        )
        found = [
            Conductivity(direction, method, error=refused)
            for method in METHODS[:3]
            for direction in DIRECTIONS
        ]
        currents = _independent_currents(series)
        found += _cepstral_rows(
            "cepstral_multicomponent",
            lambda axes: conserved_spectrum(
                [series.flux[:, :, axes], *(one[:, :, axes] for one in currents)],
                spacing_fs=series.spacing_fs,
            ),
            factor,
            options,
        )
    else:
        found = _direct_rows(correlation, options)
        found += _cepstral_rows(
            "cepstral",
            lambda axes: flux_spectrum(series.flux[:, :, axes], spacing_fs=series.spacing_fs),
            factor,
            options,
        )
    try:
        analysis = cepstral(spectrum, cutoff_thz=options.cutoff_thz)
    except TransportError:
        analysis = None
    integral = 0.0 if analysis is None else analysis.value
    general = run_warnings(series, correlation, integral, temperature)
    return Measured(
        conductivities=tuple(_with_warnings(one, found, general) for one in found),
        correlation=correlation,
        spectrum=spectrum,
        analysis=analysis,
        moving=moving,
    )


def _correlation(series: Series, temperature: float, options: Options) -> GreenKubo:
    blocks = in_blocks(series.flux, max(1, -(-BLOCKS // series.n_replicas)))
    n_lags = blocks.shape[1] // 4
    if options.correlation_ps is not None:
        n_lags = round(1000.0 * options.correlation_ps / series.spacing_fs) + 1
        if n_lags > blocks.shape[1] // 2:
            longest = blocks.shape[1] // 2 * series.spacing_fs / 1000.0
            raise TransportError(
                f"correlation_ps: {options.correlation_ps:g} ps is more than half of a block; "
                f"at most {longest:g} ps, or run longer"
            )
    return green_kubo(
        blocks,
        spacing_fs=series.spacing_fs,
        volume=series.volume,
        temperature=temperature,
        n_lags=max(n_lags, 2),
    )


def _direct_rows(correlation: GreenKubo, options: Options) -> list[Conductivity]:
    rows = []
    readers: tuple[tuple[Method, Callable[..., Estimate], str], ...] = (
        ("first_dip", first_dip, "the correlation does not fall to zero within the longest lag"),
        ("plateau", plateau, "the plateau reaches beyond the longest lag"),
    )
    for method, read, missing in readers:
        for direction in DIRECTIONS:
            found = read(correlation, direction, smoothing_fs=options.smoothing_fs)
            rows.append(
                Conductivity(
                    direction,
                    method,
                    kappa=found.kappa,
                    stderr=found.stderr,
                    cutoff_fs=found.cutoff_fs,
                    warnings=() if found.found else (missing,),
                )
            )
    return rows


def _cepstral_rows(
    method: Method,
    spectrum_of: Callable[[list[int]], Spectrum],
    factor: float,
    options: Options,
) -> list[Conductivity]:
    rows: list[Conductivity] = []
    for axis, direction in enumerate(DIRECTIONS):
        if direction == "mean" and not options.is_isotropic:
            rows.append(_mean_of_directions(method, rows))
            continue
        axes = [0, 1, 2] if direction == "mean" else [axis]
        try:
            found = cepstral(spectrum_of(axes), cutoff_thz=options.cutoff_thz)
        except TransportError as error:
            rows.append(Conductivity(direction, method, error=str(error)))
            continue
        truncated = "the spectrum needs more cepstral coefficients than its band allows"
        rows.append(
            Conductivity(
                direction,
                method,
                kappa=factor * found.value,
                stderr=factor * found.stderr,
                cutoff_thz=found.cutoff_thz,
                coefficients=found.coefficients,
                warnings=(truncated,) if found.is_truncated else (),
            )
        )
    return rows


def _mean_of_directions(method: Method, rows: list[Conductivity]) -> Conductivity:
    for row in rows:
        if row.error:
            return Conductivity("mean", method, error=f"{row.direction}: {row.error}")
    kappas = [row.kappa for row in rows if row.kappa is not None]
    errors = [row.stderr for row in rows if row.stderr is not None]
    return Conductivity(
        "mean",
        method,
        kappa=float(np.mean(kappas)),
        stderr=float(np.sqrt(np.square(errors).sum()) / len(errors)),
    )


def _with_warnings(
    one: Conductivity, others: list[Conductivity], general: list[str]
) -> Conductivity:
    """The same with what concerns the run, and with where methods disagree."""
    if one.error:
        return one
    told = [*one.warnings, *general]
    pairs = {"cepstral": ("plateau", "plateau"), "plateau": ("cepstral", "plateau")}
    if one.method in pairs:
        method, name = pairs[one.method]
        told += [
            _disagreement(name, one, other)
            for other in others
            if (other.method, other.direction) == (method, one.direction)
        ]
    return replace(one, warnings=tuple(text for text in told if text))


def _disagreement(name: str, one: Conductivity, other: Conductivity) -> str:
    if one.kappa is None or other.kappa is None or one.stderr is None or other.stderr is None:
        return ""
    return disagreement(name, (one.kappa, one.stderr), (other.kappa, other.stderr))


def _independent_currents(series: Series) -> list[Array]:
    """Currents of all species but the last, which follows from the centre of mass at rest."""
    return [series.currents[:, :, index] for index in range(len(series.species) - 1)]
