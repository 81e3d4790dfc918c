"""Snapshots of short molecular dynamics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..dynamics import Settings, read_frames, run_dynamics
from ..structure import SoftAtoms
from .frames import Frame
from .parents import GenerationError, build_parent, rattled, stream

if TYPE_CHECKING:
    from ..config.compute import Compute
    from ..config.generators import Dynamics, Parent
    from ..potentials.base import Potential

START = 0.02
"""Displacement in Å that breaks the symmetry of the parent."""


def snapshots(
    name: str,
    parent: Parent,
    wanted: Dynamics,
    *,
    seed: int,
    potential: Potential,
    compute: Compute,
) -> Iterator[Frame]:
    """Snapshots of one trajectory per temperature, all trajectories in one batch.

    Each trajectory is a group of its own. One that is lost, as a potential outside of what it knows
    may do, gives the frames it had.

    Args:
        name: Name of the generator.
        parent: The structure to start from.
        wanted: The dynamics.
        seed: Seed of the campaign.
        potential: The energy function.
        compute: Device and precision.

    Raises:
        GenerationError: If a trajectory gave no frame at all.
    """
    names = [f"{name}-{index:02d}" for index in range(len(wanted.temperatures_k))]
    start = build_parent(parent)
    systems, settings = [], []
    for own, temperature in zip(names, wanted.temperatures_k, strict=True):
        rng = stream(seed, own)
        systems.append(SoftAtoms.from_ase(rattled(start, START, rng)))
        settings.append(
            Settings(
                timestep=wanted.timestep_fs,
                temperature=temperature,
                thermostat="langevin",
                friction=wanted.friction_per_fs,
                seed=int(rng.integers(2**63)),
            )
        )
    last = wanted.equilibration + wanted.every * wanted.snapshots
    with TemporaryDirectory() as folder:
        outcomes = run_dynamics(
            potential,
            systems,
            settings,
            n_steps=last,
            frames_every=1 if wanted.equilibration % wanted.every else wanted.every,
            folder=Path(folder),
            names=names,
            checkpoint_minutes=None,
            dtype=compute.dtype,
            device=compute.device,
        )
        frames = read_frames(folder)
    kept = {wanted.equilibration + wanted.every * (i + 1): i for i in range(wanted.snapshots)}
    for own, result in zip(names, outcomes, strict=True):
        mine = [
            (kept[said["step"]], soft)
            for said, soft in frames
            if said["system"] == own and said["step"] in kept
        ]
        if not mine:
            raise GenerationError(f"generator '{name}': trajectory {own} is lost: {result.error}")
        for index, soft in mine:
            # Velocities say nothing about energies.
            yield Frame(f"{own}-{index:04d}", f"{name}/{own}", soft.with_velocities(None))
