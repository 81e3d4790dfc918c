"""Cepstral analysis: the zero-frequency value of a spectrum and its error from its logarithm.

The periodogram of a stationary Gaussian series is its spectrum times independent chi-square noise.
The logarithm makes the noise additive, with known mean and variance, and the logarithm of a smooth
spectrum has few Fourier (cepstral) coefficients above it. Formulae: L. Ercole, A. Marcolongo,
S. Baroni, Sci. Rep. 7, 15835 (2017); several conserved currents: R. Bertossa, F. Grasselli,
L. Ercole, S. Baroni, Phys. Rev. Lett. 122, 255901 (2019).

With ℓ independent spectra averaged, Q currents, d = ℓ − Q + 1 and N samples below the largest
frequency kept, the first P coefficients C_n of log S give

    log S(0) = C_0 + 2 Σ_{0<n<P} C_n − ψ(d) + log ℓ,    variance ψ'(d) (4 P − 2)/N.

P is chosen by Akaike's criterion. As neighbouring P are nearly as good, estimates are averaged over
all P with Akaike weights, and their spread is part of the error (Buckland, Burnham, Augustin,
Biometrics 53, 603 (1997)); the error of the best P alone leaves out that P was chosen from the
same data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.special import digamma, polygamma

from .errors import TransportError
from .spectra import frequencies_thz

Array = NDArray[np.float64]

LEAST_BINS = 8
"""Frequencies below which there is nothing to analyse."""

NARROWEST_BINS = 24
"""Frequencies in the narrowest band that is tried when the data choose the cutoff."""

AGREEMENT = 0.3
"""How far, in its standard errors, a narrower band may be from a wider one that is to be trusted.

Chosen on autoregressive series with sharp peaks: larger values give smaller errors that are too
small, see docs/transport.md.
"""


@dataclass(frozen=True)
class Spectrum:
    """Spectrum of the heat flux at zero and positive frequencies, with known noise.

    Attributes:
        frequencies: In THz, shape (n_bins,), equally spaced from 0.
        values: ∫ ⟨J(0) J(t)⟩ exp(iωt) dt over all times in eV² Å²/fs, shape (n_bins,).
        degrees: d: the noise is that of a chi-square variable of 2d degrees of freedom.
        count: ℓ: the values are sums over this many periodograms, divided by it.
    """

    frequencies: Array
    values: Array
    degrees: int
    count: int


@dataclass(frozen=True)
class Cepstral:
    """Zero-frequency value of a spectrum.

    Attributes:
        value: ½ S(0) in eV² Å²/fs: what the integral of the correlation from 0 on is.
        log_error: Standard error of its logarithm.
        coefficients: The best number P of coefficients.
        bins: Number of frequencies used.
        cutoff_thz: The largest of them in THz.
        smooth: The spectrum of the first P coefficients in eV² Å²/fs, shape (bins,).
        is_truncated: Whether P is as large as is allowed: the spectrum may have structure that the
            data cannot resolve.
    """

    value: float
    log_error: float
    coefficients: int
    bins: int
    cutoff_thz: float
    smooth: Array
    is_truncated: bool

    @property
    def stderr(self) -> float:
        """Standard error of the value in eV² Å²/fs."""
        return self.value * self.log_error

    def interval(self, errors: float = 1.96) -> tuple[float, float]:
        """Value this many standard errors of its logarithm below and above."""
        factor = float(np.exp(errors * self.log_error))
        return self.value / factor, self.value * factor


def flux_spectrum(flux: Array, *, spacing_fs: float) -> Spectrum:
    """Periodogram averaged over replicas and components that are statistically equal.

    Args:
        flux: Shape (n_replicas, n_samples, n_components) in eV Å/fs.
        spacing_fs: Time between samples in fs.
    """
    return conserved_spectrum([flux], spacing_fs=spacing_fs)


def conserved_spectrum(currents: list[Array], *, spacing_fs: float) -> Spectrum:
    """Spectrum of the first current, less what the others explain of it.

    With several conserved currents heat is conducted at vanishing mass currents, and κ follows
    from 1/(S⁻¹)_11 of the matrix S of their cross spectra. Any independent linear combinations of
    the other currents give the same.

    Args:
        currents: Each of shape (n_replicas, n_samples, n_components), the heat flux first.
        spacing_fs: Time between samples in fs.

    Returns:
        The spectrum of the part of the first that is independent of the others.

    Raises:
        TransportError: If there are no more periodograms than currents.
    """
    n_replicas, n_samples, n_components = currents[0].shape
    count, n_currents = n_replicas * n_components, len(currents)
    degrees = count - n_currents + 1
    if n_samples < 2 * LEAST_BINS:
        raise TransportError(f"{n_samples} samples are too few for a spectrum")
    if degrees < 1:
        raise TransportError(
            f"{n_currents} conserved currents need at least as many periodograms (replicas × "
            f"directions), there are {count}: run more replicas"
        )
    modes = np.stack([scipy.fft.rfft(current, axis=1) for current in currents])
    frequencies = frequencies_thz(n_samples, spacing_fs)
    # One matrix per frequency: (n_bins, n_currents, count).
    rows = np.moveaxis(modes, 2, 0).reshape(len(frequencies), n_currents, count)
    cross = rows @ rows.conj().swapaxes(1, 2)
    values = cross[:, 0, 0].real
    if n_currents > 1:
        # 1/(S⁻¹)_11 as a Schur complement; mass currents are scaled to one size first.
        sizes = np.sqrt(np.einsum("kii->i", cross[1:].real))
        if not (sizes > 0.0).all():
            raise TransportError("a current is zero throughout: leave it out")
        cross = cross / (sizes[:, None] * sizes[None, :])
        # No current has a zero-frequency sample of its own if its mean is conserved.
        cross[0] = cross[1]
        between = np.linalg.solve(cross[:, 1:, 1:], cross[:, 1:, :1])
        explained = (cross[:, :1, 1:] @ between)[:, 0, 0].real
        values = (cross[:, 0, 0].real - explained) * sizes[0] ** 2
    values = values * spacing_fs / (n_samples * count)
    # The sample at zero frequency holds the mean, that at the highest has half the noise.
    values[0] = values[1]
    if n_samples % 2 == 0:
        values[-1] = values[-2]
    return Spectrum(frequencies, values, degrees, count)


def cepstral(spectrum: Spectrum, *, cutoff_thz: float | None = None) -> Cepstral:
    """Zero-frequency value of a spectrum by cepstral analysis.

    A narrow peak at zero frequency in a wide band has a long tail of coefficients that are small
    one by one: the wider the band, the more of the peak is lost, the narrower, the larger the
    error. Without a given cutoff, bands grow from the narrowest by factors of √2 as long as the
    value stays within a fraction of the errors of all narrower ones (O. V. Lepskii, Theory Probab.
    Appl. 35, 454 (1991)).

    Args:
        spectrum: The periodogram.
        cutoff_thz: Frequencies above are left out, as if the series had been filtered and sampled
            at twice this frequency; None to let the data choose.

    Raises:
        TransportError: If too few frequencies are left or some have no power.
    """
    if cutoff_thz is not None:
        last = int(np.searchsorted(spectrum.frequencies, cutoff_thz, side="right")) - 1
        return _of_band(spectrum, last)
    chosen: list[Cepstral] = []
    bins = float(min(NARROWEST_BINS, len(spectrum.values) - 1))
    while bins < len(spectrum.values):
        wider = _of_band(spectrum, int(bins))
        for narrow in chosen:
            if abs(np.log(wider.value / narrow.value)) > AGREEMENT * narrow.log_error:
                return chosen[-1]
        chosen.append(wider)
        bins *= 2.0**0.5
    return chosen[-1]


def _of_band(spectrum: Spectrum, last: int) -> Cepstral:
    """Cepstral analysis of the frequencies up to a bin."""
    if last < LEAST_BINS:
        raise TransportError(
            f"{max(last, 0)} frequencies are too few for cepstral analysis, which needs "
            f"{LEAST_BINS}: run longer or raise the cutoff"
        )
    values = spectrum.values[: last + 1]
    if not (values > 0.0).all():
        raise TransportError("the spectrum vanishes at some frequency: the series is no noise")
    n_samples = 2 * last
    coefficients = np.fft.irfft(np.log(values), n_samples)[: last + 1]
    noise = float(polygamma(1, spectrum.degrees))
    squares = coefficients**2
    squares[-1] *= 0.5
    left_out = np.cumsum(squares[::-1])[::-1]
    most = last // 2
    numbers = np.arange(1, most + 1)
    criterion = n_samples / noise * left_out[1 : most + 1] + 2.0 * numbers
    sums = 2.0 * np.cumsum(coefficients[:most]) - coefficients[0]
    variances = noise * (4.0 * numbers - 2.0) / n_samples
    best = int(np.argmin(criterion))
    weights = np.exp(-0.5 * (criterion - criterion[best]))
    weights /= weights.sum()
    mean = float(weights @ sums)
    # Spread of the models is added to the error of each, not to its square: they share one data.
    error = float(weights @ np.sqrt(variances + (sums - mean) ** 2))
    bias = float(digamma(spectrum.degrees)) - np.log(spectrum.count)
    kept = np.zeros(last + 1)
    kept[: best + 1] = coefficients[: best + 1]
    kept[1:last] *= 2.0
    angles = scipy.fft.rfft(np.concatenate([kept, np.zeros(last - 1)])).real
    return Cepstral(
        value=0.5 * float(np.exp(mean - bias)),
        log_error=error,
        coefficients=int(numbers[best]),
        bins=last,
        cutoff_thz=float(spectrum.frequencies[last]),
        smooth=np.exp(angles - bias),
        is_truncated=best == most - 1,
    )
