"""Conductivities of samples that are made up, so that all about them is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from transport_series import autoregressive, half_spectrum_at_zero

import softatoms as sa
from softatoms import units
from softatoms.transport.correlation import conductivity_factor
from softatoms.transport.errors import TransportError
from softatoms.transport.measure import Measured, Options, measure
from softatoms.transport.series import Series

TEMPERATURE = 80.0
SPACING = 20.0
MEMORY = [0.9]


def made_up(*, seed: int = 0, n_samples: int = 4000, n_replicas: int = 8) -> Series:
    """A crystal of two species whose heat flux forgets itself within 200 fs."""
    rng = np.random.default_rng(seed)
    soft = sa.SoftAtoms.from_ase(bulk("NaCl", "rocksalt", a=5.6, cubic=True))
    flux = np.concatenate(
        [autoregressive(MEMORY, n_replicas, n_samples, rng) for _ in range(3)], axis=2
    )
    still = soft.positions + 0.1 * rng.normal(size=(n_replicas, 60, 8, 3))
    return Series(
        soft=soft,
        spacing_fs=SPACING,
        flux=flux,
        convective=0.0 * flux,
        currents=np.zeros((n_replicas, n_samples, 2, 3)),
        velocities=None,
        state_spacing_fs=SPACING * n_samples / 60,
        temperatures=TEMPERATURE + rng.normal(size=(n_replicas, 60)),
        conserved=1e-7 * rng.normal(size=(n_replicas, 60)),
        positions=still,
        lost={},
    )


def exact(series: Series) -> float:
    factor = conductivity_factor(series.volume, TEMPERATURE)
    return factor * half_spectrum_at_zero(MEMORY, SPACING)


def diffusing(series: Series) -> Series:
    """The same with sodium that walks and carries energy along."""
    rng = np.random.default_rng(99)
    shape = series.flux.shape
    walk = np.concatenate(
        [autoregressive([0.97], shape[0], shape[1], rng) for _ in range(3)], axis=2
    )
    positions = series.positions.copy()
    sodium = series.soft.node_number == 11
    steps = rng.normal(size=(shape[0], 60, int(sodium.sum()), 3))
    positions[:, :, sodium] += np.cumsum(steps, axis=1)
    return replace(
        series,
        flux=series.flux + 4.0 * walk,
        currents=np.stack([walk, -0.6 * walk], axis=2),
        positions=positions,
    )


def told(found: Measured, method: str = "cepstral") -> str:
    one = next(
        one for one in found.conductivities if (one.method, one.direction) == (method, "mean")
    )
    return "; ".join(one.warnings)


def test_all_methods_find_what_was_put_in() -> None:
    series = made_up()
    found = measure(series, temperature=TEMPERATURE)
    assert len(found.conductivities) == 12
    for one in found.conductivities:
        assert not one.error
        assert not one.warnings, one
        assert one.kappa is not None
        assert one.stderr is not None
        assert abs(one.kappa - exact(series)) < 4.0 * one.stderr
        assert one.stderr < 0.35 * exact(series)
    assert not found.moving


def test_the_mean_of_unequal_directions_is_a_mean() -> None:
    series = made_up()
    series = replace(series, flux=series.flux * [1.0, 2.0, 3.0])
    found = measure(series, temperature=TEMPERATURE, options=Options(is_isotropic=False))
    by_key = {(one.method, one.direction): one.kappa for one in found.conductivities}
    three = [by_key["cepstral", direction] for direction in ("xx", "yy", "zz")]
    assert by_key["cepstral", "mean"] == pytest.approx(np.mean(three), rel=1e-12)
    assert three[2] > 5.0 * three[0]


def test_a_liquid_of_two_species_is_refused_where_its_number_would_be_wrong() -> None:
    series = diffusing(made_up(n_replicas=12))
    found = measure(series, temperature=TEMPERATURE)
    assert list(found.moving) == ["Na"]
    for one in found.conductivities:
        if one.method != "cepstral_multicomponent":
            assert one.kappa is None
            assert "Na diffuses among 2 species" in one.error
    one = next(one for one in found.conductivities if one.direction == "mean" and not one.error)
    assert one.kappa is not None
    assert one.stderr is not None
    assert abs(one.kappa - exact(series)) < 3.0 * one.stderr
    # What sodium carries along makes the mean of the flux large, and is no fault of the run.
    assert "mean heat flux" not in told(found, "cepstral_multicomponent")
    pushed = measure(replace(series, flux=series.flux + 60.0), temperature=TEMPERATURE)
    assert "the mean heat flux is not zero" in told(pushed, "cepstral_multicomponent")
    # Another zero of the energy of sodium changes the flux, and must not change the conductivity.
    moved = replace(series, flux=series.flux + 7.0 * series.currents[:, :, 0])
    again = measure(moved, temperature=TEMPERATURE)
    other = next(one for one in again.conductivities if one.direction == "mean" and not one.error)
    assert other.kappa == pytest.approx(one.kappa, rel=1e-8)


def test_soft_sites_that_leave_their_places_are_refused() -> None:
    series = diffusing(made_up())
    soft = series.soft.with_candidates([0], {"Na": 0.5, "K": 0.5})
    with pytest.raises(TransportError, match="soft sites"):
        measure(replace(series, soft=soft), temperature=TEMPERATURE)


def test_a_short_run_is_told() -> None:
    found = measure(made_up(n_samples=300), temperature=TEMPERATURE)
    assert "short: a replica lasts" in told(found)
    assert "correlation times" in told(found, "plateau")


def test_drift_mean_flux_temperature_and_losses_are_told() -> None:
    series = made_up()
    times = np.arange(60) / 59.0
    thermal = units.BOLTZMANN_EV_PER_K * TEMPERATURE
    drifting = replace(series, conserved=series.conserved + 8 * 0.01 * thermal * times)
    assert "total energy drifts by 0.01 k_B T per site" in told(
        measure(drifting, temperature=TEMPERATURE)
    )
    pushed = replace(series, flux=series.flux + 3.0)
    assert "the mean heat flux is not zero" in told(measure(pushed, temperature=TEMPERATURE))
    hot = replace(series, temperatures=series.temperatures + 10.0)
    assert "instead of 80 K: equilibrate longer" in told(measure(hot, temperature=TEMPERATURE))
    lost = replace(series, lost={"replica-003": "production: step 7: too hot"})
    assert "1 replicas were lost: replica-003 in production: step 7" in told(
        measure(lost, temperature=TEMPERATURE)
    )


def test_methods_that_disagree_are_told() -> None:
    rng = np.random.default_rng(3)
    series = made_up()
    # A slow part far beyond the lags that are looked at, seen by cepstral analysis alone.
    slow = np.concatenate([autoregressive([0.999], 8, 4000, rng) for _ in range(3)], axis=2)
    found = measure(
        replace(series, flux=series.flux + 0.3 * slow),
        temperature=TEMPERATURE,
        options=Options(correlation_ps=1.0),
    )
    assert "disagree by" in told(found)
    assert "disagree by" in told(found, "plateau")


def test_lags_beyond_a_block_are_refused() -> None:
    with pytest.raises(TransportError, match="correlation_ps: 60 ps is more than half"):
        measure(made_up(), temperature=TEMPERATURE, options=Options(correlation_ps=60.0))
