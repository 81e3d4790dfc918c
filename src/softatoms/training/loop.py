"""The training loop."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..dataset.frames import Frame
from ..errors import OptionError, SoftatomsError
from ..evaluation import check_device, check_dtype
from ..potentials.base import Potential
from ..runtime import keep_freed_memory
from ..stopping import Stopping
from . import checkpoints
from .augmentation import with_ghosts
from .batches import Labelled, collate, fixed_batches, shuffled_batches
from .checkpoints import Checkpoint
from .differentiable import predict
from .examples import (
    Example,
    group_importance,
    make_examples,
    refuse_unlabelled,
    split_frames,
)
from .loss import Penalties, errors, penalties, weighted
from .optimisation import (
    LearningRate,
    RunningAverage,
    clip,
    copy_into,
    frozen_names,
    make_optimiser,
    optimiser_tensors,
    restore_optimiser,
    set_rate,
    sizes_of,
)
from .reference_energies import refuse_absurd_labels, set_isolated_energies
from .settings import TrainingSettings

RMSE = ("energy_rmse_ev_per_atom", "forces_rmse_ev_per_ang", "stress_rmse_ev_per_ang3")
"""Columns of the history with root mean square errors, one per quantity."""

Status = Literal["finished", "no more gain", "stopped"]


class TrainingError(SoftatomsError):
    """A training that cannot go on."""


@dataclass(frozen=True)
class Trained:
    """What came out of a training.

    Attributes:
        potential: The potential with the averaged parameters of the best epoch, in the precision
            of the training, frozen.
        history: One row of the table ``training_history`` per epoch.
        best_epoch: Epoch with the smallest validation loss, counted from 1; the last one without
            validation frames; 0 if none was completed.
        steps: Number of steps of the optimiser.
        status: ``finished``, ``no more gain`` (early stop) or ``stopped`` before its end.
        reason: Why it stopped, empty if it ended by itself.
    """

    potential: Potential
    history: list[dict[str, Any]]
    best_epoch: int
    steps: int
    status: Status
    reason: str


def train(
    potential: Potential,
    frames: Sequence[Frame],
    settings: TrainingSettings | None = None,
    *,
    folder: str | Path | None = None,
    wall_time: float | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> Trained:
    """Train a potential on the energies, forces and stresses of frames.

    Args:
        potential: Where to start; it is left as it is.
        frames: Labelled frames. Those of the split ``train`` are trained on, those of
            ``validation`` choose the best epoch, those of ``test`` are not looked at. If no frame
            has a split, all are trained on.
        settings: What to do.
        folder: Where to keep a checkpoint, from which an interrupted training goes on; None keeps
            nothing.
        wall_time: Seconds after which to stop with a checkpoint. SIGTERM stops as well.
        report: Is told the row of every epoch.

    Returns:
        The trained potential and how it came about.

    Raises:
        FrameError: If a frame cannot be trained on.
        TrainingError: If the loss is no longer finite.
    """
    chosen = TrainingSettings() if settings is None else settings
    training, validation = split_frames(frames)
    trainer = _Trainer(potential, training, validation, chosen, folder)
    with Stopping(listens=True, wall_time=wall_time) as stopping:
        return trainer.run(stopping, report)


class _Trainer:
    """One training, from its start or from a checkpoint.

    Args:
        potential: Where to start.
        training: Frames to train on.
        validation: Frames to choose the best epoch by.
        settings: What to do.
        folder: Where to keep a checkpoint, or None.
    """

    def __init__(
        self,
        potential: Potential,
        training: Sequence[Frame],
        validation: Sequence[Frame],
        settings: TrainingSettings,
        folder: str | Path | None,
    ) -> None:
        self.settings = settings
        self.folder = None if folder is None else Path(folder)
        self.own = checkpoints.identity(potential, training, validation, settings)
        self.device, self.dtype = check_device(settings.device), check_dtype(settings.dtype)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.model = copy.deepcopy(potential).to(device=self.device, dtype=self.dtype)
        named = [*self.model.named_parameters()]
        if not named:
            raise OptionError(f"the {potential.name} potential has no parameters to train")
        frozen = frozen_names([name for name, _ in named], settings.frozen)
        for _, parameter in named:
            parameter.requires_grad_(False)
        named = [(name, parameter) for name, parameter in named if name not in frozen]
        self.names = [name for name, _ in named]
        self.parameters: list[nn.Parameter] = [parameter for _, parameter in named]
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        refuse_unlabelled(training, settings.loss, what="training")
        refuse_unlabelled(validation, settings.loss, what="validation")
        self.importance = group_importance([*training, *validation], settings.group_weights)
        self.examples = make_examples(training, self.model)
        held_out = make_examples(validation, self.model)
        set_isolated_energies(
            self.model, training, settings.isolated_energies, self._training_energies
        )
        refuse_absurd_labels([*training, *validation], self.model, settings)
        self.validation = [
            self._collate([held_out[index] for index in indices])
            for indices in fixed_batches(held_out, settings.atoms_per_batch)
        ]
        self.sizes = sizes_of(self.parameters) if self.model.has_relative_steps else None
        self.optimiser = make_optimiser(self.parameters, settings, self.sizes)
        self.rate = LearningRate(settings)
        self.average = RunningAverage(self.parameters, settings.ema_decay)
        self.best = [value.clone() for value in self.average.values]
        self.best_loss, self.best_epoch = math.inf, 0
        self.epoch = self.batch = self.steps = 0
        self.history: list[dict[str, Any]] = []
        self._clear_sums()

    def run(self, stopping: Stopping, report: Callable[[dict[str, Any]], None] | None) -> Trained:
        """Train until the end, an early stop, or whatever comes before."""
        self._resume()
        reason = ""
        saved = time.monotonic()
        while not self._is_over() and not reason:
            batches = self._batches()
            started, atoms = time.monotonic(), 0
            while self.batch < len(batches) and not reason:
                atoms += self._step(batches[self.batch], len(batches))
                stopping.step_done()
                reason = stopping.reason()
                if time.monotonic() - saved > 60.0 * self.settings.checkpoint_minutes:
                    self._save(stopping)
                    saved = time.monotonic()
            is_whole = self.batch == len(batches)
            if is_whole:
                self._end_epoch(atoms / (time.monotonic() - started))
                stopping.step_done()
                reason = stopping.reason()
            self._save(stopping)
            saved = time.monotonic()
            if is_whole and report is not None:
                report(self.history[-1])
        copy_into(self.parameters, self.best)
        for parameter in self.parameters:
            parameter.requires_grad_(False)
        status: Status = "finished" if self.epoch == self.settings.epochs else "no more gain"
        if not self._is_over():
            status = "stopped"
        return Trained(
            potential=self.model,
            history=self.history,
            best_epoch=self.best_epoch,
            steps=self.steps,
            status=status,
            reason=reason if status == "stopped" else "",
        )

    def _is_over(self) -> bool:
        patience = self.settings.patience
        if self.epoch >= self.settings.epochs:
            return True
        return patience is not None and self.epoch - self.best_epoch >= patience

    def _batches(self) -> list[list[Example]]:
        settings = self.settings
        order = shuffled_batches(self.examples, settings.atoms_per_batch, settings.seed, self.epoch)
        return [[self.examples[index] for index in batch] for batch in order]

    def _collate(self, examples: Sequence[Example]) -> Labelled:
        return collate(examples, self.model.cutoff, self.dtype, self.device, self.importance)

    def _step(self, examples: list[Example], n_batches: int) -> int:
        """One step of the optimiser; returns the number of nodes that were evaluated."""
        settings = self.settings
        if settings.ghosts:
            examples = [
                with_ghosts(
                    example.frame,
                    self.model,
                    settings.ghosts,
                    seed=(settings.seed, self.epoch, self.batch, index),
                )
                for index, example in enumerate(examples)
            ]
        set_rate(self.optimiser, self.rate.rate(self.epoch + self.batch / n_batches))
        found = self._penalties(self._collate(examples), differentiable=True)
        loss = weighted(found.means(), settings.loss)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = clip(self.parameters, settings.largest_gradient, self.sizes)
        if not math.isfinite(norm):
            raise TrainingError(
                f"epoch {self.epoch + 1}: the gradient is not finite on frames "
                f"{', '.join(example.frame.frame_id for example in examples[:5])}; lower the "
                "learning rate or look at these frames"
            )
        self.optimiser.step()
        self.steps += 1
        self.batch += 1
        self.average.update(self.parameters, self.steps)
        self.sums += torch.stack(found).detach().cpu()
        self.norm_sum += norm
        return sum(example.nodes for example in examples)

    def _penalties(self, labelled: Labelled, *, differentiable: bool) -> Penalties:
        loss = self.settings.loss
        predicted = predict(
            self.model,
            labelled.batch,
            labelled.geometry,
            labelled.weights,
            labelled.cells,
            coupling=self.settings.coupling,
            forces=loss.forces_weight > 0.0,
            stresses=loss.stress_weight > 0.0,
            differentiable=differentiable,
        )
        return penalties(errors(predicted, labelled), loss)

    def _end_epoch(self, atoms_per_second: float) -> None:
        settings = self.settings
        seen, held_out = Penalties(*self.sums), self._validate()
        row: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "steps": self.steps,
            "learning_rate": self.rate.rate(self.epoch + 1.0),
        }
        for part, found in (("train", seen), ("validation", held_out)):
            loss = None if found is None else float(weighted(found.means(), settings.loss))
            row[f"{part}_loss"] = loss
            roots = [None] * 3 if found is None else found.rmse()
            row |= {f"{part}_{name}": root for name, root in zip(RMSE, roots, strict=True)}
        row["gradient_norm"] = self.norm_sum / self.batch
        row["atoms_per_second"] = atoms_per_second
        self.history.append(row)
        loss = row["train_loss"] if held_out is None else row["validation_loss"]
        self.rate.epoch_done(loss)
        self.epoch += 1
        self.batch = 0
        self._clear_sums()
        if held_out is None or loss < self.best_loss:
            self.best_loss = loss
            self.best_epoch = self.epoch
            self.best = [value.clone() for value in self.average.values]

    def _training_energies(self) -> NDArray[np.float64]:
        """Energies in eV that the potential predicts for the training frames."""
        energies = np.zeros(len(self.examples))
        for indices in fixed_batches(self.examples, self.settings.atoms_per_batch):
            part = self._collate([self.examples[index] for index in indices])
            found = predict(
                self.model,
                part.batch,
                part.geometry,
                part.weights,
                part.cells,
                coupling=self.settings.coupling,
                forces=False,
                stresses=False,
                differentiable=False,
            )
            energies[indices] = found.energies.cpu().numpy()
        return energies

    def _validate(self) -> Penalties | None:
        """Penalties of the validation frames with the averaged parameters."""
        if not self.validation:
            return None
        live = [parameter.detach().clone() for parameter in self.parameters]
        copy_into(self.parameters, self.average.values)
        sums = torch.zeros((3, 3), dtype=torch.float64)
        for part in self.validation:
            sums += torch.stack(self._penalties(part, differentiable=False)).cpu()
        copy_into(self.parameters, live)
        return Penalties(*sums)

    def _clear_sums(self) -> None:
        self.sums = torch.zeros((3, 3), dtype=torch.float64)
        self.norm_sum = 0.0

    def _save(self, stopping: Stopping) -> None:
        if self.folder is None:
            return
        tensors: dict[str, Tensor] = {"sums": self.sums}
        tensors |= {
            f"optimiser/{name}": tensor
            for name, tensor in optimiser_tensors(
                self.optimiser, self.names, self.parameters
            ).items()
        }
        for kind, values in (
            ("live", self.parameters),
            ("average", self.average.values),
            ("best", self.best),
        ):
            tensors |= {
                f"{kind}/{name}": value for name, value in zip(self.names, values, strict=True)
            }
        about = {
            "epoch": self.epoch,
            "batch": self.batch,
            "steps": self.steps,
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
            "norm_sum": self.norm_sum,
            "rate": self.rate.state(),
            "history": self.history,
        }
        checkpoints.save(self.folder, Checkpoint(tensors, about), self.own)
        stopping.save_done()

    def _resume(self) -> None:
        found = None if self.folder is None else checkpoints.load(self.folder, self.own)
        if found is None:
            return
        about = found.about
        for name in ("epoch", "batch", "steps", "best_loss", "best_epoch", "norm_sum", "history"):
            setattr(self, name, about[name])
        self.rate.restore(about["rate"])
        self.sums = found.tensors["sums"]
        parts = {kind: found.part(kind) for kind in ("live", "average", "best")}
        copy_into(self.parameters, [parts["live"][name] for name in self.names])
        self.average.values = [
            parts["average"][name].to(self.device).clone() for name in self.names
        ]
        self.best = [parts["best"][name].to(self.device).clone() for name in self.names]
        restore_optimiser(self.optimiser, self.names, self.parameters, found.part("optimiser"))
