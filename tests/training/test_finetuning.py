"""Training that goes on from models trained elsewhere: MACE and CHGNet."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from ase import Atoms
from training_frames import dataset, fresh, label, quick, structure

import softatoms as sa
from softatoms.cli import main
from softatoms.dataset.frames import Frame
from softatoms.dataset.parquet_frames import write_frames
from softatoms.potentials.registry import save_potential, with_seed
from softatoms.training import LossSettings, TrainingSettings, train
from softatoms.training.batches import collate
from softatoms.training.differentiable import predict
from softatoms.training.examples import make_examples
from softatoms.training.loss import errors, penalties, weighted
from softatoms.training.metrics import predictions
from softatoms.training.optimisation import clip, make_optimiser, set_rate
from tolerances import assert_close

ROOT = Path(__file__).resolve().parents[2]
MSE = LossSettings(kind="mse", energy_scale=1.0, forces_scale=1.0, stress_scale=1.0)


def pretrained(name: str) -> sa.Potential:
    """A model of ``SMALL`` in ``mace_package``, or the trained CHGNet, in float64."""
    if name == "chgnet":
        pytest.importorskip("chgnet")
        return sa.load_potential("chgnet").to(torch.float64)
    pytest.importorskip("mace")
    from potentials.mace_package import small

    return small(name)


def loss_of(potential: sa.Potential, frames: list[Frame], settings: LossSettings) -> torch.Tensor:
    examples = make_examples(frames, potential)
    part = collate(examples, potential.cutoff, torch.float64, torch.device("cpu"))
    predicted = predict(potential, part.batch, part.geometry, part.weights, part.cells)
    return weighted(penalties(errors(predicted, part), settings).means(), settings)


def same_state(first: sa.Potential, second: sa.Potential) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return list(one) == list(two) and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("name", ["density", "agnostic", "chgnet"])
@pytest.mark.parametrize("quantity", ["energy", "forces", "stress"])
def test_gradient_by_parameters_is_that_of_differences(name: str, quantity: str) -> None:
    potential = pretrained(name)
    weights = {f"{q}_weight": float(q == quantity) for q in ("energy", "forces", "stress")}
    settings = replace(MSE, **weights)
    frames = list(dataset()[:1] if name == "chgnet" else dataset()[1:3])
    parameters = list(potential.parameters())
    for parameter in parameters:
        parameter.requires_grad_(True)
    loss_of(potential, frames, settings).backward()
    generator = torch.Generator().manual_seed(0)
    directions = [
        torch.randn(p.shape, generator=generator, dtype=p.dtype) * p.detach().square().mean().sqrt()
        for p in parameters
    ]
    # All tensors at once, and one by one where that is quick and tells most.
    parts = [range(len(parameters))]
    if name != "chgnet" and quantity == "forces":
        parts = [range(index, index + 1) for index in range(len(parameters))]
    slopes, expected = [], []
    for part in parts:
        slopes.append(
            sum(
                float((parameters[i].grad * directions[i]).sum())  # type: ignore[operator]
                for i in part
                if parameters[i].grad is not None
            )
        )
        ends = []
        step = 1e-5 if name == "chgnet" else 1e-4
        for change in (step, -2 * step, 3 * step, -4 * step, 2 * step):
            for i in part:
                parameters[i].data += change * directions[i]
            ends.append(loss_of(potential, frames, settings).item())
        expected.append((8 * (ends[0] - ends[1]) - (ends[2] - ends[3])) / (12 * step))
    scale = max(map(abs, expected))
    assert scale > 0.0
    assert slopes == pytest.approx(expected, rel=1e-5, abs=1e-8 * scale)


@pytest.mark.parametrize("name", ["density", "agnostic"])
def test_all_that_mace_torch_trains_is_trained(name: str) -> None:
    pytest.importorskip("mace")
    from potentials.mace_package import SMALL, build, converted

    model = build(**SMALL[name])
    potential = converted(model)
    expected = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert sum(p.numel() for p in potential.parameters()) == expected
    assert not any(p.requires_grad for p in potential.parameters())
    # Tables, functions of the distance and the repulsion are given.
    fixed = {key.split(".")[-1].rstrip("_0123456789") for key, _ in potential.named_buffers()}
    assert {"isolated_energies", "rise", "nodes", "scale", "products"} <= fixed
    assert not fixed & {"weight", "mix", "last", "coefficients", "embedding", "density", "bias"}


def mace_settings(**changes: Any) -> TrainingSettings:
    return quick(**{"isolated_energies": "refit", "learning_rate": 0.003, **changes})


@pytest.mark.parametrize("name", ["density", "chgnet"])
def test_a_trained_model_learns_more(name: str, tmp_path: Path) -> None:
    potential = pretrained(name)
    before = potential.sha256()
    frames = list(dataset(10))
    epochs, rate = (3, 1e-3) if name == "chgnet" else (8, 0.02)
    settings = mace_settings(epochs=epochs, learning_rate=rate)
    trained = train(potential, frames, settings)
    losses = [row["train_loss"] for row in trained.history]
    assert losses[-1] < 0.8 * losses[0]
    assert potential.sha256() == before
    save_potential(trained.potential, tmp_path / "model")
    loaded = sa.load_potential(tmp_path / "model")
    assert same_state(loaded, trained.potential)
    again, expected = predictions(loaded, frames[:2]), predictions(trained.potential, frames[:2])
    assert [item.energy for item in again] == [item.energy for item in expected]
    further = train(loaded, frames, replace(settings, isolated_energies="keep", epochs=1))
    assert further.history[0]["train_loss"] < losses[0]


def test_constants_are_not_trained_and_atoms_stay_apart() -> None:
    potential = pretrained("density")
    trained = train(potential, dataset(10), mace_settings(epochs=2, dtype="float64")).potential
    buffers = dict(trained.named_buffers())
    for key, value in potential.named_buffers():
        assert torch.equal(buffers[key], value) == (key != "isolated_energies"), key
    lone = sa.SoftAtoms.from_ase(Atoms("Au", cell=[30.0] * 3, pbc=True))
    energy = float(sa.evaluate(trained, lone).energy)
    assert energy == pytest.approx(float(trained.isolated_energies[2]), rel=1e-12)
    # Oxygen is in no frame: what belongs to it alone is as it was.
    assert torch.equal(trained.embedding[0], potential.embedding[0])  # type: ignore[index]
    assert trained.isolated_energies[0] == potential.isolated_energies[0]


def test_isolated_energies_are_refitted_or_kept() -> None:
    potential = pretrained("density")
    shift = torch.tensor([0.0, 0.7, -0.4], dtype=torch.float64)
    shifted = copy.deepcopy(potential)
    shifted.isolated_energies += shift
    soft = [structure(index) for index in range(8)]
    frames = [label(s, shifted, frame_id=str(i), group=str(i)) for i, s in enumerate(soft)]
    # The smallest rate there is: only the isolated energies change.
    still = mace_settings(epochs=1, learning_rate=1e-12, dtype="float64")
    refitted = train(potential, frames, still)
    assert_close(
        refitted.potential.isolated_energies - potential.isolated_energies,
        shift,
        "difference",
    )
    assert refitted.history[0]["train_energy_rmse_ev_per_atom"] < 1e-8
    kept = train(potential, frames, replace(still, isolated_energies="keep"))
    assert torch.equal(kept.potential.isolated_energies, potential.isolated_energies)
    assert kept.history[0]["train_energy_rmse_ev_per_atom"] > 0.1


class InterruptionError(Exception):
    """Stands for a kill."""


def test_an_interrupted_training_of_mace_ends_the_same(tmp_path: Path) -> None:
    potential = pretrained("agnostic")
    settings = mace_settings(optimiser="adamw", weight_decay=0.01, frozen=["readouts.*"])
    frames = dataset(10)
    whole = train(potential, frames, settings)

    def interrupt(row: dict[str, Any]) -> None:
        if row["epoch"] == 2:
            raise InterruptionError

    with pytest.raises(InterruptionError):
        train(potential, frames, settings, folder=tmp_path, report=interrupt)
    resumed = train(potential, frames, settings, folder=tmp_path)
    assert same_state(whole.potential, resumed.potential)


def test_frozen_parameters_keep_their_values() -> None:
    start = fresh()
    settings = quick(epochs=1, dtype="float64", frozen=["embedding*", "readout.0.weight"])
    trained = train(start, dataset(), settings).potential
    for (name, before), after in zip(start.named_parameters(), trained.parameters(), strict=True):
        is_frozen = name.startswith("embedding") or name == "readout.0.weight"
        assert torch.equal(before, after) == is_frozen, name
    with pytest.raises(sa.OptionError, match=r"'embeding\*' fits no parameter; there are emb"):
        train(start, dataset(), quick(frozen=["embeding*"]))
    with pytest.raises(sa.OptionError, match="nothing is left to train"):
        train(start, dataset(), quick(frozen=["*"]))
    with pytest.raises(sa.OptionError, match="frozen must be a list"):
        quick(frozen="embedding")


@pytest.mark.parametrize("optimiser", ["adam", "adamw"])
def test_steps_in_units_of_sizes_do_not_depend_on_constant_factors(optimiser: str) -> None:
    settings = TrainingSettings(optimiser=optimiser, weight_decay=0.1)  # type: ignore[arg-type]
    results = []
    sizes = [30.0, 0.02]
    for units in (sizes, [1.0, 1.0]):
        start = torch.tensor([0.5, -1.2, 2.0], dtype=torch.float64)
        own = [torch.nn.Parameter(unit * start) for unit in units]
        moved = make_optimiser(own, settings, units)
        for step in range(20):
            one, two = (p / unit for p, unit in zip(own, units, strict=True))
            loss = ((one - two.roll(1)) ** 2).sum() + (one**4).sum() + two.sum()
            moved.zero_grad()
            loss.backward()
            clip(own, 3.0, units)
            set_rate(moved, 0.1 / (1 + step))
            moved.step()
        results.append([p.detach() / unit for p, unit in zip(own, units, strict=True)])
    for one, two in zip(*results, strict=True):
        assert_close(one, two, "same")


def test_the_command_trains_a_checkpoint_of_mace(tmp_path: Path) -> None:
    pytest.importorskip("mace")
    from potentials.mace_package import SMALL, build, saved

    file = saved(build(**SMALL["density"]), tmp_path)
    options = {
        "path": str(file),
        "trust": True,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    values = yaml.safe_load((ROOT / "config/test/spine.yaml").read_text(encoding="utf-8"))
    values["training"] = {
        "potential": {"name": "mace", "options": options},
        "frames": str(tmp_path / "frames.parquet"),
        "epochs": 1,
        "isolated_energies": "refit",
        "frozen": ["embedding"],
    }
    config = tmp_path / "campaign.yaml"
    config.write_text(yaml.safe_dump(values))
    write_frames(tmp_path / "frames.parquet", dataset(10))
    common = ["train", "--config", str(config), "--frames", str(tmp_path / "frames.parquet")]
    assert main([*common, "--out", str(tmp_path / "model")]) == 0
    first = sa.load_potential(tmp_path / "model")
    assert first.name == "mace"
    # And on from the model that it saved.
    values["training"]["potential"] = {"name": str(tmp_path / "model")}
    values["training"]["isolated_energies"] = "keep"
    config.write_text(yaml.safe_dump(values))
    assert main([*common, "--out", str(tmp_path / "more")]) == 0
    more = sa.load_potential(tmp_path / "more")
    assert more.sha256() != first.sha256()
    assert torch.equal(more.isolated_energies, first.isolated_energies)


def test_seeds_are_for_potentials_of_random_parameters() -> None:
    assert with_seed("chgnet", {}, 3) == {}
    assert with_seed("mace", {"path": "x"}, 3, index=1) == {"path": "x"}
    assert with_seed("painn", {}, 3, index=1) == {"seed": 4}
    assert with_seed("painn", {"seed": 7}, 3, index=1) == {"seed": 8}
