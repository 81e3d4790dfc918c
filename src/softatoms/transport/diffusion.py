"""Mean-square displacements: do atoms stay at their places?

In a solid every constant tensor A_i makes Σ A_i v_i the derivative of something bounded, which
carries no heat in the long run. Once species diffuse past each other that is no longer so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .correlation import standard_error
from .errors import TransportError

Array = NDArray[np.float64]

PLACES = 0.4
"""Way from its place, in nearest distances, that no atom of a crystal makes on average.

Crystals melt when vibrations reach about 0.15 of it (Lindemann); the mean-square displacement
between two times is then (0.21)² of the squared distance.
"""


@dataclass(frozen=True)
class Displacement:
    """Mean-square displacement of one species.

    Attributes:
        times: In fs, shape (n_lags,).
        msd: In Å², shape (n_lags,).
        stderr: Its standard error over replicas, the same shape; nan for a single one.
        diffusivity: From the slope over the second half in Å²/fs.
        diffuses: Whether atoms leave their places.
    """

    times: Array
    msd: Array
    stderr: Array
    diffusivity: float
    diffuses: bool


def displacements(
    positions: Array, species: NDArray[np.int64], *, spacing_fs: float, distance: float
) -> dict[int, Displacement]:
    """Mean-square displacement of every species, averaged over time origins.

    Args:
        positions: In Å, not wrapped, shape (n_replicas, n_samples, n_sites, 3).
        species: What each site holds, shape (n_sites,).
        spacing_fs: Time between samples in fs.
        distance: Shortest distance between sites of the crystal in Å.

    Raises:
        TransportError: If there are fewer than 4 samples.
    """
    n_samples = positions.shape[1]
    if n_samples < 4:
        raise TransportError(f"{n_samples} samples of positions are too few to see diffusion")
    n_lags = n_samples // 2 + 1
    of_sites = np.zeros((len(positions), n_lags, positions.shape[2]))
    for lag in range(1, n_lags):
        moves = positions[:, lag:] - positions[:, :-lag]
        of_sites[:, lag] = (moves**2).sum(axis=3).mean(axis=1)
    times = spacing_fs * np.arange(n_lags)
    found = {}
    for one in np.unique(species):
        curves = of_sites[:, :, species == one].mean(axis=2)
        msd = curves.mean(axis=0)
        late = slice(n_lags // 2, None)
        slope = float(np.polyfit(times[late], msd[late], 1)[0])
        found[int(one)] = Displacement(
            times=times,
            msd=msd,
            stderr=standard_error(curves),
            diffusivity=slope / 6.0,
            diffuses=bool(msd[-1] > (PLACES * distance) ** 2),
        )
    return found
