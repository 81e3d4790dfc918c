"""Optimisers that walk many structures downhill at once, each on its own path.

Both take turns with the caller: ``propose`` says where to evaluate next, ``receive`` is told what
came out. Variables of all structures stand in one vector, and those of different ones never mix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from .segments import Bools, Floats, Segments

Lengths = Callable[[Floats], Floats]
"""Length in Å of the part of a step that belongs to each structure, shape (n_systems,)."""

MEMORY = 24
"""Steps that L-BFGS remembers."""

FIRST_STIFFNESS = 30.0
"""Curvature in eV/Å² that L-BFGS assumes before it has seen any."""

SHORTEST_STEP = 1e-7
"""An L-BFGS step in Å that has to be shorter than this is given up."""

MOST_REJECTIONS = 4
"""After so many rejected steps in a row L-BFGS forgets what it remembers."""

TINY = 1e-300
"""Added where 0 might be divided by 0."""


class Optimiser(Protocol):
    """What a relaxation asks of an optimiser."""

    def propose(self) -> Floats:
        """Variables at which to evaluate next, shape (n_variables,)."""

    def receive(self, energies: Floats, gradients: Floats, noise: Floats) -> Bools:
        """Take in what came out at the proposed variables.

        Args:
            energies: Energies in eV, shape (n_systems,); inf where there is none.
            gradients: Their derivatives, shape (n_variables,); 0 where there are none.
            noise: Rounding error of the energies in eV, shape (n_systems,).

        Returns:
            Which structures have moved to the proposed variables, shape (n_systems,).
        """

    @property
    def stuck(self) -> Bools:
        """Which structures cannot go on, shape (n_systems,)."""

    def keep(self, chosen: Bools) -> None:
        """Forget all structures but some."""


class Lbfgs:
    """Limited-memory BFGS with steps of limited length that never go uphill.

    A step that raises the energy is taken back, what it told about the curvature is kept, and the
    next one must be shorter. Negative curvature makes a structure forget what it remembers: the
    model behind it does not hold there.

    Args:
        segments: Which variables belong to which structure.
        energies: Energies at the start in eV, shape (n_systems,).
        gradients: Their derivatives, shape (n_variables,).
        lengths: Length of a step in each structure.
        max_length: Longest step in Å.
    """

    def __init__(
        self,
        segments: Segments,
        energies: Floats,
        gradients: Floats,
        lengths: Lengths,
        max_length: float,
    ) -> None:
        count = len(energies)
        self._segments = segments
        self._energies, self._gradients = energies, gradients
        self._x = np.zeros_like(gradients)
        self._step = np.zeros_like(gradients)
        self._lengths, self._max_length = lengths, max_length
        self._radius = np.full(count, max_length)
        self._rejections = np.zeros(count, dtype=np.int64)
        self._flexibility = np.full(count, 1.0 / FIRST_STIFFNESS)
        # Slots are used in turn; 1 / (s·y) is 0 where a structure had nothing to remember.
        self._turn = 0
        self._moves = np.zeros((MEMORY, len(gradients)))
        self._changes = np.zeros((MEMORY, len(gradients)))
        self._inverse_curvatures = np.zeros((MEMORY, count))

    def propose(self) -> Floats:
        """Variables after the quasi-Newton step."""
        dot, spread = self._segments.dot, self._segments.spread
        step = -self._times_inverse_hessian(self._gradients)
        downhill = dot(step, self._gradients)
        sizes = np.sqrt(dot(step, step) * dot(self._gradients, self._gradients))
        lost = ~(downhill < -1e-10 * sizes)
        if lost.any():
            self._forget(lost)
            step = np.where(spread(lost), -spread(self._flexibility) * self._gradients, step)
        within = np.minimum(1.0, self._radius / np.maximum(self._lengths(step), TINY))
        self._step = step * spread(within)
        return self._x + self._step

    def receive(self, energies: Floats, gradients: Floats, noise: Floats) -> Bools:
        """Accept the step where the energy has not risen beyond its rounding error."""
        accepted = energies <= self._energies + noise
        self._remember(gradients - self._gradients, np.isfinite(energies))
        length = self._lengths(self._step)
        shorter = length * self._backtrack(energies)
        longer = np.maximum(self._radius, np.minimum(2.0 * length, self._max_length))
        self._radius = np.where(accepted, longer, shorter)
        self._rejections = np.where(accepted, 0, self._rejections + 1)
        self._forget(~accepted & (self._rejections % MOST_REJECTIONS == 0))
        moved = self._segments.spread(accepted)
        self._x = np.where(moved, self._x + self._step, self._x)
        self._energies = np.where(accepted, energies, self._energies)
        self._gradients = np.where(moved, gradients, self._gradients)
        return accepted

    @property
    def stuck(self) -> Bools:
        """Where the next step would have to be too short to matter."""
        return self._radius < SHORTEST_STEP

    def keep(self, chosen: Bools) -> None:
        """Forget all structures but some."""
        entries = self._segments.spread(chosen)
        self._segments = self._segments.keep(chosen)
        self._energies, self._radius = self._energies[chosen], self._radius[chosen]
        self._rejections = self._rejections[chosen]
        self._flexibility = self._flexibility[chosen]
        self._inverse_curvatures = self._inverse_curvatures[:, chosen]
        self._gradients, self._x = self._gradients[entries], self._x[entries]
        self._step = self._step[entries]
        self._moves, self._changes = self._moves[:, entries], self._changes[:, entries]

    def _times_inverse_hessian(self, vector: Floats) -> Floats:
        """The two-loop recursion, for all structures in step."""
        dot, spread = self._segments.dot, self._segments.spread
        slots = [(self._turn + age) % MEMORY for age in range(MEMORY)]
        slots = [slot for slot in slots if self._inverse_curvatures[slot].any()]
        left = vector.copy()
        shares = {}
        for slot in reversed(slots):
            shares[slot] = self._inverse_curvatures[slot] * dot(self._moves[slot], left)
            left -= spread(shares[slot]) * self._changes[slot]
        left *= spread(self._flexibility)
        for slot in slots:
            share = self._inverse_curvatures[slot] * dot(self._changes[slot], left)
            left += spread(shares[slot] - share) * self._moves[slot]
        return left

    def _remember(self, changes: Floats, known: Bools) -> None:
        """Keep the last step and the change of the gradient along it."""
        dot = self._segments.dot
        curvatures = dot(self._step, changes)
        changed = dot(changes, changes)
        sizes = np.sqrt(dot(self._step, self._step) * changed)
        useful = known & (curvatures > 1e-6 * sizes) & (sizes > 0.0)
        self._forget(known & (curvatures <= 0.0) & (sizes > 0.0))
        self._moves[self._turn] = self._step
        self._changes[self._turn] = changes
        self._inverse_curvatures[self._turn] = np.divide(
            1.0, curvatures, out=np.zeros_like(curvatures), where=useful
        )
        # Where the curvature is negative, its size is still the best guess at a scale.
        scales = np.where(useful, curvatures, sizes)
        self._flexibility = np.divide(
            scales, changed, out=self._flexibility, where=known & (sizes > 0.0)
        )
        self._turn = (self._turn + 1) % MEMORY

    def _backtrack(self, energies: Floats) -> Floats:
        """Part of the last step at whose end a parabola through what is known has its minimum."""
        slope = self._segments.dot(self._step, self._gradients)
        rise = energies - self._energies - slope
        finite = np.isfinite(rise) & (rise > 0.0)
        part = np.divide(-0.5 * slope, rise, out=np.full_like(rise, 0.25), where=finite)
        return np.clip(part, 0.1, 0.5)

    def _forget(self, chosen: Bools) -> None:
        self._inverse_curvatures[:, chosen] = 0.0


class Fire:
    """Fast inertial relaxation engine: damped dynamics that speeds up while it runs downhill.

    After E. Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006), with unit masses.

    Args:
        segments: Which variables belong to which structure.
        gradients: Derivatives of the energies at the start, shape (n_variables,).
        lengths: Length of a step in each structure.
        max_length: Longest step in Å.
    """

    first_time_step, longest_time_step = 0.1, 1.0
    mixing, mixing_decay = 0.1, 0.99
    speed_up, slow_down = 1.1, 0.5
    steps_before_speed_up = 5
    most_failures = 12

    def __init__(
        self, segments: Segments, gradients: Floats, lengths: Lengths, max_length: float
    ) -> None:
        count = len(segments.sizes)
        self._segments = segments
        self._gradients = gradients
        self._x = np.zeros_like(gradients)
        self._proposed = self._x
        self._velocities = np.zeros_like(gradients)
        self._lengths, self._max_length = lengths, max_length
        self._time_step = np.full(count, self.first_time_step)
        self._mixing = np.full(count, self.mixing)
        self._downhill_steps = np.zeros(count, dtype=np.int64)
        self._failures = np.zeros(count, dtype=np.int64)

    def propose(self) -> Floats:
        """Variables one time step later."""
        dot, spread = self._segments.dot, self._segments.spread
        forces, velocities = -self._gradients, self._velocities
        downhill = dot(forces, velocities) > 0.0
        speed = np.sqrt(dot(velocities, velocities))
        size = np.maximum(np.sqrt(dot(forces, forces)), TINY)
        turned = spread(1.0 - self._mixing) * velocities
        turned += spread(self._mixing * speed / size) * forces
        faster = downhill & (self._downhill_steps > self.steps_before_speed_up)
        uphill = ~downhill & (speed > 0.0)
        longer = np.minimum(self._time_step * self.speed_up, self.longest_time_step)
        self._time_step = np.where(faster, longer, self._time_step)
        self._time_step = np.where(uphill, self._time_step * self.slow_down, self._time_step)
        self._mixing = np.where(faster, self._mixing * self.mixing_decay, self._mixing)
        self._mixing = np.where(uphill, self.mixing, self._mixing)
        self._downhill_steps = np.where(downhill, self._downhill_steps + 1, 0)
        time_step = spread(self._time_step)
        self._velocities = np.where(spread(downhill), turned, 0.0) + time_step * forces
        step = time_step * self._velocities
        within = np.minimum(1.0, self._max_length / np.maximum(self._lengths(step), TINY))
        self._proposed = self._x + step * spread(within)
        return self._proposed

    def receive(self, energies: Floats, gradients: Floats, noise: Floats) -> Bools:
        """Go on from wherever there is an energy; dynamics may run uphill."""
        del noise
        finite = np.isfinite(energies)
        moved = self._segments.spread(finite)
        self._x = np.where(moved, self._proposed, self._x)
        self._gradients = np.where(moved, gradients, self._gradients)
        # Back where it was, a structure starts from rest and in smaller steps.
        self._velocities = np.where(moved, self._velocities, 0.0)
        self._time_step = np.where(finite, self._time_step, self._time_step * self.slow_down)
        self._failures += ~finite
        return finite

    @property
    def stuck(self) -> Bools:
        """Where there was no energy again and again."""
        return self._failures >= self.most_failures

    def keep(self, chosen: Bools) -> None:
        """Forget all structures but some."""
        entries = self._segments.spread(chosen)
        self._segments = self._segments.keep(chosen)
        self._gradients, self._x = self._gradients[entries], self._x[entries]
        self._proposed, self._velocities = self._proposed[entries], self._velocities[entries]
        self._time_step, self._mixing = self._time_step[chosen], self._mixing[chosen]
        self._downhill_steps = self._downhill_steps[chosen]
        self._failures = self._failures[chosen]
