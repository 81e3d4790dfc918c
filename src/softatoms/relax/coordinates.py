"""The variables of a relaxation: displacements of sites and logarithmic strains of cells.

A structure of n sites is its start, displaced and then deformed (rows are vectors):

  positions = (positions₀ + u) D,    cell = cell₀ D,    D = exp(H),    H = Σ_k c_k B_k / (√n · 1 Å)

with symmetric B_k, which leaves out rotations. Fixed sites keep u = 0: they follow the cell at the
fractional coordinates they had. The gradient by H is the Fréchet derivative of the exponential,
taken from the exponential of a matrix of twice the size.

The second derivative of the energy by a strain grows as n, that by a displacement does not: the
factor √n makes cells about as stiff as sites whatever the size. With n in its place, as ASE has it,
the cell of a large structure is the softest of all variables and takes the longest to relax.

Structures of different sizes stand in rows of one array: first the c_k, then u, then zeros.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..structure import SoftAtoms

Floats = NDArray[np.float64]

STRAIN_LENGTH = 4.0
"""A strain counts as this length in Å times the strain when the length of a step is limited."""


class Coordinates:
    """Variables of some structures and what they stand for.

    Args:
        systems: The structures at their starts.
        mobile: Which sites of each may move.
        strains: Orthonormal symmetric matrices B_k, shape (n_strains, 3, 3).
    """

    def __init__(
        self, systems: Sequence[SoftAtoms], mobile: Sequence[NDArray[np.bool_]], strains: Floats
    ) -> None:
        self.counts = np.array([len(soft) for soft in systems], dtype=np.int64)
        most = int(self.counts.max()) if len(systems) else 0
        self._strains = strains
        strained = np.abs(strains).sum(axis=(0, 1)) > 0.0
        self._strained = strained[:, None] & strained
        self._start = np.zeros((len(systems), most, 3))
        self._cells = np.array([soft.cell for soft in systems]).reshape(-1, 3, 3)
        self._mobile = np.zeros((len(systems), most, 1), dtype=bool)
        for row, (soft, movable) in enumerate(zip(systems, mobile, strict=True)):
            self._start[row, : len(soft)] = soft.positions
            self._mobile[row, : len(soft), 0] = movable
        self._scale = np.sqrt(self.counts)[:, None]

    def zeros(self) -> Floats:
        """The start, shape (n_systems, n_variables)."""
        return np.zeros((len(self.counts), len(self._strains) + self._start[0].size))

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Forget all structures but some."""
        self.counts, self._scale = self.counts[rows], self._scale[rows]
        self._cells = self._cells[rows]
        self._start, self._mobile = self._start[rows], self._mobile[rows]

    def log_strains(self, x: Floats) -> Floats:
        """H of each structure, shape (n_systems, 3, 3)."""
        coefficients = x[:, : len(self._strains)] / self._scale
        return np.einsum("sk,kab->sab", coefficients, self._strains)

    def structures(self, x: Floats) -> tuple[list[Floats], Floats]:
        """Positions of each structure in Å and all cells, shape (n_systems, 3, 3)."""
        sites = self._start + self._displacements(x)
        cells = self._cells
        if len(self._strains):
            # Along axes without strain nothing changes, not even by a rounding error.
            exponentials = _exponentials(self.log_strains(x))
            deformations = np.where(self._strained, exponentials, np.eye(3))
            sites, cells = sites @ deformations, cells @ deformations
        return [row[:count] for row, count in zip(sites, self.counts, strict=True)], cells

    def gradients(self, x: Floats, forces: Floats, virials: Floats) -> Floats:
        """Derivative of the enthalpy by the variables, shape of ``x``.

        Args:
            x: The variables.
            forces: Forces in eV/Å in rows, shape (n_systems, most_sites, 3).
            virials: Derivative by a further strain in eV, shape (n_systems, 3, 3).
        """
        slopes = np.where(self._mobile, -forces, 0.0)
        if not len(self._strains):
            return slopes.reshape(len(x), -1)
        logs = self.log_strains(x)
        deformations = _exponentials(logs)
        slopes = slopes @ deformations.transpose(0, 2, 1)
        by_deformation = np.linalg.inv(deformations).transpose(0, 2, 1) @ virials
        by_log = _frechet_derivatives(logs, by_deformation)
        by_cell = np.einsum("sab,kab->sk", by_log, self._strains) / self._scale
        return np.concatenate([by_cell, slopes.reshape(len(x), -1)], axis=1)

    def largest_forces(self, forces: Floats) -> Floats:
        """Largest force on a mobile site of each structure in eV/Å, shape (n_systems,)."""
        squares = np.where(self._mobile, forces**2, 0.0).sum(axis=2)
        return np.sqrt(squares.max(axis=1))

    def largest_stresses(self, stresses: Floats) -> Floats:
        """Largest component of each stress along the free strains in eV/Å³, shape (n_systems,)."""
        coefficients = np.einsum("sab,kab->sk", stresses, self._strains)
        along = np.einsum("sk,kab->sab", coefficients, self._strains)
        return np.abs(along).max(axis=(1, 2))

    def rows_of_sites(self, parts: Sequence[Floats]) -> Floats:
        """Vectors of the sites of each structure as rows, shape (n_systems, most_sites, 3)."""
        rows = np.zeros_like(self._start)
        for row, part in zip(rows, parts, strict=True):
            row[: len(part)] = part
        return rows

    def lengths(self, steps: Floats) -> Floats:
        """Length of each step in Å: the farthest way of a site, or what its strain counts as."""
        squares = (self._displacements(steps) ** 2).sum(axis=2)
        strains = np.sqrt((steps[:, : len(self._strains)] ** 2).sum(axis=1)) / self._scale[:, 0]
        return np.maximum(np.sqrt(squares.max(axis=1)), STRAIN_LENGTH * strains)

    def _displacements(self, x: Floats) -> Floats:
        return x[:, len(self._strains) :].reshape(self._start.shape)


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
