"""Pareto fronts: what nothing else beats in every respect, then the best of the rest, and so on.

A point dominates another if it is no worse in any objective and better in one. In the order of
their coordinates no point dominates an earlier one, so each goes, in that order, to the first front
of which no member dominates it. If a member of one front does, so does one of every front before:
bisection over the fronts finds it (X. Zhang et al., IEEE Trans. Evol. Comput. 19, 201, 2015). With
two objectives the last member of a front is the only one to ask, which takes n log n steps in all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def pareto_fronts(points: Floats) -> NDArray[np.int64]:
    """Front of each point, counted from 1; equal points stand on the same one.

    Args:
        points: Objectives, all to be minimised and none of them nan, shape (n, n_objectives).
    """
    fronts: list[_Front] = []
    found = np.zeros(len(points), dtype=np.int64)
    # The first objective decides, then the second, and so on.
    for index in np.lexsort(points.T[::-1]).tolist():
        point = points[index]
        low, high = 0, len(fronts)
        while low < high:
            middle = (low + high) // 2
            if fronts[middle].dominates(point):
                low = middle + 1
            else:
                high = middle
        if low == len(fronts):
            fronts.append(_Front(points.shape[1]))
        fronts[low].add(point)
        found[index] = low + 1
    return found


class _Front:
    """Members of a front, to which points come in the order of their coordinates.

    Args:
        n_objectives: Number of objectives.
    """

    def __init__(self, n_objectives: int) -> None:
        # Of one or two objectives the last member is the best in the last of them.
        self._keeps_all = n_objectives > 2
        self._members = np.empty((16, n_objectives))
        self._count = 0

    def dominates(self, point: Floats) -> bool:
        """Whether a member dominates a point that comes after all of them."""
        members = self._members[: self._count]
        no_worse = (members <= point).all(axis=1)
        return bool((no_worse & (members < point).any(axis=1)).any())

    def add(self, point: Floats) -> None:
        """Take a point that no member dominates."""
        if not self._keeps_all:
            self._count = 0
        elif self._count == len(self._members):
            self._members = np.concatenate([self._members, np.empty_like(self._members)])
        self._members[self._count] = point
        self._count += 1
