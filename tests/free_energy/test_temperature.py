"""Enthalpies and entropies from free energies that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from softatoms.free_energy.estimators import EstimateError
from softatoms.free_energy.temperature import formation_fit
from softatoms.units import BOLTZMANN_EV_PER_K

KELVIN = np.array([300.0, 450.0, 600.0, 750.0, 900.0])
ENTHALPY, ENTROPY = 1.27, 2.2 * BOLTZMANN_EV_PER_K


def test_a_straight_line_is_found_without_error() -> None:
    found = formation_fit(KELVIN, ENTHALPY - KELVIN * ENTROPY)
    assert found.enthalpy == pytest.approx(ENTHALPY, rel=1e-12, abs=0.0)
    assert found.entropy_in_k == pytest.approx(2.2, rel=1e-10, abs=0.0)
    assert found.enthalpy_stderr < 1e-12
    part, low, high = found.concentration([700.0])
    exact = np.exp(2.2 - ENTHALPY / (BOLTZMANN_EV_PER_K * 700.0))
    np.testing.assert_allclose([part[0], low[0], high[0]], exact, rtol=1e-8, atol=0.0)


def test_errors_of_the_parameters_cover() -> None:
    errors = np.array([2.0, 3.0, 4.0, 5.0, 9.0]) * 1e-3
    within, slopes = 0, []
    for seed in range(400):
        noise = errors * np.random.default_rng(seed).standard_normal(5)
        found = formation_fit(KELVIN, ENTHALPY - KELVIN * ENTROPY + noise, errors)
        within += abs(found.entropy - ENTROPY) < found.entropy_stderr
        slopes.append(found.entropy)
    # Errors grow with the residuals where these are large, so they are on the safe side.
    assert within >= binom.ppf(0.001, 400, 0.683)
    assert np.std(slopes) == pytest.approx(found.entropy_stderr, rel=0.3, abs=0.0)


def test_arrhenius_is_the_same_fit() -> None:
    errors = np.array([2.0, 3.0, 4.0, 5.0, 9.0]) * 1e-3
    values = ENTHALPY - KELVIN * ENTROPY + errors * [0.5, -1.0, 0.2, 1.0, -0.5]
    found = formation_fit(KELVIN, values, errors)
    thermal = BOLTZMANN_EV_PER_K * KELVIN
    slope, offset = np.polyfit(1.0 / thermal, -values / thermal, 1, w=thermal / errors)
    assert -slope == pytest.approx(found.enthalpy, rel=1e-9, abs=0.0)
    assert offset == pytest.approx(found.entropy_in_k, rel=1e-7, abs=0.0)


def test_a_heat_capacity_bends_the_line() -> None:
    capacity = 0.5 * BOLTZMANN_EV_PER_K
    at = KELVIN.mean()
    values = (
        ENTHALPY + capacity * (KELVIN - at) - KELVIN * (ENTROPY + capacity * np.log(KELVIN / at))
    )
    found = formation_fit(KELVIN, values, np.full(5, 1e-3), with_capacity=True)
    assert found.heat_capacity == pytest.approx(capacity, rel=1e-6, abs=0.0)
    assert found.enthalpy == pytest.approx(ENTHALPY, rel=1e-9, abs=0.0)
    assert found.degrees == 2
    curve, errors = found.free_energy(KELVIN)
    np.testing.assert_allclose(curve, values, rtol=1e-9, atol=1e-12)
    assert (errors < 1.1e-3).all()
    assert formation_fit(KELVIN, values, np.full(5, 1e-4)).chi_square > 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([300.0], [1.0]), "needs free energies at 2 different temperatures at least, got 1"),
        (([300.0, -4.0], [1.0, 1.0]), "temperatures must be positive"),
        (([300.0, 400.0], [1.0, 1.0], [0.1, 0.0]), "standard errors must be positive"),
    ],
)
def test_what_cannot_be_fitted_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(EstimateError, match=message):
        formation_fit(*arguments)
