"""What gets a label, on spreads that are made up, and which part a trajectory belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from softatoms.active_learning.selection import chosen, parts

SPREADS = [0.1, 0.9, 0.3, 0.8, 0.7, 0.9]
PLACES = np.array([[0.0], [10.0], [50.0], [10.5], [13.0], [10.0]])
"""Where the candidates are: 1 and 5 in one place, 3 and 4 close to them, 2 far from all."""


def choose(count: int, *, pool: int = 1, how: str = "uncertain", seed: int = 0) -> list[int]:
    def describe(indices: Sequence[int]) -> np.ndarray:
        return PLACES[list(indices)]

    return chosen(
        SPREADS,
        count,
        pool=pool,
        how=how,  # type: ignore[arg-type]
        describe=describe,
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize(
    ("count", "pool", "expected"),
    [
        # Without distance: the largest spreads, the first of equal ones first.
        (1, 1, [1]),
        (3, 1, [1, 5, 3]),
        # Among the four most uncertain ones the farthest from the first is the fourth.
        (2, 2, [1, 4]),
        # Among all of them it is the one that lies far away, however little uncertain.
        (2, 3, [1, 2]),
        (3, 2, [1, 2, 0]),
        (6, 3, [1, 5, 3, 4, 2, 0]),
        (9, 1, [1, 5, 3, 4, 2, 0]),
        (0, 3, []),
    ],
)
def test_uncertain_ones_that_differ(count: int, pool: int, expected: list[int]) -> None:
    assert choose(count, pool=pool) == expected


def test_no_candidates() -> None:
    for how in ("uncertain", "random"):
        picked = chosen(
            [],
            3,
            pool=2,
            how=how,  # type: ignore[arg-type]
            describe=lambda _: np.zeros((0, 1)),
            rng=np.random.default_rng(0),
        )
        assert picked == []


def test_random_ones_do_not_look_at_spreads() -> None:
    seen = {index for seed in range(50) for index in choose(2, how="random", seed=seed)}
    assert seen == set(range(6))
    assert all(len(set(choose(4, how="random", seed=seed))) == 4 for seed in range(20))
    assert choose(4, how="random", seed=3) == choose(4, how="random", seed=3)


def test_a_share_of_the_trajectories_validates() -> None:
    names = [f"walk-{index}" for index in range(10)]
    for share, expected in ((0.0, 0), (0.1, 1), (0.25, 3), (0.5, 5), (0.99, 9)):
        found = parts(names, share, seed=1)
        assert list(found) == names
        assert sum(part == "validation" for part in found.values()) == expected
        assert set(found.values()) <= {"train", "validation"}
    assert parts(["only"], 0.9, seed=0) == {"only": "train"}
    assert parts([], 0.9, seed=0) == {}
    divisions = {tuple(parts(names, 0.3, seed=seed).values()) for seed in range(10)}
    assert len(divisions) > 5
