"""Where compositions may go: one simplex per group of tied sites, with bounds per element.

In every group the weights keep their sum, and each stays between its bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...errors import OptionError

Floats = NDArray[np.float64]

ROUNDING = 1e-12
"""Weights closer to a bound than this are on it."""

MOST_DRAWS = 1000
"""Random compositions tried for one that lies within the bounds."""


@dataclass(frozen=True)
class Domain:
    """All compositions that are allowed.

    Attributes:
        group: Group of each weight, counted from 0 without gaps, shape (n,).
        sums: Sum of the weights of each group, shape (n_groups,).
        lower: Smallest value of each weight, shape (n,).
        upper: Largest value of each weight, shape (n,).
    """

    group: NDArray[np.int64]
    sums: Floats
    lower: Floats
    upper: Floats

    def __post_init__(self) -> None:
        if (self.lower > self.upper).any() or (self.lower < 0).any() or (self.upper > 1).any():
            raise OptionError("bounds must satisfy 0 ≤ lower ≤ upper ≤ 1")
        for k, total in enumerate(self.sums):
            low, high = self.lower[self.group == k].sum(), self.upper[self.group == k].sum()
            if low > total + ROUNDING or high < total - ROUNDING:
                raise OptionError(
                    f"no composition of group {k} lies within its bounds: the weights have to sum "
                    f"to {total:g}, the lower bounds sum to {low:g}, the upper ones to {high:g}"
                )

    @cached_property
    def incidence(self) -> Floats:
        """1 where a weight belongs to a group, shape (n_groups, n)."""
        return (self.group == np.arange(len(self.sums))[:, None]).astype(float)

    @cached_property
    def tangent(self) -> Floats:
        """Orthonormal directions that keep all sums, as columns, shape (n, n − n_groups)."""
        columns = []
        for members in (np.flatnonzero(row) for row in self.incidence):
            for k in range(1, len(members)):
                column = np.zeros(len(self.group))
                column[members[:k]] = 1.0
                column[members[k]] = -k
                columns.append(column / np.sqrt(k * (k + 1.0)))
        return np.array(columns).T if columns else np.zeros((len(self.group), 0))

    def violation(self, theta: Floats) -> float:
        """How far a point is outside: the largest violation of a bound or a sum."""
        sums = np.abs(self.incidence @ theta - self.sums)
        return float(max(0.0, *(self.lower - theta), *(theta - self.upper), *sums))

    def nearest(self, theta: Floats) -> Floats:
        """The allowed point with the smallest Euclidean distance."""
        span = 2.0 + float(np.abs(theta).max(initial=0.0))
        return self._shifted(lambda members, shift: theta[members] + shift, theta, span=span)

    def mirror_step(self, theta: Floats, gradient: Floats, rate: float) -> Floats:
        """Exponentiated-gradient step, from which weights at 0 do not come back.

        It ends at the allowed point nearest to θ exp(−rate g) in relative entropy.
        """
        safe = np.maximum(theta, 1e-300)
        logs = np.log(safe) - rate * gradient

        def moved(members: NDArray[np.int64], shift: float) -> Floats:
            values = np.exp(np.clip(logs[members] + shift, -745.0, 700.0))
            return np.where(theta[members] > 0.0, values, 0.0)

        span = float(np.abs(logs).max(initial=0.0)) + 800.0
        return self._shifted(moved, theta, span=span)

    def _shifted(
        self, moved: Callable[[NDArray[np.int64], float], Floats], theta: Floats, *, span: float
    ) -> Floats:
        """Clip what ``moved`` gives between the bounds, with the shift that brings each sum."""
        found = theta.copy()
        for k, total in enumerate(self.sums):
            members = np.flatnonzero(self.group == k)
            low, high = self.lower[members], self.upper[members]
            left, right = -span, span
            for _ in range(200):
                middle = 0.5 * (left + right)
                values = np.clip(moved(members, middle), low, high)
                if values.sum() < total:
                    left = middle
                else:
                    right = middle
                if right - left < 1e-16 * span:
                    break
            found[members] = self._with_sum(np.clip(moved(members, right), low, high), k, total)
        return found

    def _with_sum(self, values: Floats, k: int, total: float) -> Floats:
        """Put the rounding error of a sum on the weights that have room for it."""
        members = np.flatnonzero(self.group == k)
        low, high = self.lower[members], self.upper[members]
        for _ in range(len(members)):
            left = total - values.sum()
            room = high - values if left > 0 else values - low
            index = int(np.argmax(room))
            values[index] += np.sign(left) * min(abs(left), room[index])
        return values

    def gap(self, theta: Floats, gradient: Floats) -> float:
        """Frank–Wolfe gap max g·(θ − s) over allowed s: 0 exactly where the KKT conditions hold.

        For a convex objective it bounds how far its value is above the minimum.
        """
        total = float(gradient @ theta)
        for k, amount in enumerate(self.sums):
            members = np.flatnonzero(self.group == k)
            best = self.lower[members].copy()
            left = amount - best.sum()
            for index in np.argsort(gradient[members], kind="stable"):
                room = min(left, self.upper[members[index]] - best[index])
                best[index] += room
                left -= room
            total -= float(gradient[members] @ best)
        return max(0.0, total)

    def random(self, rng: np.random.Generator) -> Floats:
        """A random allowed point: uniform on the simplexes within the bounds.

        Where bounds leave too little to be met by chance, the last draw is moved inside.
        """
        theta = np.zeros(len(self.group))
        for k, total in enumerate(self.sums):
            members = np.flatnonzero(self.group == k)
            low, high = self.lower[members], self.upper[members]
            left = max(0.0, total - float(low.sum()))
            for _ in range(MOST_DRAWS):
                draws = rng.exponential(size=len(members))
                theta[members] = low + left * draws / draws.sum()
                if (theta[members] <= high).all():
                    break
        return self.nearest(theta)

    def centre(self) -> Floats:
        """The point in the middle of what each weight can be."""
        others_low = self.incidence.T @ (self.incidence @ self.lower) - self.lower
        others_high = self.incidence.T @ (self.incidence @ self.upper) - self.upper
        sums = self.sums[self.group]
        low = np.maximum(self.lower, sums - others_high)
        high = np.minimum(self.upper, sums - others_low)
        return self.nearest(0.5 * (low + high))

    def inside(self, theta: Floats, margin: float) -> Floats:
        """A point near θ where no weight is 0 unless it has to be, for multiplicative steps."""
        raised = np.minimum(np.maximum(theta, margin), self.upper)
        return self.nearest(np.maximum(raised, self.lower))

    def quadratic_step(
        self, theta: Floats, gradient: Floats, curvature: Floats, radius: float
    ) -> Floats:
        """Allowed step of lowest g·d + ½ d·B d with no entry beyond ``radius``.

        A primal active-set method: exact up to rounding, in finitely many steps.

        Args:
            theta: Where we are, allowed.
            gradient: g, shape (n,).
            curvature: B, positive definite, shape (n, n).
            radius: Largest change of a weight.
        """
        low = np.maximum(self.lower - theta, -radius)
        high = np.minimum(self.upper - theta, radius)
        low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
        step = np.zeros_like(theta)
        # +1 held at its upper bound, −1 at its lower, 0 free.
        held = np.zeros(len(theta), dtype=int)
        for _ in range(50 * (len(theta) + 1)):
            move, multipliers = self._newton(step, held, gradient, curvature)
            if np.abs(move).max(initial=0.0) <= ROUNDING * max(1.0, radius):
                wrong = held * multipliers
                index = int(np.argmin(wrong)) if len(wrong) else 0
                if not len(wrong) or wrong[index] >= -1e-12 * (1.0 + np.abs(gradient).max()):
                    return step
                held[index] = 0
                continue
            limit, blocking = 1.0, -1
            for index in np.flatnonzero((held == 0) & (move != 0.0)).tolist():
                edge = high[index] if move[index] > 0 else low[index]
                room = (edge - step[index]) / move[index]
                if room < limit:
                    limit, blocking = max(room, 0.0), index
            step = step + limit * move
            if blocking >= 0:
                held[blocking] = 1 if move[blocking] > 0 else -1
                step[blocking] = high[blocking] if move[blocking] > 0 else low[blocking]
        return step

    def _newton(
        self, step: Floats, held: NDArray[np.int64], gradient: Floats, curvature: Floats
    ) -> tuple[Floats, Floats]:
        """Move to the minimum over the free weights; multipliers of the held ones.

        A positive ``held × multiplier`` says that the bound is needed.
        """
        free = np.flatnonzero(held == 0)
        slope = gradient + curvature @ step
        rows = self.incidence[:, free]
        needed = rows.any(axis=1)
        rows = rows[needed]
        n, m = len(free), len(rows)
        system = np.zeros((n + m, n + m))
        system[:n, :n] = curvature[np.ix_(free, free)]
        system[:n, n:], system[n:, :n] = rows.T, rows
        found = np.linalg.lstsq(system, np.concatenate([-slope[free], np.zeros(m)]), rcond=None)[0]
        move = np.zeros_like(step)
        move[free] = found[:n]
        prices = np.zeros(len(self.sums))
        prices[needed] = found[n:]
        reduced = slope + curvature @ move
        for k in np.flatnonzero(~needed):
            # All are held: the price that excuses as many bounds as it can.
            members = np.flatnonzero(self.group == k)
            up, down = members[held[members] == 1], members[held[members] == -1]
            ends = [*(reduced[up].max(keepdims=True) if len(up) else [])]
            ends += [*(reduced[down].min(keepdims=True) if len(down) else [])]
            prices[k] = -float(np.mean(ends))
        reduced = reduced + self.incidence.T @ prices
        return move, np.where(held == 0, 0.0, -reduced)
