"""One structure with its labels, the unit of every dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import StructureError
from ..structure import SoftAtoms

Split = Literal["", "train", "validation", "test"]
Status = Literal["unlabelled", "ok", "failed"]


@dataclass(frozen=True)
class Frame:
    """A structure, what a labeller said of it, and where it belongs.

    Attributes:
        frame_id: Name, unique in its dataset.
        group: Origin, such as a trajectory or a prototype. Frames of one group resemble each other
            and never stand in different splits.
        soft: The structure, usually of plain sites.
        energy: Energy of the whole structure in eV, or None without this label.
        forces: Forces in eV/Å, shape (n_sites, 3), or None.
        stress: Stress in eV/Å³ with ASE's sign (dE/dε / V), symmetric, shape (3, 3), or None.
        split: Part of the dataset; empty if not assigned.
        labeller: What the labels come from.
        status: Whether there are labels.
        error: What went wrong, empty if nothing did.
    """

    frame_id: str
    group: str
    soft: SoftAtoms
    energy: float | None = None
    forces: NDArray[np.float64] | None = None
    stress: NDArray[np.float64] | None = None
    split: Split = ""
    labeller: str = ""
    status: Status = "unlabelled"
    error: str = ""

    def __post_init__(self) -> None:
        shapes = (
            ("forces", self.forces, self.soft.positions.shape),
            ("stress", self.stress, (3, 3)),
        )
        for name, values, shape in shapes:
            if values is not None and np.shape(values) != shape:
                raise StructureError(
                    f"frame {self.frame_id}: {name} must have shape {shape}, got {np.shape(values)}"
                )

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return len(self.soft)
