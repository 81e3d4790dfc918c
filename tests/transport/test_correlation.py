"""Correlation functions, their integrals and units."""

from __future__ import annotations

import numpy as np
import pytest
from transport_series import autoregressive, half_spectrum_at_zero

from softatoms.transport.correlation import (
    GreenKubo,
    conductivity_factor,
    correlations,
    first_dip,
    green_kubo,
    in_blocks,
    plateau,
    running_integral,
)
from softatoms.transport.errors import TransportError


def test_the_factor_is_that_of_si_units() -> None:
    # CODATA 2018, exact by definition; nothing of it is read from softatoms.units or ASE.
    electron_volt, boltzmann = 1.602176634e-19, 1.380649e-23
    volume, temperature, integral = 1234.5, 87.0, 3.21
    in_si = integral * (electron_volt * 1e-10) ** 2 / (1e-15) ** 2 * 1e-15
    expected = in_si / (volume * 1e-30 * boltzmann * temperature**2)
    found = integral * conductivity_factor(volume, temperature)
    # ASE's constants are those of 2014, which differ in the seventh digit.
    assert found == pytest.approx(expected, rel=1e-6, abs=0.0)


def test_correlations_are_the_sums_that_define_them() -> None:
    flux = np.random.default_rng(1).normal(size=(2, 37, 3))
    found = correlations(flux, n_lags=37)
    for lag in (0, 1, 17, 36):
        for replica in range(2):
            start, end = flux[replica, : 37 - lag], flux[replica, lag:]
            expected = start.T @ end / (37 - lag)
            np.testing.assert_allclose(found[replica, lag], expected, rtol=1e-12, atol=1e-12)


def test_more_lags_than_samples_are_refused() -> None:
    with pytest.raises(TransportError, match="need as many samples"):
        correlations(np.zeros((1, 5, 3)), n_lags=6)


def test_the_trapezoid_integrates_a_straight_line_exactly() -> None:
    times = 0.5 * np.arange(11)
    found = running_integral((2.0 * times + 1.0)[None, :], 0.5, axis=1)
    np.testing.assert_allclose(found[0], times**2 + times, rtol=1e-13, atol=1e-13)


def test_blocks_keep_the_order_of_samples() -> None:
    flux = np.arange(2 * 11 * 3, dtype=float).reshape(2, 11, 3)
    blocks = in_blocks(flux, 2)
    assert blocks.shape == (4, 5, 3)
    np.testing.assert_array_equal(blocks[1], flux[0, 5:10])
    np.testing.assert_array_equal(blocks[2], flux[1, :5])


def test_estimates_agree_with_the_exact_integral_and_cover_it() -> None:
    rng = np.random.default_rng(7)
    spacing, volume, temperature = 4.0, 1000.0, 300.0
    exact = half_spectrum_at_zero([0.9], spacing) * conductivity_factor(volume, temperature)
    deviations: dict[str, list[float]] = {"plateau": [], "first dip": []}
    values: dict[str, list[float]] = {"plateau": [], "first dip": []}
    for _ in range(150):
        flux = np.concatenate([autoregressive([0.9], 12, 2000, rng) for _ in range(3)], axis=2)
        result = green_kubo(
            flux, spacing_fs=spacing, volume=volume, temperature=temperature, n_lags=150
        )
        for name, found in (
            ("plateau", plateau(result, "mean")),
            ("first dip", first_dip(result, "mean")),
        ):
            deviations[name].append((found.kappa - exact) / found.stderr)
            values[name].append(found.kappa / exact)
    for name in values:
        assert np.mean(values[name]) == pytest.approx(1.0, abs=0.03), name
        covered = np.mean(np.abs(deviations[name]) < 1.96)
        assert 0.85 < covered <= 1.0, (name, covered)


def test_correlations_of_different_components_have_their_own_integrals() -> None:
    rng = np.random.default_rng(3)
    first = autoregressive([0.8], 40, 4000, rng)
    flux = np.concatenate([first, np.roll(first, 3, axis=1), first * 0.0], axis=2)
    result = green_kubo(flux, spacing_fs=1.0, volume=1.0, temperature=1.0, n_lags=60)
    mean = result.correlation.mean(axis=0)
    # y(t) = x(t − 3): ⟨x(0) y(3)⟩ = ⟨x²⟩.
    assert mean[3, 0, 1] == pytest.approx(mean[0, 0, 0], rel=0.01)
    assert np.abs(mean[:, 2]).max() == 0.0


def test_smoothing_looks_through_an_oscillation() -> None:
    times = 2.0 * np.arange(2000)
    # An optical mode of 10 THz on top of a decay with a dip at 1000 fs.
    curve = np.cos(0.5 * np.pi * times / 1000.0) * np.exp(-times / 900.0)
    wavy = curve + 1.5 * np.cos(2.0 * np.pi * times / 100.0)
    tensors = np.einsum("t,ab->tab", wavy, np.eye(3))[None]
    result = GreenKubo(times, tensors, running_integral(tensors, 2.0, axis=1))
    assert first_dip(result, "xx").cutoff_fs < 60.0
    assert first_dip(result, "xx", smoothing_fs=100.0).cutoff_fs == pytest.approx(1000.0, abs=60.0)


def test_a_correlation_that_never_decays_is_not_called_found() -> None:
    tensors = np.ones((2, 10, 3, 3))
    result = GreenKubo(np.arange(10.0), tensors, running_integral(tensors, 1.0, axis=1))
    assert not first_dip(result, "mean").found
    assert not plateau(result, "mean").found


def test_passing_through_zero_is_no_plateau() -> None:
    rng = np.random.default_rng(6)
    times = 10.0 * np.arange(400)
    curve = np.cos(2.0 * np.pi * times / 400.0) * np.exp(-times / 300.0)
    noisy = curve + 0.02 * rng.normal(size=(8, 400))
    tensors = np.einsum("rt,ab->rtab", noisy, np.eye(3))
    result = GreenKubo(times, tensors, running_integral(tensors, 10.0, axis=1))
    assert first_dip(result, "xx").cutoff_fs == pytest.approx(110.0, abs=20.0)
    found = plateau(result, "xx")
    assert found.found
    assert 700.0 < found.cutoff_fs < 1900.0
    rate = 1.0 / 300.0
    exact = rate / (rate**2 + (2.0 * np.pi / 400.0) ** 2)
    assert found.kappa == pytest.approx(exact, abs=3.0 * found.stderr)


def test_a_single_replica_has_no_plateau() -> None:
    result = GreenKubo(np.arange(4.0), np.ones((1, 4, 3, 3)), np.ones((1, 4, 3, 3)))
    with pytest.raises(TransportError, match="replicas or blocks"):
        plateau(result, "xx")
    with pytest.raises(TransportError, match="unknown direction 'xy'"):
        first_dip(result, "xy")
