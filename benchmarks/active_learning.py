"""Selection by uncertainty against random selection, at the same number of labels.

    python benchmarks/active_learning.py --seeds 5

A Gupta potential for copper labels, which is exact and costs nothing. Small PaiNN networks are
first trained on a few rattled crystals; they then run dynamics, and each way to choose labels the
same number of structures per round. The first round is chosen from the very same trajectories in
all ways; later ones follow the models of each. A label with a force above 100 eV/Å is lost, as it
is in a campaign. Errors are those of forces on frames that no way has
anything to do with: dynamics of the Gupta potential at 1200 K, with and without a vacancy.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

import softatoms as sa
from softatoms.active_learning.dynamics import explore_by_dynamics
from softatoms.active_learning.jury import Jury
from softatoms.active_learning.selection import chosen
from softatoms.active_learning.walks import Walk, own_stream
from softatoms.config.active_learning import Exploration
from softatoms.config.generators import Parent
from softatoms.dataset.descriptor import describe
from softatoms.dataset.frames import Frame
from softatoms.dataset.parents import build_parent, rattled, stream
from softatoms.potentials.base import Potential
from softatoms.training import TrainingSettings, train
from softatoms.training.metrics import predictions

CELL = {"lattice": "fcc", "species": ["Cu"], "a_ang": 3.65, "repeat": [2, 2, 1]}
EXPLORATIONS = [
    {
        "name": name,
        "parent": CELL,
        "missing": missing,
        "dynamics": {
            "temperatures_k": [300.0, 800.0, 1400.0],
            "replicas": 2,
            "snapshots": 10,
            "every": 25,
        },
    }
    for name, missing in (("bulk", 0), ("vacancy", 1))
]
LARGEST_FORCE = 100.0
"""Force of a label in eV/Å beyond which it is lost; that of the checks of a campaign."""


class Way(NamedTuple):
    """One way to choose and to train."""

    how: str
    pool: int
    start: str

    def __str__(self) -> str:
        pool = f", pool {self.pool}" if self.how == "uncertain" else ""
        return f"{self.how}{pool}, from {self.start}"


WAYS = [
    Way("random", 1, "scratch"),
    Way("uncertain", 1, "scratch"),
    Way("uncertain", 3, "scratch"),
    Way("random", 1, "previous"),
    Way("uncertain", 3, "previous"),
]


def labelled(teacher: Potential, frames: Sequence[Frame]) -> list[Frame]:
    """The frames with labels of the teacher."""
    said = sa.evaluate_batch(
        teacher, [frame.soft for frame in frames], properties=("energy", "forces", "stress")
    )
    return [
        dataclasses.replace(
            frame,
            energy=float(out.energy),
            forces=out.forces.numpy(),
            stress=out.stress.numpy(),
            status="ok",
        )
        for frame, out in zip(frames, said, strict=True)
    ]


def first_frames(teacher: Potential, seed: int, count: int) -> list[Frame]:
    """Crystals with displaced atoms, a fifth of them for validation."""
    parent = build_parent(Parent.model_validate(CELL))
    rng = stream(seed, "first frames")
    return labelled(
        teacher,
        [
            Frame(
                f"first-{index}",
                f"first-{index}",
                sa.SoftAtoms.from_ase(rattled(parent, 0.05, rng)),
                split="validation" if index % 5 == 0 else "train",
            )
            for index in range(count)
        ],
    )


def test_frames(teacher: Potential) -> list[Frame]:
    """Dynamics of the teacher itself at 1200 K; the same for all seeds."""
    jury = Jury((teacher, teacher), "largest_force", dtype="float64")
    frames = []
    for entry in EXPLORATIONS:
        dynamics = {"temperatures_k": [1200.0], "replicas": 4, "snapshots": 5, "every": 100}
        wanted = Exploration.model_validate({**entry, "dynamics": dynamics})
        walks = explore_by_dynamics(
            wanted,
            jury,
            [],
            upper=1.0,
            unit="eV/Å",
            closest=0.6,
            seed=77,
            round_number=99,
            checkpoint=None,
        )
        frames += [
            Frame(f"test-{walk.name}-{visit.step}", walk.name, visit.soft, split="test")
            for walk in walks
            for visit in walk.visited
        ]
    return labelled(teacher, frames)


def trained(
    starts: Sequence[Potential], frames: Sequence[Frame], epochs: int, seed: int, *, keep: bool
) -> list[Potential]:
    """The models of one round."""
    settings = TrainingSettings(
        epochs=epochs,
        atoms_per_batch=64,
        ema_decay=0.98,
        isolated_energies="keep" if keep else "fit",
    )
    return [
        train(start, frames, dataclasses.replace(settings, seed=seed + index)).potential
        for index, start in enumerate(starts)
    ]


def fresh(seed: int, size: int) -> list[Potential]:
    """Networks that have learned nothing."""
    return [
        sa.load_potential("painn", elements=["Cu"], n_features=16, n_layers=2, seed=seed + index)
        for index in range(size)
    ]


def is_sound(frame: Frame) -> bool:
    """Whether a campaign would use the label."""
    return frame.forces is not None and float(np.abs(frame.forces).max()) < LARGEST_FORCE


def force_rmse(models: Sequence[Potential], frames: Sequence[Frame]) -> float:
    """Mean over the models of the root mean square error of force components, in eV/Å."""
    found = []
    for model in models:
        errors = np.concatenate([one.force_errors().ravel() for one in predictions(model, frames)])
        found.append(float(np.sqrt((errors**2).mean())))
    return float(np.mean(found))


def picked_by(
    way: Way, walks: Sequence[Walk], *, seed: int, number: int, count: int
) -> list[Frame]:
    """The frames that a way chooses, still unlabelled."""
    found = [(walk, visit) for walk in walks for visit in walk.visited]
    indices = chosen(
        [visit.spread for _, visit in found],
        count,
        pool=way.pool,
        how="random" if way.how == "random" else "uncertain",
        describe=lambda few: describe([found[index][1].soft for index in few]),
        rng=own_stream(seed, number, "choice"),
    )
    return [
        Frame(
            f"{number}-{found[index][0].name}-{found[index][1].step}",
            f"{number}-{found[index][0].name}",
            found[index][1].soft,
            split="train",
        )
        for index in indices
    ]


def explored(models: Sequence[Potential], seed: int, number: int, upper: float) -> list[Walk]:
    """What the models of a round see."""
    jury = Jury(tuple(models), "largest_force")
    walks = []
    for entry in EXPLORATIONS:
        walks += explore_by_dynamics(
            Exploration.model_validate(entry),
            jury,
            [],
            upper=upper,
            unit="eV/Å",
            closest=0.6,
            seed=seed,
            round_number=number,
            checkpoint=None,
        )
    return walks


def main() -> None:
    """Run all ways for all seeds and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--per-round", type=int, default=8)
    parser.add_argument("--first", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--upper", type=float, default=1.5, help="limit of the spread in eV/Å")
    parser.add_argument("--size", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="three ways only")
    given = parser.parse_args()
    ways = [WAYS[0], WAYS[2], WAYS[4]] if given.quick else WAYS
    torch.set_num_threads(1)
    teacher = sa.load_potential("gupta", elements=["Cu"])
    test = test_frames(teacher)
    size = np.concatenate([frame.forces.ravel() for frame in test if frame.forces is not None])
    print(f"{len(test)} test frames, root mean square force {np.sqrt((size**2).mean()):.3f} eV/Å")
    errors: dict[Way, list[list[float]]] = {way: [] for way in ways}
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        began = time.monotonic()
        start = first_frames(teacher, seed, given.first)
        # The same for all ways.
        first = trained(fresh(100 * seed, given.size), start, given.epochs, seed, keep=False)
        first_walks = explored(first, seed, 0, given.upper)
        for way in ways:
            frames, models, ended = list(start), list(first), 0
            row = [force_rmse(models, test)]
            for number in range(given.rounds):
                walks = first_walks
                if number > 0:
                    walks = explored(models, seed, number, given.upper)
                added = picked_by(way, walks, seed=seed, number=number, count=given.per_round)
                fresh_labels = labelled(teacher, added)
                frames += [frame for frame in fresh_labels if is_sound(frame)]
                ended += sum(walk.status != "ok" for walk in walks)
                goes_on = way.start == "previous"
                origin = models if goes_on else fresh(100 * seed, given.size)
                models = trained(origin, frames, given.epochs, seed, keep=goes_on)
                row.append(force_rmse(models, test))
            errors[way].append(row)
            shown = "  ".join(f"{value:.3f}" for value in row)
            print(
                f"seed {seed}  {way!s:32s} {len(frames):3d} frames  {shown} eV/Å  "
                f"{ended} trajectories ended early",
                flush=True,
            )
        print(f"seed {seed}: {time.monotonic() - began:.0f} s", flush=True)
        _compare(errors)


def _compare(errors: dict[Way, list[list[float]]]) -> None:
    print("\nforce RMSE on the test frames (eV/Å), mean over seeds ± standard error, by round")
    for way, rows in errors.items():
        table = np.array(rows)
        means = table.mean(axis=0)
        spread = table.std(axis=0, ddof=1) / np.sqrt(len(table)) if len(table) > 1 else 0 * means
        cells = "   ".join(f"{m:.3f} ± {s:.3f}" for m, s in zip(means, spread, strict=True))
        print(f"{way!s:32s} {cells}")
    print("\nagainst random selection with the same start, by round: mean difference, wins")
    for way, rows in errors.items():
        same = Way("random", 1, way.start)
        if way == same or same not in errors:
            continue
        control = np.array(errors[same])
        _print_difference(str(way), np.array(rows) - control)
    print("\nfrom previous against from scratch, same choice")
    for way, rows in errors.items():
        if way.start == "previous" and way._replace(start="scratch") in errors:
            _print_difference(
                f"{way.how}, pool {way.pool}",
                np.array(rows) - np.array(errors[way._replace(start="scratch")]),
            )


def _print_difference(name: str, apart: np.ndarray) -> None:
    cells = []
    for column in apart.T[1:]:
        error = column.std(ddof=1) / np.sqrt(len(column)) if len(column) > 1 else 0.0
        wins = int((column < 0).sum())
        cells.append(f"{column.mean():+.3f} ± {error:.3f}, {wins} of {len(column)}")
    print(f"{name:32s} {'   '.join(cells)}")


if __name__ == "__main__":
    main()
