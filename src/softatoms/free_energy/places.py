"""Whether atoms are still at the sites they started from.

A vacancy can wander: a neighbour hops into it. Then the atom that was switched off is no longer the
one next to the hole, and what the run measures is something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase.geometry import find_mic
from numpy.typing import NDArray

from .paths import Path

if TYPE_CHECKING:
    import pyarrow as pa

    from ..dynamics import Outcome

Floats = NDArray[np.float64]

SUSPICIOUS = 0.35
"""Displacement from which on the nearest site is looked for, in distances between sites: below one
half, the own site is the nearest."""


class Places:
    """Reference sites of a path.

    Args:
        path: The path. Atoms that fade along it may be anywhere; their sites count as sites.
    """

    def __init__(self, path: Path) -> None:
        self._soft = path.soft
        fading = path.changed if path.kind == "removal" else ()
        self._real = np.setdiff1d(np.arange(len(path.soft)), fading)
        self._distance = _nearest_distance(path.soft.positions, path.soft.cell, path.soft.pbc)

    def change(self, positions: Floats) -> str:
        """What atom has left its site, one sentence; empty if none.

        Args:
            positions: Not wrapped, in Å, shape (n_sites, 3).
        """
        soft = self._soft
        away = positions - soft.positions
        # The crystal as a whole may have moved against an atom that was cut loose.
        away = away - np.median(away[self._real], axis=0)
        lengths = np.linalg.norm(away, axis=1)
        for site in self._real[lengths[self._real] > SUSPICIOUS * self._distance].tolist():
            vectors = soft.positions[site] + away[site] - soft.positions
            nearest = int(find_mic(vectors, soft.cell, soft.pbc)[1].argmin())
            if nearest != site:
                return (
                    f"the atom of site {site} is at site {nearest}, {lengths[site]:.3g} Å from its "
                    "own: an atom has changed its place"
                )
            if lengths[site] > self._distance:
                return f"the atom of site {site} is at another image of it"
        return ""

    def first_change(self, samples: pa.Table, outcome: Outcome) -> str:
        """The first change along a run, and when it was; empty if there is none.

        Args:
            samples: Positions along the run.
            outcome: Its end.
        """
        for step, row in zip(
            samples["step"].to_pylist(), samples["positions_ang"].to_pylist(), strict=True
        ):
            found = self.change(np.array(row).reshape(-1, 3))
            if found:
                return f"step {step}: {found}"
        found = self.change(outcome.soft.positions)
        return f"step {outcome.steps}: {found}" if found else ""


def _nearest_distance(positions: Floats, cell: Floats, pbc: NDArray[np.bool_]) -> float:
    """Smallest distance between two sites in Å, those of periodic images of one included."""
    steps = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    steps = steps[(steps != 0).any(1) & ((steps == 0) | pbc).all(1)]
    shortest = np.linalg.norm(steps @ cell, axis=1).min() if len(steps) else np.inf
    for index in range(1, len(positions)):
        lengths = find_mic(positions[index] - positions[:index], cell, pbc)[1]
        shortest = min(shortest, lengths.min())
    return float(shortest)
