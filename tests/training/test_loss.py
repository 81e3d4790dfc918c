"""The loss, its parts, and its gradient by the parameters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from training_frames import dataset, fresh, label, structure

import softatoms as sa
from softatoms.dataset.frames import Frame
from softatoms.errors import OptionError
from softatoms.training import LossSettings, TrainingSettings
from softatoms.training.augmentation import replica, with_ghosts
from softatoms.training.batches import Labelled, collate
from softatoms.training.differentiable import predict
from softatoms.training.examples import FrameError, group_importance, make_examples
from softatoms.training.loss import Penalties, errors, penalties, weighted
from tolerances import assert_close

CPU = torch.device("cpu")
MSE = LossSettings(kind="mse", energy_scale=1.0, forces_scale=1.0, stress_scale=1.0)


def laid_out(frames: list[Frame], potential: sa.Potential) -> Labelled:
    return collate(make_examples(frames, potential), potential.cutoff, torch.float64, CPU)


def found_penalties(
    potential: sa.Potential, part: Labelled, settings: LossSettings, coupling: str = "mean_field"
) -> Penalties:
    rule = "replica" if coupling == "replica" else "mean_field"
    predicted = predict(
        potential, part.batch, part.geometry, part.weights, part.cells, coupling=rule
    )
    return penalties(errors(predicted, part), settings)


def loss_of(
    potential: sa.Potential, part: Labelled, settings: LossSettings, coupling: str = "mean_field"
) -> torch.Tensor:
    return weighted(found_penalties(potential, part, settings, coupling).means(), settings)


@pytest.mark.parametrize("name", ["painn", "schnet"])
@pytest.mark.parametrize("quantity", ["energy", "forces", "stress"])
def test_gradient_by_parameters_is_that_of_differences(name: str, quantity: str) -> None:
    weights = {f"{other}_weight": float(other == quantity) for other in ("energy", "forces")}
    settings = replace(MSE, **weights, stress_weight=float(quantity == "stress"))
    potential = fresh(name, n_features=4).to(torch.float64)
    part = laid_out(list(dataset()[:3]), potential)
    loss_of(potential, part, settings).backward()
    rng = np.random.default_rng(0)
    for parameter in potential.parameters():
        assert parameter.grad is not None
        gradient, values = parameter.grad.flatten(), parameter.data.view(-1)
        for index in rng.integers(len(values), size=2).tolist():
            step, middle = 1e-4, float(values[index])
            around = []
            for change in (step, -step, 2 * step, -2 * step):
                values[index] = middle + change
                around.append(loss_of(potential, part, settings).item())
                values[index] = middle
            slope = (8 * (around[0] - around[1]) - (around[2] - around[3])) / (12 * step)
            scale = float(parameter.grad.abs().max())
            assert float(gradient[index]) == pytest.approx(
                slope, rel=1e-6, abs=1e-7 * scale + 1e-10
            )


@pytest.mark.parametrize("coupling", ["mean_field", "replica"])
def test_soft_frames_have_gradients_too(coupling: str) -> None:
    soft = structure(1, cells=2).with_candidates([0, 3, 5], {"Cu": 0.3, "Au": 0.5}, tie="t")
    frame = label(soft, sa.load_potential("gupta", elements=["Cu", "Au"]))
    potential = fresh(n_features=4).to(torch.float64)
    part = laid_out([frame, dataset()[0]], potential)
    loss_of(potential, part, MSE, coupling).backward()
    parameter = next(potential.parameters())
    assert parameter.grad is not None
    slope = parameter.grad[0, 1].item()
    ends = []
    for step in (1e-5, -2e-5):
        parameter.data[0, 1] += step
        ends.append(loss_of(potential, part, MSE, coupling).item())
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5)


def test_predictions_are_those_of_evaluate() -> None:
    potential = fresh().to(torch.float64)
    soft = structure(2).with_candidates([1], {"Cu": 0.3, "Au": 0.6})
    systems = [structure(0), structure(1, cells=2), soft]
    gupta = sa.load_potential("gupta", elements=["Cu", "Au"])
    frames = [label(s, gupta, frame_id=str(i)) for i, s in enumerate(systems)]
    part = laid_out(frames, potential)
    predicted = predict(potential, part.batch, part.geometry, part.weights, part.cells)
    expected = sa.evaluate_batch(potential, systems, properties=("forces", "stress"))
    assert predicted.forces is not None
    assert predicted.stresses is not None
    assert_close(predicted.energies, torch.stack([e.energy for e in expected]), "same")
    assert_close(
        predicted.forces, torch.cat([e.forces for e in expected if e.forces is not None]), "same"
    )
    assert_close(
        predicted.stresses,
        torch.stack([e.stress for e in expected if e.stress is not None]),
        "same",
    )


def test_loss_by_hand() -> None:
    potential = fresh().to(torch.float64)
    frames = [replace(frame, frame_id=str(i)) for i, frame in enumerate(dataset()[:2])]
    part = laid_out(frames, potential)
    settings = LossSettings(
        kind="mse",
        energy_weight=3.0,
        forces_weight=0.5,
        stress_weight=0.2,
        energy_scale=0.02,
        forces_scale=0.3,
        stress_scale=0.05,
    )
    found = [
        sa.evaluate(potential, frame.soft, properties=("forces", "stress")) for frame in frames
    ]
    per_atom = [
        (float(e.energy) - f.energy) / f.n_sites  # type: ignore[operator]
        for e, f in zip(found, frames, strict=True)
    ]
    pulls = np.concatenate(
        [(e.forces.numpy() - f.forces).ravel() for e, f in zip(found, frames, strict=True)]  # type: ignore[union-attr,operator]
    )
    six = np.array(
        [
            (e.stress.numpy() - f.stress)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]  # type: ignore[union-attr,operator]
            for e, f in zip(found, frames, strict=True)
        ]
    )
    expected = (
        3.0 * np.mean(np.square(per_atom)) / 0.02**2
        + 0.5 * np.mean(pulls**2) / 0.3**2
        + 0.2 * np.mean(six**2) / 0.05**2
    )
    assert loss_of(potential, part, settings).item() == pytest.approx(expected, rel=1e-10)


def test_huber_is_linear_beyond_its_delta() -> None:
    potential = fresh().to(torch.float64)
    part = laid_out([dataset()[0]], potential)
    wide = replace(MSE, kind="huber", huber_delta=1e6)
    assert loss_of(potential, part, wide).item() == pytest.approx(
        loss_of(potential, part, MSE).item(), rel=1e-12
    )
    narrow = LossSettings(forces_weight=0.0, stress_weight=0.0, energy_scale=1e-6, huber_delta=0.5)
    predicted = predict(potential, part.batch, part.geometry, part.weights, part.cells)
    error = abs(errors(predicted, part).energy[0].item()) / 1e-6
    assert loss_of(potential, part, narrow).item() == pytest.approx(error - 0.25, rel=1e-12)


def test_losses_of_batches_add_up_to_that_of_all() -> None:
    potential = fresh().to(torch.float64)
    frames = [dataset()[0], replace(dataset()[1], forces=None), replace(dataset()[2], stress=None)]
    together = torch.stack(found_penalties(potential, laid_out(frames, potential), MSE))
    apart = sum(
        torch.stack(found_penalties(potential, laid_out([frame], potential), MSE))
        for frame in frames
    )
    assert isinstance(apart, torch.Tensor)
    assert_close(apart, together, "same")
    counts = together[2].tolist()
    assert counts == [3.0, 3.0 * (frames[0].n_sites + frames[2].n_sites), 12.0]


def test_molecules_beside_crystals_leave_the_gradient_finite() -> None:
    potential = fresh().to(torch.float64)
    gupta = sa.load_potential("gupta", elements=["Cu", "Au"])
    molecule = sa.SoftAtoms.from_ase(Atoms("CuAu", positions=[[0, 0, 0], [0, 0, 2.4]]))
    label_ = sa.evaluate(gupta, molecule, properties=("forces",))
    assert label_.forces is not None
    dimer = Frame("dimer", "dimers", molecule, float(label_.energy), label_.forces.numpy())
    both = gradients(potential, [dataset()[0], replace(dimer, status="ok")])
    assert torch.isfinite(both).all()
    stress = replace(MSE, energy_weight=0.0, forces_weight=0.0, stress_weight=1.0)
    potential.zero_grad()
    loss_of(potential, laid_out([dataset()[0], dimer], potential), stress).backward()
    beside = potential.get_parameter("embedding.weight").grad
    potential.zero_grad(set_to_none=True)
    loss_of(potential, laid_out([dataset()[0]], potential), stress).backward()
    alone = potential.get_parameter("embedding.weight").grad
    assert beside is not None
    assert alone is not None
    assert_close(beside, alone, "same")


def test_frames_count_as_their_groups_weigh() -> None:
    potential = fresh().to(torch.float64)
    frames = list(dataset()[:4])
    weights = group_importance(frames, {"group-1": 5.0, "group-[12]": 0.5})
    assert weights == {"group-0": 1.0, "group-1": 5.0, "group-2": 0.5, "group-3": 1.0}
    examples = make_examples(frames, potential)
    part = collate(examples, potential.cutoff, torch.float64, CPU, weights)
    together = found_penalties(potential, part, MSE)
    apart = [found_penalties(potential, laid_out([frame], potential), MSE) for frame in frames]
    factors = [weights[frame.group] for frame in frames]
    expected = sum(f * one.sums for f, one in zip(factors, apart, strict=True))
    assert isinstance(expected, torch.Tensor)
    assert_close(together.sums, expected, "same")
    plain = found_penalties(potential, laid_out(frames, potential), MSE)
    assert_close(together.squares, plain.squares, "same")
    assert_close(together.counts, plain.counts, "same")


def test_weights_of_unknown_groups_are_refused() -> None:
    with pytest.raises(FrameError, match=r"no group is called 'grope-1'; of 4 groups.* group-1"):
        group_importance(dataset()[:4], {"grope-1": 2.0})
    with pytest.raises(OptionError, match="group_weights of 'a' must be"):
        TrainingSettings(group_weights={"a": 0.0})


def test_energy_counts_per_atom_that_exists() -> None:
    soft = structure(0).with_existence([0, 1], 0.25)
    frame = label(soft, sa.load_potential("gupta", elements=["Cu", "Au"]))
    potential = fresh().to(torch.float64)
    example = make_examples([frame], potential)[0]
    assert example.atoms == pytest.approx(2.5)


def gradients(potential: sa.Potential, frames: list[Frame]) -> torch.Tensor:
    potential.zero_grad()
    loss_of(potential, laid_out(frames, potential), MSE).backward()
    return torch.cat(
        [p.grad.flatten() for p in potential.parameters() if p.grad is not None]
    ).clone()


def test_ghosts_teach_nothing() -> None:
    potential = fresh().to(torch.float64)
    frame = dataset()[1]
    ghostly = with_ghosts(frame, potential, 3, seed=(0, 1)).frame
    assert ghostly.n_sites > frame.n_sites
    assert_close(gradients(potential, [ghostly]), gradients(potential, [frame]), "same")


def test_an_error_of_a_replica_is_that_of_its_end_members() -> None:
    potential = fresh().to(torch.float64)
    gupta = sa.load_potential("gupta", elements=["Cu", "Au"])
    ends = []
    for symbol in ("Cu", "Au"):
        atoms = structure(3).to_ase()
        atoms.symbols[:] = symbol
        ends.append(label(sa.SoftAtoms.from_ase(atoms), gupta, frame_id=symbol))
    part = laid_out([*ends, replica(ends, [0.3, 0.7])], potential)
    found = errors(
        predict(potential, part.batch, part.geometry, part.weights, part.cells, coupling="replica"),
        part,
    )
    energy = found.energy.detach()
    assert_close(energy[2], 0.3 * energy[0] + 0.7 * energy[1], "same")
    one, two, mixed = found.forces.detach().split(4)
    assert_close(mixed, 0.3 * one + 0.7 * two, "same")


def test_replicas_of_end_members_have_their_mean_labels() -> None:
    gupta = sa.load_potential("gupta", elements=["Cu", "Au"])
    geometry = structure(3)
    ends = []
    for symbol in ("Cu", "Au"):
        atoms = geometry.to_ase()
        atoms.symbols[:] = symbol
        ends.append(label(sa.SoftAtoms.from_ase(atoms), gupta, frame_id=symbol))
    mixed = replica(ends, [0.3, 0.7])
    found = sa.evaluate(gupta, mixed.soft, properties=("forces", "stress"), coupling="replica")
    assert float(found.energy) == pytest.approx(mixed.energy, rel=1e-10)
    assert_close(found.forces, mixed.forces, "same")
    assert_close(found.stress, mixed.stress, "same")
    with pytest.raises(sa.StructureError, match="differ in geometry"):
        replica(
            [ends[0], replace(ends[1], soft=ends[1].soft.with_positions(geometry.positions + 1))],
            [0.5, 0.5],
        )
    with pytest.raises(sa.StructureError, match="repeat an element"):
        replica([ends[0], ends[0]], [0.5, 0.5])
    with pytest.raises(sa.StructureError, match="1 in sum"):
        replica(ends, [0.5, 0.6])
    with pytest.raises(sa.StructureError, match="one element"):
        replica([dataset()[1], ends[0]], [0.5, 0.5])
