"""Vibrational density of states, and averages over neighbouring frequencies."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from .. import units
from .errors import TransportError

Array = NDArray[np.float64]


def frequencies_thz(n_samples: int, spacing_fs: float) -> Array:
    """Frequencies of a discrete Fourier transform of real samples in THz, from 0 on."""
    found: Array = np.arange(n_samples // 2 + 1) / (n_samples * spacing_fs)
    return found * units.THZ_PER_INVERSE_FS


def density_of_states(
    velocities: Array, masses: Array, *, spacing_fs: float, temperature: float
) -> tuple[Array, Array]:
    """Spectrum of the velocities, normalised so that every degree of freedom counts once.

    In classical equilibrium the sum of ∫ g(f) df over sites is the number of degrees of freedom.

    Args:
        velocities: In Å/fs, shape (n_replicas, n_samples, n_sites, 3).
        masses: In amu, shape (n_sites,).
        spacing_fs: Time between samples in fs.
        temperature: In K.

    Returns:
        Frequencies in THz, shape (n_bins,), and g of every site in 1/THz, shape
        (n_sites, n_bins): averaged over replicas, not smoothed.

    Raises:
        TransportError: If there are fewer than two samples.
    """
    n_replicas, n_samples, n_sites, _ = velocities.shape
    if n_samples < 2:
        raise TransportError("a density of states needs at least 2 samples of velocities")
    frequencies = frequencies_thz(n_samples, spacing_fs)
    power = np.zeros((n_sites, len(frequencies)))
    for replica in velocities:
        modes = scipy.fft.rfft(replica, axis=0)
        power += (np.abs(modes) ** 2).sum(axis=2).T
    # Twice the spectrum: what is at negative frequencies belongs to the positive ones. The bins at
    # zero and at the highest frequency have no partner.
    power *= 2.0
    power[:, 0] *= 0.5
    if n_samples % 2 == 0:
        power[:, -1] *= 0.5
    per_bin = float(frequencies[1])
    energy: Array = (
        units.EV_PER_AMU_ANG2_FS2 * masses[:, None] * power / (n_replicas * n_samples**2)
    )
    return frequencies, energy / (units.BOLTZMANN_EV_PER_K * temperature * per_bin)


def smoothed(values: Array, frequencies: Array, *, width_thz: float) -> Array:
    """Gaussian average over frequencies, with the spectrum mirrored at its ends.

    Args:
        values: Shape (..., n_bins).
        frequencies: Equally spaced, in THz, shape (n_bins,).
        width_thz: Standard deviation of the Gaussian in THz.
    """
    width = width_thz / float(frequencies[1] - frequencies[0])
    if width < 1e-6:
        return values
    answer: Array = gaussian_filter1d(values, width, axis=-1, mode="mirror")
    return answer
