"""How conductivities depend on the size of the cell and on temperature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from .errors import TransportError


@dataclass(frozen=True)
class Extrapolation:
    """Conductivity of an infinite cell.

    Attributes:
        kappa: In W/(m K).
        stderr: Its standard error in W/(m K).
        length_ang: Slope of 1/κ over 1/κ at infinite size: κ(L) = κ/(1 + length/L), in Å.
        p_value: How likely it is that points scatter so much about a straight line; nan for two.
    """

    kappa: float
    stderr: float
    length_ang: float
    p_value: float


@dataclass(frozen=True)
class PowerLaw:
    """κ(T) = κ(T₀) (T/T₀)^exponent with T₀ the geometric mean of the temperatures.

    Attributes:
        temperature_k: T₀ in K.
        kappa: κ(T₀) in W/(m K).
        stderr: Its standard error.
        exponent: About −1 for a crystal above its Debye temperature.
        exponent_stderr: Its standard error.
        p_value: How likely it is that points scatter so much about the law; nan for two.
    """

    temperature_k: float
    kappa: float
    stderr: float
    exponent: float
    exponent_stderr: float
    p_value: float

    def at(self, temperature: float) -> float:
        """Conductivity in W/(m K) at a temperature in K."""
        return float(self.kappa * (temperature / self.temperature_k) ** self.exponent)


def infinite_size(lengths_ang: ArrayLike, kappas: ArrayLike, stderrs: ArrayLike) -> Extrapolation:
    """Straight line of 1/κ over 1/L, weighted by errors.

    Phonons with paths longer than the cell are missing in it, which to first order adds a rate of
    scattering that goes as 1/L (P. K. Schelling, S. R. Phillpot, P. Keblinski, Phys. Rev. B 65,
    144306 (2002)). Periodic cells at equilibrium often show no such trend; look at ``p_value``.

    Args:
        lengths_ang: Lengths of the cells in Å, at least two different.
        kappas: Conductivities in W/(m K), positive.
        stderrs: Their standard errors in W/(m K), positive.
    """
    lengths, values, errors = _points(lengths_ang, kappas, stderrs, "lengths")
    (intercept, slope), covariance, p_value = _line(1.0 / lengths, 1.0 / values, errors / values**2)
    if intercept <= 0.0:
        raise TransportError(
            "1/κ extrapolates to a negative value at infinite size: larger cells are needed"
        )
    return Extrapolation(
        kappa=float(1.0 / intercept),
        stderr=float(np.sqrt(covariance[0, 0]) / intercept**2),
        length_ang=float(slope / intercept),
        p_value=p_value,
    )


def power_law(temperatures: ArrayLike, kappas: ArrayLike, stderrs: ArrayLike) -> PowerLaw:
    """Straight line of log κ over log T, weighted by errors.

    Args:
        temperatures: In K, at least two different.
        kappas: Conductivities in W/(m K), positive.
        stderrs: Their standard errors in W/(m K), positive.
    """
    heats, values, errors = _points(temperatures, kappas, stderrs, "temperatures")
    middle = float(np.exp(np.log(heats).mean()))
    (constant, exponent), covariance, p_value = _line(
        np.log(heats / middle), np.log(values), errors / values
    )
    kappa = float(np.exp(constant))
    return PowerLaw(
        temperature_k=middle,
        kappa=kappa,
        stderr=float(kappa * np.sqrt(covariance[0, 0])),
        exponent=float(exponent),
        exponent_stderr=float(np.sqrt(covariance[1, 1])),
        p_value=p_value,
    )


Array = NDArray[np.float64]


def _points(x: ArrayLike, y: ArrayLike, errors: ArrayLike, name: str) -> tuple[Array, Array, Array]:
    arrays = [np.asarray(values, dtype=np.float64) for values in (x, y, errors)]
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1:
        raise TransportError(f"{name}, conductivities and errors must be lists of one length")
    if not all(bool((np.isfinite(array) & (array > 0.0)).all()) for array in arrays):
        raise TransportError(f"{name}, conductivities and errors must be positive numbers")
    if len(np.unique(arrays[0])) < 2:
        raise TransportError(f"{name} must hold at least two different values")
    return arrays[0], arrays[1], arrays[2]


def _line(x: Array, y: Array, errors: Array) -> tuple[Array, Array, float]:
    """Intercept and slope with their covariance, and the p-value of the fit."""
    design = np.stack([np.ones_like(x), x], axis=1) / errors[:, None]
    covariance: Array = np.linalg.inv(design.T @ design).astype(np.float64)
    solution = covariance @ design.T @ (y / errors)
    misfit = float((((y / errors) - design @ solution) ** 2).sum())
    p_value = float(chi2.sf(misfit, len(x) - 2)) if len(x) > 2 else float("nan")
    return solution, covariance, p_value
