"""Correlation functions of the heat flux and their integrals (Green and Kubo).

    κ_ab = 1/(V k_B T²) ∫₀^∞ ⟨J_a(0) J_b(t)⟩ dt

with J the flux that is not divided by the volume. The mean of J is zero in equilibrium without a
moving centre of mass; it is not taken off, as that would bend the integral of any short run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from .. import units
from .errors import TransportError

Array = NDArray[np.float64]

DIRECTIONS = ("xx", "yy", "zz", "mean")
"""Diagonal components, and the third of the trace."""


def conductivity_factor(volume: float, temperature: float) -> float:
    """Thermal conductivity in W/(m K) of an integral of 1 eV² Å²/fs.

    Args:
        volume: In Å³.
        temperature: In K.
    """
    natural = volume * units.BOLTZMANN_EV_PER_K * temperature**2
    return units.W_PER_M_K_PER_EV_FS_ANG_K / natural


def correlations(flux: Array, *, n_lags: int) -> Array:
    """⟨J_a(0) J_b(t)⟩ of every replica by fast Fourier transforms.

    Every lag is averaged over all pairs of samples that are this far apart, so the estimate has no
    bias at any lag, and its noise grows with the lag.

    Args:
        flux: Samples, shape (n_replicas, n_samples, n_components).
        n_lags: Number of lags, 0 included.

    Returns:
        Shape (n_replicas, n_lags, n_components, n_components).

    Raises:
        TransportError: If there are fewer samples than lags.
    """
    n_replicas, n_samples, n_components = flux.shape
    if not 1 <= n_lags <= n_samples:
        raise TransportError(f"{n_lags} lags need as many samples, there are {n_samples}")
    length = scipy.fft.next_fast_len(n_samples + n_lags, real=True)
    pairs = np.arange(n_samples, n_samples - n_lags, -1)
    found = np.empty((n_replicas, n_lags, n_components, n_components))
    for replica, series in enumerate(flux):
        modes = scipy.fft.rfft(series, length, axis=0)
        for first in range(n_components):
            products = modes[:, first, None].conj() * modes
            sums = scipy.fft.irfft(products, length, axis=0)[:n_lags]
            found[replica, :, first] = sums / pairs[:, None]
    return found


def running_integral(values: Array, spacing: float, *, axis: int) -> Array:
    """Integral from the first sample to each by the trapezoidal rule, of the same shape."""
    moved = np.moveaxis(values, axis, 0)
    sums = np.cumsum(moved, axis=0) - 0.5 * (moved + moved[:1])
    return np.moveaxis(spacing * sums, 0, axis)


def in_blocks(flux: Array, n_blocks: int) -> Array:
    """Cut every replica into blocks that count as replicas of their own.

    Args:
        flux: Shape (n_replicas, n_samples, n_components); samples that are left over are dropped.
        n_blocks: Blocks per replica.

    Returns:
        Shape (n_replicas × n_blocks, n_samples // n_blocks, n_components).
    """
    n_replicas, n_samples, n_components = flux.shape
    length = n_samples // n_blocks
    if length < 2:
        raise TransportError(f"{n_samples} samples are too few for {n_blocks} blocks")
    return flux[:, : n_blocks * length].reshape(n_replicas * n_blocks, length, n_components)


def standard_error(values: Array) -> Array:
    """Standard error of the mean over the first axis; nan for a single entry."""
    count = len(values)
    if count < 2:
        return np.full(values.shape[1:], np.nan)
    return values.std(axis=0, ddof=1) / np.sqrt(count)


@dataclass(frozen=True)
class GreenKubo:
    """Correlation functions of some replicas and the conductivity they add up to.

    Attributes:
        times: Lags in fs, shape (n_lags,).
        correlation: ⟨J_a(0) J_b(t)⟩ of every replica in eV² Å²/fs², shape
            (n_replicas, n_lags, 3, 3).
        running: κ_ab(t) of every replica in W/(m K), the same shape.
    """

    times: Array
    correlation: Array
    running: Array

    @property
    def n_replicas(self) -> int:
        """Number of replicas."""
        return len(self.running)

    def correlation_along(self, direction: str) -> Array:
        """Correlation along a direction, shape (n_replicas, n_lags)."""
        return _along(self.correlation, direction)

    def running_along(self, direction: str) -> Array:
        """κ(t) along a direction in W/(m K), shape (n_replicas, n_lags)."""
        return _along(self.running, direction)


@dataclass(frozen=True)
class Estimate:
    """A conductivity read off a running integral.

    Attributes:
        kappa: In W/(m K), the mean over replicas.
        stderr: Standard error over replicas in W/(m K); nan for a single one.
        cutoff_fs: Where it was read in fs.
        found: Whether the criterion was met before the last lag.
    """

    kappa: float
    stderr: float
    cutoff_fs: float
    found: bool


def green_kubo(
    flux: Array, *, spacing_fs: float, volume: float, temperature: float, n_lags: int
) -> GreenKubo:
    """Correlation functions and running conductivities.

    Args:
        flux: Heat flux in eV Å/fs, not divided by the volume, shape (n_replicas, n_samples, 3).
        spacing_fs: Time between samples in fs.
        volume: In Å³.
        temperature: In K.
        n_lags: Number of lags, 0 included.
    """
    found = correlations(flux, n_lags=n_lags)
    lags: Array = np.arange(n_lags, dtype=np.float64)
    factor = conductivity_factor(volume, temperature)
    return GreenKubo(
        times=spacing_fs * lags,
        correlation=found,
        running=factor * running_integral(found, spacing_fs, axis=1),
    )


def first_dip(result: GreenKubo, direction: str, *, smoothing_fs: float = 0.0) -> Estimate:
    """κ where the correlation, averaged over replicas, first falls to zero.

    Args:
        result: The running conductivities.
        direction: One of :data:`DIRECTIONS`.
        smoothing_fs: Width in fs of a moving average over the correlation before the dip is looked
            for: optical modes let it pass through zero many times without carrying heat.
    """
    mean = result.correlation_along(direction).mean(axis=0)
    return _read_at(result, direction, *_first(_smooth(mean, result, smoothing_fs) <= 0.0))


def plateau(result: GreenKubo, direction: str, *, smoothing_fs: float = 0.0) -> Estimate:
    """Mean of κ(t) from where the correlation drowns in its noise to twice that time.

    The noise is the spread between replicas, and so needs at least two of them. A correlation that
    only passes through zero has not drowned: see :func:`drowned`.

    Args:
        result: The running conductivities.
        direction: One of :data:`DIRECTIONS`.
        smoothing_fs: Width in fs of a moving average over correlations first.

    Raises:
        TransportError: If there is one replica only.
    """
    if result.n_replicas < 2:
        raise TransportError("a plateau is told from noise by replicas or blocks: take at least 2")
    curves = _smooth(result.correlation_along(direction), result, smoothing_fs)
    index, found = drowned(curves)
    last = min(2 * index, len(result.times) - 1)
    values = result.running_along(direction)[:, index : last + 1].mean(axis=1)
    return Estimate(
        kappa=float(values.mean()),
        stderr=float(standard_error(values)),
        cutoff_fs=float(result.times[index]),
        found=found,
    )


def drowned(curves: Array) -> tuple[int, bool]:
    """First lag t from which to 2t a mean correlation is as small as its noise.

    Args:
        curves: Correlation of every replica, shape (n_replicas, n_lags).

    Returns:
        Index of the lag, and whether there is one within half of the lags; else the index of half.
    """
    squares = np.cumsum(curves.mean(axis=0) ** 2)
    noise = np.cumsum(standard_error(curves) ** 2)
    starts = np.arange(1, (curves.shape[1] - 1) // 2 + 1)
    if len(starts) == 0:
        return 0, False
    ends = 2 * starts
    # Of pure noise the sums are equal on average.
    met = squares[ends] - squares[starts - 1] < 2.0 * (noise[ends] - noise[starts - 1])
    index, found = _first(met)
    return int(starts[index]), found


def _along(tensors: Array, direction: str) -> Array:
    if direction == "mean":
        return np.trace(tensors, axis1=-2, axis2=-1) / 3.0
    if direction not in DIRECTIONS:
        raise TransportError(f"unknown direction '{direction}': use one of {', '.join(DIRECTIONS)}")
    axis = DIRECTIONS.index(direction)
    return tensors[..., axis, axis]


def _smooth(values: Array, result: GreenKubo, width_fs: float) -> Array:
    """Centred moving average over the last axis; a correlation is even in time."""
    spacing = result.times[1] - result.times[0] if len(result.times) > 1 else 1.0
    reach = int(width_fs / (2.0 * spacing))
    if reach < 1:
        return values
    averaged: Array = uniform_filter1d(values, 2 * reach + 1, axis=-1, mode="mirror")
    return averaged


def _first(met: NDArray[np.bool_]) -> tuple[int, bool]:
    """Index at which a criterion is first met, the last index if it never is."""
    index = int(np.argmax(met))
    return (index, True) if met[index] else (len(met) - 1, False)


def _read_at(result: GreenKubo, direction: str, index: int, found: bool) -> Estimate:
    values = result.running_along(direction)[:, index]
    return Estimate(
        kappa=float(values.mean()),
        stderr=float(standard_error(values)),
        cutoff_fs=float(result.times[index]),
        found=found,
    )
