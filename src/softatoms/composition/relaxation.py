"""Relaxation of many cells at once along one degree of freedom each, their volume.

With u = ln V the derivative of the energy is V times minus the pressure, so the pressure is the
function whose root is sought: secant steps with the bulk modulus as slope, kept inside the bracket
that the signs of the pressure span. Fractional coordinates stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ..batch_evaluator import BatchEvaluator, Evaluation
from ..errors import SoftatomsError
from ..graph import Batch, Coupling
from ..neighbours import SkinnedList
from ..runtime import keep_freed_memory
from ..units import GPA_PER_EV_ANG3

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..potentials.base import Potential
    from ..structure import SoftAtoms

LARGEST_STEP = 0.15
"""Largest change of ln V in one step."""

LARGEST_CHANGE = 2.5
"""Largest change of ln V in all before a structure counts as unbound."""

FIRST_BULK_MODULUS = 0.6
"""Slope of the first step in eV/Å³ (about 100 GPa)."""

DIFFERENCE = 5e-3
"""Half the distance in ln V over which the bulk modulus is taken."""

SKIN = 0.5
"""Margin of the neighbour lists in Å."""

_STRESS = frozenset({"stress"})
_ALL = frozenset({"stress", "weight_gradient"})


class Settings(NamedTuple):
    """How to relax.

    Attributes:
        coupling: Coupling of soft sites.
        pressure_tolerance: Pressure in eV/Å³ below which a cell counts as relaxed.
        max_steps: Most evaluations before a structure counts as unconverged.
        dtype: Precision of the potential.
        device: Where to compute.
    """

    coupling: Coupling
    pressure_tolerance: float
    max_steps: int
    dtype: torch.dtype
    device: torch.device


@dataclass
class Relaxed:
    """One structure after relaxation; numbers are nan where the status is not ``ok``.

    Attributes:
        status: ``ok``, ``unconverged`` or ``failed``.
        error: What went wrong, empty if nothing did.
        volume: Volume of the cell in Å³.
        energy: Energy of the cell in eV.
        pressure: Pressure that is left in eV/Å³.
        bulk_modulus: −dP/dlnV in eV/Å³.
        weight_gradient: dE/dθ in eV, shape (n_parameters,).
        evaluations: Energy evaluations of this structure.
    """

    status: str = "ok"
    error: str = ""
    volume: float = float("nan")
    energy: float = float("nan")
    pressure: float = float("nan")
    bulk_modulus: float = float("nan")
    weight_gradient: NDArray[np.float64] | None = None
    evaluations: int = 0

    def fail(self, error: str, status: str = "failed") -> None:
        """Record what went wrong."""
        self.status, self.error = status, error


def relax_volumes(
    potential: Potential, systems: Sequence[SoftAtoms], settings: Settings
) -> list[Relaxed]:
    """Bring every structure to zero pressure by isotropic scaling.

    A structure that cannot be relaxed does not disturb the others.

    Args:
        potential: The energy function.
        systems: Structures at guessed volumes, of any sizes.
        settings: How to relax.

    Returns:
        One result per structure, in the same order.
    """
    if settings.device.type == "cpu":
        keep_freed_memory()
    search = _Search(potential, systems, settings)
    search.find_roots()
    search.finish()
    return search.results


class _Search:
    """State of all structures of one relaxation.

    Attributes:
        results: What is known about each structure.
        change: ln V relative to the guessed volume, shape (n_systems,).
    """

    def __init__(
        self, potential: Potential, systems: Sequence[SoftAtoms], settings: Settings
    ) -> None:
        count = len(systems)
        self.potential = potential
        self.systems = systems
        self.settings = settings
        self.results = [Relaxed() for _ in systems]
        self.change = np.zeros(count)
        self._lists = [SkinnedList(potential.cutoff, SKIN) for _ in systems]
        self._evaluators: dict[tuple[int, ...], BatchEvaluator] = {}
        self._bracket = np.tile([-np.inf, np.inf], (count, 1))
        self._last = np.full((count, 2), np.nan)

    def find_roots(self) -> None:
        """Move every structure to where its pressure vanishes."""
        active = list(range(len(self.systems)))
        for _ in range(self.settings.max_steps):
            pressures = self._pressures(active, self.change[active])
            active = [i for i in active if i in pressures and self._move(i, pressures[i])]
            if not active:
                return
        for i in active:
            left = self._last[i, 1] * GPA_PER_EV_ANG3
            self.results[i].fail(
                f"pressure is still {left:.3g} GPa after {self.settings.max_steps} evaluations",
                status="unconverged",
            )

    def finish(self) -> None:
        """Energies and derivatives at the roots, and bulk moduli from differences around them."""
        done = [i for i, result in enumerate(self.results) if result.status == "ok"]
        above = self._pressures(done, self.change[done] + DIFFERENCE)
        below = self._pressures(done, self.change[done] - DIFFERENCE)
        for i, out in self._evaluate(done, self.change[done], _ALL).items():
            result = self.results[i]
            if i not in above or i not in below or not np.isfinite(float(out.energy)):
                result.fail(result.error or "energy is not finite")
                continue
            bulk_modulus = (below[i] - above[i]) / (2.0 * DIFFERENCE)
            if not bulk_modulus > 0:
                result.fail("atoms do not hold together: the bulk modulus is not positive")
                continue
            result.volume = self._volume(i, self.change[i])
            result.energy = float(out.energy)
            result.pressure = _pressure(out)
            result.bulk_modulus = bulk_modulus
            if out.weight_gradient is not None:
                result.weight_gradient = out.weight_gradient.cpu().numpy()

    def _move(self, i: int, pressure: float) -> bool:
        """Take one step; whether the structure has to be looked at again."""
        here = self.change[i]
        before, pressure_before = self._last[i]
        self._last[i] = here, pressure
        if abs(pressure) < self.settings.pressure_tolerance:
            return False
        self._bracket[i, 0 if pressure > 0 else 1] = here
        slope = FIRST_BULK_MODULUS
        if here != before and np.isfinite(before):
            slope = (pressure_before - pressure) / (here - before)
        step = np.sign(pressure) * LARGEST_STEP
        if slope > 0:
            step = np.clip(pressure / slope, -LARGEST_STEP, LARGEST_STEP)
        low, high = self._bracket[i]
        there = here + step
        if not low < there < high:
            there = 0.5 * (low + high)
        if abs(there) > LARGEST_CHANGE:
            self.results[i].fail(
                f"no volume without pressure between {self._volume(i, -LARGEST_CHANGE):.3g} and "
                f"{self._volume(i, LARGEST_CHANGE):.3g} Å³ per cell"
            )
            return False
        self.change[i] = there
        return True

    def _pressures(self, indices: list[int], changes: NDArray[np.float64]) -> dict[int, float]:
        """Pressure in eV/Å³ of each structure; those with none are marked as failed."""
        found = {}
        for i, out in self._evaluate(indices, changes, _STRESS).items():
            pressure = _pressure(out)
            if np.isfinite(pressure):
                found[i] = pressure
            else:
                self.results[i].fail("stress is not finite")
        return found

    def _evaluate(
        self, indices: list[int], changes: NDArray[np.float64], wanted: frozenset[str]
    ) -> dict[int, Evaluation]:
        """Evaluate some structures in one pass.

        If an error or an infinite number comes out, the pass is repeated without the healthy
        structures, and in halves, until the sick ones stand alone: in one batch they would spoil
        the others.
        """
        if not indices:
            return {}
        found: dict[int, Evaluation] = {}
        try:
            outs = self._evaluate_together(tuple(indices), changes, wanted)
        except torch.OutOfMemoryError:
            raise
        except (SoftatomsError, RuntimeError) as error:
            if len(indices) == 1:
                self.results[indices[0]].fail(f"{type(error).__name__}: {error}")
                return {}
            sick = np.ones(len(indices), dtype=bool)
        else:
            for i, out in zip(indices, outs, strict=True):
                self.results[i].evaluations += 1
                found[i] = out
            sick = np.array([not _is_finite(out) for out in outs])
        if len(indices) == 1 or not sick.any():
            return found
        suspects = np.flatnonzero(sick)
        parts = [suspects] if len(suspects) < len(indices) else np.array_split(suspects, 2)
        for part in parts:
            found.update(self._evaluate([indices[k] for k in part], changes[part], wanted))
        return found

    def _evaluate_together(
        self, indices: tuple[int, ...], changes: NDArray[np.float64], wanted: frozenset[str]
    ) -> list[Evaluation]:
        settings = self.settings
        systems = [self.systems[i] for i in indices]
        if indices not in self._evaluators:
            batch = Batch(systems, settings.device)
            evaluator = BatchEvaluator(self.potential, batch, settings.coupling, settings.dtype)
            self._evaluators = {indices: evaluator}
        scales = np.exp(changes / 3.0)
        positions = [scale * s.positions for scale, s in zip(scales, systems, strict=True)]
        cells = [scale * s.cell for scale, s in zip(scales, systems, strict=True)]
        pairs = [
            self._lists[i].pairs(position, cell, s.pbc)
            for i, position, cell, s in zip(indices, positions, cells, systems, strict=True)
        ]
        theta = np.concatenate([s.groups.theta for s in systems])
        return self._evaluators[indices].evaluate(
            positions=torch.from_numpy(np.concatenate(positions)).to(settings.device),
            cells=torch.from_numpy(np.stack(cells)).to(settings.device),
            theta=torch.from_numpy(theta).to(settings.device),
            pairs=pairs,
            wanted=wanted,
        )

    def _volume(self, i: int, change: float) -> float:
        return float(abs(np.linalg.det(self.systems[i].cell)) * np.exp(change))


def _pressure(out: Evaluation) -> float:
    return float("nan") if out.stress is None else -float(out.stress.trace()) / 3.0


def _is_finite(out: Evaluation) -> bool:
    stress_is_finite = out.stress is None or bool(torch.isfinite(out.stress).all())
    return stress_is_finite and bool(torch.isfinite(out.energy))
