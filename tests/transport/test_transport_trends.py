"""Displacements, densities of states and trends with size and temperature."""

from __future__ import annotations

import numpy as np
import pytest

from softatoms import units
from softatoms.transport.diffusion import displacements
from softatoms.transport.errors import TransportError
from softatoms.transport.spectra import density_of_states, smoothed
from softatoms.transport.trends import infinite_size, power_law


def test_a_walker_among_springs_is_found() -> None:
    rng = np.random.default_rng(8)
    n_replicas, n_samples, n_sites = 4, 400, 20
    fixed = rng.normal(scale=0.2, size=(n_replicas, n_samples, n_sites, 3))
    free = np.cumsum(rng.normal(scale=0.3, size=(n_replicas, n_samples, n_sites, 3)), axis=1)
    positions = np.concatenate([fixed, free], axis=2)
    species = np.repeat([14, 3], n_sites)
    found = displacements(positions, species, spacing_fs=10.0, distance=2.5)
    assert not found[14].diffuses
    assert found[14].msd[5] == pytest.approx(6 * 0.2**2, rel=0.05)
    assert found[3].diffuses
    # ⟨r²⟩ = 6 D t: 3 · 0.3² per step of 10 fs.
    assert found[3].diffusivity == pytest.approx(0.27 / 60.0, rel=0.15)
    with pytest.raises(TransportError, match="too few"):
        displacements(positions[:, :3], species, spacing_fs=1.0, distance=1.0)


def test_every_degree_of_freedom_counts_once_in_the_density_of_states() -> None:
    rng = np.random.default_rng(9)
    temperature, masses = 150.0, np.array([16.0, 40.0])
    for n_samples in (500, 501):
        thermal = units.BOLTZMANN_EV_PER_K * temperature / units.EV_PER_AMU_ANG2_FS2
        phases = rng.uniform(0.0, 2.0 * np.pi, size=(30, 1, 2, 3))
        # One mode of 2 THz per direction with the energy that it has on average.
        times = 5.0 * np.arange(n_samples)[None, :, None, None]
        speeds = np.sqrt(2.0 * thermal / masses)[None, None, :, None]
        velocities = speeds * np.cos(2.0 * np.pi * 0.002 * times + phases)
        frequencies, density = density_of_states(
            velocities, masses, spacing_fs=5.0, temperature=temperature
        )
        totals = density.sum(axis=1) * frequencies[1]
        np.testing.assert_allclose(totals, 3.0, rtol=5e-3, atol=0.0)
        assert frequencies[np.argmax(density[1])] == pytest.approx(2.0, abs=0.3)
        wide = smoothed(density, frequencies, width_thz=0.5)
        assert wide.max() < 0.8 * density.max()
        np.testing.assert_allclose(wide.sum(axis=1), density.sum(axis=1), rtol=1e-2, atol=0.0)


def test_sizes_are_extrapolated_with_the_right_error() -> None:
    rng = np.random.default_rng(10)
    lengths = np.array([20.0, 30.0, 40.0, 60.0])
    exact = 5.0 / (1.0 + 12.0 / lengths)
    found = infinite_size(lengths, exact, 0.02 * exact)
    assert found.kappa == pytest.approx(5.0, rel=1e-10)
    assert found.length_ang == pytest.approx(12.0, rel=1e-9)
    drawn = [
        infinite_size(lengths, exact * (1 + 0.02 * rng.normal(size=4)), 0.02 * exact).kappa
        for _ in range(400)
    ]
    assert np.std(drawn) == pytest.approx(found.stderr, rel=0.15)


def test_a_power_law_is_found_again() -> None:
    temperatures = np.array([100.0, 200.0, 300.0])
    kappas = 4.0 * (temperatures / 200.0) ** -1.2
    law = power_law(temperatures, kappas, 0.05 * kappas)
    assert law.exponent == pytest.approx(-1.2, rel=1e-9)
    assert law.at(200.0) == pytest.approx(4.0, rel=1e-9)
    assert law.p_value == pytest.approx(1.0, abs=1e-9)
    assert power_law(temperatures, kappas * [1.0, 2.0, 1.0], 0.05 * kappas).p_value < 1e-6


def test_bad_points_are_refused() -> None:
    with pytest.raises(TransportError, match="positive"):
        power_law([100.0, 200.0], [1.0, -1.0], [0.1, 0.1])
    with pytest.raises(TransportError, match="two different"):
        infinite_size([10.0, 10.0], [1.0, 1.0], [0.1, 0.1])
    with pytest.raises(TransportError, match="one length"):
        infinite_size([10.0, 20.0], [1.0], [0.1])
    with pytest.raises(TransportError, match="larger cells"):
        infinite_size([10.0, 20.0], [1.0, 5.0], [0.1, 0.1])
