"""One relaxation of many structures: evaluate all that are left, move them, let the finished go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import StructureError
from .coordinates import Coordinates
from .evaluator import Evaluator, Point
from .optimisers import Fire, Lbfgs, Optimiser
from .results import Progress, Relaxation, Status
from .segments import Bools, Floats

if TYPE_CHECKING:
    from ..potentials.base import Potential
    from ..structure import SoftAtoms
    from .options import Settings

LARGEST_STRAIN = 1.0
"""Largest change of a cell, as logarithm of a ratio of lengths, before it counts as unbound."""


@dataclass
class _State:
    """Where one structure stands.

    Attributes:
        steps: How often it was moved.
        evaluations: How often its energy was computed.
        positions: Positions in Å, shape (n_sites, 3).
        cell: Cell in Å, shape (3, 3).
        point: What the potential gives there; None if nothing did so far.
        enthalpy: In eV.
        fmax: Largest force on a mobile site in eV/Å.
        smax: Largest stress along a free strain in eV/Å³.
    """

    positions: Floats
    cell: Floats
    steps: int = 0
    evaluations: int = 0
    point: Point | None = None
    enthalpy: float = float("nan")
    fmax: float = float("nan")
    smax: float = float("nan")


@dataclass(frozen=True)
class _Surface:
    """The enthalpy surface of the active structures where they were just evaluated.

    Attributes:
        positions: Positions of each in Å.
        cells: Cells in Å, shape (n, 3, 3).
        points: What came out for each; a text where something went wrong.
        enthalpies: In eV, shape (n,); inf where something went wrong.
        noise: Rounding error of the enthalpies in eV, shape (n,).
        gradients: Derivatives by the variables, shape (n_variables,).
        fmax: Largest force on a mobile site in eV/Å, shape (n,).
        smax: Largest stress along a free strain in eV/Å³, shape (n,).
        relaxed: Whether both are below their tolerances, shape (n,).
    """

    positions: list[Floats]
    cells: Floats
    points: list[Point | str]
    enthalpies: Floats
    noise: Floats
    gradients: Floats
    fmax: Floats
    smax: Floats
    relaxed: Bools


class Run:
    """State of one relaxation.

    Args:
        potential: The energy function.
        systems: The structures.
        mobile: Which sites of each may move.
        settings: How to relax.
    """

    def __init__(
        self,
        potential: Potential,
        systems: Sequence[SoftAtoms],
        mobile: Sequence[Bools],
        settings: Settings,
    ) -> None:
        self._systems = systems
        self._settings = settings
        self._evaluator = Evaluator(potential, systems, settings)
        self._coordinates = Coordinates(systems, mobile, settings.strains)
        self._active = np.arange(len(systems))
        self._states = [_State(soft.positions, soft.cell) for soft in systems]
        self._results: dict[int, Relaxation] = {}

    def relax(self) -> list[Relaxation]:
        """Relax all structures.

        Returns:
            One result per structure, in the same order.
        """
        surface = self._evaluate(self._coordinates.zeros(), 0)
        healthy = np.isfinite(surface.enthalpies)
        self._take(surface, healthy)
        for row in _rows(~healthy):
            self._finish(row, "failed", str(surface.points[row]))
        for row in _rows(surface.relaxed):
            self._finish(row, "ok")
        going = healthy & ~surface.relaxed
        gradients = surface.gradients[self._coordinates.variables.spread(going)]
        self._keep(going)
        optimiser = self._optimiser(surface.enthalpies[going], gradients)
        for iteration in range(1, self._settings.max_steps + 1):
            if len(self._active) == 0:
                break
            going = self._step(optimiser, iteration)
            if not going.all():
                self._keep(going)
                optimiser.keep(going)
        for row in range(len(self._active)):
            limit = self._settings.max_steps
            self._finish(row, "unconverged", f"{self._left(row)} after {limit} steps")
        return [self._results[index] for index in range(len(self._systems))]

    def _optimiser(self, enthalpies: Floats, gradients: Floats) -> Optimiser:
        segments, lengths = self._coordinates.variables, self._coordinates.lengths
        longest = self._settings.max_step_length
        if self._settings.optimiser == "fire":
            return Fire(segments, gradients, lengths, longest)
        return Lbfgs(segments, enthalpies, gradients, lengths, longest)

    def _step(self, optimiser: Optimiser, iteration: int) -> Bools:
        """Move all active structures once; which of them have to go on."""
        x = optimiser.propose()
        surface = self._evaluate(x, iteration)
        moved = optimiser.receive(surface.enthalpies, surface.gradients, surface.noise)
        self._take(surface, moved)
        for row in _rows(moved):
            self._states[self._active[row]].steps += 1
        relaxed = moved & surface.relaxed
        largest = np.abs(np.linalg.eigvalsh(self._coordinates.log_strains(x))).max(axis=1)
        unbound = moved & ~relaxed & (largest > LARGEST_STRAIN)
        stuck = optimiser.stuck & ~relaxed & ~unbound
        for row in _rows(relaxed):
            self._finish(row, "ok")
        for row in _rows(unbound):
            change = np.exp(largest[row])
            self._finish(
                row, "failed", f"the cell does not hold: a length has changed by {change:.3g} times"
            )
        for row in _rows(stuck):
            point = surface.points[row]
            if isinstance(point, str):
                self._finish(row, "failed", f"{point} wherever a step leads")
            else:
                error = f"{self._left(row)}, but no step lowers the energy any further"
                self._finish(row, "unconverged", error)
        return ~(relaxed | unbound | stuck)

    def _evaluate(self, x: Floats, iteration: int) -> _Surface:
        settings, coordinates = self._settings, self._coordinates
        positions, cells = coordinates.structures(x)
        points = self._evaluator.evaluate(self._active.tolist(), positions, cells)
        count = len(points)
        enthalpies, noise = np.full(count, np.inf), np.zeros(count)
        stresses = np.zeros((count, 3, 3))
        forces = []
        volumes = np.abs(np.linalg.det(cells))
        for row, point in enumerate(points):
            self._states[self._active[row]].evaluations += 1
            if isinstance(point, str):
                forces.append(np.zeros_like(positions[row]))
                continue
            enthalpies[row] = point.energy + settings.pressure * volumes[row]
            noise[row] = point.noise
            forces.append(point.forces)
            if len(settings.strains) and point.stress is not None:
                stresses[row] = point.stress + settings.pressure * np.eye(3)
        of_sites = np.concatenate(forces)
        fmax, smax = coordinates.largest_forces(of_sites), coordinates.largest_stresses(stresses)
        limits = settings.smax
        if limits is None:
            limits = settings.fmax * coordinates.sites.sizes / np.maximum(volumes, 1e-300)
        healthy = np.isfinite(enthalpies)
        if settings.on_step is not None:
            told = self._active[healthy]
            settings.on_step(
                Progress(iteration, told, enthalpies[healthy], fmax[healthy], smax[healthy])
            )
        return _Surface(
            positions=positions,
            cells=cells,
            points=points,
            enthalpies=enthalpies,
            noise=noise,
            gradients=coordinates.gradients(x, of_sites, volumes[:, None, None] * stresses),
            fmax=fmax,
            smax=smax,
            relaxed=healthy & (fmax <= settings.fmax) & (smax <= limits),
        )

    def _take(self, surface: _Surface, rows: Bools) -> None:
        """Note where some of the active structures now are."""
        for row in _rows(rows):
            state, point = self._states[self._active[row]], surface.points[row]
            assert not isinstance(point, str), "a structure without an energy has not moved"
            state.point = point
            state.positions, state.cell = surface.positions[row], surface.cells[row]
            state.enthalpy = float(surface.enthalpies[row])
            state.fmax, state.smax = float(surface.fmax[row]), float(surface.smax[row])

    def _keep(self, rows: Bools) -> None:
        self._active = self._active[rows]
        self._coordinates.keep(rows)

    def _left(self, row: int) -> str:
        state = self._states[self._active[row]]
        left = f"forces are still {state.fmax:.3g} eV/Å"
        if len(self._settings.strains):
            left += f" and stresses {state.smax:.3g} eV/Å³"
        return left

    def _finish(self, row: int, status: Status, error: str = "") -> None:
        """Write the result of an active structure."""
        index = int(self._active[row])
        self._evaluator.forget(index)
        state, soft = self._states[index], self._systems[index]
        if state.steps:
            try:
                soft = soft.with_positions(state.positions, state.cell)
            except StructureError as problem:
                status, error = "failed", f"it collapsed: {problem}"
        point = state.point
        self._results[index] = Relaxation(
            soft=soft,
            energy=float("nan") if point is None else point.energy,
            enthalpy=state.enthalpy,
            forces=np.full_like(soft.positions, np.nan) if point is None else point.forces.copy(),
            stress=None if point is None or point.stress is None else point.stress.copy(),
            fmax=state.fmax,
            smax=state.smax if len(self._settings.strains) else None,
            steps=state.steps,
            evaluations=state.evaluations,
            status=status,
            error=error,
        )


def _rows(mask: Bools) -> list[int]:
    """Indices of the rows that a mask names."""
    return np.flatnonzero(mask).tolist()
