"""The other side of ``training_versus_mace.py``: mace-torch alone, in a process of its own.

    .venv/bin/python benchmarks/mace_side.py JOB.json

mace-torch changes torch's default precision, the root logger and other global settings, so nothing
of softatoms is imported here. A job names files and settings; what was measured is written as JSON
to the file that it names, predictions beside it. Times are those of the processor, of one thread.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

LABEL_TOLERANCE = 1e-5
"""Largest relative difference of the labels in the trainer's batches from those of the file."""


def train(job: dict[str, Any]) -> dict[str, Any]:
    """Run mace-torch's own trainer.

    Args:
        job: ``arguments`` for its command line, and sums of the absolute labels of the training
            file (``labels``), which the batches have to repeat.

    Returns:
        Processor time of the training loop with its validations, without reading data, neighbour
        lists, and the tables of errors at the end; that of the last epoch; number of parameters;
        file of the model.
    """
    from mace import tools
    from mace.cli import run_train

    measured: dict[str, Any] = {}
    loop = tools.train
    parts = {name: loop.__globals__[name] for name in ("train_one_epoch", "evaluate")}
    last = dict.fromkeys(parts, 0.0)

    def watched(name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            started = time.process_time()
            result = parts[name](*arguments, **options)
            last[name] = time.process_time() - started
            return result

        return call

    def timed(**options: Any) -> None:
        measured["parameters"] = sum(
            parameter.numel() for parameter in options["model"].parameters()
        )
        measured["labels"] = _labels(options["train_loader"])
        for name, expected in job["labels"].items():
            found = measured["labels"][name]
            if not abs(found - expected) <= LABEL_TOLERANCE * abs(expected):
                raise SystemExit(f"mace-torch trains on other labels: {name} {found}, {expected}")
        loop.__globals__.update({name: watched(name) for name in parts})
        started = time.process_time()
        loop(**options)
        measured["seconds"] = time.process_time() - started
        measured["epoch"] = sum(last.values())

    run_train.tools.train = timed
    arguments = tools.build_default_arg_parser().parse_args(job["arguments"])
    run_train.run(arguments)
    folder = Path(arguments.model_dir).resolve()
    both = [folder / f"{arguments.name}{stage}.model" for stage in ("_stagetwo", "")]
    measured["model"] = str(next(path for path in both if path.is_file()))
    return measured


def _labels(loader: Any) -> dict[str, float]:
    """Sums of the absolute labels that have weight in the loss, over all batches but a cut end."""
    loader = type(loader)(loader.dataset, batch_size=32, shuffle=False, drop_last=False)
    sums = {"energy": 0.0, "forces": 0.0, "stress": 0.0}
    for batch in loader:
        for name in sums:
            values = getattr(batch, name).double().abs()
            weights = getattr(batch, f"{name}_weight").double()
            if name == "forces":
                weights = weights[batch.batch][:, None]
            elif name == "stress":
                weights = weights.reshape(-1, 1, 1)
            sums[name] += float((weights * values).sum())
    return sums


def predict(job: dict[str, Any]) -> dict[str, Any]:
    """Energies, forces and stresses of a file, and what they cost.

    Args:
        job: ``model``, ``frames`` (extended XYZ), ``predictions`` (where to put them), ``timed``
            (those to measure time on), ``batch`` (frames per batch).

    Returns:
        Processor seconds per atom for energies and forces: with its calculator, one structure at a
        time, and with its own loader in batches; neighbour lists are part of both.
    """
    import ase.io
    from mace import data
    from mace.calculators import MACECalculator
    from mace.tools import torch_geometric, utils

    torch.set_default_dtype(torch.float32)
    model = torch.load(job["model"], map_location="cpu", weights_only=False).float()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    structures = ase.io.read(job["frames"], index=":", format="extxyz")
    table = utils.AtomicNumberTable([int(number) for number in model.atomic_numbers])

    def batches(some: list[Any]) -> Any:
        return torch_geometric.dataloader.DataLoader(
            dataset=[
                data.AtomicData.from_config(
                    data.config_from_atoms(atoms),
                    z_table=table,
                    cutoff=float(model.r_max),
                    heads=model.heads,
                )
                for atoms in some
            ],
            batch_size=job["batch"],
            shuffle=False,
            drop_last=False,
        )

    energies: list[float] = []
    forces, stresses = [], []
    for batch in batches(structures):
        found = model(batch.to_dict(), compute_stress=True)
        energies += found["energy"].double().tolist()
        forces.append(found["forces"].double().numpy())
        stresses.append(found["stress"].double().numpy())
    np.savez(
        job["predictions"],
        energies=np.array(energies),
        forces=np.concatenate(forces),
        stresses=np.concatenate(stresses),
    )
    some = ase.io.read(job["timed"], index=":", format="extxyz")
    atoms = sum(map(len, some))

    def in_batches() -> None:
        for batch in batches(some):
            model(batch.to_dict(), compute_stress=False)

    calculator = MACECalculator(models=[model], device="cpu", default_dtype="float32")

    def one_by_one() -> None:
        for structure in some:
            lone = structure.copy()
            lone.calc = calculator
            lone.get_forces()

    seconds = {"batched": in_batches, "calculator": one_by_one}
    return {"costs": {name: _seconds(call) / atoms for name, call in seconds.items()}}


def _seconds(call: Any) -> float:
    """Processor time of a call, the least of three after one that warms up."""
    call()
    times = []
    for _ in range(3):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return min(times)


def main() -> int:
    """Do the job that the file on the command line describes."""
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    # mace-torch has to be imported before e3nn, which then finds its tables of constants.
    import mace.modules  # noqa: F401

    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    result = {"train": train, "predict": predict}[job["task"]](job)
    Path(job["result"]).write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
