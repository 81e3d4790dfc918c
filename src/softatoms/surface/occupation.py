"""Weights of a pool of sites at a temperature of their own, with numbers of atoms held or not.

A site is one of its species or empty. With Ω linear in small changes of the weights and the
entropy of a lattice gas added, the weights that minimise Ω − T S are

    w_ac = exp(x_ac + λ_c) / (1 + Σ_c' exp(x_ac' + λ_c')),    x_ac = −(∂E/∂w_ac − μ_c) / T.

λ_c is 0 for a species that a reservoir provides, and for a held number the one value at which
Σ_a w_ac is that number. So weights stay in their simplex without any step being cut, and T → 0
drives them to 0 and 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LARGEST = 500.0
"""Logits beyond it mean nothing but 0 and 1."""

_SWEEPS = 50
_EXACT = 1e-10


def weights_of(logits: Floats, counts: Floats) -> Floats:
    """Weights of sites from their logits.

    Args:
        logits: x of every site and species, shape (n_sites, n_species).
        counts: Σ_a w_ac to keep for each species, nan where a reservoir decides, shape
            (n_species,). They must not exceed the number of sites in sum.

    Returns:
        Weights in [0, 1], at most 1 in sum over a site, shape (n_sites, n_species).
    """
    x = np.clip(logits, -LARGEST, LARGEST)
    held = np.flatnonzero(np.isfinite(counts))
    shift = np.zeros(x.shape[1])
    if len(held) == 0:
        return _softmax(x, shift)
    if float(counts[held].sum()) >= len(x) - 1e-9 and len(held) == x.shape[1]:
        # No site may be empty: vacancy takes no part, and only differences of λ matter.
        return _full(x, counts)
    for _ in range(_SWEEPS):
        for column in held:
            shift[column] = _multiplier(x, shift, int(column), float(counts[column]))
        weights = _softmax(x, shift)
        if np.abs(weights.sum(axis=0) - counts)[held].max() < _EXACT * len(x):
            break
        # Where few sites are empty one species after the other creeps: all at once do not.
        shift = _joint_step(x, shift, counts, weights)
    return weights


def _joint_step(x: Floats, shift: Floats, counts: Floats, weights: Floats) -> Floats:
    """A step of Newton's method for all held numbers, if it comes nearer to them."""
    moved = np.flatnonzero(np.isfinite(counts) & (counts > 0.0))
    own = weights[:, moved]
    excess = own.sum(axis=0) - counts[moved]
    curvature = np.diag(own.sum(axis=0)) - own.T @ own
    step, *_ = np.linalg.lstsq(curvature, excess, rcond=None)
    trial = shift.copy()
    trial[moved] -= step
    if not np.isfinite(trial).all():
        return shift
    left = np.abs(_softmax(x, trial).sum(axis=0) - counts)[moved].max()
    return trial if left < np.abs(excess).max() else shift


def _softmax(x: Floats, shift: Floats) -> Floats:
    shifted = x + shift
    top = np.maximum(shifted.max(axis=1, keepdims=True), 0.0)
    powers = np.exp(shifted - top)
    weights: Floats = powers / (np.exp(-top) + powers.sum(axis=1, keepdims=True))
    return weights


def _multiplier(x: Floats, shift: Floats, column: int, count: float) -> float:
    """λ of one species at which its weights sum to ``count``, others being held."""
    others = np.delete(x + shift, column, axis=1)
    # log(1 + Σ exp) of everything else the site may be.
    rest = np.logaddexp.reduce(np.hstack([np.zeros((len(x), 1)), others]), axis=1)
    own = x[:, column] - rest
    if count <= 0.0:
        return -4.0 * LARGEST
    # Halving brackets the root, Newton's method finishes it.
    low, high = -own.max() - 50.0, -own.min() + 50.0
    value = 0.5 * (low + high)
    for _ in range(200):
        weights = 1.0 / (1.0 + np.exp(-np.clip(own + value, -700.0, 700.0)))
        surplus = weights.sum() - count
        if abs(surplus) < 1e-14 * len(x):
            break
        low, high = (low, value) if surplus > 0.0 else (value, high)
        slope = (weights * (1.0 - weights)).sum()
        newton = value - surplus / slope if slope > 1e-12 else np.inf
        value = newton if low < newton < high else 0.5 * (low + high)
        if high - low < 1e-15 * max(1.0, abs(low)):
            break
    return float(value)


def _full(x: Floats, counts: Floats) -> Floats:
    """Weights of sites that are all occupied, by Sinkhorn's alternation in logarithms."""
    shift = np.zeros(x.shape[1])
    present = counts > 0.0
    for _ in range(10 * _SWEEPS):
        shifted = np.where(present, x + shift, -np.inf)
        weights = np.exp(shifted - np.logaddexp.reduce(shifted, axis=1)[:, None])
        sums = weights.sum(axis=0)
        if np.abs(sums - counts).max() < _EXACT * len(x):
            break
        shift[present] += np.log(counts[present] / sums[present])
    return weights


def chosen_species(
    weights: Floats, counts: Floats, clashes: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """What each site is when weights become 0 or 1.

    Sites are taken in the order of their weights. A site that stands too close to one taken before
    stays empty, unless a held number could not be reached otherwise.

    Args:
        weights: Shape (n_sites, n_species).
        counts: Number of atoms of each species to reach exactly, nan where weights above ½ decide.
        clashes: Which sites stand too close to each other, shape (n_sites, n_sites).

    Returns:
        Index of the species of each site, −1 for none, shape (n_sites,).
    """
    chosen = np.full(len(weights), -1)
    left = np.where(np.isfinite(counts), counts, np.inf)
    held = np.isfinite(counts)
    ranked = np.argsort(-weights, axis=None, kind="stable")
    for may_clash in (False, True):
        for flat in ranked.tolist():
            site, column = divmod(flat, weights.shape[1])
            if chosen[site] != -1 or left[column] < 0.5:
                continue
            if not held[column] and (may_clash or weights[site, column] <= 0.5):
                continue
            if not may_clash and clashes[site, chosen != -1].any():
                continue
            chosen[site] = column
            left[column] -= 1.0
    return chosen
