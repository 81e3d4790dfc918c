"""Lattice sums over pairs, for everything that a pair potential has in closed form."""

from __future__ import annotations

import numpy as np

import softatoms as sa

EPSILON, SIGMA = 0.01042, 3.405
CUTOFF, ONSET = 8.0, 6.5
STEP = 1e-20
"""Of the complex-step derivative, which has no cancellation."""


def argon(cutoff=CUTOFF, onset=ONSET):
    return sa.load_potential("lj", epsilon=EPSILON, sigma=SIGMA, cutoff=cutoff, onset=onset)


def pair_energy(r):
    """φ(r) in eV of a Lennard-Jones pair that is switched off as in ASE; r may be complex."""
    r = np.asarray(r)
    s, start, end = r * r, ONSET**2, CUTOFF**2
    attraction = (SIGMA**2 / s) ** 3
    switch = (end - s) ** 2 * (end + 2.0 * s - 3.0 * start) / (end - start) ** 3
    switch = np.where(r.real < ONSET, 1.0, np.where(r.real < CUTOFF, switch, 0.0))
    return 4.0 * EPSILON * attraction * (attraction - 1.0) * switch


def slope(r):
    return pair_energy(r + 1j * STEP).imag / STEP


def curvature(r):
    return (slope(r + 1e-5) - slope(r - 1e-5)) / 2e-5


def lattice_vectors(cell):
    """All lattice vectors within the cutoff but the null vector, shape (n, 3)."""
    steps = np.arange(-6, 7)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    vectors = grid @ cell
    lengths = np.linalg.norm(vectors, axis=1)
    return vectors[(lengths > 1e-6) & (lengths < CUTOFF)]


def bond_matrices(vectors):
    """−∂²E/∂u∂u' of pairs at these vectors, shape (n, 3, 3)."""
    r = np.linalg.norm(vectors, axis=1)
    direction = vectors / r[:, None]
    outer = direction[:, :, None] * direction[:, None, :]
    transverse = (slope(r) / r)[:, None, None]
    return transverse * np.eye(3) + (curvature(r)[:, None, None] - transverse) * outer
