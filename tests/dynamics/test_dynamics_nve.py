"""Without a thermostat: energy, time reversal, and the same trajectory as ASE's."""

from __future__ import annotations

import numpy as np
import pytest
from ase import units as ase_units
from ase.md.verlet import VelocityVerlet
from dynamics_systems import argon, copper, lennard_jones, sampled

import softatoms as sa
from softatoms.dynamics import Observer, Schedule, Settings, run_dynamics
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


def registered(name: str, options: dict[str, object]) -> Potential:
    """A potential of the registry; for ``mace`` a small converted one."""
    if name == "mace":
        pytest.importorskip("mace")
        from potentials.mace_package import small

        return small("density")
    if name == "chgnet":
        pytest.importorskip("chgnet")
    return sa.load_potential(name, **options)


@pytest.mark.parametrize(
    ("name", "options", "other"),
    [
        ("lj", {"epsilon": 0.4, "sigma": 2.3}, "Au"),
        ("gupta", {"elements": ["Cu", "Au"]}, "Au"),
        ("harmonic", {"lattice": "fcc", "a": 3.65, "stiffness": 2.0}, "Au"),
        ("schnet", {"elements": ["Cu", "Au"]}, "Au"),
        ("painn", {"elements": ["Cu", "Au"]}, "Au"),
        ("chgnet", {}, "Au"),
        ("mace", {}, "O"),
    ],
)
def test_every_potential_runs(name: str, options: dict[str, object], other: str) -> None:
    potential = registered(name, options)
    soft = copper(0).with_candidates([0], {"Cu": 0.6, other: 0.4}).with_existence([3], 0.5)
    # A network fresh from the generator pulls with up to 44 eV/Å.
    common = {"timestep": 0.02, "temperature": 50.0}
    everything = Observer("all", ("pressure", "heat_flux", "de_dlambda", "conserved"), every=5)
    schedule = Schedule((0.6, 0.4, 0.5), (0.5, 0.5, 0.6), 10)
    for settings in (
        Settings(schedule=schedule, **common),  # type: ignore[arg-type]
        Settings(thermostat="csvr", cell="isotropic", **common),  # type: ignore[arg-type]
    ):
        out = run_dynamics(potential, [soft], settings, n_steps=10, observers=everything)[0]
        assert (out.status, out.error, out.steps) == ("ok", "", 10)
        conserved = sampled(out, "all", "conserved_ev")
        assert np.ptp(conserved) < 2e-4
