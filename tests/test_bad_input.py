"""Malformed input is refused, and the message names what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import DummySpecies
from pymatgen.core.structure import Structure

import softatoms as sa
from softatoms.potentials.base import Potential

NAN, INF = float("nan"), float("inf")


def crystal() -> sa.SoftAtoms:
    return sa.SoftAtoms.from_ase(bulk("Cu", cubic=True))


def alloy() -> sa.SoftAtoms:
    return crystal().with_candidates([0, 2], {"Cu": 0.6, "Au": 0.3}, tie="metal")


def gupta() -> Potential:
    return sa.load_potential("gupta", elements=["Cu", "Au"])


def with_nan(shape: tuple[int, ...], *index: int) -> np.ndarray:
    values = np.arange(float(np.prod(shape))).reshape(shape)
    values[index] = NAN
    return values


def from_ase(**arguments: Any) -> sa.SoftAtoms:
    return sa.SoftAtoms.from_ase(Atoms(**arguments))


def with_masses(masses: list[float]) -> sa.SoftAtoms:
    atoms = bulk("Cu", cubic=True)
    atoms.set_masses(masses)
    return sa.SoftAtoms.from_ase(atoms)


def lone_with(species: Any) -> sa.SoftAtoms:
    return sa.SoftAtoms.from_pymatgen(Structure(Lattice.cubic(4), [species], [[0, 0, 0]]))


STRUCTURES: dict[str, tuple[Callable[[], Any], str]] = {
    # Weights
    "negative weight": (
        lambda: crystal().with_candidates([1], {"Cu": 0.7, "Au": -0.2}),
        r"site1:Au = -0\.2 lies outside",
    ),
    "weight above 1": (lambda: crystal().with_existence([2], 1.5), r"site2:Cu = 1\.5 lies outside"),
    "sum above 1": (
        lambda: crystal().with_candidates([0, 1], {"Cu": 0.7, "Au": 0.6}, tie="metal"),
        r"weights of metal sum to 1\.3, more than 1",
    ),
    "new weights outside": (lambda: alloy().with_weights([0.5, 1.2]), r"metal:Au = 1\.2"),
    "new weights above 1 in sum": (lambda: alloy().with_weights([0.9, 0.8]), r"metal sum to 1\.7"),
    "weight nan": (lambda: crystal().with_existence([3], NAN), "site3:Cu is nan"),
    "new weight infinite": (lambda: alloy().with_weights([0.1, INF]), "metal:Au is nan or inf"),
    "weight as text": (lambda: crystal().with_existence([1], "0.5"), "weight of Cu .* '0.5'"),
    "weight true": (lambda: crystal().with_candidates(0, {"Au": True}), "weight of Au .* True"),
    "weight complex": (lambda: crystal().with_existence(0, 0.5j), r"weight of Cu .*0\.5j"),
    "weights of wrong length": (lambda: alloy().with_weights([1.0]), r"shape \(2,\).*got \(1,\)"),
    "weights of wrong shape": (
        lambda: alloy().with_weights([[0.5, 0.5]]),
        r"shape \(2,\).*got \(1, 2\)",
    ),
    "weights as text": (lambda: alloy().with_weights(["a", "b"]), "weights must be real numbers"),
    "weights of a plain structure": (lambda: crystal().with_weights([1.0]), r"shape \(0,\)"),
    # Candidates
    "unknown species": (lambda: crystal().with_candidates(0, {"Xx": 0.5}), "unknown species 'Xx'"),
    "vacancy as species": (
        lambda: crystal().with_candidates(0, {"Cu": 0.5, "X": 0.5}),
        "'X'.*a vacancy is what is missing",
    ),
    "species by number": (lambda: crystal().with_candidates(0, {29: 0.5}), "unknown species 29"),
    "duplicate candidates": (
        lambda: crystal().with_candidates([0], [("Cu", 0.5), ("Cu", 0.5)]),
        r"sites \[0\] must be a mapping.*duplicate candidate",
    ),
    "no candidate": (lambda: crystal().with_candidates([1], {}), r"\[1\] need at least one"),
    "existence of a mixture": (
        lambda: alloy().with_existence([2], 0.5),
        r"site 2 .*\['Au', 'Cu'\]",
    ),
    # Ties
    "tie across candidates": (
        lambda: alloy().with_candidates([1], {"Cu": 0.6, "Al": 0.3}, tie="metal"),
        r"tie 'metal' joins sites with different candidates.*\[1\]",
    ),
    "tie with other weights": (
        lambda: alloy().with_candidates([1], {"Cu": 0.5, "Au": 0.4}, tie="metal"),
        "tie 'metal' already has the weights",
    ),
    "tie across species": (
        lambda: from_ase(symbols="CuO", positions=[[0, 0, 0], [2, 0, 0]]).with_existence(
            [0, 1], 0.5, tie="both"
        ),
        r"tie 'both' .*\['Cu', 'O'\]",
    ),
    "tie with a space": (lambda: crystal().with_existence(0, 0.5, tie="a b"), "'a b'"),
    "tie with a colon": (lambda: crystal().with_existence(0, 0.5, tie="a:b"), "'a:b'"),
    "tie without a name": (lambda: crystal().with_existence(0, 0.5, tie=""), "got ''"),
    "tie that is a number": (lambda: crystal().with_existence(0, 0.5, tie=3), "got 3"),
    "tie that means none": (lambda: crystal().with_existence(0, 0.5, tie="-"), "called '-'"),
    "tie like a site": (lambda: crystal().with_existence(0, 0.5, tie="site1"), "called 'site1'"),
    # Sites
    "site out of range": (lambda: crystal().with_existence([4], 0.5), "site 4 does not exist"),
    "site far below": (lambda: crystal().with_existence(-5, 0.5), "site -5 does not exist"),
    "site twice": (lambda: crystal().with_existence([1, -3], 0.5), "site 1 is named twice"),
    "site not whole": (
        lambda: crystal().with_existence([0.5], 0.5),
        r"whole numbers, got \[0\.5\]",
    ),
    "site by name": (lambda: crystal().with_existence("Cu", 0.5), "whole numbers, got 'Cu'"),
    "no site": (lambda: crystal().with_existence([], 0.5), r"whole numbers, got \[\]"),
    "select out of range": (lambda: crystal().select([0, 9]), "site 9 does not exist"),
    "select not whole": (lambda: crystal().select([0.0, 1.0]), "whole numbers"),
    "select by a mask of wrong length": (lambda: crystal().select([True, False]), "whole numbers"),
    "repeat not whole": (lambda: crystal().repeat((1.5, 1, 1)), r"\(1\.5, 1, 1\)"),
    "repeat no times": (lambda: crystal().repeat((0, 1, 1)), r"\(0, 1, 1\)"),
    "repeat a molecule": (
        lambda: from_ase(symbols="H", positions=[[0, 0, 0]]).repeat((1, 2, 1)),
        "lattice vector 1: it is zero",
    ),
    # Geometry
    "position nan": (
        lambda: crystal().with_positions(with_nan((4, 3), 2, 0)),
        "position of site 2",
    ),
    "position infinite": (
        lambda: from_ase(symbols="H2", positions=[[0, 0, 0], [INF, 0, 0]]),
        "position of site 1",
    ),
    "cell nan": (
        lambda: crystal().with_positions(crystal().positions, with_nan((3, 3), 1, 1)),
        "cell contains nan",
    ),
    "velocity nan": (
        lambda: crystal().with_velocities(with_nan((4, 3), 3, 2)),
        "velocity of site 3",
    ),
    "positions of wrong shape": (
        lambda: crystal().with_positions(np.zeros((3, 3))),
        r"positions must have shape \(4, 3\), got \(3, 3\)",
    ),
    "ragged positions": (
        lambda: crystal().with_positions([[0, 0, 0], [1, 1]]),
        "positions must be a regular array",
    ),
    "complex positions": (
        lambda: crystal().with_positions(1j * crystal().positions),
        "positions must be real numbers, got complex",
    ),
    "cell of wrong shape": (
        lambda: crystal().with_positions(crystal().positions, [3.0, 3.0, 3.0]),
        r"cell must have shape \(3, 3\), got \(3,\)",
    ),
    "velocities of wrong shape": (
        lambda: crystal().with_velocities(np.zeros((4, 2))),
        r"velocities must have shape \(4, 3\), got \(4, 2\)",
    ),
    "no atom": (from_ase, "n_sites > 0"),
    "periodic without a cell": (
        lambda: from_ase(symbols="H", pbc=[False, True, False]),
        "lattice vector 1 is zero",
    ),
    "flat cell": (
        lambda: from_ase(symbols="H", cell=[[3, 0, 0], [0, 3, 0], [3, 3, 0]], pbc=True),
        "linearly dependent",
    ),
    "atoms on top of each other": (
        lambda: from_ase(symbols="H3", positions=[[0, 0, 0], [2, 0, 0], [2, 0.05, 0]]),
        "sites 1 and 2 lie on top of each other",
    ),
    "atoms on top of each other across the boundary": (
        lambda: from_ase(
            symbols="HO", positions=[[0, 0, 0.02], [0, 0, 3.98]], cell=[4, 4, 4], pbc=True
        ),
        "sites 0 and 1 lie on top of each other",
    ),
    "atom on top of its own image": (
        lambda: from_ase(symbols="H", cell=[3, 0.05, 3], pbc=True),
        "site 0 lies on top of its own periodic image",
    ),
    "ghost atom of ASE": (lambda: from_ase(symbols="HX", positions=np.eye(3)[:2]), "'X' at site 1"),
    "mass of zero": (lambda: with_masses([63.5, 0.0, 63.5, 63.5]), "mass of site 1"),
    "mass nan": (lambda: with_masses([63.5, 63.5, 63.5, NAN]), "mass of site 3"),
    # Conversion
    "pymatgen dummy": (lambda: lone_with(DummySpecies("Xa")), "site 0: unknown species 'Xa'"),
    "pymatgen without a cell": (
        lambda: from_ase(symbols="H", positions=[[0, 0, 0]]).to_pymatgen(),
        "cell of finite volume",
    ),
    "pymatgen without an atom": (
        lambda: lone_with("Cu").with_existence(0, 0.0).to_pymatgen(),
        "no site has a weight above 0",
    ),
}


@pytest.mark.parametrize("case", STRUCTURES)
def test_malformed_structures(case: str) -> None:
    request, message = STRUCTURES[case]
    with pytest.raises(sa.StructureError, match=message):
        request()


def lj(**changes: Any) -> Potential:
    return sa.load_potential("lj", **{"epsilon": 0.01, "sigma": 3.4, **changes})


def evaluate(**changes: Any) -> sa.Evaluation:
    return sa.evaluate(gupta(), alloy(), **changes)


OPTIONS: dict[str, tuple[Callable[[], Any], str]] = {
    "unknown property": (
        lambda: evaluate(properties=("energy", "force")),
        "unknown property 'force': did you mean 'forces'",
    ),
    "property as text": (
        lambda: evaluate(properties="energy"),
        "properties must be a list of names .* got 'energy'",
    ),
    "no properties": (lambda: evaluate(properties=None), "properties must be a list .* got None"),
    "no device": (lambda: evaluate(device=None), "unknown device None"),
    "processor by number": (lambda: evaluate(device="cpu:3"), "unknown device 'cpu:3'"),
    "velocity nan": (
        lambda: evaluate(properties=["heat_flux"], velocities=[[0, 0, 0]] * 3 + [[0, NAN, 0]]),
        "velocity of site 3 in structure 0",
    ),
    "potential by name": (
        lambda: sa.evaluate("gupta", alloy()),  # type: ignore[arg-type]
        "potential must come from load_potential, got 'gupta'",
    ),
    "one structure as a batch": (
        lambda: sa.evaluate_batch(gupta(), alloy()),  # type: ignore[arg-type]
        "list of SoftAtoms; for one structure use evaluate",
    ),
    "structure of another kind": (
        lambda: sa.evaluate_batch(gupta(), [alloy(), alloy().to_ase()]),  # type: ignore[list-item]
        "structure 1 is a Atoms, not SoftAtoms: convert it with SoftAtoms.from_ase",
    ),
    "pair given twice": (
        lambda: sa.load_potential(
            "harmonic",
            lattice="sc",
            a=3.0,
            stiffness={"Al": 1.0, "Sc": 1.0},
            pairs={"Al-Sc": 1.0, "Sc-Al": 2.0},
        ),
        "pairs names the pair 'Sc-Al' twice",
    ),
    "negative pair parameter": (
        lambda: lj(
            epsilon={"Ar": 0.01, "Kr": 0.01},
            sigma={"Ar": 3.0, "Kr": 3.0},
            pairs={"Ar-Kr": {"epsilon": -1.0, "sigma": 3.0}},
        ),
        "pairs: epsilon of 'Ar-Kr' must be a positive number",
    ),
    "incomplete pair": (
        lambda: sa.load_potential("gupta", elements=["Cu", "Au"], pairs={"Cu-Au": {"a": 0.1}}),
        "pairs: 'Cu-Au' needs a, xi, p, q, r0",
    ),
    "pairs as a list": (
        lambda: sa.load_potential("gupta", elements=["Cu", "Au"], pairs=["Cu-Au"]),
        "pairs must be a mapping",
    ),
    "isolated energy nan": (
        lambda: sa.load_potential("painn", elements=["Cu"], isolated_energies={"Cu": NAN}),
        "isolated_energies of Cu must be a finite number, got nan",
    ),
    "elements by number": (lambda: sa.load_potential("painn", elements=3), "list .* got 3"),
    "unknown coupling": (
        lambda: evaluate(coupling="meanfield"),
        "unknown coupling 'meanfield': did you mean 'mean_field'",
    ),
    "no coupling": (lambda: evaluate(coupling=None), "unknown coupling 'None'"),
    "unknown dtype": (
        lambda: evaluate(dtype="float46"),
        "unknown dtype 'float46': did you mean 'float64'",
    ),
    "unknown device": (lambda: evaluate(device="gpu"), "unknown device 'gpu'"),
    "device of another kind": (lambda: evaluate(device="meta"), "unknown device 'meta'"),
    "missing velocities": (
        lambda: evaluate(properties=["heat_flux"]),
        "heat_flux needs velocities.*structure 0",
    ),
    "velocities of wrong shape": (
        lambda: evaluate(properties=["heat_flux"], velocities=np.zeros((3, 3))),
        r"velocities of structure 0 .*\(4, 3\), got shape \(3, 3\)",
    ),
    "velocities of wrong number": (
        lambda: sa.evaluate_batch(
            gupta(), [alloy(), alloy()], properties=["heat_flux"], velocities=[np.zeros((4, 3))]
        ),
        "velocities must have one entry per structure: 2, got 1",
    ),
    "element not covered": (
        lambda: sa.evaluate(gupta(), alloy().with_candidates([1], {"Al": 0.1, "Pt": 0.2})),
        "gupta potential does not cover Al, Pt; it covers Cu, Au",
    ),
    "unknown potential": (
        lambda: sa.load_potential("guptta"),
        "'guptta' is neither .*did you mean 'gupta'",
    ),
    "potential in capitals": (lambda: sa.load_potential("PaiNN"), "did you mean 'painn'"),
    "potential without a name": (lambda: sa.load_potential(""), "got ''"),
    "potential by number": (lambda: sa.load_potential(7), "got 7"),
    "unknown option": (
        lambda: lj(epsilom=1.0),
        "lj has no option 'epsilom': did you mean 'epsilon'",
    ),
    "missing option": (lambda: sa.load_potential("lj", epsilon=1.0), "lj needs the option 'sigma'"),
    "onset beyond cutoff": (
        lambda: lj(cutoff=8.0, onset=8.0),
        r"onset \(8 Å\) must be below cutoff",
    ),
    "negative sigma": (lambda: lj(sigma=-3.4), "sigma must be a positive number, got -3.4"),
    "infinite cutoff": (lambda: lj(cutoff=INF), "cutoff must be a positive number, got inf"),
    "epsilon nan": (lambda: lj(epsilon=NAN), "epsilon must be a positive number, got nan"),
    "epsilon and sigma of other elements": (
        lambda: lj(epsilon={"Ar": 0.01}, sigma={"Kr": 3.4}),
        r"same elements, got \['Ar'\] and \['Kr'\]",
    ),
    "unknown pair": (
        lambda: lj(
            epsilon={"Ar": 0.01}, sigma={"Ar": 3.0}, pairs={"Ar-Kr": {"epsilon": 1, "sigma": 1}}
        ),
        "no pair 'Ar-Kr'",
    ),
    "metal without parameters": (
        lambda: sa.load_potential("gupta", elements=["Cu", "Fe"]),
        "gupta has no parameters for Fe",
    ),
    "elements as text": (lambda: sa.load_potential("gupta", elements="Cu"), "list .* got 'Cu'"),
    "element twice": (
        lambda: sa.load_potential("schnet", elements=["Cu", "Cu"]),
        "element Cu is named twice",
    ),
    "isolated energy of a stranger": (
        lambda: sa.load_potential("painn", elements=["Cu"], isolated_energies={"O": -1.0}),
        "isolated_energies names O",
    ),
    "no layer": (
        lambda: sa.load_potential("painn", elements=["Cu"], n_layers=0),
        "n_layers .* got 0",
    ),
    "negative seed": (
        lambda: sa.load_potential("schnet", elements=["Cu"], seed=-1),
        "seed .* got -1",
    ),
    "unknown lattice": (
        lambda: sa.load_potential("harmonic", lattice="fc", a=4.0, stiffness=1.0),
        "unknown lattice 'fc': did you mean 'fcc'",
    ),
    "negative stiffness": (
        lambda: sa.load_potential("harmonic", lattice="fcc", a=4.0, stiffness={"Al": -1.0}),
        "stiffness of Al",
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_unusable_options(case: str) -> None:
    request, message = OPTIONS[case]
    with pytest.raises(sa.OptionError, match=message):
        request()


def test_unknown_element() -> None:
    with pytest.raises(sa.StructureError, match="unknown species 'Cx'"):
        sa.load_potential("painn", elements=["Cu", "Cx"])


def test_stress_without_a_cell() -> None:
    molecule = from_ase(symbols="Cu2", positions=[[0, 0, 0], [2.4, 0, 0]])
    with pytest.raises(sa.StructureError, match="stress of structure 1"):
        sa.evaluate_batch(gupta(), [alloy(), molecule], properties=("stress",))
