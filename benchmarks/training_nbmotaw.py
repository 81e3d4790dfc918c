"""Training on DFT data of Nb, Mo, Ta and W, with errors on trajectories it has not seen.

    .venv/bin/python benchmarks/training_nbmotaw.py --folder /tmp/nbmotaw [--minutes 60] [--quick]
    .venv/bin/python benchmarks/training_nbmotaw.py --folder /tmp/nbmotaw --evaluate
    .venv/bin/python benchmarks/training_nbmotaw.py --folder /tmp/nbmotaw-curve --curve
    .venv/bin/python benchmarks/training_nbmotaw.py --folder /tmp/nbmotaw-ghosts --ghosts
    .venv/bin/python benchmarks/training_nbmotaw.py --folder /tmp/nbmotaw-ensemble --ensemble

The data of Li et al., npj Comput. Mater. 6, 70 (2020) are looked for in ../shared/data/dft/nbmotaw;
without them the script says so and ends. About a tenth of the groups of each kind of data is held
out for the test and a twentieth for validation. A group is a whole trajectory of molecular dynamics
(one element, temperature and volume), an ordered decoration in all six alloys with its relaxed
copies, one mode of strain of one element, or one surface. Killed, the training goes on from its
folder. Run it with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

import softatoms as sa
from softatoms.dataset.frames import Frame, Split
from softatoms.dataset.maml import read_maml, read_records
from softatoms.potentials.base import Potential
from softatoms.training import LossSettings, Trained, TrainingSettings, train
from softatoms.training.card import save_trained
from softatoms.training.ensemble import fraction_of, train_ensemble, uncertainty
from softatoms.training.metrics import metric_rows, predictions

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "dft" / "nbmotaw"
OPTIONS = {
    "elements": ["Nb", "Mo", "Ta", "W"],
    "cutoff": 5.0,
    "n_features": 64,
    "n_layers": 2,
    "n_radial": 8,
}
SETTINGS = TrainingSettings(
    epochs=28,
    atoms_per_batch=64,
    learning_rate=2e-3,
    ema_decay=0.999,
    loss=LossSettings(kind="huber", energy_weight=2.0, forces_weight=1.0, stress_weight=1.0),
)
TEST, VALIDATION = 0.1, 0.05
"""Parts of the groups of each kind of data that are held out."""

PUBLISHED = {"energy": 0.006, "force": 0.15}
"""Mean absolute errors of the linear SNAP of the publication, roughly, in eV/atom and eV/Å."""


def read_frames(seed: int) -> list[Frame]:
    """All configurations, in groups of what belongs together, with splits drawn from a seed."""
    files = sorted(DATA.glob("*.json.gz"))
    imported = read_maml(files)
    for note in imported.notes:
        print(note)
    modes = strain_modes(files)
    frames = [dataclasses.replace(frame, group=group_of(frame, modes)) for frame in imported.frames]
    return with_splits(frames, seed)


def strain_modes(files: Sequence[Path]) -> dict[str, str]:
    """Mode of deformation of the records that have one, by identifier."""
    modes = {}
    for path in files:
        for record in read_records(path):
            for tag, value in (record.get("notes") or {}).items():
                if "Strain" in tag:
                    modes[record["_id"]] = str(value).split("-")[0]
    return modes


def group_of(frame: Frame, modes: dict[str, str]) -> str:
    """What a frame must not be separated from, with the kind of data in front."""
    name, own = frame.frame_id.split("-", 1)
    kind = name.split("_")[1]
    if kind == "SS":
        # The same decoration exists in all six alloys, relaxed and not.
        return f"SS/{frame.group.split('/')[1]}"
    if kind == "Elastic":
        return f"Elastic/{name}-{modes[own]}"
    if kind == "Surface":
        return f"Surface/{frame.frame_id}"
    return f"{kind}/{frame.group.replace('/', '-')}"


def with_splits(frames: Sequence[Frame], seed: int) -> list[Frame]:
    """Assign whole groups at random, the same part of every kind of data."""
    rng = np.random.default_rng(seed)
    split: dict[str, Split] = {}
    groups = sorted({frame.group for frame in frames})
    for kind in sorted({group.split("/")[0] for group in groups}):
        own = [group for group in groups if group.startswith(f"{kind}/")]
        n_test, n_validation = (max(1, round(part * len(own))) for part in (TEST, VALIDATION))
        for rank, index in enumerate(rng.permutation(len(own)).tolist()):
            if rank < n_test:
                split[own[index]] = "test"
            else:
                split[own[index]] = "validation" if rank < n_test + n_validation else "train"
    return [dataclasses.replace(frame, split=split[frame.group]) for frame in frames]


def kind_of(frame: Frame) -> str:
    """Kind of data, and the trajectory where it is one."""
    kind, _, own = frame.group.partition("/")
    return own if kind == "AIMD" else kind


def report(row: dict[str, Any]) -> None:
    """One line per epoch, validation behind training."""
    numbers = [
        "/".join(f"{row[f'{part}_{name}'] * factor:.{digits}f}" for part in ("train", "validation"))
        for name, factor, digits in (
            ("energy_rmse_ev_per_atom", 1e3, 1),
            ("forces_rmse_ev_per_ang", 1.0, 3),
            ("stress_rmse_ev_per_ang3", 1e3, 1),
            ("loss", 1.0, 3),
        )
    ]
    print(
        f"epoch {row['epoch']:3d}  E {numbers[0]} meV  F {numbers[1]} eV/Å  S {numbers[2]} meV/Å³  "
        f"loss {numbers[3]}  lr {row['learning_rate']:.1e}  {row['atoms_per_second']:.0f} atoms/s",
        flush=True,
    )


def evaluate(potential: Potential, frames: Sequence[Frame]) -> list[dict[str, Any]]:
    """Print the errors on validation and test frames; returns the rows of the table."""
    started = time.monotonic()
    found = predictions(potential, [frame for frame in frames if frame.split != "train"])
    atoms = sum(item.atoms for item in found)
    print(f"evaluated at {atoms / (time.monotonic() - started):.0f} atoms/s")
    rows = metric_rows("painn", found, group=kind_of)
    print(
        f"{'split':10s} {'group':24s} {'el':4s} {'quantity':8s} {'MAE':>9s} {'RMSE':>9s} {'n':>7s}"
    )
    for row in rows:
        print(
            f"{row['split']:10s} {row['group']:24s} {row['element']:4s} {row['quantity']:8s} "
            f"{row['mae']:9.5f} {row['rmse']:9.5f} {row['n']:7d}  {row['unit']}"
        )
    for row in rows:
        if row["split"] == "test" and row["group"] == row["element"] == "all":
            bar = PUBLISHED.get(row["quantity"])
            if bar is not None:
                word = "below" if row["mae"] < bar else "NOT below"
                print(f"test {row['quantity']} MAE {row['mae']:.5f} {row['unit']}: {word} {bar}")
    return rows


def trained_on(
    frames: Sequence[Frame], settings: TrainingSettings, folder: Path, minutes: float | None
) -> Trained:
    """Train, from the checkpoint in the folder if there is one."""
    counts = Counter(frame.split for frame in frames)
    atoms = sum(frame.n_sites for frame in frames if frame.split == "train")
    print(f"{dict(counts)} frames, {atoms} atoms to train on; {settings}", flush=True)
    started = time.monotonic()
    trained = train(
        sa.load_potential("painn", **OPTIONS, seed=settings.seed),
        frames,
        settings,
        folder=folder,
        wall_time=None if minutes is None else 60.0 * minutes,
        report=report,
    )
    print(
        f"{trained.status} {trained.reason} after {time.monotonic() - started:.0f} s and "
        f"{len(trained.history)} epochs, best {trained.best_epoch}",
        flush=True,
    )
    return trained


def compare_spread(frames: Sequence[Frame], settings: TrainingSettings, folder: Path) -> None:
    """Train three models on a tenth of the data and compare their spread with their errors."""
    part = fraction_of(frames, 0.1, seed=0)
    models = [
        trained.potential
        for trained in train_ensemble(
            "painn", OPTIONS, part, settings, size=3, folder=folder, report=report
        )
    ]
    test = [frame for frame in frames if frame.split == "test"]
    said = uncertainty(models, [frame.soft for frame in test])
    atoms = np.array([frame.n_sites for frame in test])
    labels = np.array([frame.energy for frame in test])
    errors = {
        "energy, eV/atom": np.abs([float(one.energy) for one in said] - labels) / atoms,
        "force, eV/Å": np.concatenate(
            [
                np.linalg.norm(u.forces.numpy() - f.forces, axis=1)
                for u, f in zip(said, test, strict=True)
            ]
        ),
    }
    spreads = {
        "energy, eV/atom": np.array([float(one.energy_spread) for one in said]) / atoms,
        "force, eV/Å": np.concatenate([one.force_spread.numpy() for one in said]),
    }
    for name, error in errors.items():
        spread = spreads[name]
        ranks = spearmanr(error, spread).statistic
        print(
            f"{name}: mean error of the mean {error.mean():.5f}, mean spread {spread.mean():.5f}, "
            f"rank correlation {ranks:.2f}"
        )
        for low, high in ((0, 50), (50, 90), (90, 99), (99, 100)):
            edges = np.percentile(spread, [low, high])
            inside = (spread >= edges[0]) & (spread <= edges[1])
            print(f"  spread of rank {low}-{high} %: mean error {error[inside].mean():.5f}")


def main() -> int:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--folder", type=Path, required=True, help="checkpoints and the model")
    parser.add_argument("--minutes", type=float, help="wall time; the rest at the next start")
    parser.add_argument("--epochs", type=int, default=SETTINGS.epochs)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", type=int, default=0, help="seed of what is held out")
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, 8 epochs")
    parser.add_argument("--evaluate", action="store_true", help="evaluate the model in the folder")
    parser.add_argument("--curve", action="store_true", help="train on 5, 10, 20 and 40 percent")
    parser.add_argument("--ensemble", action="store_true", help="spread and errors of three models")
    parser.add_argument("--ghosts", action="store_true", help="compare 0 and 4 ghosts per frame")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        print(f"{DATA} is absent: nothing to train on")
        return 0
    torch.set_num_threads(1)
    frames = read_frames(arguments.split)
    settings = dataclasses.replace(SETTINGS, epochs=arguments.epochs, seed=arguments.seed)
    if arguments.evaluate:
        evaluate(sa.load_potential(arguments.folder / "model"), frames)
        return 0
    short = dataclasses.replace(settings, epochs=20, ema_decay=0.99)
    if arguments.ensemble:
        compare_spread(frames, short, arguments.folder)
        return 0
    if arguments.curve or arguments.ghosts:
        runs = [(0.1, 0), (0.1, 4)] if arguments.ghosts else [(f, 0) for f in (0.05, 0.1, 0.2, 0.4)]
        for fraction, ghosts in runs:
            part = fraction_of(frames, fraction, seed=0)
            name = f"{fraction}-{ghosts}"
            chosen = dataclasses.replace(short, ghosts=ghosts)
            evaluate(trained_on(part, chosen, arguments.folder / name, None).potential, part)
        return 0
    if arguments.quick:
        frames = fraction_of(frames, 0.1, seed=0)
        settings = dataclasses.replace(settings, epochs=8, ema_decay=0.99)
    trained = trained_on(frames, settings, arguments.folder, arguments.minutes)
    rows = evaluate(trained.potential, frames)
    model = arguments.folder / "model"
    save_trained(trained, model, frames=frames, settings=settings, metrics=rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
