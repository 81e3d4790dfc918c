"""Optimisers that walk many structures downhill at once, each on its own path.

Both take turns with the caller: ``propose`` says where to evaluate next, ``receive`` is told what
came out. Every array has one row per structure, and rows never mix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Lengths = Callable[[Floats], Floats]

MEMORY = 24
"""Steps that L-BFGS remembers."""

FIRST_STIFFNESS = 30.0
"""Curvature in eV/Å² that L-BFGS assumes before it has seen any."""

SHORTEST_STEP = 1e-7
"""An L-BFGS step in Å that has to be shorter than this is given up."""

MOST_REJECTIONS = 4
"""After so many rejected steps in a row L-BFGS forgets what it remembers."""


class Optimiser(Protocol):
    """What a relaxation asks of an optimiser."""

    def propose(self) -> Floats:
        """Variables at which to evaluate next, shape (n_systems, n_variables)."""

    def receive(self, energies: Floats, gradients: Floats, noise: Floats) -> Bools:
        """Take in what came out at the proposed variables.

        Args:
            energies: Energies in eV, shape (n_systems,); inf where there is none.
            gradients: Their derivatives, shape (n_systems, n_variables); 0 where there are none.
            noise: Rounding error of the energies in eV, shape (n_systems,).

        Returns:
            Which structures have moved to the proposed variables, shape (n_systems,).
        """

    @property
    def stuck(self) -> Bools:
        """Which structures cannot go on, shape (n_systems,)."""

    def keep(self, rows: Bools) -> None:
        """Forget all structures but some."""


class Lbfgs:
    """Limited-memory BFGS with steps of limited length that never go uphill.

    A step that raises the energy is taken back, what it told about the curvature is kept, and the
    next one must be shorter. Negative curvature makes a structure forget what it remembers: the
    model behind it does not hold there.

    Args:
        energies: Energies at the start in eV, shape (n_systems,).
        gradients: Their derivatives, shape (n_systems, n_variables).
        lengths: Length in Å of steps that stand in rows.
        max_length: Longest step in Å.
    """

    def __init__(
        self, energies: Floats, gradients: Floats, lengths: Lengths, max_length: float
    ) -> None:
        count = len(energies)
        self._energies, self._gradients = energies, gradients
        self._x = np.zeros_like(gradients)
        self._step = np.zeros_like(gradients)
        self._lengths, self._max_length = lengths, max_length
        self._radius = np.full(count, max_length)
        self._rejections = np.zeros(count, dtype=np.int64)
        self._flexibility = np.full(count, 1.0 / FIRST_STIFFNESS)
        # Slots are used in turn; 1 / (s·y) is 0 where a structure had nothing to remember.
        self._turn = 0
        self._moves = np.zeros((MEMORY, *gradients.shape))
        self._changes = np.zeros((MEMORY, *gradients.shape))
        self._inverse_curvatures = np.zeros((MEMORY, count))

    def propose(self) -> Floats:
        """Variables after the quasi-Newton step."""
        step = -self._times_inverse_hessian(self._gradients)
        downhill = _dot(step, self._gradients)
        sizes = np.sqrt(_dot(step, step) * _dot(self._gradients, self._gradients))
        lost = ~(downhill < -1e-10 * sizes)
        if lost.any():
            self._forget(lost)
            step[lost] = -self._flexibility[lost, None] * self._gradients[lost]
        length = self._lengths(step)
        self._step = step * np.minimum(1.0, self._radius / np.maximum(length, 1e-300))[:, None]
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
        self._x[accepted] += self._step[accepted]
        self._energies = np.where(accepted, energies, self._energies)
        self._gradients = np.where(accepted[:, None], gradients, self._gradients)
        return accepted

    @property
    def stuck(self) -> Bools:
        """Where the next step would have to be too short to matter."""
        return self._radius < SHORTEST_STEP

    def keep(self, rows: Bools) -> None:
        """Forget all structures but some."""
        for name in ("energies", "gradients", "x", "step", "radius", "rejections", "flexibility"):
            setattr(self, f"_{name}", getattr(self, f"_{name}")[rows])
        for name in ("moves", "changes", "inverse_curvatures"):
            setattr(self, f"_{name}", getattr(self, f"_{name}")[:, rows])

    def _times_inverse_hessian(self, vectors: Floats) -> Floats:
        """The two-loop recursion, for all structures in step."""
        slots = [(self._turn + age) % MEMORY for age in range(MEMORY)]
        slots = [slot for slot in slots if self._inverse_curvatures[slot].any()]
        left = vectors.copy()
        shares = {}
        for slot in reversed(slots):
            shares[slot] = self._inverse_curvatures[slot] * _dot(self._moves[slot], left)
            left -= shares[slot][:, None] * self._changes[slot]
        left *= self._flexibility[:, None]
        for slot in slots:
            share = self._inverse_curvatures[slot] * _dot(self._changes[slot], left)
            left += (shares[slot] - share)[:, None] * self._moves[slot]
        return left

    def _remember(self, changes: Floats, known: Bools) -> None:
        """Keep the last step and the change of the gradient along it."""
        curvatures = _dot(self._step, changes)
        moved, changed = _dot(self._step, self._step), _dot(changes, changes)
        sizes = np.sqrt(moved * changed)
        useful = known & (curvatures > 1e-6 * sizes) & (sizes > 0.0)
        self._forget(known & (curvatures <= 0.0) & (sizes > 0.0))
        self._moves[self._turn] = self._step
        self._changes[self._turn] = changes
        self._inverse_curvatures[self._turn] = np.divide(
            1.0, curvatures, out=np.zeros_like(curvatures), where=useful
        )
        # Where the curvature is negative, its size is still the best guess at a scale.
        scales = np.where(useful, np.abs(curvatures), sizes)
        self._flexibility = np.divide(
            scales, changed, out=self._flexibility, where=known & (sizes > 0.0)
        )
        self._turn = (self._turn + 1) % MEMORY

    def _backtrack(self, energies: Floats) -> Floats:
        """Part of the last step at whose end a parabola through what is known has its minimum."""
        slope = _dot(self._step, self._gradients)
        rise = energies - self._energies - slope
        finite = np.isfinite(rise) & (rise > 0.0)
        part = np.divide(-0.5 * slope, rise, out=np.full_like(rise, 0.25), where=finite)
        return np.clip(part, 0.1, 0.5)

    def _forget(self, rows: Bools) -> None:
        self._inverse_curvatures[:, rows] = 0.0


class Fire:
    """Fast inertial relaxation engine: damped dynamics that speeds up while it runs downhill.

    Args:
        gradients: Derivatives of the energies at the start, shape (n_systems, n_variables).
        lengths: Length in Å of steps that stand in rows.
        max_length: Longest step in Å.
    """

    first_time_step, longest_time_step = 0.1, 1.0
    mixing, mixing_decay = 0.1, 0.99
    speed_up, slow_down = 1.1, 0.5
    steps_before_speed_up = 5
    most_failures = 12

    def __init__(self, gradients: Floats, lengths: Lengths, max_length: float) -> None:
        count = len(gradients)
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
        forces, velocities = -self._gradients, self._velocities
        downhill = _dot(forces, velocities) > 0.0
        speed = np.sqrt(_dot(velocities, velocities))
        size = np.maximum(np.sqrt(_dot(forces, forces)), 1e-300)
        turned = (1.0 - self._mixing)[:, None] * velocities
        turned += (self._mixing * speed / size)[:, None] * forces
        velocities = np.where(downhill[:, None], turned, 0.0)
        faster = downhill & (self._downhill_steps > self.steps_before_speed_up)
        uphill = ~downhill & (speed > 0.0)
        longer = np.minimum(self._time_step * self.speed_up, self.longest_time_step)
        self._time_step = np.where(faster, longer, self._time_step)
        self._time_step = np.where(uphill, self._time_step * self.slow_down, self._time_step)
        self._mixing = np.where(faster, self._mixing * self.mixing_decay, self._mixing)
        self._mixing = np.where(uphill, self.mixing, self._mixing)
        self._downhill_steps = np.where(downhill, self._downhill_steps + 1, 0)
        self._velocities = velocities + self._time_step[:, None] * forces
        step = self._time_step[:, None] * self._velocities
        length = self._lengths(step)
        step *= np.minimum(1.0, self._max_length / np.maximum(length, 1e-300))[:, None]
        self._proposed = self._x + step
        return self._proposed

    def receive(self, energies: Floats, gradients: Floats, noise: Floats) -> Bools:
        """Go on from wherever there is an energy; dynamics may run uphill."""
        del noise
        finite = np.isfinite(energies)
        self._x = np.where(finite[:, None], self._proposed, self._x)
        self._gradients = np.where(finite[:, None], gradients, self._gradients)
        # Back where it was, a structure starts from rest and in smaller steps.
        self._velocities[~finite] = 0.0
        self._time_step[~finite] *= self.slow_down
        self._failures += ~finite
        return finite

    @property
    def stuck(self) -> Bools:
        """Where there was no energy again and again."""
        return self._failures >= self.most_failures

    def keep(self, rows: Bools) -> None:
        """Forget all structures but some."""
        for name in (
            "gradients",
            "x",
            "proposed",
            "velocities",
            "time_step",
            "mixing",
            "downhill_steps",
            "failures",
        ):
            setattr(self, f"_{name}", getattr(self, f"_{name}")[rows])


def _dot(a: Floats, b: Floats) -> Floats:
    """Inner products of rows, shape (n_systems,)."""
    return np.einsum("sv,sv->s", a, b)
