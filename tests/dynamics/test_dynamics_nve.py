"""Without a thermostat: energy, time reversal, and the same trajectory as ASE's."""

from __future__ import annotations

import numpy as np
import pytest
from ase import units as ase_units
from ase.md.verlet import VelocityVerlet
from dynamics_systems import argon, copper, lennard_jones, sampled

import softatoms as sa
from softatoms.dynamics import Observer, Settings, run_dynamics
from softatoms.potentials.base import Potential
from tolerances import assert_close

ENERGY = Observer("energy", ("energy", "kinetic", "conserved"), every=5)


def test_energy_fluctuates_as_the_square_of_the_time_step_and_does_not_drift() -> None:
    fluctuation, drift = [], []
    for timestep in (4.0, 2.0, 1.0):
        out = run_dynamics(
            lennard_jones(),
            [argon(seed) for seed in range(2)],
            [Settings(timestep=timestep, temperature=40.0, seed=seed) for seed in range(2)],
            n_steps=int(2000 / timestep),
            observers=ENERGY,
        )
        total = np.stack([sampled(o, "energy", "conserved_ev") for o in out])
        assert_close(
            total,
            np.stack([sampled(o, "energy", n) for o in out for n in ("energy_ev", "kinetic_ev")])
            .reshape(2, 2, -1)
            .sum(1),
            "same",
        )
        fluctuation.append(total.std(axis=1).mean())
        half = total.shape[1] // 2
        drift.append(np.abs(total[:, half:].mean(1) - total[:, :half].mean(1)).max())
    ratios = np.array(fluctuation[:-1]) / fluctuation[1:]
    np.testing.assert_allclose(ratios, 4.0, rtol=0.05)
    # In 2 ps the mean energy of 32 atoms moves by less than it fluctuates.
    assert drift[1] < fluctuation[1] < 5e-6


@pytest.mark.parametrize("soft", [False, True])
def test_runs_backward_to_where_it_came_from(soft: bool) -> None:
    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    start = copper(0, soft=soft)
    there = run_dynamics(potential, [start], Settings(temperature=400.0), n_steps=200)[0]
    turned = there.soft.with_velocities(-there.soft.velocities)
    back = run_dynamics(potential, [turned], Settings(), n_steps=200)[0]
    assert np.abs(there.soft.positions - start.positions).max() > 0.05
    np.testing.assert_allclose(back.soft.positions, start.positions, rtol=0.0, atol=1e-10)


def painn() -> Potential:
    return sa.load_potential("painn", elements=["Ar"], cutoff=6.0)


@pytest.mark.parametrize(("make", "n_steps"), [(lennard_jones, 200), (painn, 40)])
def test_is_the_trajectory_of_ase(make: object, n_steps: int) -> None:
    potential = make()  # type: ignore[operator]
    start = run_dynamics(
        potential, [argon(1)], Settings(timestep=2.0, temperature=60.0, seed=4), n_steps=0
    )[0].soft
    end = run_dynamics(potential, [start], Settings(timestep=2.0), n_steps=n_steps)[0]
    atoms = start.to_ase()
    atoms.calc = sa.SoftCalculator(potential, start)
    VelocityVerlet(atoms, 2.0 * ase_units.fs).run(n_steps)
    assert_close(end.soft.positions, atoms.positions, "same")
    assert_close(np.array(end.energy), np.array(atoms.get_potential_energy()), "same")
    assert_close(np.array(end.kinetic), np.array(atoms.get_kinetic_energy()), "same")
    assert end.temperature == pytest.approx(atoms.get_temperature() * 96 / 93, rel=1e-9)


def test_a_network_conserves_energy_in_float64() -> None:
    totals = []
    for timestep in (2.0, 1.0):
        out = run_dynamics(
            painn(),
            [argon(2)],
            Settings(timestep=timestep, temperature=60.0, seed=1),
            n_steps=int(60 / timestep),
            observers=Observer("energy", ("conserved",)),
        )[0]
        totals.append(np.ptp(sampled(out, "energy", "conserved_ev")))
    assert totals[1] < 1e-4
    assert 3.0 < totals[0] / totals[1] < 5.0


def test_systems_without_velocities_and_temperature_start_at_rest() -> None:
    out = run_dynamics(lennard_jones(), [argon(0)], Settings(), n_steps=0)[0]
    assert out.kinetic == 0.0
    assert out.soft.velocities is not None
    assert not out.soft.velocities.any()


def test_every_potential_runs() -> None:
    cases = {
        "lj": ({"epsilon": 0.01042, "sigma": 3.405}, argon(0, cells=1)),
        "gupta": ({"elements": ["Cu", "Au"]}, copper(0, soft=True)),
        "harmonic": ({"lattice": "fcc", "a": 3.65, "stiffness": 2.0}, copper(0)),
        "schnet": ({"elements": ["Cu", "Au"]}, copper(0, soft=True)),
        "painn": ({"elements": ["Cu", "Au"]}, copper(0, soft=True)),
    }
    for name, (options, soft) in cases.items():
        potential = sa.load_potential(name, **options)
        settings = Settings(timestep=0.5, temperature=50.0, thermostat="csvr", cell="isotropic")
        out = run_dynamics(
            potential,
            [soft],
            settings,
            n_steps=10,
            observers=Observer("all", ("pressure", "heat_flux", "energy")),
        )[0]
        assert (out.status, out.steps) == ("ok", 10), f"{name}: {out.error}"
