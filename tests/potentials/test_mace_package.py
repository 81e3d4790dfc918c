"""Plain atoms must have the energies, forces and stresses that mace-torch gives."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc110, molecule

import softatoms as sa
from potentials.mace_package import build, by_calculator, converted, mace_torch, small
from softatoms.graph import Batch, Graph
from softatoms.potentials import mace_layers
from softatoms.potentials.mace import Mace
from softatoms.potentials.mace_import import compare
from tolerances import assert_close

ALL = ("energy", "forces", "stress")


def rattled(atoms: Atoms, strain: float = 0.0, seed: int = 0) -> Atoms:
    """Atoms off their sites in a cell off its shape."""
    rng = np.random.default_rng(seed)
    atoms.set_cell(
        atoms.cell.array @ (np.eye(3) + strain * rng.normal(size=(3, 3))), scale_atoms=True
    )
    atoms.positions += 0.08 * rng.normal(size=atoms.positions.shape)
    return atoms


def alloy() -> Atoms:
    atoms = bulk("Cu", "fcc", a=3.8, cubic=True) * (2, 1, 1)
    atoms.symbols[[1, 4]] = "Au"
    atoms.symbols[[6]] = "O"
    return rattled(atoms, strain=0.03)


def slab() -> Atoms:
    atoms = fcc110("Cu", (1, 1, 4), a=3.7, vacuum=6.0)
    atoms.pbc = True
    return rattled(atoms)


STRUCTURES: dict[str, Atoms] = {
    "crystal smaller than the cutoff": rattled(bulk("CuO", "cesiumchloride", a=2.6), 0.02),
    "strained alloy": alloy(),
    "slab": slab(),
    "molecule": rattled(Atoms("CuOOAu", molecule("H2O2").positions * 1.6)),
}

MODELS: dict[str, dict[str, Any]] = {
    "one layer": {"num_interactions": 1, "hidden": "4x0e"},
    "one layer, residual, MACE": {
        "num_interactions": 1,
        "blocks": "AgnosticResidual",
        "scale_shift": False,
    },
    "two layers of scalars": {"blocks": "AgnosticResidual", "hidden": "6x0e", "max_ell": 3},
    "first layer without memory": {"blocks": "AgnosticResidual", "first_block": "Agnostic"},
    "density": {"blocks": "AgnosticDensityResidual", "first_block": "AgnosticDensity"},
    "density without memory": {"blocks": "AgnosticDensity", "max_ell": 1},
    "three layers with tensors": {
        "num_interactions": 3,
        "blocks": "AgnosticResidual",
        "hidden": "3x0e + 3x1o + 3x2e",
        "correlation": [2, 3, 1],
    },
    "three layers, density, all irreps kept": {
        "num_interactions": 3,
        "blocks": "AgnosticDensityResidual",
        "hidden": "3x0e + 3x1o",
        "correlation": 2,
        "keep_last_layer_irreps": True,
        "use_last_readout_only": True,
    },
    "many symmetries": {"hidden": "3x0e + 3x0o + 3x1o + 3x1e", "max_ell": 1, "correlation": 2},
    "rotations without inversion": {"hidden": "4x0e + 4x1e", "use_so3": True},
    "narrow edges": {"edge_irreps": "3x0e + 2x1o", "use_agnostic_product": True},
    "vectors on edges from the start": {
        "edge_irreps": "3x0e + 2x1o",
        "use_edge_irreps_first": True,
        "blocks": "AgnosticResidual",
    },
    "unreduced coefficients": {"use_reduced_cg": False, "hidden": "4x0e"},
    "cutoff on messages, Gaussians": {
        "apply_cutoff": False,
        "radial_type": "gaussian",
        "blocks": "AgnosticDensityResidual",
        "hidden": "4x0e",
    },
    "repulsion, distances of Agnesi": {
        "pair_repulsion": True,
        "distance_transform": "Agnesi",
        "hidden": "4x0e",
    },
    "repulsion without scale, soft distances": {
        "pair_repulsion": True,
        "distance_transform": "Soft",
        "scale_shift": False,
        "hidden": "4x0e",
    },
    "readout with biases": {"readout": "NonLinearBiasReadoutBlock", "hidden": "4x0e"},
    "tanh": {"gate": torch.tanh, "hidden": "4x0e"},
    "no activation": {"gate": None, "hidden": "4x0e"},
}


def assert_same(
    model: torch.nn.Module, potential: Mace, names: list[str], head: str = "Default"
) -> None:
    for name in names:
        atoms = STRUCTURES[name]
        expected = by_calculator(model, atoms, head)
        soft = sa.SoftAtoms.from_ase(atoms)
        properties = ALL if all(atoms.pbc) else ALL[:2]
        out = sa.evaluate(potential, soft, properties=properties)
        assert_close(out.energy, np.array(expected.energy), "mace")
        assert_close(out.forces, expected.forces, "mace")
        if all(atoms.pbc):
            assert_close(out.stress, expected.stress, "mace")
        assert np.abs(expected.forces).max() > 1e-3, "nothing was compared"


@pytest.mark.parametrize("name", MODELS)
def test_models_agree_with_the_calculator(name: str) -> None:
    model = build(**MODELS[name])
    assert_same(model, converted(model), ["crystal smaller than the cutoff", "strained alloy"])


@pytest.mark.parametrize("name", ["density", "three layers with tensors"])
def test_slabs_and_molecules_agree_with_the_calculator(name: str) -> None:
    model = build(**MODELS[name])
    assert_same(model, converted(model), ["slab", "molecule"])


def test_a_model_of_float32_agrees_with_its_float64_copy() -> None:
    model = build(
        blocks="AgnosticDensityResidual",
        dtype=torch.float32,
        pair_repulsion=True,
        distance_transform="Agnesi",
        hidden="4x0e + 4x1o + 4x2e",
    )
    assert_same(model, converted(model), ["strained alloy", "molecule"])


@pytest.mark.parametrize("readout", ["NonLinearReadoutBlock", "NonLinearBiasReadoutBlock"])
def test_every_head_agrees_with_the_calculator(readout: str) -> None:
    model = build(heads=["bulk", "surface"], hidden="4x0e", readout=readout)
    energies = set()
    for head in ("bulk", "surface"):
        potential = converted(model, head)
        assert_same(model, potential, ["strained alloy"], head)
        energies.add(round(float(potential.isolated_energies[0]), 6))
    assert len(energies) == 2


def test_polynomials_of_chebyshev_agree_in_energy() -> None:
    # torch cannot differentiate its Chebyshev polynomials, so the package has no forces here.
    model = build(radial_type="chebyshev", hidden="4x0e", distance_transform="Agnesi")
    potential = converted(model)
    with mace_torch():
        compare(potential, model)


def test_isolated_atoms_agree_with_the_calculator() -> None:
    model = build(blocks="AgnosticResidual")
    potential = converted(model)
    for index, symbol in enumerate(potential.species):
        expected = by_calculator(model, Atoms(symbol, cell=np.eye(3) * 9, pbc=False)).energy
        assert_close(potential.isolated_energies[index], np.array(expected), "mace")


@pytest.mark.parametrize("name", ["density", "agnostic"])
def test_both_ways_to_sum_the_first_layer_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    soft = sa.SoftAtoms.from_ase(alloy()).with_candidates([0, 2], {"Cu": 0.5, "O": 0.4}, tie="a")
    soft = soft.with_velocities(0.01 * np.random.default_rng(0).normal(size=(8, 3)))
    properties = (*ALL, "weight_gradient", "heat_flux")
    by_species = sa.evaluate(small(name), soft, properties=properties)
    monkeypatch.setattr(mace_layers, "MOST_SUMMED_SPECIES", 0)
    by_edge = sa.evaluate(small(name), soft, properties=properties)
    for quantity in properties:
        assert_close(getattr(by_edge, quantity), getattr(by_species, quantity), "same")


@pytest.mark.parametrize("name", ["density", "scalars"])
@pytest.mark.parametrize("most_summed_species", [6, 0])
def test_sites_and_nodes_hear_the_same(
    name: str, most_summed_species: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    potential = (
        small(name)
        if name == "density"
        else converted(build(hidden="4x0e + 4x1o", blocks="AgnosticResidual", apply_cutoff=False))
    )
    monkeypatch.setattr(mace_layers, "MOST_SUMMED_SPECIES", most_summed_species)
    soft = (
        sa.SoftAtoms.from_ase(alloy())
        .with_candidates([0, 2], {"Cu": 0.5, "O": 0.4}, tie="a")
        .with_candidates([3], {"Cu": 0.2, "Au": 0.3, "O": 0.5})
        .with_existence([5], 0.3)
    )
    soft = soft.with_velocities(0.01 * np.random.default_rng(0).normal(size=(8, 3)))
    properties = (*ALL, "weight_gradient", "heat_flux", "stress_weight_gradient", "weight_hessian")
    by_site = sa.evaluate(potential, soft, properties=properties)
    graph_of = Batch.graph

    def without_sites(*arguments: Any) -> Graph:
        graph = graph_of(*arguments)
        assert graph.by_site is not None
        return dataclasses.replace(graph, by_site=None)

    monkeypatch.setattr(Batch, "graph", without_sites)
    by_node = sa.evaluate(potential, soft, properties=properties)
    for quantity in properties:
        assert_close(getattr(by_site, quantity), getattr(by_node, quantity), "same")
