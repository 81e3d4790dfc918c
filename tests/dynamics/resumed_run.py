"""A run for the tests of resuming, started in a process of its own: FOLDER [WALL_TIME]."""

from __future__ import annotations

import sys

import torch
from dynamics_systems import argon, lennard_jones

from softatoms.dynamics import (
    Limits,
    Observer,
    Outcome,
    Schedule,
    Settings,
    exit_code,
    run_dynamics,
)

N_STEPS = 300


def run(
    folder: str | None, n_steps: int = N_STEPS, wall_time: float | None = None
) -> list[Outcome]:
    """Six systems of two sizes at constant pressure; one switches, one fails on its way."""
    systems = [argon(seed, cells=1 + seed % 2) for seed in range(5)]
    systems[2] = systems[2].with_existence([1], 1.0)
    settings = [
        Settings(
            timestep=4.0,
            # The last one is heated until it passes its limit.
            temperature=40.0 if seed < 4 else 400.0,
            limits=Limits(temperature=800.0),
            thermostat="langevin",
            friction=0.01,
            cell="isotropic",
            compressibility=80.0,
            barostat_interval=7,
            seed=seed,
            schedule=Schedule((1.0,), (0.5,), 250) if seed == 2 else None,
        )
        for seed in range(5)
    ]
    systems[4] = systems[4].with_velocities(0.0 * systems[4].positions)
    quantities = ("energy", "conserved", "pressure", "volume", "work", "weights", "heat_flux")
    return run_dynamics(
        lennard_jones(),
        systems,
        settings,
        n_steps=n_steps,
        observers=[Observer("often", ("energy", "positions"), 3), Observer("rare", quantities, 20)],
        frames_every=None if folder is None else 50,
        folder=folder,
        checkpoint_every=None if folder is None else 40,
        checkpoint_minutes=None,
        wall_time=wall_time,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(exit_code(run(sys.argv[1], wall_time=float(sys.argv[2]) if sys.argv[2:] else None)))
