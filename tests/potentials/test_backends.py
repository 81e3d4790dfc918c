"""Every backend passes the whole suite."""

from __future__ import annotations

from typing import ClassVar

import softatoms as sa
from backend_suite import BackendSuite
from softatoms.potentials.base import Potential


class TestLennardJones(BackendSuite):
    species = ("Ar", "Kr")
    lattice_constant = 5.3

    def make_potential(self) -> Potential:
        return sa.load_potential(
            "lj",
            epsilon={"Ar": 0.0104, "Kr": 0.0141},
            sigma={"Ar": 3.405, "Kr": 3.65},
            cutoff=6.5,
            onset=5.0,
            isolated_energies={"Ar": -1.5, "Kr": -0.7},
        )


class TestGupta(BackendSuite):
    species = ("Cu", "Au")
    lattice_constant = 3.8
    difference = "difference_gupta"

    def make_potential(self) -> Potential:
        return sa.load_potential("gupta", elements=["Cu", "Au"])


class TestHarmonic(BackendSuite):
    species = ("Al", "Sc")
    lattice_constant = 4.05
    exempt: ClassVar[dict[str, str]] = {
        "test_rotation_turns_what_has_a_direction": "the springs have fixed directions in space",
    }

    def make_potential(self) -> Potential:
        return sa.load_potential(
            "harmonic", lattice="fcc", a=4.05, stiffness={"Al": 1.5, "Sc": 2.5}
        )


class NetworkSuite(BackendSuite):
    name: ClassVar[str]
    n_layers: ClassVar[int]
    own: ClassVar[dict[str, int]] = {}
    species = ("Cu", "O")
    lattice_constant = 3.7

    def make_potential(self) -> Potential:
        return sa.load_potential(
            self.name,
            elements=["O", "Cu"],
            cutoff=3.4,
            n_features=8,
            n_layers=self.n_layers,
            typical_neighbours=12.0,
            isolated_energies={"Cu": -3.5, "O": -1.75},
            seed=0,
            **self.own,
        )


class TestSchNetOneLayer(NetworkSuite):
    name = "schnet"
    n_layers = 1


class TestSchNetTwoLayers(NetworkSuite):
    name = "schnet"
    n_layers = 2


class TestSchNetThreeLayers(NetworkSuite):
    name = "schnet"
    n_layers = 3


class TestPaiNNOneLayer(NetworkSuite):
    name = "painn"
    n_layers = 1


class TestPaiNNTwoLayers(NetworkSuite):
    name = "painn"
    n_layers = 2


class TestPaiNNThreeLayers(NetworkSuite):
    name = "painn"
    n_layers = 3


class TestPaiNNWithTensors(NetworkSuite):
    name = "painn"
    n_layers = 2
    own: ClassVar[dict[str, int]] = {"max_order": 2}


class TestPaiNNWithTensorsInOneLayer(NetworkSuite):
    name = "painn"
    n_layers = 1
    own: ClassVar[dict[str, int]] = {"max_order": 2}
