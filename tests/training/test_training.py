"""The loop: what it learns, when it ends, and that interruptions leave no trace."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_frames import ELEMENTS, dataset, fresh, quick

import softatoms as sa
from softatoms.dataset.frames import Frame
from softatoms.training import LossSettings, Trained, TrainingSettings, train
from softatoms.training.card import save_trained
from softatoms.training.checkpoints import FILE
from softatoms.training.examples import FrameError
from softatoms.training.metrics import metric_rows, predictions
from softatoms.training.optimisation import LearningRate, RunningAverage


def same_state(first: sa.Potential, second: sa.Potential) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return list(one) == list(two) and all(torch.equal(one[key], two[key]) for key in one)


def without_times(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "atoms_per_second"} for row in history]


def test_a_network_learns_a_potential() -> None:
    settings = quick(epochs=40, loss=LossSettings(kind="huber"))
    start = fresh(n_features=16)
    trained = train(start, dataset(60), settings)
    frames = [frame for frame in dataset(60) if frame.split == "test"]
    rows = {
        row["quantity"]: row
        for row in metric_rows("m", predictions(trained.potential, frames))
        if row["group"] == row["element"] == "all"
    }
    energies = np.array([frame.energy / frame.n_sites for frame in frames if frame.energy])
    forces = np.concatenate([frame.forces for frame in frames if frame.forces is not None])
    # The mean predictor: the mean energy and no force.
    assert rows["energy"]["rmse"] < 0.15 * energies.std()
    assert rows["force"]["rmse"] < 0.35 * np.sqrt((forces**2).mean())
    assert rows["energy"]["mae"] < 0.02
    assert rows["force"]["mae"] < 0.25
    first, last = trained.history[0], trained.history[-1]
    assert last["validation_loss"] < 0.2 * first["validation_loss"]
    assert trained.status == "finished"
    assert not any(parameter.requires_grad for parameter in trained.potential.parameters())


def test_the_start_is_left_alone() -> None:
    start = fresh()
    before = start.sha256()
    trained = train(start, dataset(), quick(epochs=1))
    assert start.sha256() == before
    assert trained.potential.sha256() != before
    assert next(start.parameters()).dtype == torch.float64


def test_every_network_trains() -> None:
    trained = train(fresh("schnet"), dataset(), quick(epochs=6))
    losses = [row["train_loss"] for row in trained.history]
    assert losses[-1] < 0.5 * losses[0]


def test_twice_the_same_is_the_same() -> None:
    first, second = (train(fresh(), dataset(), quick()) for _ in range(2))
    assert same_state(first.potential, second.potential)
    assert without_times(first.history) == without_times(second.history)
    other = train(fresh(), dataset(), quick(seed=1))
    assert not same_state(first.potential, other.potential)


class InterruptionError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_an_interrupted_training_ends_the_same(tmp_path: Path, schedule: str) -> None:
    settings = quick(schedule=schedule, plateau_epochs=1, ghosts=1, optimiser="adamw")
    whole = train(fresh(), dataset(), settings)

    def interrupt(row: dict[str, Any]) -> None:
        if row["epoch"] == 2:
            raise InterruptionError

    with pytest.raises(InterruptionError):
        train(fresh(), dataset(), settings, folder=tmp_path, report=interrupt)
    resumed = train(fresh(), dataset(), settings, folder=tmp_path)
    assert same_state(whole.potential, resumed.potential)
    assert without_times(whole.history) == without_times(resumed.history)
    again = train(fresh(), dataset(), settings, folder=tmp_path)
    assert same_state(whole.potential, again.potential)


def test_sigterm_stops_within_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(fresh(), dataset(), quick())
    update = RunningAverage.update

    def counting(self: RunningAverage, parameters: Any, step: int) -> None:
        update(self, parameters, step)
        if step == 9:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(RunningAverage, "update", counting)
    stopped = train(fresh(), dataset(), quick(), folder=tmp_path)
    monkeypatch.undo()
    assert stopped.status == "stopped"
    assert "SIGTERM" in stopped.reason
    assert stopped.steps == 9
    assert len(stopped.history) == 1
    resumed = train(fresh(), dataset(), quick(), folder=tmp_path)
    assert resumed.status == "finished"
    assert same_state(whole.potential, resumed.potential)
    assert without_times(whole.history) == without_times(resumed.history)


def test_wall_time_stops_in_time(tmp_path: Path) -> None:
    stopped = train(fresh(), dataset(), quick(epochs=10_000), folder=tmp_path, wall_time=1.0)
    assert stopped.status == "stopped"
    assert "wall time" in stopped.reason
    assert (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    ("change", "word"),
    [({"seed": 3}, "settings"), ({"frames": 37}, "frames"), ({"start": 5}, "potential")],
)
def test_a_checkpoint_of_something_else_is_refused(
    tmp_path: Path, change: dict[str, int], word: str
) -> None:
    train(fresh(), dataset(), quick(epochs=1), folder=tmp_path)
    frames = dataset()[: change.get("frames", 40)]
    with pytest.raises(sa.CheckpointError, match=f"another training: .*{word}"):
        train(
            fresh(seed=change.get("start", 0)),
            frames,
            quick(epochs=1, seed=change.get("seed", 0)),
            folder=tmp_path,
        )


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"nothing")
    with pytest.raises(sa.CheckpointError, match="damaged"):
        train(fresh(), dataset(), quick(epochs=1), folder=tmp_path)


def test_early_stop_returns_the_best_epoch() -> None:
    trained = train(fresh(), dataset(), quick(epochs=200, patience=2, learning_rate=0.05))
    assert trained.status == "no more gain"
    assert len(trained.history) == trained.best_epoch + 2
    losses = [row["validation_loss"] for row in trained.history]
    assert trained.best_epoch == 1 + int(np.argmin(losses))
    part = [frame for frame in dataset() if frame.split == "validation"]
    rows = metric_rows("m", predictions(trained.potential, part))
    energy = next(row for row in rows if row["quantity"] == "energy" and row["group"] == "all")
    best = trained.history[trained.best_epoch - 1]
    assert energy["rmse"] == pytest.approx(best["validation_energy_rmse_ev_per_atom"], rel=1e-4)


def test_without_validation_the_last_epoch_counts() -> None:
    frames = [replace(frame, split="") for frame in dataset()[:10]]
    trained = train(fresh(), frames, quick(epochs=2))  # type: ignore[arg-type]
    assert trained.best_epoch == 2
    assert trained.history[-1]["validation_loss"] is None


def test_running_average() -> None:
    parameter = torch.nn.Parameter(torch.tensor([1.0]))
    average = RunningAverage([parameter], 0.5)
    expected = 1.0
    for step in range(1, 6):
        parameter.data[0] = float(step)
        average.update([parameter], step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        assert float(average.values[0]) == pytest.approx(expected, rel=1e-6)
    followed = RunningAverage([parameter], 0.0)
    parameter.data[0] = 7.0
    followed.update([parameter], 1)
    assert float(followed.values[0]) == 7.0


def test_the_average_is_what_is_saved() -> None:
    slow, none = (
        train(fresh(), dataset(), quick(epochs=1, ema_decay=decay)) for decay in (0.99, 0.0)
    )
    assert not same_state(slow.potential, none.potential)


def test_learning_rates() -> None:
    cosine = LearningRate(TrainingSettings(epochs=11, learning_rate=1.0, smallest_rate=0.1))
    assert cosine.rate(0.5) == pytest.approx(0.5)
    assert cosine.rate(1.0) == pytest.approx(1.0)
    assert cosine.rate(6.0) == pytest.approx(0.55)
    assert cosine.rate(11.0) == pytest.approx(0.1)
    plateau = LearningRate(
        TrainingSettings(schedule="plateau", learning_rate=1.0, plateau_epochs=2, warm_up=0.0)
    )
    rates = []
    for loss in (3.0, 2.0, 2.5, 2.0, 1.0, 1.0, 1.0):
        plateau.epoch_done(loss)
        rates.append(plateau.rate(5.0))
    assert rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]


@pytest.mark.parametrize("missing", ["energy", "forces", "stress"])
def test_frames_train_on_the_labels_they_have(missing: str) -> None:
    frames = [replace(frame, **{missing: None}) for frame in dataset()[:10]]  # type: ignore[arg-type]
    row = train(fresh(), frames, quick(epochs=1)).history[0]
    absent = {
        "energy": "train_energy_rmse_ev_per_atom",
        "forces": "train_forces_rmse_ev_per_ang",
        "stress": "train_stress_rmse_ev_per_ang3",
    }
    for name, column in absent.items():
        assert (row[column] is None) == (name == missing)


def test_failed_frames_are_left_out() -> None:
    broken = replace(dataset()[0], frame_id="broken", energy=float("nan"), status="failed")
    first = train(fresh(), [broken, *dataset()], quick(epochs=1))
    assert same_state(first.potential, train(fresh(), dataset(), quick(epochs=1)).potential)


def bad(**changes: Any) -> list[Frame]:
    return [*dataset()[1:10], replace(dataset()[0], frame_id="odd-one", **changes)]


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (bad(energy=float("nan")), "odd-one: energy is not finite"),
        (bad(forces=np.full((4, 3), np.inf)), "odd-one: forces is not finite"),
        (bad(energy=1e6), "odd-one: energy per atom of"),
        (bad(forces=np.full((4, 3), 1e5)), "odd-one: force of"),
        (bad(stress=np.full((3, 3), 1e3)), "odd-one: stress of"),
        (bad(energy=None, forces=None, stress=None), "odd-one: has neither"),
        (bad(split=""), "odd-one: has no split"),
        (bad(group="group-4"), "odd-one: is in 'train', but frame frame-04 of the same group"),
        ([*dataset()[:5], dataset()[0]], "frame-00: comes 2 times"),
        (bad(group="all"), "odd-one: its group 'all' is named as rows of tables"),
        (bad(group="system:Cu"), "odd-one: its group 'system:Cu' is named"),
        ([], "no frame to train on among 0"),
        ([dataset()[4]], "no frame to train on among 1"),
    ],
)
def test_unusable_frames_are_named(frames: list[Frame], message: str) -> None:
    with pytest.raises(FrameError, match=message):
        train(fresh(), frames, quick())


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_loss_of_labels_that_no_frame_has_is_refused(part: str) -> None:
    # A loss of 0 is no success: nothing would be learned, or the first epoch would be the best.
    loss = LossSettings(energy_weight=0.0)
    frames = [
        replace(frame, forces=None, stress=None) if frame.split == part else frame
        for frame in dataset()[:10]
    ]
    name = {"train": "training"}.get(part, part)
    with pytest.raises(FrameError, match=f"no {name} frame has forces or stress, which is all"):
        train(fresh(), frames, quick(loss=loss))


def test_unknown_elements_are_named() -> None:
    with pytest.raises(FrameError, match=r"frame-\d\d: the painn potential does not cover Au"):
        train(fresh(elements=["Cu"]), dataset(), quick(isolated_energies="keep"))


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(sa.OptionError, match="no parameters to train"):
        train(sa.load_potential("gupta", elements=ELEMENTS), dataset(), quick())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number"),
        ({"learning_rate": -1.0}, "learning_rate must be a positive"),
        ({"ema_decay": 1.0}, "ema_decay must be below 1"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"optimiser": "sgd"}, "unknown optimiser 'sgd'"),
        ({"isolated_energies": "keeep"}, "did you mean 'keep'"),
        ({"isolated_energies": {"Cu": float("nan")}}, "isolated_energies of Cu"),
    ],
)
def test_settings_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(sa.OptionError, match=message):
        quick(**changes)


def test_a_loss_of_nothing_is_refused() -> None:
    with pytest.raises(sa.OptionError, match="at least one weight"):
        LossSettings(energy_weight=0.0, forces_weight=0.0, stress_weight=0.0)


def test_a_trained_model_is_saved_with_its_card(tmp_path: Path) -> None:
    trained: Trained = train(fresh(), dataset(), quick(epochs=1))
    rows = metric_rows("m", predictions(trained.potential, dataset()))
    home = tmp_path / "run" / "model"
    save_trained(trained, home, frames=dataset(), settings=quick(epochs=1), metrics=rows)
    loaded = sa.load_potential(home)
    assert same_state(loaded, trained.potential)
    card = home.with_name("model.md").read_text()
    assert "| test | energy |" in card
    assert "Cu, Au" in card
    assert trained.potential.sha256()[:16] in card
