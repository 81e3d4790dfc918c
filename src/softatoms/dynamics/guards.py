"""When a system counts as lost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..neighbours import complete_cell
from ..structure import SoftAtoms
from .members import Members
from .state import State

Floats = NDArray[np.float64]


class Guards:
    """Limits of all systems of a batch.

    Args:
        members: The systems at their starts, which limits refer to.
    """

    def __init__(self, members: Members) -> None:
        self._members = members
        limits = [s.limits for s in members.settings]
        self._displacement = members.per_system([limit.displacement for limit in limits])
        self._temperature = members.per_system([limit.temperature for limit in limits])
        self._escape = members.per_system([limit.escape for limit in limits])
        self._factor = members.per_system([limit.cell_factor for limit in limits])
        self._has_cells = members.settings[0].cell != "fixed"
        device = members.device
        self._sizes = _sizes(torch.from_numpy(np.stack([s.cell for s in members.systems])))
        self._sizes = self._sizes.to(device)
        self._axes: Tensor | None = None
        if not all(soft.pbc.all() for soft in members.systems):
            axes, low, high = zip(*(_range(soft) for soft in members.systems), strict=True)
            self._axes = torch.from_numpy(np.stack(axes)).to(device)
            self._low = torch.from_numpy(np.stack(low)).to(device)
            self._high = torch.from_numpy(np.stack(high)).to(device)

    def check_moves(self, before: Tensor, after: Tensor) -> tuple[Tensor, Mapping[int, str]]:
        """Hold systems back of which a site moves too far in one step.

        Args:
            before: Positions at the last step in Å, shape (n_sites, 3).
            after: Positions proposed in Å, shape (n_sites, 3).

        Returns:
            Positions that can be evaluated: those of systems with a problem are as before. And
            the problems by row.
        """
        members = self._members
        farthest = members.largest(((after - before) ** 2).sum(1)).sqrt()
        bad = ~(farthest <= self._displacement)
        if not bool(bad.any()):
            return after, {}
        problems = {}
        for row in bad.nonzero().squeeze(1).tolist():
            way, limit = float(farthest[row]), float(self._displacement[row])
            problems[row] = (
                f"a site moves {way:.3g} Å in one step, the limit is {limit:g} Å"
                if np.isfinite(way)
                else "a position or velocity is not finite"
            )
        return torch.where(members.spread(bad).unsqueeze(1), before, after), problems

    def check_state(self, state: State) -> Mapping[int, str]:
        """What is wrong at the end of a step, by row."""
        members = self._members
        hot = members.temperatures(members.kinetic(state.velocities, state.masses))
        bad = ~(hot <= self._temperature)
        deformed: Tensor | None = None
        if self._has_cells:
            change = torch.log(_sizes(state.cells) / self._sizes).abs().amax(1)
            deformed = ~(change <= torch.log(self._factor))
            bad = bad | deformed
        outside: Tensor | None = None
        if self._axes is not None:
            heights = (state.positions.unsqueeze(1) * members.spread(self._axes)).sum(2)
            below, above = members.spread(self._low) - heights, heights - members.spread(self._high)
            outside = members.largest(torch.maximum(below, above).amax(1).clamp(min=0.0))
            bad = bad | ~(outside <= self._escape)
        if not bool(bad.any()):
            return {}
        problems = {}
        for row in bad.nonzero().squeeze(1).tolist():
            if deformed is not None and bool(deformed[row]):
                problems[row] = (
                    "the cell does not hold: its volume or one of its heights has changed by more "
                    f"than a factor of {float(self._factor[row]):g}"
                )
            elif not float(hot[row]) <= float(self._temperature[row]):
                problems[row] = (
                    f"the temperature is {float(hot[row]):.4g} K, the limit is "
                    f"{float(self._temperature[row]):g} K"
                )
            elif outside is not None:
                problems[row] = (
                    f"a site is lost: it is {float(outside[row]):.3g} Å outside of where sites "
                    f"were at the start, the limit is {float(self._escape[row]):g} Å"
                )
        return problems


def _sizes(cells: Tensor) -> Tensor:
    """Volume and the three heights of each cell, shape (n_systems, 4)."""
    a, b, c = cells.unbind(1)
    normals = torch.stack(
        [torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], dim=1
    )
    volumes = torch.linalg.det(cells).abs().unsqueeze(1)
    return torch.cat([volumes, volumes / torch.linalg.vector_norm(normals, dim=2)], dim=1)


def _range(soft: SoftAtoms) -> tuple[Floats, Floats, Floats]:
    """Directions in which nothing repeats, and how far sites reach along them.

    Returns:
        Unit vectors, zero where a lattice vector is periodic, shape (3, 3), then the lowest and
        highest coordinate along each, shape (3,).
    """
    axes = np.where(soft.pbc[:, None], 0.0, complete_cell(soft.cell, soft.pbc))
    heights = soft.positions @ axes.T
    return axes, heights.min(axis=0), heights.max(axis=0)
