"""Areas under ROC curves against other ways to the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from softatoms.order.errors import OrderError
from softatoms.order.roc import area, area_with_interval, compare, curve


def test_area_equals_that_under_the_drawn_curve():
    rng = np.random.default_rng(3)
    scores = np.round(rng.normal(size=60), 1)  # with ties
    labels = rng.random(60) < 0.4
    false, true = curve(scores, labels)
    assert (false[0], true[0], false[-1], true[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert area(scores, labels) == pytest.approx(np.trapezoid(true, false))
    assert area(-scores, labels) == pytest.approx(1.0 - area(scores, labels))


def test_area_by_hand():
    scores = np.array([3.0, 2.0, 2.0, 1.0])
    labels = np.array([True, True, False, False])
    # Of four pairs three are right and one is even.
    assert area(scores, labels) == pytest.approx(3.5 / 4.0)


def test_intervals_hold_the_area_and_cover_as_often_as_they_say():
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 2 == 0
    # Normal scores one standard deviation apart: the area is Φ(1/√2).
    truth = 0.7602
    inside = 0
    for trial in range(30):
        scores = rng.normal(size=60) + labels
        found = area_with_interval(scores, labels, samples=100, seed=trial)
        assert found.low <= found.value <= found.high
        inside += found.low <= truth <= found.high
    assert inside >= 24


def test_comparison_of_two_scores():
    rng = np.random.default_rng(2)
    labels = np.arange(80) % 2 == 0
    good = rng.normal(size=80) + 3.0 * labels
    bad = rng.normal(size=80)
    found = compare(good, bad, labels, samples=100, seed=0)
    assert found.value == pytest.approx(area(good, labels) - area(bad, labels))
    assert found.low > 0.2
    assert found.p < 1e-4
    same = compare(good, 2.0 * good + 1.0, labels, samples=50, seed=0)
    assert (same.value, same.low, same.high, same.p) == (0.0, 0.0, 0.0, None)


def test_p_values_of_equal_scores_are_uniform():
    rng = np.random.default_rng(4)
    labels = np.arange(60) % 2 == 0
    p = []
    for _ in range(100):
        common = rng.normal(size=60) + labels
        first, second = (common + rng.normal(size=60) for _ in range(2))
        p.append(compare(first, second, labels, samples=1, seed=0).p)
    assert 0.35 < np.mean(p) < 0.65
    assert np.mean(np.array(p) < 0.1) < 0.2


def test_nothing_to_compare_is_told():
    with pytest.raises(OrderError, match="ordered and disordered"):
        area(np.array([1.0, 2.0]), np.array([True, True]))
    with pytest.raises(OrderError, match="finite"):
        area(np.array([1.0, np.nan]), np.array([True, False]))
