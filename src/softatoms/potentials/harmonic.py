"""A crystal of springs: the one many-body system whose free energy is known exactly.

Every atom is tied to its neighbours on a Bravais lattice by springs that pull towards the lattice
vector between them. The energy is exactly quadratic in the positions and in the cell, with the
force constants k on the bonds of the lattice, also around a vacancy.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..errors import OptionError, suggest
from ..gather import gather, unchanged
from ..graph import Graph
from .base import Potential
from .options import check_elements, check_mapping, check_positive
from .species_pairs import arithmetic_mean, pair_table

SPRING_LENGTHS = {"sc": (1.0,), "fcc": (0.5**0.5,), "bcc": (0.75**0.5, 1.0)}
"""Lengths of the springs of each cubic lattice, in lattice constants. One shell of bcc neighbours
lies so close to the next that both carry springs."""

CENTRINGS = {
    "sc": ((0.0, 0.0, 0.0),),
    "fcc": ((0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0)),
    "bcc": ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)),
}


class Harmonic(Potential):
    """E = ½ Σ_(springs ij) k_ij w_i w_j |r_ij − δ_ij|², with δ_ij the lattice vector nearest r_ij.

    The cubic axes lie along x, y and z, so the energy is not invariant under rotation. It is
    quadratic as long as no spring is displaced by more than half its shortest length; thermal
    displacements of a crystal stay far below.

    Args:
        lattice: ``sc``, ``fcc`` or ``bcc``.
        a: Lattice constant in Å.
        stiffness: Spring constant in eV/Å², one number or one per element; a spring between unlike
            elements has the mean of the two.
        pairs: Spring constants of unlike pairs that shall not be the mean, such as
            ``{"Al-Sc": 2.0}``.
        isolated_energies: Energy of an isolated atom of each element in eV; 0 if not given.
    """

    name = "harmonic"
    n_layers = 1
    _stiffness: Tensor
    _vectors: Tensor
    _is_spring: Tensor

    def __init__(
        self,
        *,
        lattice: str,
        a: float,
        stiffness: float | Mapping[str, float],
        pairs: Mapping[str, float] | None = None,
        isolated_energies: Mapping[str, float] | None = None,
    ) -> None:
        if lattice not in SPRING_LENGTHS:
            raise OptionError(
                f"unknown lattice '{lattice}': {suggest(str(lattice), SPRING_LENGTHS)}"
            )
        constant = check_positive(a, "a")
        lengths = [length * constant for length in SPRING_LENGTHS[lattice]]
        if isinstance(stiffness, Mapping):
            species = check_elements(list(stiffness))
            values = [check_positive(stiffness[s], f"stiffness of {s}") for s in species]
        else:
            species, values = (), [check_positive(stiffness, "stiffness")]
        overrides = check_mapping(pairs or {}, "pairs")
        # A spring displaced by up to half the distance between lattice points is still told apart.
        domain = 0.5 * min(lengths)
        super().__init__(
            cutoff=max(lengths) + domain,
            species=species,
            isolated_energies=isolated_energies,
            options={
                "lattice": lattice,
                "a": constant,
                "stiffness": dict(stiffness) if isinstance(stiffness, Mapping) else stiffness,
                "pairs": overrides,
            },
        )
        vectors = _lattice_vectors(lattice, constant, self.cutoff + domain)
        distances = np.linalg.norm(vectors, axis=1)
        is_spring = np.abs(distances[:, None] - np.array(lengths)).min(axis=1) < 1e-6 * constant
        table = pair_table(
            values, species, mix=arithmetic_mean, overrides=overrides, option="pairs"
        )
        self.register_buffer("_stiffness", table)
        self.register_buffer("_vectors", torch.from_numpy(vectors))
        self.register_buffer("_is_spring", torch.from_numpy(is_spring.astype(np.float64)))

    def interaction(self, graph: Graph) -> Tensor:
        """See :meth:`Potential.interaction`."""
        edges = graph.edges
        nearest = torch.cdist(edges.vectors.detach(), self._vectors).argmin(dim=1)
        displacement = edges.vectors - self._vectors.index_select(0, nearest)
        index = self.species_index(graph.numbers)
        stiffness = self._stiffness[edges.to_edges(index), index[edges.senders]]
        strength = 0.25 * stiffness * self._is_spring.index_select(0, nearest)
        energy = strength * (displacement * displacement).sum(1)
        return gather(edges, unchanged, edge=(energy,), is_last=True)


def _lattice_vectors(lattice: str, a: float, radius: float) -> np.ndarray:
    """All lattice vectors up to a radius but the null vector, shape (n_vectors, 3)."""
    reach = int(np.ceil(radius / a)) + 1
    steps = np.arange(-reach, reach + 1)
    cells = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 1, 3)
    vectors = (a * (cells + np.array(CENTRINGS[lattice]))).reshape(-1, 3)
    distances = np.linalg.norm(vectors, axis=1)
    return vectors[(distances > 0) & (distances < radius)]
