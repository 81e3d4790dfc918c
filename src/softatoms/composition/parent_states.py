"""Where relaxations of solid solutions start: between end members, beside relaxed neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..structure import SoftAtoms
    from .tasks import Occupation, Task

Floats = NDArray[np.float64]

Filling = tuple[tuple[str, str], ...]
"""Element on each sublattice of an end member."""

FIRST_WAVE = 4
"""Compositions that are relaxed before any has a relaxed neighbour; each wave doubles."""


class Bounds(NamedTuple):
    """From where on a crystal is another one.

    Attributes:
        shape: Longest by shortest stretch, minus 1 (0.41 from bcc to fcc).
        move: Way of a site besides the strain in Å.
    """

    shape: float
    move: float


class State(NamedTuple):
    """Cell and sites of a structure.

    Attributes:
        cell: Lattice vectors in Å, shape (3, 3).
        scaled: Fractional positions, shape (n_sites, 3).
    """

    cell: Floats
    scaled: Floats

    @staticmethod
    def of(soft: SoftAtoms) -> State:
        """State of a structure; positions are not folded back into the cell."""
        return State(soft.cell, soft.positions @ np.linalg.inv(soft.cell))

    @staticmethod
    def from_json(saved: Mapping[str, Any]) -> State:
        """What :meth:`to_json` has made."""
        return State(np.array(saved["cell"]), np.array(saved["scaled"]))

    def to_json(self) -> dict[str, Any]:
        """Lists of numbers, to the last digit."""
        return {"cell": self.cell.tolist(), "scaled": self.scaled.tolist()}

    def moved(self, by: State, factor: float = 1.0) -> State:
        """The state plus a multiple of a difference of states."""
        return State(self.cell + factor * by.cell, self.scaled + factor * by.scaled)


def fillings(occupation: Occupation) -> Iterator[tuple[Filling, float]]:
    """End members between which a composition lies, with weights that sum to 1.

    With several sublattices each combination of their elements counts with the product of its
    fractions.
    """
    present = [
        [(name, symbol, weight) for symbol, weight in weights.items() if weight > 0]
        for name, weights in occupation.items()
    ]
    for chosen in product(*present):
        weight = float(np.prod([part[2] for part in chosen]))
        yield tuple((name, symbol) for name, symbol, _ in chosen), weight


def blend(states: Sequence[tuple[State, float]]) -> State:
    """Weighted sum of states."""
    zero = State(np.zeros((3, 3)), np.zeros_like(states[0][0].scaled))
    for state, weight in states:
        zero = zero.moved(state, weight)
    return zero


def compare(before: State, after: State, bounds: Bounds) -> tuple[float, str]:
    """How far sites moved besides the strain, and whether the crystal is another one now.

    Args:
        before: Where the crystal should be: on the line between end members, or as given.
        after: Where it came to rest.
        bounds: From where on it is another one.

    Returns:
        Longest way of a site in Å, and what says that the crystal left its parent, if anything.
    """
    shifts = after.scaled - before.scaled
    moved = (shifts - shifts.mean(axis=0)) @ after.cell
    distortion = float(np.linalg.norm(moved, axis=1).max())
    stretches = np.linalg.svd(np.linalg.solve(before.cell, after.cell), compute_uv=False)
    shape = float(np.exp(np.ptp(np.log(stretches)))) - 1.0
    found = []
    if shape > bounds.shape:
        found.append(f"its shape changed by {100.0 * shape:.0f} %")
    if distortion > bounds.move:
        found.append(f"a site moved by {distortion:.2g} Å")
    return distortion, f"the crystal left its parent: {', '.join(found)}" if found else ""


class Neighbours:
    """Relaxed states, and what they say about compositions nearby."""

    def __init__(self) -> None:
        self._points: list[dict[tuple[str, str], float]] = []
        self._deviations: list[State] = []

    def add(self, occupation: Occupation, state: State, line: State) -> None:
        """Keep how far a relaxed state is from the line between the end members."""
        self._points.append(_coordinates(occupation))
        self._deviations.append(state.moved(line, -1.0))

    def start(self, occupation: Occupation, line: State) -> State:
        """Where to start: as far from the line as the nearest composition; end members are on it.

        Args:
            occupation: The composition.
            line: Its state on the line between the end members.
        """
        own = _coordinates(occupation)
        best = _distance_to_corner(occupation)
        nearest: State | None = None
        for place, deviation in zip(self._points, self._deviations, strict=True):
            distance = _distance(own, place)
            if distance < best:
                best, nearest = distance, deviation
        return line if nearest is None else line.moved(nearest)


def spread_out(tasks: Sequence[Task]) -> list[Task]:
    """Tasks in an order in which each is far from those before it, so that grids fill evenly."""
    left = list(tasks)
    keys = sorted({key for task in left for key in _coordinates(task.occupation)})
    points = np.array(
        [[_coordinates(task.occupation).get(key, 0.0) for key in keys] for task in left]
    )
    # Distance to the nearest end member, where the state is known already.
    distances = np.array([_distance_to_corner(task.occupation) for task in left])
    ordered: list[Task] = []
    waiting = np.ones(len(left), dtype=bool)
    for _ in left:
        chosen = int(np.argmax(np.where(waiting, distances, -1.0)))
        waiting[chosen] = False
        ordered.append(left[chosen])
        distances = np.minimum(distances, np.linalg.norm(points - points[chosen], axis=1))
    return ordered


def _coordinates(occupation: Occupation) -> dict[tuple[str, str], float]:
    return {(n, s): x for n, weights in occupation.items() for s, x in weights.items() if x > 0}


def _corners(occupation: Occupation) -> Iterator[dict[tuple[str, str], float]]:
    for filling, _ in fillings(occupation):
        yield dict.fromkeys(filling, 1.0)


def _distance(
    first: Mapping[tuple[str, str], float], second: Mapping[tuple[str, str], float]
) -> float:
    keys = {*first, *second}
    return float(np.sqrt(sum((first.get(k, 0.0) - second.get(k, 0.0)) ** 2 for k in keys)))


def _distance_to_corner(occupation: Occupation) -> float:
    own = _coordinates(occupation)
    return min(_distance(own, corner) for corner in _corners(occupation))
