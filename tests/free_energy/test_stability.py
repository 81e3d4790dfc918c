"""Stability of two polymorphs against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from softatoms.free_energy.estimators import EstimateError
from softatoms.free_energy.stability import Energy, Leg, closure, stability


def test_lines_cross_where_they_must() -> None:
    # ΔG = −0.02 + (0.09 − 0.03) x vanishes at one third.
    found = stability(
        Energy(-0.02, 0.001), [Leg(1.0, Energy(0.03, 0.002))], [Leg(1.0, Energy(0.09, 0.002))]
    )
    assert found.crossing == pytest.approx(1.0 / 3.0, rel=1e-9, abs=0.0)
    np.testing.assert_allclose(found.differences, [-0.02, 0.04], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.stderrs, [0.001, 0.003], rtol=1e-12, atol=1e-15)
    # A quotient of two independent normal numbers; the interval is Fieller's.
    top, below, e, f = 0.02, 0.06, 0.001**2, 0.002**2 * 2
    q = 1.96**2
    centre = top * below
    root = np.sqrt(centre**2 - (below**2 - q * f) * (top**2 - q * e))
    low, high = ((centre + sign * root) / (below**2 - q * f) for sign in (-1.0, 1.0))
    assert found.crossing_low == pytest.approx(low, rel=0.02, abs=0.0)
    assert found.crossing_high == pytest.approx(high, rel=0.02, abs=0.0)
    assert found.crossing_probability == 1.0


def test_curves_cross_on_their_polynomial() -> None:
    shares = (0.25, 0.5, 0.75, 1.0)
    first = [Leg(x, Energy(0.1 * x, 0.0)) for x in reversed(shares)]
    second = [Leg(x, Energy(0.1 * x + 0.05 * x**2, 0.0)) for x in shares]
    found = stability(Energy(-0.018, 0.0), first, second)
    assert found.crossing == pytest.approx(0.6, rel=1e-4, abs=0.0)
    assert found.crossing_high == pytest.approx(0.6, rel=1e-4, abs=0.0)


def test_where_nothing_crosses_nothing_is_said() -> None:
    found = stability(
        Energy(0.02, 0.001), [Leg(1.0, Energy(0.0, 0.001))], [Leg(1.0, Energy(0.0, 0.001))]
    )
    assert found.crossing is None
    assert found.crossing_low is None
    assert found.crossing_probability == 0.0
    close = stability(
        Energy(0.001, 0.001), [Leg(1.0, Energy(0.0, 0.001))], [Leg(1.0, Energy(0.0, 0.001))]
    )
    assert 0.05 < close.crossing_probability < 0.6


def test_a_cycle_closes_with_the_errors_of_its_legs() -> None:
    legs = [Energy(0.3, 0.003), Energy(0.5, 0.004), Energy(0.8, 0.012)]
    found = closure(legs, [1, 1, -1])
    assert found.value == pytest.approx(0.0, abs=1e-12)
    assert found.stderr == pytest.approx(0.013, rel=1e-9, abs=0.0)
    with pytest.raises(EstimateError, match="signs must be 1 or −1, one for each of 3 legs"):
        closure(legs, [1, 2, 1])


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ((0.5,), (1.0,), r"need the same compositions, got \[0.5\] and \[1.0\]"),
        ((0.5, 0.5), (0.5, 0.5), "must be different ones up to 1"),
        ((1.5,), (1.5,), "must be different ones up to 1"),
    ],
)
def test_compositions_must_fit(first: tuple, second: tuple, message: str) -> None:
    legs = [[Leg(x, Energy(0.0, 0.1)) for x in shares] for shares in (first, second)]
    with pytest.raises(EstimateError, match=message):
        stability(Energy(0.0, 0.1), *legs)
