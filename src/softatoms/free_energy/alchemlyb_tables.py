"""Works and windows as the tables that alchemlyb reads: ``u_nk`` and ``dHdl``, in kT.

``alchemlyb.estimators`` takes them as they are. In files, Parquet keeps the temperature that
``alchemlyb.parsing.parquet`` compares with.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ..files import replacing
from ..units import BOLTZMANN_EV_PER_K
from .estimators import EstimateError

if TYPE_CHECKING:
    from pandas import DataFrame

LAMBDA = "fep-lambda"
"""Name of λ in the index, as alchemlyb's parsers call it."""


def u_nk_of_works(forward: ArrayLike, backward: ArrayLike, *, temperature: float) -> DataFrame:
    """Works of switching runs as samples of the two ends.

    In Crooks' relation the work of a run stands where the energy difference of a sample stands for
    an instantaneous switch, so BAR of this table is BAR of the works.

    Args:
        forward: Works of runs from λ = 0 to 1 in eV, shape (n_forward,).
        backward: Works of runs from λ = 1 to 0 in eV, shape (n_backward,).
        temperature: In K.
    """
    kt = BOLTZMANN_EV_PER_K * temperature
    one, two = np.asarray(forward, np.float64) / kt, np.asarray(backward, np.float64) / kt
    energies = np.zeros((2, one.size + two.size))
    energies[1, : one.size] = one
    energies[0, one.size :] = two
    return u_nk_of_windows(
        energies, [one.size, two.size], lambdas=[0.0, 1.0], temperature=temperature
    )


def u_nk_of_windows(
    reduced: ArrayLike,
    counts: ArrayLike,
    *,
    lambdas: ArrayLike,
    temperature: float,
    times: ArrayLike | None = None,
) -> DataFrame:
    """Samples of windows with their energies in all states.

    Args:
        reduced: Energy over kT of every sample in every state, shape (n_states, n_samples); samples
            of the first state come first.
        counts: Samples of each state, shape (n_states,).
        lambdas: λ of each state, shape (n_states,).
        temperature: In K.
        times: Time of each sample in ps, shape (n_samples,); the number of the sample within its
            state if None.

    Raises:
        EstimateError: If shapes do not fit.
    """
    from pandas import DataFrame

    energies, numbers = np.asarray(reduced, np.float64), np.asarray(counts, np.int64)
    states = np.asarray(lambdas, np.float64)
    if energies.shape != (len(states), numbers.sum()) or numbers.shape != states.shape:
        raise EstimateError(
            f"energies of {len(states)} states must have shape ({len(states)}, {numbers.sum()}), "
            f"got {energies.shape}"
        )
    frame = DataFrame(
        energies.T,
        columns=[float(state) for state in states],
        index=_index(numbers, states, times),
    )
    return _with_units(frame, temperature)


def dhdl_of_windows(
    slopes: ArrayLike,
    counts: ArrayLike,
    *,
    lambdas: ArrayLike,
    temperature: float,
    times: ArrayLike | None = None,
) -> DataFrame:
    """dE/dλ of samples of equilibrium windows; that of switching runs is no equilibrium average.

    Args:
        slopes: dE/dλ in eV of every sample, shape (n_samples,); samples of the first state come
            first.
        counts: Samples of each state, shape (n_states,).
        lambdas: λ of each state, shape (n_states,).
        temperature: In K.
        times: Time of each sample in ps, shape (n_samples,); the number of the sample within its
            state if None.

    Raises:
        EstimateError: If shapes do not fit.
    """
    from pandas import DataFrame

    values, numbers = np.asarray(slopes, np.float64), np.asarray(counts, np.int64)
    states = np.asarray(lambdas, np.float64)
    if values.shape != (numbers.sum(),) or numbers.shape != states.shape:
        raise EstimateError(f"dE/dλ must have shape ({numbers.sum()},), got {values.shape}")
    reduced = values / (BOLTZMANN_EV_PER_K * temperature)
    frame = DataFrame({"fep": reduced}, index=_index(numbers, states, times))
    return _with_units(frame, temperature)


def write_frame(path: str | Path, frame: DataFrame) -> None:
    """Write one of the tables as Parquet; it appears whole or not at all."""
    with replacing(path) as partial:
        frame.to_parquet(partial, index=True)


def _index(counts: np.ndarray, states: np.ndarray, times: ArrayLike | None) -> object:
    from pandas import MultiIndex

    if times is None:
        moments = np.concatenate([np.arange(count, dtype=np.float64) for count in counts])
    else:
        moments = np.asarray(times, np.float64)
    return MultiIndex.from_arrays([moments, np.repeat(states, counts)], names=["time", LAMBDA])


def _with_units(frame: DataFrame, temperature: float) -> DataFrame:
    frame.attrs.update(temperature=float(temperature), energy_unit="kT")
    return frame
