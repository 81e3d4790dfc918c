"""Thermostats sample the canonical distribution, whose exact form is known.

Kinetic energies of n degrees of freedom, and energies of a harmonic crystal of n, are both Gamma
distributed with shape n/2 and scale kT. With 48 replicas and the samples below, the mean is known
to about 1 %: 9 degrees of freedom in place of 12, or half of kT, would be off by more than
25 standard errors.
"""

from __future__ import annotations

import numpy as np
import pytest
from dynamics_systems import KB, argon, copper, lennard_jones, sampled
from scipy import stats

import softatoms as sa
from softatoms.dynamics import Observer, Settings, run_dynamics
from softatoms.units import EV_PER_AMU_ANG2_FS2

N_REPLICAS = 48
TEMPERATURE = 50.0


def check_gamma(values: np.ndarray, degrees: int, temperature: float) -> None:
    """Compare mean, variance and the whole distribution with Gamma(degrees/2, kT).

    Args:
        values: Energies, shape (n_replicas, n_samples), practically independent.
        degrees: Degrees of freedom.
        temperature: In K.
    """
    scale = KB * temperature
    expected = stats.gamma(degrees / 2, scale=scale)
    n = values.size
    standard_error = expected.std() / np.sqrt(n)
    assert abs(values.mean() - expected.mean()) < 4.0 * standard_error
    kurtosis = float(expected.stats(moments="k"))
    spread = expected.var() * np.sqrt((2.0 + kurtosis) / n)
    assert abs(values.var() - expected.var()) < 4.0 * spread
    assert stats.kstest(values.ravel(), expected.cdf).pvalue > 1e-3
    # It must be able to tell: three degrees of freedom less, or half the temperature, fail.
    for wrong in (
        stats.gamma((degrees - 3) / 2, scale=scale),
        stats.gamma(degrees / 2, scale=scale / 2),
    ):
        assert abs(values.mean() - wrong.mean()) > 20.0 * standard_error


@pytest.mark.parametrize("thermostat", ["langevin", "csvr"])
@pytest.mark.parametrize(
    ("constraint", "degrees"),
    [({}, 9), ({"fix_com": False}, 12), ({"fixed_sites": (1,)}, 9)],
    ids=["com at rest", "free", "one site fixed"],
)
def test_kinetic_energies(thermostat: str, constraint: dict[str, object], degrees: int) -> None:
    out = run_dynamics(
        lennard_jones(),
        [argon(seed, cells=1, rattle=0.02) for seed in range(N_REPLICAS)],
        [
            Settings(
                timestep=2.0,
                temperature=TEMPERATURE,
                thermostat=thermostat,  # type: ignore[arg-type]
                friction=0.1,
                relaxation_time=10.0,
                seed=seed,
                **constraint,  # type: ignore[arg-type]
            )
            for seed in range(N_REPLICAS)
        ],
        n_steps=900,
        # 40 fs: eight times the longer of the two correlation times.
        observers=Observer("kinetic", ("kinetic", "temperature", "conserved"), every=20),
    )
    kinetic = np.stack([sampled(o, "kinetic", "kinetic_ev")[2:] for o in out])
    check_gamma(kinetic, degrees, TEMPERATURE)
    temperature = np.stack([sampled(o, "kinetic", "temperature_k")[2:] for o in out])
    np.testing.assert_allclose(temperature, 2.0 * kinetic / (degrees * KB), rtol=1e-12)
    conserved = np.stack([sampled(o, "kinetic", "conserved_ev") for o in out])
    assert np.abs(conserved - conserved[:, :1]).max() < 2e-3 * np.ptp(kinetic)
    for o in out:
        total = o.soft.velocities.sum(axis=0)  # type: ignore[union-attr]
        if not constraint:
            assert np.abs(total).max() < 1e-14
        if constraint.get("fixed_sites"):
            assert not o.soft.velocities[1].any()  # type: ignore[index]


def test_drawn_velocities_are_canonical() -> None:
    out = run_dynamics(
        lennard_jones(),
        [argon(0, cells=1)] * 4000,
        [Settings(temperature=TEMPERATURE, seed=seed) for seed in range(4000)],
        n_steps=0,
    )
    check_gamma(np.array([[o.kinetic for o in out]]), 9, TEMPERATURE)


@pytest.mark.parametrize(
    ("thermostat", "timestep"), [("langevin", 2.0), ("langevin", 12.0), ("csvr", 1.0)]
)
def test_energies_of_a_harmonic_crystal(thermostat: str, timestep: float) -> None:
    """Configurations of BAOAB are exact in a harmonic crystal however long the time step.

    The stiffest mode has ω = √(16 k/m) = 0.078/fs: at 12 fs, ω dt = 0.94, and with a thermostat at
    the ends of the step that mode would be wrong by (ω dt)²/4, more than 20 %.
    """
    potential = sa.load_potential("harmonic", lattice="fcc", a=3.65, stiffness=2.5)
    perfect = copper(0, (1, 1, 1))
    out = run_dynamics(
        potential,
        [perfect] * N_REPLICAS,
        [
            Settings(
                timestep=timestep,
                temperature=80.0,
                thermostat=thermostat,  # type: ignore[arg-type]
                friction=0.05,
                relaxation_time=20.0,
                seed=seed,
            )
            for seed in range(N_REPLICAS)
        ],
        n_steps=int(9000 / timestep) if timestep > 4 else 1500,
        observers=Observer("energy", ("energy",), every=max(1, int(120 / timestep))),
    )
    energies = np.stack([sampled(o, "energy", "energy_ev")[5:] for o in out])
    if thermostat == "langevin":
        check_gamma(energies, 9, 80.0)
    else:
        # Velocity rescaling couples all modes to one number: few samples are independent. The mean
        # is compared with the spread between replicas.
        means = energies.mean(axis=1)
        error = means.std(ddof=1) / np.sqrt(N_REPLICAS)
        assert abs(means.mean() - 4.5 * KB * 80.0) < 4.0 * error
        assert error < 0.03 * 4.5 * KB * 80.0


def test_masses_set_velocities_and_no_average() -> None:
    """Every site has 3/2 kT but for the centre of mass, whatever its mass."""
    soft = argon(0, cells=1)
    heavy = soft.with_isotopes(np.arange(4) == 1, np.full(4, 400.0))
    out = run_dynamics(
        lennard_jones(),
        [heavy] * N_REPLICAS,
        [
            Settings(
                timestep=2.0, temperature=TEMPERATURE, thermostat="langevin", friction=0.1,
                seed=seed, fix_com=False,
            )
            for seed in range(N_REPLICAS)
        ],
        n_steps=1000,
        observers=Observer("velocities", ("velocities",), every=20),
    )  # fmt: skip
    velocities = np.stack(
        [np.stack(sampled(o, "velocities", "velocities_ang_per_fs"))[3:] for o in out]
    ).reshape(-1, 4, 3)
    masses = heavy.node_mass
    thermal = EV_PER_AMU_ANG2_FS2 * masses * (velocities**2).mean(axis=(0, 2))
    np.testing.assert_allclose(thermal, KB * TEMPERATURE, rtol=4.0 * np.sqrt(2 / 9000))
