"""The loss: mean penalties of the energy per atom, the forces and the stress."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .batches import Labelled
from .differentiable import Predicted
from .settings import LossSettings

VOIGT = ((0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1))
"""Rows and columns of the six components xx yy zz yz xz xy of a symmetric matrix."""


class Errors(NamedTuple):
    """What was predicted minus the labels, only where there are labels; float64.

    Attributes:
        energy: Per atom in eV, shape (n_energies,).
        forces: Components in eV/Å, shape (n_forces, 3).
        stress: Components in eV/Å³, shape (n_stresses, 6).
        importance: Factor of the penalties of each row of the three, shapes (n_energies,),
            (n_forces,) and (n_stresses,).
    """

    energy: Tensor
    forces: Tensor
    stress: Tensor
    importance: tuple[Tensor, Tensor, Tensor]


class Penalties(NamedTuple):
    """Sums of penalties and how many they are, which batches can be added up from.

    Attributes:
        sums: Sum of the penalties of all components of each quantity, each times the importance
            of its frame, shape (3,).
        squares: Sum of the squared errors in (eV/atom)², (eV/Å)² and (eV/Å³)², all frames alike,
            shape (3,).
        counts: Numbers of components, shape (3,).
    """

    sums: Tensor
    squares: Tensor
    counts: Tensor

    def means(self) -> Tensor:
        """Mean penalty of each quantity, 0 for one without labels, shape (3,)."""
        return self.sums / self.counts.clamp(min=1.0)

    def rmse(self) -> list[float | None]:
        """Root mean square error of each quantity, None for one without labels."""
        roots = (self.squares / self.counts).sqrt().tolist()
        return [root if n else None for root, n in zip(roots, self.counts.tolist(), strict=True)]


def errors(predicted: Predicted, labelled: Labelled) -> Errors:
    """Errors wherever something was predicted and has a label."""
    energy = (predicted.energies - labelled.energies) / labelled.atoms
    forces = stress = energy.new_zeros(0)
    own = [labelled.importance.new_zeros(0)] * 2
    if predicted.forces is not None:
        known = torch.isfinite(labelled.forces).all(1).nonzero().squeeze(1)
        forces = predicted.forces.index_select(0, known) - labelled.forces.index_select(0, known)
        system = labelled.batch.site_system.index_select(0, known)
        own[0] = labelled.importance.index_select(0, system)
    if predicted.stresses is not None:
        known = torch.isfinite(labelled.stresses).flatten(1).all(1).nonzero().squeeze(1)
        matrices = predicted.stresses.index_select(0, known) - labelled.stresses.index_select(
            0, known
        )
        stress = matrices[:, VOIGT[0], VOIGT[1]]
        own[1] = labelled.importance.index_select(0, known)
    has_energy = torch.isfinite(labelled.energies).nonzero().squeeze(1)
    return Errors(
        energy.index_select(0, has_energy),
        forces.reshape(-1, 3),
        stress.reshape(-1, 6),
        (labelled.importance.index_select(0, has_energy), own[0], own[1]),
    )


def penalties(found: Errors, settings: LossSettings) -> Penalties:
    """Penalties of errors, before they are weighted."""
    scales = (settings.energy_scale, settings.forces_scale, settings.stress_scale)
    parts = (found.energy.unsqueeze(1), found.forces, found.stress)
    sums = [
        (_penalty(values / scale, settings).sum(1) * importance).sum()
        for values, scale, importance in zip(parts, scales, found.importance, strict=True)
    ]
    counts = found.energy.new_tensor([float(values.numel()) for values in parts])
    squares = torch.stack([values.detach().square().sum() for values in parts])
    return Penalties(torch.stack(sums), squares, counts)


def weighted(means: Tensor, settings: LossSettings) -> Tensor:
    """The loss from the mean penalty of each quantity."""
    weights = (settings.energy_weight, settings.forces_weight, settings.stress_weight)
    return (means * means.new_tensor(weights)).sum()


def _penalty(scaled: Tensor, settings: LossSettings) -> Tensor:
    if settings.kind == "mse":
        return scaled * scaled
    delta = settings.huber_delta
    # Twice the usual form, so that small errors cost the same in both kinds.
    return 2.0 * torch.nn.functional.huber_loss(
        scaled, torch.zeros_like(scaled), reduction="none", delta=delta
    )
