"""PaiNN trained here against MACE trained by mace-torch, on the same frames in the same time.

    .venv/bin/python benchmarks/training_versus_mace.py [--folder /tmp/versus] [--minutes 12]
        [--data nbmotaw|cu] [--fraction 0.2] [--epochs 87 22] [--finetune 0] [--quick]

Both get the training, validation and test frames of the campaigns of ``training_dft.py``
(--fraction keeps a part of the training frames) and the same processor
time of one thread each, which a busy machine changes less than wall time. Two epochs of each are
trained first to see how many fit, unless --epochs says it (PaiNN, MACE). Then both train at the
same time, so that what else the machine does meets both. MACE is trained by mace-torch's own
command in another process, see ``mace_side.py``. With --finetune MINUTES the model that mace-torch
trained is then trained here on twice as many frames; --model does only this to a model that is
there already. Errors are computed by the same code for all. Run it with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import softatoms as sa
import training_dft
from softatoms.config import CampaignConfig
from softatoms.dataset.extxyz_frames import write_extxyz
from softatoms.dataset.frames import Frame
from softatoms.potentials.base import Potential
from softatoms.training import TrainingSettings, train
from softatoms.training.ensemble import fraction_of
from softatoms.training.metrics import Prediction, metric_rows, predictions
from softatoms.training.stage import epoch_line

HERE = Path(__file__).resolve().parent
CUTOFF = 5.0
BATCH = 16
"""Frames evaluated together where time is measured."""

MACE_SETTINGS = {
    # Two layers of 32 scalar channels, products of three messages: the smallest of the forms in
    # which MACE is published ("small": max_L=0), with fewer channels, as training on a CPU needs.
    "model": "MACE",
    "num_interactions": 2,
    "num_channels": 32,
    "max_L": 0,
    "max_ell": 3,
    "correlation": 3,
    "num_radial_basis": 8,
    "num_cutoff_basis": 5,
    "radial_MLP": "[32, 32, 32]",
    "MLP_irreps": "16x0e",
    "r_max": CUTOFF,
    # Optimiser, schedule and second stage as in the documentation of mace-torch.
    "lr": 0.01,
    "weight_decay": 5e-7,
    "clip_grad": 10,
    "ema_decay": 0.99,
    "batch_size": 5,
    "valid_batch_size": 32,
    "scheduler_patience": 5,
    "E0s": "average",
    "forces_weight": 100,
    "energy_weight": 1,
    "stress_weight": 100,
    "swa_forces_weight": 100,
    "swa_energy_weight": 1000,
    "swa_stress_weight": 1000,
    "default_dtype": "float32",
    "device": "cpu",
    "error_table": "PerAtomRMSE",
    "plot": "False",
}


@dataclasses.dataclass
class Side:
    """What one of the models took and gave.

    Attributes:
        name: What it is.
        parameters: Number of trained numbers.
        epochs: Passes through the training frames.
        seconds: Processor time of its training.
        atoms: Atoms trained on, each as often as there were epochs.
        found: What it says of the test frames.
        costs: Processor time in µs per atom for energies and forces, by way of evaluation.
    """

    name: str
    parameters: int
    epochs: int
    seconds: float
    atoms: int
    found: list[Prediction]
    costs: dict[str, float]


def mace(task: str, folder: Path, **job: Any) -> Callable[[], dict[str, Any]]:
    """Start a job of the other side; returns what waits for its result."""
    description = folder / f"{task}.json"
    result, log = folder / f"{task}.result.json", folder / f"{task}.log"
    result.unlink(missing_ok=True)
    description.write_text(json.dumps({"task": task, "result": str(result), **job}))
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "mace_side.py"), str(description)],
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )

    def wait() -> dict[str, Any]:
        if process.wait() or not result.is_file():
            sys.stderr.write("".join(log.read_text().splitlines(keepends=True)[-15:]))
            raise SystemExit(f"mace-torch failed; {log} has all it said")
        found: dict[str, Any] = json.loads(result.read_text())
        return found

    return wait


def mace_training(
    folder: Path, frames: Sequence[Frame], epochs: int
) -> Callable[[], dict[str, Any]]:
    """Start mace-torch's trainer for some epochs."""
    # At its end mace-torch loads what has the highest epoch, of whatever training.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = {}
    for split, option in (("train", "train_file"), ("validation", "valid_file")):
        files[option] = str(folder / f"{split}.xyz")
        write_extxyz(files[option], [frame for frame in frames if frame.split == split])
    has_stress = frames[0].stress is not None
    options = {"name": "mace", "seed": 0, "max_num_epochs": epochs, **files, **MACE_SETTINGS}
    arguments = [f"--{key}={value}" for key, value in options.items()]
    arguments += ["--ema", f"--loss={'stress' if has_stress else 'weighted'}"]
    arguments += [f"--compute_stress={has_stress}"]
    if epochs > 3:
        arguments += ["--swa", f"--start_swa={3 * epochs // 4}"]
    training = [frame for frame in frames if frame.split == "train"]
    labels = {
        "energy": sum(abs(float(frame.energy or 0.0)) for frame in training),
        "forces": sum(_absolute(frame.forces) for frame in training),
        "stress": sum(_absolute(frame.stress) for frame in training),
    }
    return mace("train", folder, arguments=arguments, labels=labels)


def _absolute(values: Any) -> float:
    return 0.0 if values is None else float(np.abs(values).sum())


def painn_training(
    config: CampaignConfig, frames: Sequence[Frame], epochs: int
) -> tuple[Potential, list[float]]:
    """Train PaiNN; returns it and the processor time at the end of every epoch."""
    options, settings = training_dft.network_of(config)
    settings = dataclasses.replace(settings, epochs=epochs)
    start = sa.load_potential("painn", **{**options, "cutoff": CUTOFF}, seed=0)
    return trained_here(start, frames, settings)


def trained_here(
    start: Potential, frames: Sequence[Frame], settings: TrainingSettings
) -> tuple[Potential, list[float]]:
    """Train a potential; returns it and the processor time at the end of every epoch.

    Validations and neighbour lists are part of it.
    """
    if frames[0].stress is None:
        loss = dataclasses.replace(settings.loss, stress_weight=0.0)
        settings = dataclasses.replace(settings, loss=loss)
    ends: list[float] = []
    started = time.process_time()

    def report(row: dict[str, Any]) -> None:
        ends.append(time.process_time() - started)
        if row["epoch"] % max(1, settings.epochs // 10) == 0:
            print(epoch_line(row), flush=True)

    return train(start, frames, settings, report=report).potential, ends


def cost(potential: Potential, frames: Sequence[Frame]) -> dict[str, float]:
    """Processor time for energies and forces in µs per atom, neighbour lists included."""
    atoms = sum(frame.n_sites for frame in frames)
    structures = [frame.soft.to_ase() for frame in frames]

    def in_batches() -> None:
        for first in range(0, len(frames), BATCH):
            some = [frame.soft for frame in frames[first : first + BATCH]]
            sa.evaluate_batch(potential, some, properties=("forces",), dtype="float32")

    def one_by_one() -> None:
        for structure in structures:
            soft = sa.SoftAtoms.from_ase(structure)
            lone = structure.copy()
            lone.calc = sa.SoftCalculator(potential, soft, dtype="float32", skin=0.0)
            lone.get_forces()

    seconds = {"batched": in_batches, "calculator": one_by_one}
    return {name: 1e6 * _least_seconds(call) / atoms for name, call in seconds.items()}


def _least_seconds(call: Callable[[], None]) -> float:
    """Processor time of a call, the least of three after one that warms up."""
    call()
    times = []
    for _ in range(3):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return min(times)


def predictions_of_mace(path: Path, frames: Sequence[Frame]) -> list[Prediction]:
    """What mace-torch itself said of frames."""
    with np.load(path) as found:
        ends = np.cumsum([frame.n_sites for frame in frames])[:-1]
        rows = zip(
            frames,
            found["energies"].tolist(),
            np.split(found["forces"], ends),
            found["stresses"],
            strict=True,
        )
        return [
            Prediction(frame, float(frame.n_sites), energy, forces, stress)
            for frame, energy, forces, stress in rows
        ]


def largest_difference(first: Sequence[Prediction], second: Sequence[Prediction]) -> str:
    """How far two evaluations of one model are apart, in meV/atom and meV/Å."""
    energy = max(abs(a.energy - b.energy) / a.atoms for a, b in zip(first, second, strict=True))
    force = max(np.abs(a.forces - b.forces).max() for a, b in zip(first, second, strict=True))
    return f"{1e3 * energy:.3f} meV/atom, {1e3 * force:.3f} meV/Å"


def table(sides: Sequence[Side]) -> None:
    """Print everything side by side."""
    errors = [
        {
            row["quantity"]: row
            for row in metric_rows(side.name, side.found)
            if row["group"] == row["element"] == "all"
        }
        for side in sides
    ]
    print(f"\n| {'':34s} |" + "".join(f" {side.name:>22s} |" for side in sides))
    print(f"|{'-' * 36}|" + f"{'-' * 23}:|" * len(sides))
    for quantity, factor, unit in (
        ("energy", 1e3, "meV/atom"),
        ("force", 1e3, "meV/Å"),
        ("stress", 1e3, "meV/Å³"),
    ):
        if quantity in errors[0]:
            _row(
                f"test {quantity} MAE / RMSE, {unit}",
                [
                    f"{factor * own[quantity]['mae']:.2f} / {factor * own[quantity]['rmse']:.2f}"
                    for own in errors
                ],
            )
    _row("parameters", [f"{side.parameters}" for side in sides])
    _row("epochs", [f"{side.epochs}" for side in sides])
    _row("training, s of processor time", [f"{side.seconds:.0f}" for side in sides])
    _row(
        "training, atoms/s",
        [f"{side.atoms / side.seconds:.0f}" if side.seconds else "–" for side in sides],
    )
    for name in sides[0].costs:
        _row(f"E and F, {name}, µs/atom", [f"{side.costs[name]:.0f}" for side in sides])


def _row(name: str, values: Sequence[str]) -> None:
    print(f"| {name:34s} |" + "".join(f" {value:>22s} |" for value in values), flush=True)


def epochs_within(
    config: CampaignConfig, seconds: float, frames: Sequence[Frame], folder: Path
) -> tuple[int, int]:
    """How many epochs of PaiNN and of MACE fit into some processor time; trains two of each."""
    _, (first, second) = painn_training(config, frames, 2)
    painn = second - first
    other = mace_training(folder / "calibration", frames, 2)()["epoch"]
    print(f"one epoch takes PaiNN {painn:.1f} s, MACE {other:.1f} s", flush=True)
    return max(1, int(seconds / painn)), max(1, int(seconds / other))


def compare(
    config: CampaignConfig, frames: Sequence[Frame], folder: Path, epochs: tuple[int, int]
) -> tuple[list[Side], str]:
    """Train both, evaluate both on the test frames; also the file of MACE."""
    test = [frame for frame in frames if frame.split == "test"]
    n_train = sum(frame.n_sites for frame in frames if frame.split == "train")
    n_painn, n_mace = epochs
    print(f"{n_painn} epochs of PaiNN, {n_mace} of MACE", flush=True)
    wait = mace_training(folder / "mace", frames, n_mace)
    painn, ends = painn_training(config, frames, n_painn)
    ran = wait()
    write_extxyz(folder / "test.xyz", test)
    timed = test[:: max(1, len(test) // 64)]
    write_extxyz(folder / "timed.xyz", timed)
    own = mace(
        "predict",
        folder,
        model=ran["model"],
        frames=str(folder / "test.xyz"),
        timed=str(folder / "timed.xyz"),
        predictions=str(folder / "predictions.npz"),
        batch=BATCH,
    )()
    converted = sa.load_potential("mace", path=ran["model"], trust=True)
    found = predictions_of_mace(folder / "predictions.npz", test)
    again = predictions(converted, test)
    print(f"MACE here and in mace-torch differ by {largest_difference(again, found)} at most")
    common = (ran["parameters"], n_mace, ran["seconds"], n_train * n_mace)
    costs = {name: 1e6 * value for name, value in own["costs"].items()}
    size = sum(parameter.numel() for parameter in painn.parameters())
    sides = [
        Side(
            "PaiNN",
            size,
            n_painn,
            ends[-1],
            n_train * n_painn,
            predictions(painn, test),
            cost(painn, timed),
        ),
        Side("MACE (mace-torch)", *common, found, costs),
        Side("MACE (evaluated here)", *common, again, cost(converted, timed)),
    ]
    return sides, ran["model"]


def finetune(
    config: CampaignConfig, frames: Sequence[Frame], fraction: float, model: str, minutes: float
) -> list[Side]:
    """Train a model of mace-torch on twice as many frames, here; before and after."""
    more = fraction_of(frames, min(1.0, 2.0 * fraction), seed=0)
    test = [frame for frame in frames if frame.split == "test"]
    atoms = sum(frame.n_sites for frame in more if frame.split == "train")
    # The energies of atoms were fitted to the same calculations.
    settings = dataclasses.replace(
        training_dft.network_of(config)[1],
        learning_rate=0.003,
        ema_decay=0.99,
        isolated_energies="keep",
        epochs=2,
    )
    start = sa.load_potential("mace", path=model, trust=True)
    size = sum(parameter.numel() for parameter in start.parameters())
    before = Side("MACE of mace-torch", size, 0, 0.0, 0, predictions(start, test), {})
    _, (first, second) = trained_here(start, more, settings)
    epochs = max(2, int(60.0 * minutes / (second - first)))
    tuned, ends = trained_here(start, more, dataclasses.replace(settings, epochs=epochs))
    found = predictions(tuned, test)
    return [before, Side("trained on here", size, epochs, ends[-1], atoms * epochs, found, {})]


def main() -> int:
    """Parse the command line and compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--folder", type=Path, default=Path("build/training_versus_mace"), help="for all files"
    )
    parser.add_argument("--minutes", type=float, default=12.0, help="processor time of each")
    parser.add_argument("--data", choices=("nbmotaw", "cu"), default="nbmotaw")
    parser.add_argument("--fraction", type=float, default=0.2, help="of the training frames")
    parser.add_argument("--epochs", type=int, nargs=2, help="of PaiNN and of MACE")
    parser.add_argument("--finetune", type=float, default=0.0, help="minutes of training MACE here")
    parser.add_argument("--model", type=Path, help="of mace-torch: train only this one on")
    parser.add_argument("--quick", action="store_true", help="2 % of the frames, half a minute")
    arguments = parser.parse_args()
    if not training_dft.data_folder(arguments.data).is_dir():
        print(f"{training_dft.data_folder(arguments.data)} is absent: nothing to train on")
        return 0
    if importlib.util.find_spec("mace") is None:
        print("mace-torch is absent: nothing to compare with")
        return 0
    if arguments.quick:
        arguments.minutes, arguments.fraction = 0.5, 0.02 if arguments.data == "nbmotaw" else 0.5
    torch.set_num_threads(1)
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    config = training_dft.campaign(arguments.data)
    everything = training_dft.frames_of(config, folder / arguments.data)
    frames = fraction_of(everything, arguments.fraction, seed=0)
    counts = Counter(frame.split for frame in frames)
    atoms = sum(frame.n_sites for frame in frames if frame.split == "train")
    print(f"{arguments.data}: {dict(counts)} frames, {atoms} atoms to train on", flush=True)
    model = arguments.model
    if model is None:
        seconds = 60.0 * arguments.minutes
        epochs = arguments.epochs or epochs_within(config, seconds, frames, folder)
        sides, model = compare(config, frames, folder, tuple(epochs))
        table(sides)
    if arguments.finetune:
        fraction, minutes = arguments.fraction, arguments.finetune
        table(finetune(config, everything, fraction, str(model), minutes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
