"""Synthetic series with a known spectrum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Array = NDArray[np.float64]
BURN_IN = 3000


def autoregressive(
    coefficients: list[float], n_replicas: int, n_samples: int, rng: np.random.Generator
) -> Array:
    """x_n = Σ a_k x_(n−k) + ξ_n with normal ξ, shape (n_replicas, n_samples, 1)."""
    noise = rng.normal(size=(n_replicas, n_samples + BURN_IN))
    series = lfilter([1.0], np.r_[1.0, -np.array(coefficients)], noise, axis=1)
    return np.asarray(series)[:, BURN_IN:, None]


def half_spectrum_at_zero(coefficients: list[float], spacing: float) -> float:
    """½ S(0) = ½ spacing / (1 − Σ a_k)² of such a series."""
    return 0.5 * spacing / (1.0 - sum(coefficients)) ** 2
