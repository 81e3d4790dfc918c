"""Soft structures in TorchSim: a potential as one of its models.

TorchSim (``torch-sim-atomistic`` ≥ 0.6, Python ≥ 3.12) is an optional package with integrators,
optimisers and Monte Carlo of its own. Nothing else in here needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from .batch_evaluator import BatchEvaluator
from .errors import OptionError
from .evaluation import check_device, check_dtype
from .graph import Batch, check_coupling
from .neighbours import SkinnedList
from .potentials.base import Potential
from .structure import SoftAtoms

if TYPE_CHECKING:
    from torch_sim.state import SimState

try:
    from torch_sim.models.interface import ModelInterface
except ImportError as error:
    raise ImportError(
        "softatoms.torchsim needs TorchSim, which needs Python 3.12 or later: "
        "pip install 'softatoms[torchsim]'"
    ) from error


class SoftModel(ModelInterface):  # type: ignore[misc]  # TorchSim need not be there
    """A potential with the interface of TorchSim's models.

    Without ``systems``, every state of plain atoms can be evaluated. With them, states have to
    hold exactly these systems in this order, whose candidates and weights are used.

    Args:
        potential: The energy function.
        systems: Soft structures, or None for plain atoms.
        coupling: ``mean_field`` or ``replica``.
        dtype: Precision, ``float32`` or ``float64``.
        device: Where to compute.
        skin: Margin of the neighbour lists in Å.
    """

    def __init__(
        self,
        potential: Potential,
        systems: Sequence[SoftAtoms] | None = None,
        *,
        coupling: str = "mean_field",
        dtype: str = "float64",
        device: str = "cpu",
        skin: float = 0.5,
    ) -> None:
        super().__init__()
        self._device, self._dtype = check_device(device), check_dtype(dtype)
        self._compute_stress = self._compute_forces = True
        # A submodule would be moved and cast from outside.
        self._held = (potential.cast(self._dtype, self._device),)
        self._systems = None if systems is None else list(systems)
        self._coupling = check_coupling(coupling)
        self._skin = skin
        self._known: tuple[Tensor, Tensor] | None = None

    def forward(self, state: SimState, **_: Any) -> dict[str, Tensor]:
        """Energies (eV), forces (eV/Å) and stresses (eV/Å³) of all systems of a state."""
        if not self._is_known(state):
            self._meet(state)
        cells = state.cell.detach().mT.to(torch.float64)
        positions = self._unwrapped(state.positions.detach().to(torch.float64), cells)
        parts = positions.cpu().split(self._batch.site_counts)
        boxes = cells.cpu().numpy()
        pairs = [
            neighbours.pairs(part.numpy(), box, soft.pbc)
            for neighbours, part, box, soft in zip(
                self._lists, parts, boxes, self._members, strict=True
            )
        ]
        found = self._evaluator.evaluate_joined(
            positions=positions,
            cells=cells,
            theta=self._theta,
            pairs=pairs,
            wanted=frozenset({"forces", "stress"}),
        )
        return {name: found[name].to(self._dtype) for name in ("energy", "forces", "stress")}

    def _is_known(self, state: SimState) -> bool:
        """Whether a state holds the systems of the last one."""
        if self._known is None:
            return False
        present = (state.atomic_numbers, state.system_idx)
        return all(
            len(now) == len(before) and torch.equal(now, before)
            for now, before in zip(present, self._known, strict=True)
        )

    def _meet(self, state: SimState) -> None:
        """Prepare for the systems of a state."""
        counts = torch.bincount(state.system_idx).tolist()
        numbers = [part.cpu().numpy() for part in state.atomic_numbers.split(counts)]
        if self._systems is None:
            pbc = np.broadcast_to(np.asarray(torch.as_tensor(state.pbc).cpu()), (3,))
            self._members = [
                SoftAtoms.from_ase(
                    Atoms(kinds, positions=part.cpu().numpy(), cell=cell.cpu().numpy(), pbc=pbc)
                )
                for kinds, part, cell in zip(
                    numbers,
                    state.positions.detach().split(counts),
                    state.cell.detach().mT,
                    strict=True,
                )
            ]
        else:
            self._members = self._systems
            if counts != [len(soft) for soft in self._members]:
                raise OptionError(
                    f"the state holds systems of {counts} atoms, the soft systems have "
                    f"{[len(soft) for soft in self._members]} sites"
                )
        self._batch = Batch(self._members, self._device)
        (potential,) = self._held
        self._evaluator = BatchEvaluator(potential, self._batch, self._coupling, self._dtype)
        self._theta = torch.cat([soft.weights for soft in self._members]).to(self._device)
        self._lists = [SkinnedList(potential.cutoff, self._skin) for _ in self._members]
        self._last: Tensor | None = None
        self._known = (state.atomic_numbers.clone(), state.system_idx.clone())

    def _unwrapped(self, positions: Tensor, cells: Tensor) -> Tensor:
        """Positions that never jump by a lattice vector, as TorchSim's do when it wraps them.

        A jump would make every neighbour list invalid.
        """
        if self._last is not None:
            steps = (positions - self._last).unsqueeze(1)
            systems = self._batch.site_system
            periodic = torch.from_numpy(np.stack([soft.pbc for soft in self._members]))
            jumps = (steps @ torch.linalg.inv(cells)[systems]).round()
            jumps = jumps * periodic.to(self._device)[systems].unsqueeze(1)
            positions = positions - (jumps @ cells[systems]).squeeze(1)
        self._last = positions
        return positions
