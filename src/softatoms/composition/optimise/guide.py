"""Second derivatives of one structure as a guide to the state of rest of others nearby."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ..surface import Surface


@dataclass(frozen=True)
class Guide:
    """Second derivatives at a structure, which serve structures nearby as well.

    With them the step to rest is t = −E_yy⁻¹ E_y. Elsewhere they are not quite those of the energy,
    so t does not change by −s where the structure moves by s. What it does change by is learnt from
    every step (Broyden), and tells where t = 0.

    Attributes:
        surface: Derivatives of the energy there; it solves systems with E_yy.
        mixed: E_yθ d and E_θθ d for all tangent directions d.
        by_coordinates: dt/dy, −1 if nothing was learnt, shape (n_coordinates, n_coordinates).
        by_composition: dt/dz for the tangent directions z, shape (n_coordinates, n_tangents).
        units: How far rest moves by each z, in Å, shape (n_tangents,): weighs z against y.
        lessons: How often it was taught.
        missed: What was not expected of t at the last lesson, shape (n_coordinates,).
    """

    surface: Surface
    mixed: list[tuple[Tensor, Tensor]]
    by_coordinates: Tensor
    by_composition: Tensor
    units: Tensor
    missed: Tensor
    lessons: int = 0

    @property
    def response(self) -> Tensor:
        """How the state of rest follows z, shape (n_tangents, n_coordinates)."""
        if not self.lessons:
            return self.by_composition.T
        return -torch.linalg.solve(self.by_coordinates, self.by_composition).T

    def to_rest(self, raw: Tensor) -> Tensor:
        """The step that leads to rest, from the one that the second derivatives give."""
        return raw if not self.lessons else -torch.linalg.solve(self.by_coordinates, raw)

    def taught(self, step: Tensor, away: Tensor, change: Tensor) -> Guide:
        """The guide that explains a step.

        Args:
            step: Step in y, shape (n_coordinates,).
            away: Step in z, shape (n_tangents,).
            change: By how much t changed, shape (n_coordinates,).
        """
        missed = change - self.by_coordinates @ step - self.by_composition @ away
        weighed = away * self.units**2
        square = float(step @ step + away @ weighed)
        if not square > 0.0:
            return self
        return replace(
            self,
            by_coordinates=self.by_coordinates + torch.outer(missed, step) / square,
            by_composition=self.by_composition + torch.outer(missed, weighed) / square,
            lessons=self.lessons + 1,
            missed=missed,
        )


def fresh_guide(surface: Surface, tangent: Tensor) -> Guide:
    """The guide from the second derivatives of a structure.

    Args:
        surface: Its first derivatives.
        tangent: Tangent directions as columns, shape (n_parameters, n_tangents).

    Raises:
        SurfaceError: If the structure is no minimum of its energy.
    """
    mixed = [surface.mixed_product(direction) for direction in tangent.T]
    response = torch.stack([-surface.solve(by_y) for by_y, _ in mixed])
    unity = torch.eye(response.shape[1], dtype=response.dtype, device=response.device)
    units = response.norm(dim=1)
    return Guide(surface, mixed, -unity, response.T, units, torch.zeros_like(unity[0]))
