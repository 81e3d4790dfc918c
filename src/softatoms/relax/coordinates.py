"""The variables of a relaxation: displacements of sites and logarithmic strains of cells.

A structure of n sites is its start, displaced and then deformed (rows are vectors):

  positions = (positions₀ + u) D,    cell = cell₀ D,    D = exp(H),    H = Σ_k c_k B_k / (√n · 1 Å)

with symmetric B_k, which leaves out rotations. Fixed sites keep u = 0: they follow the cell at the
fractional coordinates they had. The gradient by H is the Fréchet derivative of the exponential,
taken from the exponential of a matrix of twice the size.

The second derivative of the energy by a strain grows as n, that by a displacement does not: the
factor √n makes cells about as stiff as sites whatever the size. With n in its place, as ASE has it,
the cell of a large structure is the softest of all variables and takes the longest to relax.

The variables of all structures stand in one vector: for each structure its c_k, then its u.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..structure import SoftAtoms
from .segments import Bools, Floats, Segments

STRAIN_LENGTH = 4.0
"""A strain counts as this length in Å times the strain when the length of a step is limited."""


class Coordinates:
    """Variables of some structures and what they stand for.

    Args:
        systems: The structures at their starts.
        mobile: Which sites of each may move.
        strains: Orthonormal symmetric matrices B_k, shape (n_strains, 3, 3).

    Attributes:
        sites: Which sites belong to which structure.
        variables: Which variables do.
    """

    def __init__(
        self, systems: Sequence[SoftAtoms], mobile: Sequence[Bools], strains: Floats
    ) -> None:
        self._strains = strains
        strained = np.abs(strains).sum(axis=(0, 1)) > 0.0
        self._strained = strained[:, None] & strained
        self._start = np.concatenate([soft.positions for soft in systems])
        self._mobile = np.concatenate(mobile)
        self._cells = np.stack([soft.cell for soft in systems])
        self._lay_out(np.array([len(soft) for soft in systems], dtype=np.int64))

    def keep(self, chosen: Bools) -> None:
        """Forget all structures but some."""
        entries = self.sites.spread(chosen)
        self._start, self._mobile = self._start[entries], self._mobile[entries]
        self._cells = self._cells[chosen]
        self._lay_out(self.sites.sizes[chosen])

    def zeros(self) -> Floats:
        """The start, shape (n_variables,)."""
        return np.zeros(len(self._of_cell))

    def log_strains(self, x: Floats) -> Floats:
        """H of each structure, shape (n_systems, 3, 3)."""
        return np.einsum("sk,kab->sab", self._coefficients(x), self._strains)

    def structures(self, x: Floats) -> tuple[list[Floats], Floats]:
        """Positions of each structure in Å and all cells, shape (n_systems, 3, 3)."""
        positions, cells = self._start + self._displacements(x), self._cells
        if len(self._strains):
            # Along axes without strain nothing changes, not even by a rounding error.
            exponentials = _exponentials(self.log_strains(x))
            deformations = np.where(self._strained, exponentials, np.eye(3))
            positions, cells = self._times(positions, deformations), cells @ deformations
        return self.sites.split(positions), cells

    def gradients(self, x: Floats, forces: Floats, virials: Floats) -> Floats:
        """Derivative of the enthalpy by the variables, shape (n_variables,).

        Args:
            x: The variables.
            forces: Forces on all sites in eV/Å, shape (n_sites, 3).
            virials: Derivative by a further strain in eV, shape (n_systems, 3, 3).
        """
        slopes = np.where(self._mobile[:, None], -forces, 0.0)
        gradients = np.empty_like(x)
        if len(self._strains):
            logs = self.log_strains(x)
            deformations = _exponentials(logs)
            slopes = self._times(slopes, deformations.transpose(0, 2, 1))
            by_deformation = np.linalg.inv(deformations).transpose(0, 2, 1) @ virials
            by_log = _frechet_derivatives(logs, by_deformation)
            by_cell = np.einsum("sab,kab->sk", by_log, self._strains) / self._scale
            gradients[self._of_cell] = by_cell.ravel()
        gradients[~self._of_cell] = slopes.ravel()
        return gradients

    def largest_forces(self, forces: Floats) -> Floats:
        """Largest force on a mobile site of each structure in eV/Å, shape (n_systems,)."""
        return np.sqrt(self.sites.largest(np.where(self._mobile, (forces**2).sum(axis=1), 0.0)))

    def largest_stresses(self, stresses: Floats) -> Floats:
        """Largest component of each stress along the free strains in eV/Å³, shape (n_systems,)."""
        coefficients = np.einsum("sab,kab->sk", stresses, self._strains)
        along = np.einsum("sk,kab->sab", coefficients, self._strains)
        return np.abs(along).max(axis=(1, 2))

    def lengths(self, steps: Floats) -> Floats:
        """Length of each step in Å: the farthest way of a site, or what its strain counts as."""
        ways = np.sqrt(self.sites.largest((self._displacements(steps) ** 2).sum(axis=1)))
        strains = np.sqrt((self._coefficients(steps) ** 2).sum(axis=1))
        return np.maximum(ways, STRAIN_LENGTH * strains)

    def _lay_out(self, counts: NDArray[np.int64]) -> None:
        n_strains = len(self._strains)
        self.sites, self.variables = Segments(counts), Segments(3 * counts + n_strains)
        self._scale = np.sqrt(counts)[:, None]
        position = np.arange(self.variables.sizes.sum())
        self._of_cell = position - self.variables.spread(self.variables.starts) < n_strains

    def _coefficients(self, x: Floats) -> Floats:
        """c_k / √n of each structure, shape (n_systems, n_strains)."""
        return x[self._of_cell].reshape(len(self._cells), len(self._strains)) / self._scale

    def _displacements(self, x: Floats) -> Floats:
        return x[~self._of_cell].reshape(-1, 3)

    def _times(self, vectors: Floats, matrices: Floats) -> Floats:
        """Vectors of sites, shape (n_sites, 3), times the matrices of their structures."""
        return np.einsum("ia,iab->ib", vectors, self.sites.spread(matrices))


def _exponentials(matrices: Floats) -> Floats:
    # Unlike a sum over eigenvectors this keeps exact zeros off the diagonal.
    return torch.linalg.matrix_exp(torch.from_numpy(matrices)).numpy()


def _frechet_derivatives(at: Floats, along: Floats) -> Floats:
    """Derivative of the matrix exponential of symmetric ``at`` in the directions ``along``."""
    sizes = np.abs(along).max(axis=(1, 2), keepdims=True)
    # A huge direction would spoil the digits of everything in the same matrix.
    units = along / np.where(sizes > 0.0, sizes, 1.0)
    blocks = np.zeros((len(at), 6, 6))
    blocks[:, :3, :3] = blocks[:, 3:, 3:] = at
    blocks[:, :3, 3:] = units
    return sizes * _exponentials(blocks)[:, :3, 3:]
