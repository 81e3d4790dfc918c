"""Small datasets that an analytic potential labels."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
from ase.build import bulk

import softatoms as sa
from softatoms.dataset.frames import Frame
from softatoms.training import LossSettings, TrainingSettings

ELEMENTS = ["Cu", "Au"]
SMALL = {"elements": ELEMENTS, "cutoff": 4.5, "n_features": 8, "n_layers": 2, "n_radial": 6}
"""Options of networks that train in seconds."""


def structure(index: int, *, cells: int = 1) -> sa.SoftAtoms:
    """A random alloy of copper and gold, strained and rattled."""
    rng = np.random.default_rng([5, index])
    atoms = bulk("Cu", cubic=True, a=3.85) * (1, 1, cells)
    atoms.numbers[rng.random(len(atoms)) < rng.random()] = 79
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.03 * rng.normal(size=(3, 3))), True)
    atoms.positions += 0.12 * rng.normal(size=atoms.positions.shape)
    return sa.SoftAtoms.from_ase(atoms)


def label(soft: sa.SoftAtoms, potential: sa.Potential, **entries: object) -> Frame:
    """A frame with the energy, forces and stress of a potential."""
    found = sa.evaluate(potential, soft, properties=("forces", "stress"))
    assert found.forces is not None
    assert found.stress is not None
    frame = Frame(
        frame_id="frame",
        group="group",
        soft=soft,
        energy=float(found.energy),
        forces=found.forces.numpy(),
        stress=found.stress.numpy(),
        labeller="gupta",
        status="ok",
    )
    return replace(frame, **entries)  # type: ignore[arg-type]


@functools.cache
def dataset(count: int = 40) -> tuple[Frame, ...]:
    """Frames of 4 and 8 atoms, of which every fifth is validated and every fifth tested."""
    gupta = sa.load_potential("gupta", elements=ELEMENTS)
    splits = ("train", "train", "train", "validation", "test")
    return tuple(
        label(
            structure(index, cells=1 + index % 2),
            gupta,
            frame_id=f"frame-{index:02d}",
            group=f"group-{index % 5}",
            split=splits[index % 5],
        )
        for index in range(count)
    )


def quick(**changes: object) -> TrainingSettings:
    """Settings of short trainings."""
    settings = TrainingSettings(
        epochs=3,
        atoms_per_batch=24,
        learning_rate=0.01,
        ema_decay=0.9,
        loss=LossSettings(kind="mse"),
        warm_up=0.5,
    )
    return replace(settings, **changes)  # type: ignore[arg-type]


def fresh(name: str = "painn", **changes: object) -> sa.Potential:
    """A network that has learned nothing."""
    return sa.load_potential(name, **{**SMALL, **changes})
