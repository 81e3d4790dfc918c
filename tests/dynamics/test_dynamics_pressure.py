"""Constant pressure: the exact distribution of an ideal gas, and volumes found by other ways."""

from __future__ import annotations

import numpy as np
import pytest
from dynamics_systems import KB, argon, gas, lennard_jones, no_interaction, sampled
from scipy import stats

from softatoms.dynamics import Limits, Observer, Settings, run_dynamics

N_ATOMS, TEMPERATURE, VOLUME = 4, 300.0, 1000.0
FREE = Limits(cell_factor=1e4, displacement=100.0)


@pytest.mark.parametrize(
    ("cell", "barostat_time", "interval", "fix_com", "thermostat"),
    [
        ("isotropic", 50.0, 5, True, "csvr"),
        ("isotropic", 50.0, 5, False, "langevin"),
        ("isotropic", 100.0, 2, True, "csvr"),
        # A cell that moves far in every step: many changes are refused, nothing else changes.
        ("isotropic", 30.0, 20, True, "csvr"),
        ("anisotropic", 100.0, 5, True, "csvr"),
        ("full", 200.0, 5, True, "langevin"),
        ("full", 200.0, 5, False, "csvr"),
    ],
)
def test_volumes_of_an_ideal_gas(
    cell: str, barostat_time: float, interval: int, fix_com: bool, thermostat: str
) -> None:
    """p(V) ∝ V^N e^(−PV/kT): a Gamma distribution of shape N + 1 for each kind of cell.

    Strains along other directions have a measure of their own and leave that of V alone. A shape
    of N in place of N + 1 (a measure of dV/V, or a lost centre of mass) moves the mean by 20 %.
    Without forces nothing holds a shape: it must not walk too far in the time of the test.
    The mean of 64 replicas is compared with their spread, which is 2 %.
    """
    pressure = N_ATOMS * KB * TEMPERATURE / VOLUME
    n_replicas = 64
    out = run_dynamics(
        no_interaction(),
        [gas(seed, N_ATOMS, VOLUME) for seed in range(n_replicas)],
        [
            Settings(
                timestep=2.0,
                temperature=TEMPERATURE,
                thermostat=thermostat,  # type: ignore[arg-type]
                relaxation_time=20.0,
                friction=0.05,
                cell=cell,  # type: ignore[arg-type]
                pressure=pressure,
                barostat_time=barostat_time,
                compressibility=1.0 / pressure,
                barostat_interval=interval,
                fix_com=fix_com,
                limits=FREE,
                seed=seed,
            )
            for seed in range(n_replicas)
        ],
        n_steps=1000,
        observers=Observer("volume", ("volume",), every=10),
    )
    assert [o.error for o in out] == [""] * n_replicas
    volumes = np.stack([sampled(o, "volume", "volume_ang3")[20:] for o in out])
    expected = stats.gamma(N_ATOMS + 1, scale=KB * TEMPERATURE / pressure)
    for values, exact in (
        (volumes, expected.mean()),
        ((volumes - expected.mean()) ** 2, expected.var()),
    ):
        means = values.mean(axis=1)
        error = means.std(ddof=1) / np.sqrt(n_replicas)
        assert abs(means.mean() - exact) < 3.5 * error
        assert error < 0.1 * exact
    error = volumes.mean(axis=1).std(ddof=1) / np.sqrt(n_replicas)
    wrong = stats.gamma(N_ATOMS, scale=KB * TEMPERATURE / pressure).mean()
    assert abs(volumes.mean() - wrong) > 4.0 * error
    acceptance = np.mean([o.acceptance for o in out])
    assert acceptance > (0.9 if barostat_time > 30 else 0.2)
    if barostat_time == 30.0:
        assert acceptance < 0.9
    cells = np.stack([o.soft.cell for o in out])
    off_diagonal = np.abs(cells[:, ~np.eye(3, dtype=bool)]).max()
    lengths = np.ptp(np.linalg.norm(cells, axis=2), axis=1).max()
    assert (off_diagonal > 1e-3) == (cell == "full")
    assert (lengths > 1e-3) == (cell != "isotropic")


def test_volume_of_argon_at_no_pressure() -> None:
    """ln p(V) has the slope (P(V) − P)/kT, with P(V) the pressure at constant volume.

    Three runs at constant volume give P(V); its zero is the most probable volume, and its slope
    the compressibility and with it the variance kT/(−dP/dV). A missing kinetic pressure, N kT/V,
    would move the mean by four standard errors, a wrong factor of 2 in kT the variance by eight.
    """
    temperature, n_replicas = 40.0, 16
    potential = lennard_jones()
    pressures, errors, volumes = [], [], []
    for a in (5.30, 5.36, 5.42):
        out = run_dynamics(
            potential,
            [argon(seed, a=a) for seed in range(n_replicas)],
            [
                Settings(
                    timestep=5.0, temperature=temperature, thermostat="langevin", friction=0.01,
                    seed=seed,
                )
                for seed in range(n_replicas)
            ],
            n_steps=350,
            observers=Observer("pressure", ("pressure",), every=10),
        )  # fmt: skip
        volume = (2.0 * a) ** 3
        means = np.array([sampled(o, "pressure", "pressure_ev_per_ang3")[10:].mean() for o in out])
        # The kinetic part counts the 3N − 3 degrees of freedom of a centre of mass at rest.
        pressures.append(means.mean() + KB * temperature / volume)
        errors.append(means.std(ddof=1) / np.sqrt(n_replicas))
        volumes.append(volume)
    line = np.polynomial.Polynomial.fit(volumes, pressures, 2)
    slope = line.deriv()
    expected = float(
        next(r.real for r in line.roots() if volumes[0] - 50 < r.real < volumes[-1] + 50)
    )
    variance = KB * temperature / -float(slope(expected))
    # To first order in the asymmetry, the mean lies beyond the most probable volume.
    expected += 0.5 * variance**2 * float(slope.deriv()(expected)) / (KB * temperature)
    uncertainty = max(errors) / -float(slope(expected))

    out = run_dynamics(
        potential,
        [argon(seed, a=5.36) for seed in range(n_replicas)],
        [
            Settings(
                timestep=5.0, temperature=temperature, thermostat="langevin", friction=0.01,
                seed=100 + seed, cell="isotropic", pressure=0.0, barostat_time=200.0,
                compressibility=80.0, barostat_interval=5,
            )
            for seed in range(n_replicas)
        ],
        n_steps=1400,
        observers=Observer("volume", ("volume", "conserved"), every=10),
    )  # fmt: skip
    found = np.stack([sampled(o, "volume", "volume_ang3")[30:] for o in out])
    means, spreads = found.mean(axis=1), found.var(axis=1)
    error = np.hypot(means.std(ddof=1) / np.sqrt(n_replicas), uncertainty)
    assert error < 4.0
    assert abs(means.mean() - expected) < 3.5 * error
    error = spreads.std(ddof=1) / np.sqrt(n_replicas)
    assert abs(spreads.mean() - variance) < 3.5 * error + 0.05 * variance
    assert error < 0.15 * variance
    # What thermostat and barostat put in is accounted for.
    conserved = np.stack([sampled(o, "volume", "conserved_ev") for o in out])
    assert np.abs(conserved - conserved[:, :1]).max() < 1e-3
