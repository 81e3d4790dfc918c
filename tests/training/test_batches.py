"""Which frames go together, and what batches have no influence on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_frames import dataset, fresh, label

import softatoms as sa
from softatoms.training.augmentation import with_ghosts
from softatoms.training.batches import collate, fixed_batches, shuffled_batches
from softatoms.training.examples import make_examples
from softatoms.training.metrics import metric_rows, predictions
from tolerances import assert_close


def test_batches_hold_every_frame_once_and_not_too_many_atoms() -> None:
    examples = make_examples(dataset(), fresh())
    for batches in (
        fixed_batches(examples, 20),
        shuffled_batches(examples, 20, seed=1, epoch=4),
    ):
        assert sorted(index for batch in batches for index in batch) == list(range(40))
        assert max(sum(examples[index].nodes for index in batch) for batch in batches) <= 20


def test_a_frame_larger_than_a_batch_stands_alone() -> None:
    examples = make_examples(dataset(), fresh())
    assert all(len(batch) == 1 for batch in fixed_batches(examples, 4))


def test_order_depends_on_seed_and_epoch_alone() -> None:
    examples = make_examples(dataset(), fresh())
    first = shuffled_batches(examples, 20, seed=0, epoch=0)
    assert shuffled_batches(examples, 20, seed=0, epoch=0) == first
    assert shuffled_batches(examples, 20, seed=0, epoch=1) != first
    assert shuffled_batches(examples, 20, seed=1, epoch=0) != first


def test_packing_does_not_change_the_metrics() -> None:
    potential = fresh().to(torch.float64)
    rows = [
        metric_rows("m", predictions(potential, dataset(), atoms_per_batch=size))
        for size in (1, 17, 4096)
    ]
    for other in rows[1:]:
        for row, same in zip(rows[0], other, strict=True):
            assert row["metric_id"] == same["metric_id"]
            assert row["rmse"] == pytest.approx(same["rmse"], rel=1e-10)
            assert row["n"] == same["n"]


def test_missing_labels_are_nan_in_a_batch() -> None:
    frames = [replace(dataset()[0], forces=None), replace(dataset()[1], energy=None, stress=None)]
    part = collate(make_examples(frames, fresh()), 4.5, torch.float64, torch.device("cpu"))
    assert torch.isnan(part.forces[:4]).all()
    assert torch.isfinite(part.forces[4:]).all()
    assert torch.isnan(part.energies).tolist() == [False, True]
    assert torch.isnan(part.stresses[1]).all()


def test_ghosts_leave_labels_as_they_are() -> None:
    gupta = sa.load_potential("gupta", elements=["Cu", "Au"])
    frame = dataset()[1]
    example = with_ghosts(frame, gupta, 3, seed=(0, 1))
    ghostly = example.frame
    added = ghostly.n_sites - frame.n_sites
    assert 1 <= added <= 3
    assert example.atoms == frame.n_sites
    found = sa.evaluate(gupta, ghostly.soft, properties=("forces", "stress"))
    assert float(found.energy) == pytest.approx(ghostly.energy, rel=1e-12)
    assert_close(found.forces, ghostly.forces, "same")
    assert_close(found.stress, ghostly.stress, "same")
    assert ghostly.forces is not None
    assert np.array_equal(ghostly.forces[-added:], np.zeros((added, 3)))
    part = collate([example], gupta.cutoff, torch.float64, torch.device("cpu"))
    assert torch.isnan(part.forces[-added:]).all()
    again = with_ghosts(frame, gupta, 3, seed=(0, 1))
    assert np.array_equal(again.frame.soft.positions, ghostly.soft.positions)


def test_ghosts_keep_their_distance() -> None:
    gupta = sa.load_potential("gupta", elements=["Cu", "Au"])
    frame = label(dataset()[0].soft.repeat((2, 2, 2)), gupta)
    soft = with_ghosts(frame, gupta, 10, seed=(7,)).frame.soft
    distances = soft.to_ase().get_all_distances(mic=True)
    np.fill_diagonal(distances, 9.0)
    assert distances.min() > 1.0
