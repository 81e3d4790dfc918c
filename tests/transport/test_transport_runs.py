"""Runs of replicas: phases, samples, interruptions, and the gauge of the flux."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

import softatoms as sa
from softatoms.potentials.base import Potential
from softatoms.transport.correlation import correlations
from softatoms.transport.errors import TransportError
from softatoms.transport.runs import Finished, Plan, Where, run_replicas
from softatoms.transport.series import (
    gauge_fixed,
    mean_flux_tensors,
    read_series,
    read_velocities,
)

PLAN = Plan(
    temperature=40.0,
    timestep=4.0,
    n_replicas=3,
    equilibration_steps=20,
    production_steps=200,
    flux_every=2,
    seed=5,
    velocity_steps=6,
    velocities_every=3,
)


def lennard_jones() -> Potential:
    return sa.load_potential("lj", epsilon=0.01042, sigma=3.405, cutoff=5.5, onset=4.5)


def argon() -> sa.SoftAtoms:
    return sa.SoftAtoms.from_ase(bulk("Ar", "fcc", a=5.3, cubic=True))


def completed(plan: Plan, folder: Path, tries: int) -> Finished:
    """A measurement that is stopped again and again."""
    for _ in range(tries):
        finished = run_replicas(lennard_jones(), argon(), plan, Where(folder, wall_time=0.15))
        if not finished.is_interrupted:
            return finished
        with pytest.raises(TransportError, match="not at its end"):
            read_series(finished, plan)
    return run_replicas(lennard_jones(), argon(), plan, Where(folder))


def test_a_run_that_is_stopped_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    plan = replace(PLAN, cell_steps=20, compressibility=70.0, production_steps=100, flux_every=1)
    straight = read_series(
        run_replicas(lennard_jones(), argon(), plan, Where(tmp_path / "straight")), plan
    )
    stopped = read_series(completed(plan, tmp_path / "stopped", 3), plan)
    np.testing.assert_array_equal(stopped.flux, straight.flux)
    np.testing.assert_array_equal(stopped.soft.cell, straight.soft.cell)
    assert straight.flux.shape == (3, 101, 3)
    assert straight.length_ps == pytest.approx(0.4)
    # The cell has relaxed, the same for all replicas, and stayed cubic.
    edges = straight.soft.cell.diagonal()
    assert not np.allclose(edges, 5.3, rtol=1e-6, atol=0.0)
    np.testing.assert_allclose(edges, edges[0], rtol=1e-12, atol=0.0)


def test_samples_are_those_of_the_potential(tmp_path: Path) -> None:
    finished = run_replicas(lennard_jones(), argon(), PLAN, Where(tmp_path))
    plan = replace(PLAN, velocities_with_flux=True)
    other = run_replicas(lennard_jones(), argon(), plan, Where(tmp_path / "kept"))
    series, kept = read_series(finished, PLAN), read_series(other, plan)
    np.testing.assert_array_equal(series.flux, kept.flux)
    assert series.velocities is None
    assert kept.velocities is not None
    assert kept.velocities.shape == (3, 101, 4, 3)
    # Positions are kept every other step, like the flux.
    assert plan.positions_every == plan.flux_every
    found = sa.evaluate(
        lennard_jones(),
        kept.soft.with_positions(kept.positions[1, 50]),
        properties=("heat_flux",),
        velocities=kept.velocities[1, 50],
    )
    assert found.heat_flux is not None
    np.testing.assert_allclose(found.heat_flux.numpy(), kept.flux[1, 50], rtol=1e-9, atol=1e-13)
    assert read_velocities(finished).shape == (3, 3, 4, 3)
    # Replicas and times are different ones.
    assert len(np.unique(series.flux[:, 0, 0])) == 3
    assert np.ptp(series.conserved, axis=1).max() < 1e-4
    np.testing.assert_allclose(series.currents, 0.0, rtol=0.0, atol=1e-12)


def test_a_fixed_gauge_takes_the_oscillation_and_leaves_the_transport(tmp_path: Path) -> None:
    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    atoms = bulk("Cu", "fcc", a=3.75, cubic=True)
    atoms.symbols[[0, 1]] = "Au"
    soft = sa.SoftAtoms.from_ase(atoms)
    plan = Plan(
        temperature=150.0,
        timestep=4.0,
        n_replicas=4,
        equilibration_steps=100,
        production_steps=500,
        flux_every=2,
        velocities_with_flux=True,
    )
    series = read_series(run_replicas(potential, soft, plan, Where(tmp_path)), plan)
    tensors = mean_flux_tensors(
        potential, series, n_structures=20, coupling="mean_field", dtype="float64", device="cpu"
    )
    fixed = gauge_fixed(series, tensors)
    before = correlations(series.flux, n_lags=1)[:, 0].trace(axis1=1, axis2=2).mean()
    after = correlations(fixed.flux, n_lags=1)[:, 0].trace(axis1=1, axis2=2).mean()
    assert after < 0.05 * before
    # What was taken is the derivative of Σ A u: its integral over the run is what the ends of the
    # trajectory say, and stays bounded.
    assert series.velocities is not None
    taken = (series.flux - fixed.flux).sum(axis=1) * series.spacing_fs
    moved = np.einsum("iab,rib->ra", tensors, series.positions[:, -1] - series.positions[:, 0])
    ends = 0.5 * series.spacing_fs * (series.flux - fixed.flux)[:, [0, -1]].sum(axis=1)
    scale = np.abs(series.flux - fixed.flux).max() * series.spacing_fs
    np.testing.assert_allclose(taken - ends, moved, rtol=0.0, atol=0.5 * scale)


def test_a_gauge_needs_velocities(tmp_path: Path) -> None:
    series = read_series(run_replicas(lennard_jones(), argon(), PLAN, Where(tmp_path)), PLAN)
    with pytest.raises(TransportError, match="set velocities_with_flux"):
        gauge_fixed(series, np.zeros((4, 3, 3)))


def test_lost_replicas_are_named(tmp_path: Path) -> None:
    hot = replace(PLAN, temperature=15000.0, timestep=20.0)
    with pytest.raises(TransportError, match="all 3 replicas were lost; replica-000 in equil"):
        run_replicas(lennard_jones(), argon(), hot, Where(tmp_path))


def test_bad_plans_are_refused() -> None:
    with pytest.raises(sa.OptionError, match="n_replicas must be a whole number of at least 2"):
        replace(PLAN, n_replicas=1)
    with pytest.raises(sa.OptionError, match="at least 100 × flux_every = 1000, got 200"):
        replace(PLAN, flux_every=10)
    with pytest.raises(sa.OptionError, match="temperature must be a positive number"):
        replace(PLAN, temperature=-1.0)


def test_a_slab_is_refused(tmp_path: Path) -> None:
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True)
    atoms.pbc = (True, True, False)
    with pytest.raises(TransportError, match="periodic in all directions"):
        run_replicas(lennard_jones(), sa.SoftAtoms.from_ase(atoms), PLAN, Where(tmp_path))
