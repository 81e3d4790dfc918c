"""What a relaxation gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..structure import SoftAtoms

Status = Literal["ok", "unconverged", "failed"]


@dataclass(frozen=True)
class Relaxation:
    """One structure after its relaxation.

    Numbers belong to ``soft``. If the very first evaluation failed there are none: then they are
    nan and ``soft`` is the structure that was given.

    Attributes:
        soft: The relaxed structure; weights, candidates, ties and velocities are those it had.
        energy: Energy in eV.
        enthalpy: Energy plus pressure times volume in eV; the energy where the cell is fixed.
        forces: −dE/dr in eV/Å of all sites, fixed ones included, shape (n_sites, 3).
        stress: (dE/dε)/V in eV/Å³, shape (3, 3); None for a cell without volume.
        fmax: Largest force on a site that may move, in eV/Å.
        smax: Largest component of stress plus pressure along the strains that the cell may take,
            in eV/Å³; None where the cell is fixed.
        steps: How often the structure was moved.
        evaluations: How often its energy was computed, steps that were taken back included.
        converged: Whether ``status`` is ``ok``.
        status: ``ok``, ``unconverged`` (still above a tolerance when the run ended) or ``failed``.
        error: Why it is not ``ok``, empty if it is.
    """

    soft: SoftAtoms
    energy: float
    enthalpy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64] | None
    fmax: float
    smax: float | None
    steps: int
    evaluations: int
    status: Status
    error: str = ""

    @property
    def converged(self) -> bool:
        """Whether forces and stress are below their tolerances."""
        return self.status == "ok"


class Progress(NamedTuple):
    """What a callback is told after every evaluation.

    Attributes:
        iteration: Number of evaluations before this one.
        systems: Indices of the structures that are still relaxed, shape (n_active,).
        enthalpies: Their enthalpies in eV, shape (n_active,).
        fmax: Largest force on a mobile site of each in eV/Å, shape (n_active,).
        smax: Largest stress along a free strain in eV/Å³, shape (n_active,); 0 if the cell is
            fixed.
    """

    iteration: int
    systems: NDArray[np.int64]
    enthalpies: NDArray[np.float64]
    fmax: NDArray[np.float64]
    smax: NDArray[np.float64]
