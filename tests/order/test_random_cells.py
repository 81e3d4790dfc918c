"""Random and quasirandom supercells."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from softatoms.order.errors import OrderError
from softatoms.order.parents import make_parent
from softatoms.order.random_cells import pair_counts, random_cell


def cubic(n: int, share: float = 0.5):
    parent = make_parent(
        Atoms("Cu", cell=[3.0] * 3, pbc=True), [0], {"Cu": share, "Au": 1.0 - share}
    )
    return parent.supercell(n * np.eye(3, dtype=np.int64))


def test_shells_have_the_coordination_of_the_lattice():
    counts = pair_counts(cubic(3), 4)
    assert counts.sum(axis=2) == pytest.approx(np.array([6, 12, 8, 6])[:, None] * np.ones(27))
    fcc = make_parent(bulk("Cu"), [0], {"Cu": 0.5, "Au": 0.5}).supercell(np.eye(3, dtype=np.int64))
    # A single site sees only its own images.
    assert pair_counts(fcc, 3).ravel().tolist() == [12, 6, 24]


def test_sqs_is_as_random_as_sixteen_sites_allow():
    parent = make_parent(Atoms("Cu", cell=[3.0] * 3, pbc=True), [0], {"Cu": 0.5, "Au": 0.5})
    cell = parent.supercell(np.array([[2, 2, 0], [-2, 2, 0], [0, 0, 2]]))
    found = random_cell(cell, "sqs", shells=2, swaps=500, rng=np.random.default_rng(0))
    assert found.error == pytest.approx(0.0, abs=1e-12)
    assert sorted(found.symbols) == ["Au"] * 8 + ["Cu"] * 8
    # Counted by hand: half of the neighbours are unlike.
    counts = pair_counts(cell, 1)[0]
    unlike = np.array(found.symbols)[:, None] != np.array(found.symbols)[None, :]
    assert (counts * unlike).sum() / counts.sum() == pytest.approx(0.5)


def test_seeds_decide_and_random_is_only_shuffled():
    def species(kind, seed):
        rng = np.random.default_rng(seed)
        return random_cell(cubic(4), kind, shells=1, swaps=50, rng=rng)

    assert species("random", 1) == species("random", 1)
    assert species("random", 1).symbols != species("random", 2).symbols
    assert species("sqs", 1).error < species("random", 1).error


def test_bad_cells_are_told():
    rng = np.random.default_rng(0)
    with pytest.raises(OrderError, match="no whole number of Cu"):
        random_cell(cubic(2, 0.3), "random", shells=1, swaps=1, rng=rng)
