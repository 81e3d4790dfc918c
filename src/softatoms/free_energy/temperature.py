"""Enthalpy and entropy of formation from free energies at several temperatures.

G = H − TS is fitted with the errors of the points. The same fit is Arrhenius' line of the
equilibrium concentration, ln c = S/k − H/kT, as both have the same residuals over their errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t

from ..units import BOLTZMANN_EV_PER_K
from .estimators import LEVEL, EstimateError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FormationFit:
    """G(T) = H + C (T − T₀) − T (S + C ln(T/T₀)), with C = 0 unless it was asked for.

    Attributes:
        enthalpy: H at T₀ in eV.
        enthalpy_stderr: Its standard error.
        entropy: S at T₀ in eV/K.
        entropy_stderr: Its standard error.
        heat_capacity: C in eV/K.
        heat_capacity_stderr: Its standard error, 0 if it was not fitted.
        reference: T₀ in K, the mean of the temperatures.
        chi_square: Sum of squared residuals over their variances; nan if points have no errors.
        degrees: Points minus parameters.
        covariance: Of the fitted parameters, shape (n_parameters, n_parameters).
    """

    enthalpy: float
    enthalpy_stderr: float
    entropy: float
    entropy_stderr: float
    heat_capacity: float
    heat_capacity_stderr: float
    reference: float
    chi_square: float
    degrees: int
    covariance: Floats

    @property
    def entropy_in_k(self) -> float:
        """Entropy over Boltzmann's constant."""
        return self.entropy / BOLTZMANN_EV_PER_K

    def free_energy(self, temperatures: ArrayLike) -> tuple[Floats, Floats]:
        """G and its standard error in eV.

        Args:
            temperatures: In K, shape (n,).
        """
        kelvin = np.asarray(temperatures, np.float64)
        design = _design(kelvin, self.reference, with_capacity=len(self.covariance) == 3)
        parameters = np.array([self.enthalpy, self.entropy, self.heat_capacity])
        values = design @ parameters[: design.shape[1]]
        return values, np.sqrt(np.einsum("ij,jk,ik->i", design, self.covariance, design))

    def concentration(self, temperatures: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """exp(−G/kT), the part of the sites that are empty where they are few, and its interval.

        Args:
            temperatures: In K, shape (n,).

        Returns:
            Concentration and the ends of its 95 % interval.
        """
        kelvin = np.asarray(temperatures, np.float64)
        values, errors = self.free_energy(kelvin)
        quantile = float(t.ppf(0.5 + 0.5 * LEVEL, self.degrees)) if self.degrees else np.inf
        thermal = BOLTZMANN_EV_PER_K * kelvin
        with np.errstate(over="ignore", invalid="ignore"):
            away = np.where(errors > 0.0, quantile * errors, 0.0)
            ends = [np.exp(-(values + sign * away) / thermal) for sign in (1.0, -1.0)]
        return np.exp(-values / thermal), ends[0], ends[1]


def formation_fit(
    temperatures: ArrayLike,
    values: ArrayLike,
    stderrs: ArrayLike | None = None,
    *,
    with_capacity: bool = False,
) -> FormationFit:
    """Fit H and S to free energies of formation.

    Errors of the parameters follow from those of the points, and grow with the residuals if these
    are larger than the errors say. Without errors they follow from the residuals alone.

    Args:
        temperatures: In K, shape (n,).
        values: G in eV, shape (n,).
        stderrs: Standard errors of G in eV, shape (n,); None if points have none.
        with_capacity: Whether the enthalpy may change with temperature.

    Raises:
        EstimateError: If there are too few temperatures, or numbers make no sense.
    """
    kelvin, energies = np.asarray(temperatures, np.float64), np.asarray(values, np.float64)
    needed = 3 if with_capacity else 2
    if kelvin.ndim != 1 or kelvin.shape != energies.shape or len(np.unique(kelvin)) < needed:
        raise EstimateError(
            f"a fit of {needed} parameters needs free energies at {needed} different temperatures "
            f"at least, got {len(np.unique(kelvin))}"
        )
    if not (np.isfinite(kelvin).all() and np.isfinite(energies).all() and (kelvin > 0).all()):
        raise EstimateError("temperatures must be positive and free energies finite")
    errors = None if stderrs is None else np.asarray(stderrs, np.float64)
    if errors is not None and (errors.shape != kelvin.shape or not (errors > 0.0).all()):
        raise EstimateError("standard errors must be positive, one per temperature")
    reference = float(kelvin.mean())
    design = _design(kelvin, reference, with_capacity=with_capacity)
    weights = np.ones_like(kelvin) if errors is None else 1.0 / errors
    scale = np.linalg.norm(design * weights[:, None], axis=0)
    solution, *_ = np.linalg.lstsq(
        design * weights[:, None] / scale, energies * weights, rcond=None
    )
    parameters = solution / scale
    residuals = (energies - design @ parameters) * weights
    weighted = design * weights[:, None] / scale
    covariance = np.linalg.inv(weighted.T @ weighted) / np.outer(scale, scale)
    degrees = len(kelvin) - design.shape[1]
    chi_square = float(residuals @ residuals)
    per_degree = chi_square / degrees if degrees else (1.0 if errors is not None else 0.0)
    covariance = covariance * (per_degree if errors is None else max(1.0, per_degree))
    spread = np.sqrt(np.diag(covariance))
    return FormationFit(
        enthalpy=float(parameters[0]),
        enthalpy_stderr=float(spread[0]),
        entropy=float(parameters[1]),
        entropy_stderr=float(spread[1]),
        heat_capacity=float(parameters[2]) if with_capacity else 0.0,
        heat_capacity_stderr=float(spread[2]) if with_capacity else 0.0,
        reference=reference,
        chi_square=float("nan") if errors is None else chi_square,
        degrees=degrees,
        covariance=covariance,
    )


def _design(kelvin: Floats, reference: float, *, with_capacity: bool) -> Floats:
    columns = [np.ones_like(kelvin), -kelvin]
    if with_capacity:
        columns.append(kelvin - reference - kelvin * np.log(kelvin / reference))
    return np.stack(columns, axis=1)
