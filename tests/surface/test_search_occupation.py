"""Weights of a pool of sites."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from softatoms.surface.occupation import chosen_species, weights_of

FREE = np.nan


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n_sites=st.integers(1, 30),
    n_species=st.integers(1, 3),
    spread=st.sampled_from([0.0, 1.0, 30.0, 400.0]),
)
def test_weights_stay_in_their_simplex_and_keep_held_numbers(
    seed: int, n_sites: int, n_species: int, spread: float
):
    rng = np.random.default_rng(seed)
    logits = spread * rng.normal(size=(n_sites, n_species))
    counts = np.full(n_species, FREE)
    left = n_sites
    for column in range(n_species):
        if rng.random() < 0.7:
            counts[column] = rng.integers(left + 1)
            left -= int(counts[column])
    weights = weights_of(logits, counts)
    assert (weights >= 0.0).all()
    assert (weights.sum(axis=1) <= 1.0 + 1e-9).all()
    held = np.isfinite(counts)
    if n_species == 1:
        np.testing.assert_allclose(weights.sum(axis=0)[held], counts[held], rtol=0, atol=1e-9)
    elif spread <= 1.0 and left > 0:
        np.testing.assert_allclose(weights.sum(axis=0)[held], counts[held], rtol=0, atol=1e-8)


def test_numbers_are_held_where_few_sites_stay_empty():
    """One site of fifteen is empty: species by species the sums would still be off by 1e-6."""
    weights = weights_of(np.zeros((15, 2)), np.array([7.0, 7.0]))
    np.testing.assert_allclose(weights, np.full((15, 2), 7.0 / 15.0), rtol=0, atol=1e-10)


def test_free_weights_are_those_of_a_lattice_gas():
    weights = weights_of(np.array([[0.3, -1.0]]), np.array([FREE, FREE]))
    norm = 1 + np.exp(0.3) + np.exp(-1.0)
    np.testing.assert_allclose(
        weights, [[np.exp(0.3) / norm, np.exp(-1.0) / norm]], rtol=1e-14, atol=0
    )


def test_held_weights_minimise_energy_minus_entropy():
    rng = np.random.default_rng(2)
    slopes, temperature, count = rng.normal(size=7), 0.4, 3.0
    weights = weights_of(-slopes[:, None] / temperature, np.array([count]))[:, 0]

    def free_energy(w: np.ndarray) -> float:
        entropy = -(w * np.log(w) + (1 - w) * np.log(1 - w)).sum()
        return float(slopes @ w - temperature * entropy)

    found = minimize(
        free_energy,
        np.full(7, count / 7),
        bounds=[(1e-6, 1 - 1e-6)] * 7,
        constraints={"type": "eq", "fun": lambda w: w.sum() - count},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(weights, found.x, rtol=0, atol=1e-5)
    assert free_energy(weights) <= found.fun + 1e-12


def test_cold_weights_are_whole_and_pick_the_lowest_sites():
    slopes = np.array([0.3, -2.0, 1.0, -0.5, -0.4])
    weights = weights_of(-slopes[:, None] / 1e-3, np.array([2.0]))[:, 0]
    np.testing.assert_allclose(weights, [0, 1, 0, 1, 0], rtol=0, atol=1e-12)


def test_no_site_may_be_empty_when_there_are_as_many_atoms_as_sites():
    logits = np.random.default_rng(0).normal(size=(6, 2))
    weights = weights_of(logits, np.array([4.0, 2.0]))
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    np.testing.assert_allclose(weights.sum(axis=0), [4.0, 2.0], rtol=0, atol=1e-9)


def clashes(*pairs: tuple[int, int], n: int) -> np.ndarray:
    table = np.zeros((n, n), dtype=bool)
    for a, b in pairs:
        table[a, b] = table[b, a] = True
    return table


def test_held_numbers_are_reached_exactly_by_the_largest_weights():
    weights = np.array([[0.9, 0.0], [0.2, 0.7], [0.6, 0.3], [0.1, 0.1]])
    species = chosen_species(weights, np.array([1.0, 2.0]), clashes(n=4))
    assert species.tolist() == [0, 1, 1, -1]


def test_sites_too_close_to_a_better_one_stay_empty_while_there_are_others():
    weights = np.array([[0.9], [0.8], [0.3]])
    near = clashes((0, 1), n=3)
    assert chosen_species(weights, np.array([2.0]), near).tolist() == [0, -1, 0]
    assert chosen_species(weights, np.array([3.0]), near).tolist() == [0, 0, 0]


def test_a_free_number_is_that_of_weights_above_one_half():
    weights = np.array([[0.9, 0.05], [0.3, 0.3], [0.4, 0.55], [0.45, 0.4]])
    assert chosen_species(weights, np.array([FREE, FREE]), clashes(n=4)).tolist() == [0, -1, 1, -1]


@pytest.mark.parametrize("count", [0.0, 5.0])
def test_none_and_all(count: float):
    weights = weights_of(np.random.default_rng(1).normal(size=(5, 1)), np.array([count]))
    np.testing.assert_allclose(weights.sum(), count, rtol=0, atol=1e-9)
