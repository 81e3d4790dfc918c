"""The models that explore and disagree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.active_learning import FEWEST_MODELS
from ..errors import OptionError, SoftatomsError
from ..potentials.registry import load_potential
from ..training.ensemble import Uncertainty, uncertainty

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..config.active_learning import Measure
    from ..potentials.base import Potential
    from ..structure import SoftAtoms

_SITES = 4096
"""Sites to evaluate together."""


@dataclass(frozen=True)
class Jury:
    """An ensemble and how it is evaluated.

    Attributes:
        models: At least two; the first one drives dynamics.
        measure: What of their spread counts, see :func:`size_of`.
        dtype: Precision of the models.
        device: Where to compute.
    """

    models: tuple[Potential, ...]
    measure: Measure
    dtype: str = "float32"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if len(self.models) < FEWEST_MODELS:
            raise OptionError(f"it takes {FEWEST_MODELS} models to disagree: {len(self.models)}")

    def spreads(self, systems: Sequence[SoftAtoms]) -> list[float]:
        """How far the models disagree about each structure; infinite where one gives no number."""
        found: list[float] = []
        start = 0
        while start < len(systems):
            stop, sites = start, 0
            while stop < len(systems) and (stop == start or sites + len(systems[stop]) <= _SITES):
                sites += len(systems[stop])
                stop += 1
            try:
                found += self._sizes(systems[start:stop])
            except SoftatomsError:  # one broken structure must not take the others along
                found += [self._size_alone(soft) for soft in systems[start:stop]]
            start = stop
        return found

    def _sizes(self, systems: Sequence[SoftAtoms]) -> list[float]:
        said = uncertainty(self.models, systems, dtype=self.dtype, device=self.device)
        sizes = [size_of(one, self.measure) for one in said]
        return [size if math.isfinite(size) else math.inf for size in sizes]

    def _size_alone(self, soft: SoftAtoms) -> float:
        try:
            return self._sizes([soft])[0]
        except SoftatomsError:
            return math.inf


def size_of(said: Uncertainty, measure: Measure) -> float:
    """One number for the spread of an ensemble on one structure.

    Args:
        said: Mean and spread.
        measure: ``largest_force`` and ``mean_force``: largest and mean over sites of the standard
            deviation of forces in eV/Å; ``energy``: that of the energy in eV per site.
    """
    if measure == "energy":
        return float(said.energy_spread) / len(said.force_spread)
    if measure == "mean_force":
        return float(said.force_spread.mean())
    return float(said.force_spread.max())


def load_jury(config: CampaignConfig, first: Path) -> Jury:
    """The models of a round.

    Args:
        config: A campaign with the sections ``training`` and ``active_learning``.
        first: Directory of the first model; the others lie beside it.
    """
    assert config.training is not None
    assert config.active_learning is not None
    places = [
        first if index == 0 else first.with_name(f"{first.name}-{index:02d}")
        for index in range(config.training.size)
    ]
    return Jury(
        tuple(load_potential(str(place)) for place in places),
        config.active_learning.uncertainty.measure,
        dtype=config.training.dtype,
        device=config.compute.device,
    )
