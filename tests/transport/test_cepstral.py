"""Cepstral analysis of series whose spectrum is known."""

from __future__ import annotations

import numpy as np
import pytest
from transport_series import autoregressive, half_spectrum_at_zero

from softatoms.transport.cepstral import cepstral, conserved_spectrum, flux_spectrum
from softatoms.transport.errors import TransportError

REPEATS = 100


@pytest.mark.parametrize("coefficients", [[0.9], [1.6, -0.9], [0.99]])
@pytest.mark.parametrize("n_replicas", [3, 24])
def test_intervals_cover_the_exact_value(coefficients: list[float], n_replicas: int) -> None:
    rng = np.random.default_rng(11)
    exact = half_spectrum_at_zero(coefficients, 2.0)
    one, two, ratios, errors = 0, 0, [], []
    for _ in range(REPEATS):
        series = autoregressive(coefficients, n_replicas, 10000, rng)
        found = cepstral(flux_spectrum(series, spacing_fs=2.0))
        deviation = abs(np.log(found.value / exact)) / found.log_error
        one, two = one + (deviation < 1.0), two + (deviation < 1.96)
        ratios.append(np.log(found.value / exact))
        errors.append(found.log_error)
    # Three standard errors of a share of 100 are 0.14 and 0.07.
    assert one / REPEATS > 0.68 - 0.14
    assert two / REPEATS > 0.95 - 0.07
    # A sharp peak is underestimated, but by little beside the error that is quoted.
    assert abs(np.mean(ratios)) < 0.4 * np.median(errors)


def test_a_fixed_cutoff_keeps_to_it_and_is_sharper() -> None:
    rng = np.random.default_rng(2)
    spectrum = flux_spectrum(autoregressive([0.5], 6, 8000, rng), spacing_fs=1.0)
    found = cepstral(spectrum, cutoff_thz=500.0)
    assert found.cutoff_thz == pytest.approx(500.0, rel=1e-12)
    assert found.value == pytest.approx(half_spectrum_at_zero([0.5], 1.0), rel=4 * found.log_error)
    assert found.log_error < cepstral(spectrum).log_error
    # The smooth curve follows the exact spectrum over the whole band, not at its edge alone.
    turn = np.exp(-2j * np.pi * spectrum.frequencies / 1000.0)
    exact = 1.0 / np.abs(1.0 - 0.5 * turn) ** 2
    assert np.abs(np.log(found.smooth / exact)).max() < 0.15


def test_the_noise_of_the_logarithm_is_what_the_formula_says() -> None:
    # White noise has one coefficient: log S(0) = C_0 − ψ(ℓ) + log ℓ with variance 2 ψ'(ℓ)/N.
    rng = np.random.default_rng(5)
    values, errors = [], []
    for _ in range(300):
        series = rng.normal(size=(2, 2000, 1))
        found = cepstral(flux_spectrum(series, spacing_fs=1.0), cutoff_thz=500.0)
        values.append(np.log(2.0 * found.value))
        errors.append(found.log_error)
    assert np.mean(values) == pytest.approx(0.0, abs=4 * np.std(values) / np.sqrt(300))
    assert np.std(values) == pytest.approx(np.median(errors), rel=0.3)


def test_mass_currents_take_their_part_off() -> None:
    # The heat flux is conduction + h · (mass current): κ is that of the conduction alone.
    rng = np.random.default_rng(17)
    exact, z, alone = half_spectrum_at_zero([0.8], 1.0), [], []
    for _ in range(60):
        conduction = autoregressive([0.8], 12, 4000, rng)
        first, second = (autoregressive([0.95], 12, 4000, rng) for _ in range(2))
        heat = conduction + 3.0 * first - 2.0 * second
        # Any combination of the mass currents has to do, whatever its units.
        spectrum = conserved_spectrum([heat, 1e-6 * (first + second), first], spacing_fs=1.0)
        assert spectrum.degrees == 10
        found = cepstral(spectrum)
        z.append(np.log(found.value / exact) / found.log_error)
        alone.append(cepstral(flux_spectrum(heat, spacing_fs=1.0)).value / exact)
    assert np.mean(np.abs(z) < 1.96) > 0.85
    assert abs(np.mean(z)) < 0.5
    assert np.mean(alone) > 50.0


def test_a_constant_mean_does_not_matter() -> None:
    series = autoregressive([0.8], 4, 3000, np.random.default_rng(4))
    found = cepstral(flux_spectrum(series, spacing_fs=1.0))
    moved = cepstral(flux_spectrum(series + 100.0, spacing_fs=1.0))
    assert moved.value == pytest.approx(found.value, rel=1e-6)


def test_what_cannot_be_analysed_is_said() -> None:
    series = np.random.default_rng(0).normal(size=(1, 400, 1))
    with pytest.raises(TransportError, match="too few for a spectrum"):
        flux_spectrum(series[:, :10], spacing_fs=1.0)
    with pytest.raises(TransportError, match="too few for cepstral"):
        cepstral(flux_spectrum(series, spacing_fs=1.0), cutoff_thz=2.0)
    with pytest.raises(TransportError, match="vanishes"):
        cepstral(flux_spectrum(series * 0.0, spacing_fs=1.0))
    with pytest.raises(TransportError, match="run more replicas"):
        conserved_spectrum([series, series], spacing_fs=1.0)
    pair = np.concatenate([series, series[:, ::-1]])
    with pytest.raises(TransportError, match="zero throughout"):
        conserved_spectrum([pair, 0.0 * pair], spacing_fs=1.0)
