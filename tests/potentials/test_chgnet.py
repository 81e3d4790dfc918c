"""CHGNet with soft atoms: every condition on backends, for fresh and for trained parameters."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from ase import Atoms

import softatoms as sa
from backend_suite import COUPLINGS, BackendSuite
from flux_references import hardy_flux
from softatoms.gather import Edges
from softatoms.graph import Batch, Graph
from softatoms.neighbours import neighbour_pairs
from softatoms.potentials.base import Potential
from softatoms.potentials.bonds import Bonds
from softatoms.potentials.chgnet import CHGNet
from tolerances import assert_close

SMALL: dict[str, Any] = {
    "cutoff": 3.1,
    "bond_cutoff": 2.9,
    "envelope_power": 6,
    "n_radial": 7,
    "n_angular": 5,
    "n_features": 8,
    "n_hidden": 6,
    "readout": [8],
    "isolated_energies": {"Cu": -3.5, "O": -1.75},
}


class ClusterFlux(BackendSuite):
    """The heat flux where the unfolded crystal cannot serve as reference."""

    @pytest.mark.parametrize("coupling", COUPLINGS)
    def test_heat_flux_of_a_cluster_equals_the_many_pass_form(
        self, potential: Potential, coupling: str
    ) -> None:
        cluster = self.soft_crystal().select(
            np.arange(8), cell=20.0 * np.eye(3), pbc=np.zeros(3, dtype=bool)
        )
        velocity = self.velocities(8)
        out = sa.evaluate(
            potential, cluster, properties=("heat_flux",), velocities=velocity, coupling=coupling
        )
        flux = out.heat_flux - out.convective_heat_flux
        assert_close(flux, hardy_flux(potential.double(), cluster, velocity, coupling), "flux")


class SmallCHGNet(ClusterFlux):
    species = ("Cu", "O")
    lattice_constant = 3.7
    options: ClassVar[dict[str, Any]]

    def make_potential(self) -> Potential:
        network = CHGNet(elements=["O", "Cu"], **SMALL, **self.options).double()
        # Fresh networks say next to nothing about angles.
        for step in network.bond_rounds:
            step.out.weight.data *= 5.0
        return network

    @pytest.mark.parametrize("coupling", COUPLINGS)
    @pytest.mark.parametrize("tie", [None, "both"])
    def test_energy_and_slopes_are_continuous_where_the_only_angle_vanishes(
        self, potential: Potential, tie: str | None, coupling: str
    ) -> None:
        atoms = Atoms("CuOCu", [[0, 0, 0], [1.9, 0.1, 0], [2.3, 1.8, 0.2]])
        soft = sa.SoftAtoms.from_ase(atoms).with_existence([0, 2] if tie else [2], 0.5, tie=tie)
        self._assert_continuous_at_zero(potential, soft, 0, coupling)

    def test_candidates_of_one_site_form_no_angle(self, potential: Potential) -> None:
        pair = sa.SoftAtoms.from_ase(Atoms("CuO", [[0, 0, 0], [1.9, 0.1, 0]]))
        mixed = pair.with_candidates([1], {"Cu": 0.5, "O": 0.5})
        bonds = Bonds.of(*self._edges(mixed), cutoff=2.9)
        assert len(bonds.edges) == 4
        assert len(bonds.angles.senders) == 0

    def test_a_bond_whose_directions_differ_in_the_last_digit_is_dropped(self) -> None:
        soft = sa.SoftAtoms.from_ase(Atoms("Cu3", [[0, 0, 0], [2, 0, 0], [0, 2, 0]]))
        graph, edges, lengths = self._edges(soft)
        reference = Bonds.of(graph, edges, lengths, cutoff=2.5)
        assert len(reference.edges) == 4
        first = int(reference.edges[0])
        lengths[first] = 2.5
        cut = Bonds.of(graph, edges, lengths, cutoff=2.5)
        assert len(cut.edges) == 2
        assert cut.turns.senders.tolist() == [1, 0]

    @staticmethod
    def _edges(soft: sa.SoftAtoms) -> tuple[Graph, Edges, torch.Tensor]:
        """Graph, listed edges and lengths."""
        batch = Batch([soft], torch.device("cpu"))
        geometry = batch.geometry(
            [neighbour_pairs(soft.positions, soft.cell, soft.pbc, 3.1)],
            torch.from_numpy(soft.positions),
            torch.from_numpy(soft.cell).unsqueeze(0),
            3.1,
            torch.float64,
        )
        graph = batch.graph(geometry, batch.node_weights(soft.weights), "mean_field")
        edges = graph.listed_edges()
        return graph, edges, edges.squared_lengths().sqrt()


class TestThreeRounds(SmallCHGNet):
    options: ClassVar[dict[str, Any]] = {"n_rounds": 3}


class TestBiases(SmallCHGNet):
    options: ClassVar[dict[str, Any]] = {"n_rounds": 2, "has_norms": False, "has_biases": True}
    exempt: ClassVar[dict[str, str]] = {
        "test_heat_flux_equals_the_many_pass_and_the_unfolded_form": (
            "how far angles exist is a mean over the system, which the unfolded copy changes"
        ),
    }


def test_slopes_of_biases_are_continuous_where_weights_add_up_to_one() -> None:
    atoms = Atoms("CuOCuO", [[0, 0, 0], [1.9, 0, 0], [0, 2.3, 0.2], [2.0, 2.1, 0.1]])
    soft = sa.SoftAtoms.from_ase(atoms).with_existence([0], 0.7)
    potential = sa.load_potential("chgnet", model="0.2.0")

    def slopes(copper: float) -> torch.Tensor:
        mixed = soft.with_candidates([3], {"O": 0.1, "Cu": copper})
        return sa.evaluate(potential, mixed, properties=("weight_gradient",)).weight_gradient

    below, above = slopes(0.9 - 1e-7), slopes(0.9 + 1e-7)
    assert float((below - above).abs().max()) < 1e-4


class TestTrained(ClusterFlux):
    species = ("Cu", "O")
    lattice_constant = 3.9
    exempt: ClassVar[dict[str, str]] = {
        "test_heat_flux_equals_the_many_pass_and_the_unfolded_form": (
            "reaches 33 Å, too far to unfold a crystal; tested on a cluster"
        ),
    }

    def make_potential(self) -> Potential:
        return sa.load_potential("chgnet")
