"""Currents of species along a run."""

from __future__ import annotations

import numpy as np
from dynamics_systems import argon, copper, lennard_jones, sampled

import softatoms as sa
from softatoms.dynamics import Observer, Settings, run_dynamics


def test_currents_are_weighted_sums_of_velocities() -> None:
    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    systems = [copper(0), copper(1, soft=True)]
    settings = Settings(timestep=1.0, temperature=300.0)
    ends = run_dynamics(
        potential,
        systems,
        settings,
        n_steps=2,
        observers=Observer("all", ("velocities", "species_currents")),
    )
    for soft, end in zip(systems, ends, strict=True):
        velocities = sampled(end, "all", "velocities_ang_per_fs").reshape(3, -1, 3)
        found = sampled(end, "all", "species_currents_ang_per_fs").reshape(3, -1, 3)
        weights = soft.node_weight
        species = np.unique(soft.node_number)
        assert found.shape[1] == len(species)
        for index, number in enumerate(species):
            chosen = soft.node_number == number
            moving = velocities[:, soft.node_site[chosen]]
            expected = (weights[chosen, None] * moving).sum(axis=1)
            np.testing.assert_allclose(found[:, index], expected, rtol=1e-12, atol=1e-14)


def test_a_single_species_at_rest_has_no_current() -> None:
    settings = Settings(timestep=2.0, temperature=40.0)
    (end,) = run_dynamics(
        lennard_jones(),
        [argon(1)],
        settings,
        n_steps=3,
        observers=Observer("all", ("species_currents",)),
    )
    found = sampled(end, "all", "species_currents_ang_per_fs")
    np.testing.assert_allclose(found, 0.0, rtol=0.0, atol=1e-14)
