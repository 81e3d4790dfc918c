"""How well a score tells ordered from disordered compounds, and how two scores compare."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .errors import OrderError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_QUANTILES = (0.025, 0.975)


class Area(NamedTuple):
    """Area under a receiver operating characteristic.

    Attributes:
        value: The area: probability that an ordered compound scores higher than a disordered one,
            where equal scores count one half.
        low: Lower end of the 95 % bootstrap interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """Difference of the areas of two scores for the same compounds.

    Attributes:
        value: First minus second area.
        low: Lower end of the 95 % interval of the paired bootstrap.
        high: Upper end.
        p: Two-sided p-value of DeLong's test for equal areas; None where both rank alike.
    """

    value: float
    low: float
    high: float
    p: float | None


def curve(
    scores: NDArray[np.float64], labels: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The receiver operating characteristic.

    Args:
        scores: Score of each compound; the higher, the more it speaks for order, shape (n,).
        labels: Whether it is ordered, shape (n,).

    Returns:
        False and true positive rates from (0, 0) to (1, 1), one point per distinct score.
    """
    _check(scores, labels)
    cuts = np.concatenate([[np.inf], np.unique(scores)[::-1]])
    chosen = scores[None, :] >= cuts[:, None]
    true = (chosen & labels).sum(axis=1) / labels.sum()
    false = (chosen & ~labels).sum(axis=1) / (~labels).sum()
    return false, true


def area(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """Area under the curve, by the statistic of Mann and Whitney."""
    _check(scores, labels)
    return float(_wins(scores[labels], scores[~labels]).mean())


def area_with_interval(
    scores: NDArray[np.float64], labels: NDArray[np.bool_], *, samples: int, seed: int
) -> Area:
    """Area with a bootstrap interval; ordered and disordered compounds are drawn separately."""
    draws = _draws(labels, samples, seed)
    areas = [area(scores[index], labels[index]) for index in draws]
    low, high = np.quantile(areas, _QUANTILES)
    return Area(area(scores, labels), float(low), float(high))


def compare(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    labels: NDArray[np.bool_],
    *,
    samples: int,
    seed: int,
) -> Difference:
    """Difference of two areas with a paired bootstrap and the test of DeLong et al.

    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44, 837 (1988).
    """
    differences = [
        area(first[index], labels[index]) - area(second[index], labels[index])
        for index in _draws(labels, samples, seed)
    ]
    low, high = np.quantile(differences, _QUANTILES)
    value = area(first, labels) - area(second, labels)
    return Difference(value, float(low), float(high), _delong(first, second, labels))


def _delong(
    first: NDArray[np.float64], second: NDArray[np.float64], labels: NDArray[np.bool_]
) -> float | None:
    wins = [_wins(scores[labels], scores[~labels]) for scores in (first, second)]
    if min(wins[0].shape) < 2:
        return None
    of_ordered = np.cov([table.mean(axis=1) for table in wins])
    of_others = np.cov([table.mean(axis=0) for table in wins])
    covariance = of_ordered / wins[0].shape[0] + of_others / wins[0].shape[1]
    variance = float(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
    if variance <= 1e-15:
        return None
    z = float(wins[0].mean() - wins[1].mean()) / math.sqrt(variance)
    return math.erfc(abs(z) / math.sqrt(2.0))


def _wins(ordered: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where an ordered compound scores higher than another, ½ where both are equal."""
    difference = ordered[:, None] - others[None, :]
    won: NDArray[np.float64] = 0.5 * (np.sign(difference) + 1.0)
    return won


def _draws(labels: NDArray[np.bool_], samples: int, seed: int) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(labels), np.flatnonzero(~labels)]
    return [
        np.concatenate([rng.choice(group, size=len(group)) for group in groups])
        for _ in range(samples)
    ]


def _check(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> None:
    if not labels.any() or labels.all():
        raise OrderError("a curve needs ordered and disordered compounds")
    if not np.isfinite(scores).all():
        raise OrderError("scores must be finite")
