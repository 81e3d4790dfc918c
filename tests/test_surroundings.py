"""Results do not depend on what else goes on in the process."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from ase.build import bulk

import softatoms as sa
from tolerances import assert_close

PROPERTIES = ("energy", "forces", "stress", "weight_gradient", "heat_flux")


def soft() -> sa.SoftAtoms:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    velocities = 0.01 * np.random.default_rng(0).normal(size=(4, 3))
    plain = sa.SoftAtoms.from_ase(atoms).with_velocities(velocities)
    return plain.with_candidates([0, 1], {"Cu": 0.5, "Au": 0.4}, tie="a").with_existence([2], 0.7)


def painn() -> sa.Potential:
    return sa.load_potential("painn", elements=["Cu", "Au"], n_features=8, cutoff=4.0)


def test_the_default_dtype_of_torch_changes_nothing() -> None:
    expected = sa.evaluate(painn(), soft(), properties=PROPERTIES)
    torch.set_default_dtype(torch.float64)
    try:
        potential = painn()
        out = sa.evaluate(potential, soft(), properties=PROPERTIES)
    finally:
        torch.set_default_dtype(torch.float32)
    assert potential.sha256() == painn().sha256()
    assert torch.equal(out.energy, expected.energy)
    assert torch.equal(out.forces, expected.forces)


def test_drawing_a_network_leaves_the_random_stream_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    painn()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_do_not_disturb_each_other(dtype: str) -> None:
    potential, structure = painn(), soft()

    def flux(_: int) -> torch.Tensor:
        out = sa.evaluate(potential, structure, properties=PROPERTIES, dtype=dtype)
        return torch.cat([out.heat_flux, out.forces.ravel()])

    expected = flux(0)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(flux, range(24)):
            assert torch.equal(result, expected)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_caller_without_gradients_gets_them_all_the_same(mode: type) -> None:
    expected = sa.evaluate(painn(), soft(), properties=PROPERTIES)
    with mode():
        out = sa.evaluate(painn(), soft(), properties=PROPERTIES)
    for name in PROPERTIES:
        assert torch.equal(getattr(out, name), getattr(expected, name))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_change_of_a_potential_counts_at_once(dtype: str) -> None:
    potential = painn()
    seen = {float(sa.evaluate(potential, soft(), dtype=dtype).energy)}
    with torch.no_grad():
        next(potential.parameters()).mul_(1.5)
    seen.add(float(sa.evaluate(potential, soft(), dtype=dtype).energy))
    potential.message_scale *= 2.0
    seen.add(float(sa.evaluate(potential, soft(), dtype=dtype).energy))
    potential.readout[1] = torch.nn.Tanh()
    seen.add(float(sa.evaluate(potential, soft(), dtype=dtype).energy))
    assert len(seen) == 4


def test_a_frozen_potential_gives_the_same() -> None:
    frozen = painn().requires_grad_(False)
    expected = sa.evaluate(painn(), soft(), properties=PROPERTIES)
    out = sa.evaluate(frozen, soft(), properties=PROPERTIES)
    frozen.has_forward_mode = False
    slow = sa.evaluate(frozen, soft(), properties=PROPERTIES)
    for name in PROPERTIES:
        assert_close(getattr(out, name), getattr(expected, name), "same")
        assert_close(getattr(slow, name), getattr(expected, name), "same")


def test_copies_and_pickles_are_worth_the_original() -> None:
    potential, structure = painn(), soft()
    expected = sa.evaluate(potential, structure, properties=PROPERTIES)
    for other in (copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))):
        out = sa.evaluate(other(potential), other(structure), properties=PROPERTIES)
        assert torch.equal(out.energy, expected.energy)
        assert torch.equal(out.heat_flux, expected.heat_flux)


def test_gradients_of_single_nodes_add_up_to_those_of_ties() -> None:
    structure = soft()
    out = sa.evaluate(painn(), structure, properties=("weight_gradient",))
    is_soft = structure.node_parameter >= 0
    by_node = out.node_weight_gradient.numpy()
    assert np.isnan(by_node[~is_soft]).all()
    sums = np.bincount(structure.node_parameter[is_soft], weights=by_node[is_soft])
    assert_close(out.weight_gradient, sums, "same")
    untied = soft().with_candidates([0], {"Cu": 0.5, "Au": 0.4})
    own = sa.evaluate(painn(), untied, properties=("weight_gradient",)).weight_gradient
    assert_close(by_node[:2], own[:2], "same")
