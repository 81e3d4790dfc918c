"""Evaluation of many structures in one pass, in which a sick one does not spoil the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ..batch_evaluator import BatchEvaluator
from ..errors import StructureError
from ..graph import Batch
from ..neighbours import Pairs, SkinnedList
from .segments import Floats

if TYPE_CHECKING:
    from ..potentials.base import Potential
    from ..structure import SoftAtoms
    from .options import Settings

SKIN = 0.5
"""Margin of the neighbour lists in Å."""

NOISE = 10.0
"""Rounding error of an energy, in units in the last place."""

LARGEST = 1e100
"""Numbers beyond it count as infinite: their squares would be."""


class Point(NamedTuple):
    """One structure at one place.

    Attributes:
        energy: In eV.
        noise: Rounding error of the energy in eV.
        forces: In eV/Å, shape (n_sites, 3).
        stress: In eV/Å³, shape (3, 3), or None if the cell has no volume.
    """

    energy: float
    noise: float
    forces: Floats
    stress: Floats | None


class Evaluator:
    """Energies, forces and stresses of any of some structures at changing positions and cells.

    Args:
        potential: The energy function.
        systems: The structures, for their sites, weights and periodicity.
        settings: Coupling, precision and device.
    """

    def __init__(
        self, potential: Potential, systems: Sequence[SoftAtoms], settings: Settings
    ) -> None:
        self._potential = potential.cast(settings.dtype, settings.device)
        self._systems = systems
        self._settings = settings
        self._lists: dict[int, SkinnedList] = {}
        self._current: tuple[tuple[int, ...], BatchEvaluator] | None = None

    def evaluate(
        self, chosen: Sequence[int], positions: Sequence[Floats], cells: Floats
    ) -> list[Point | str]:
        """Evaluate some of the structures.

        Args:
            chosen: Their indices.
            positions: Positions of each in Å, shape (n_sites, 3).
            cells: Cells in Å, shape (len(chosen), 3, 3).

        Returns:
            For each of them what came out, or a text saying what went wrong.
        """
        found: list[Point | str] = [""] * len(chosen)
        pairs: dict[int, Pairs] = {}
        for row, index in enumerate(chosen):
            try:
                if index not in self._lists:
                    self._lists[index] = SkinnedList(self._potential.cutoff, SKIN)
                pbc = self._systems[index].pbc
                pairs[row] = self._lists[index].pairs(positions[row], cells[row], pbc)
            except StructureError as error:
                found[row] = _described(error)
        waiting = [list(pairs)]
        while waiting:
            rows = waiting.pop()
            outs = self._together(rows, chosen, positions, cells, pairs)
            sick = [row for row, out in zip(rows, outs, strict=True) if isinstance(out, str)]
            for row, out in zip(rows, outs, strict=True):
                found[row] = out
            # Numbers that are not finite can spread through a batch: the sick are tried again
            # without the healthy, then in halves, until each that stays sick stands alone.
            if sick and len(rows) > 1:
                half = (len(sick) + 1) // 2
                waiting += [sick] if len(sick) < len(rows) else [sick[:half], sick[half:]]
        return found

    def forget(self, index: int) -> None:
        """Let go of what is kept for a structure that will not be evaluated again."""
        self._lists.pop(index, None)

    def _together(
        self,
        rows: Sequence[int],
        chosen: Sequence[int],
        positions: Sequence[Floats],
        cells: Floats,
        pairs: dict[int, Pairs],
    ) -> Sequence[Point | str]:
        if not rows:
            return []
        device = self._settings.device
        has_volume = np.abs(np.linalg.det(cells[rows])) > 1e-12
        wanted = frozenset({"forces", "stress"} if has_volume.any() else {"forces"})
        try:
            evaluator = self._evaluator(tuple(chosen[row] for row in rows))
            theta = [self._systems[chosen[row]].groups.theta for row in rows]
            outs = evaluator.evaluate(
                positions=torch.from_numpy(np.concatenate([positions[r] for r in rows])).to(device),
                cells=torch.from_numpy(cells[rows]).to(device),
                theta=torch.from_numpy(np.concatenate(theta)).to(device),
                pairs=[pairs[row] for row in rows],
                wanted=wanted,
            )
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a potential raises concerns its structures alone
            return [_described(error)] * len(rows)
        # One transfer per quantity, not one per structure.
        energies = torch.stack([out.energy for out in outs]).cpu().numpy()
        interactions = torch.stack([out.interaction_energy for out in outs]).cpu().numpy()
        forces = torch.cat([out.forces for out in outs if out.forces is not None]).cpu().numpy()
        stresses = [out.stress for out in outs if out.stress is not None]
        by_system = torch.stack(stresses).cpu().numpy() if stresses else None
        ends = np.cumsum([len(positions[row]) for row in rows])[:-1]
        if self._settings.external is not None:
            places = np.concatenate([positions[row] for row in rows])
            existence = np.concatenate([self._systems[chosen[row]].existence for row in rows])
            own_energies = existence * self._settings.external.energies(places)
            energies = energies + [part.sum() for part in np.split(own_energies, ends)]
            forces = forces - existence[:, None] * self._settings.external.gradients(places)
        return [
            self._point(
                float(energies[k]),
                float(interactions[k]),
                own,
                by_system[k] if by_system is not None and has_volume[k] else None,
            )
            for k, own in enumerate(np.split(forces, ends))
        ]

    def _point(
        self, energy: float, interaction: float, forces: Floats, stress: Floats | None
    ) -> Point | str:
        for name, values in (("energy", energy), ("force", forces), ("stress", stress)):
            if values is not None and not (np.abs(values) < LARGEST).all():
                return f"the {name} is not finite"
        rounding = torch.finfo(self._settings.dtype).eps * max(abs(interaction), float(len(forces)))
        noise = NOISE * (rounding + float(np.finfo(np.float64).eps) * abs(energy))
        return Point(energy, noise, forces, stress)

    def _evaluator(self, indices: tuple[int, ...]) -> BatchEvaluator:
        if self._current is None or self._current[0] != indices:
            settings = self._settings
            batch = Batch([self._systems[index] for index in indices], settings.device)
            evaluator = BatchEvaluator(self._potential, batch, settings.coupling, settings.dtype)
            self._current = indices, evaluator
        return self._current[1]


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
