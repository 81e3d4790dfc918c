"""Plain atoms must have the energies, forces and stresses that the chgnet package gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc110, molecule
from ase.spacegroup import crystal

import softatoms as sa
from potentials.chgnet_package import by_calculator, in_float64, package_model
from softatoms.potentials.base import Potential
from softatoms.potentials.chgnet_import import CARRIED
from tolerances import assert_close

ALL = ("energy", "forces", "stress")


def rattled(atoms: Atoms, strain: float = 0.0, seed: int = 0) -> Atoms:
    """Atoms off their sites in a cell off its shape."""
    rng = np.random.default_rng(seed)
    atoms.set_cell(
        atoms.cell.array @ (np.eye(3) + strain * rng.normal(size=(3, 3))), scale_atoms=True
    )
    atoms.positions += 0.05 * rng.normal(size=atoms.positions.shape)
    return atoms


def slab_with_oxygen() -> Atoms:
    slab = fcc110("Cu", (2, 2, 4), a=3.64, vacuum=7.0, orthogonal=True)
    add_adsorbate(slab, "O", 0.6, "longbridge")
    slab.pbc = True
    return rattled(slab)


def in_a_box(name: str, edge: float = 16.0) -> Atoms:
    atoms = molecule(name, cell=np.eye(3) * edge, pbc=True)
    atoms.center()
    return atoms


STRUCTURES: dict[str, Atoms] = {
    "rocksalt MgO": rattled(bulk("MgO", "rocksalt", a=4.25, cubic=True)),
    "cuprite Cu2O": rattled(
        crystal(["Cu", "O"], [(0.25, 0.25, 0.25), (0, 0, 0)], spacegroup=224, cellpar=[4.29] * 3)
    ),
    "rutile TiO2, strained": rattled(
        crystal(
            ["Ti", "O"],
            [(0, 0, 0), (0.305, 0.305, 0)],
            spacegroup=136,
            cellpar=[4.64, 4.64, 2.97, 90, 90, 90],
        ),
        strain=0.02,
    ),
    "perovskite SrTiO3": rattled(
        crystal(
            ["Sr", "Ti", "O"],
            [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)],
            spacegroup=221,
            cellpar=[3.94] * 3,
        )
    ),
    "layered LiCoO2": rattled(
        crystal(
            ["Li", "Co", "O"],
            [(0, 0, 0.5), (0, 0, 0), (0, 0, 0.26)],
            spacegroup=166,
            cellpar=[2.82, 2.82, 14.05, 90, 90, 120],
        )
    ),
    "fcc Cu": rattled(bulk("Cu", cubic=True) * (2, 1, 1)),
    "fcc Al, one atom": bulk("Al"),
    "bcc Fe, strained": rattled(bulk("Fe", cubic=True), strain=0.05),
    "hcp Mg": rattled(bulk("Mg")),
    "alloy CuAu3": rattled(
        crystal(["Cu", "Au"], [(0, 0, 0), (0.5, 0.5, 0)], spacegroup=221, cellpar=[3.98] * 3)
    ),
    "diamond Si": rattled(bulk("Si", a=5.43)),
    "krypton without bonds": rattled(bulk("Kr", a=5.7)),
    "slab Cu(110) with O": slab_with_oxygen(),
    "water in a box": in_a_box("H2O"),
    "ethanol in a box": in_a_box("CH3CH2OH"),
    "two atoms that hardly meet": Atoms("CuO", [[1, 1, 1], [1, 1, 5.5]], cell=[18] * 3, pbc=True),
}


@pytest.fixture(scope="module", params=sorted(CARRIED))
def pair(request: pytest.FixtureRequest) -> tuple[Potential, Any]:
    return sa.load_potential("chgnet", model=request.param), package_model(request.param)


@pytest.mark.parametrize("name", STRUCTURES)
def test_float32_agrees_with_the_calculator(pair: tuple[Potential, Any], name: str) -> None:
    potential, model = pair
    atoms = STRUCTURES[name]
    out = sa.evaluate(potential, sa.SoftAtoms.from_ase(atoms), properties=ALL, dtype="float32")
    expected = by_calculator(model, atoms)
    assert_close(out.energy / len(atoms), np.array(expected.energy / len(atoms)), "chgnet energy")
    assert_close(out.forces, expected.forces, "chgnet forces")
    assert_close(out.stress, expected.stress, "chgnet stress")


@pytest.mark.parametrize("name", STRUCTURES)
def test_float64_agrees_with_the_model_in_float64(pair: tuple[Potential, Any], name: str) -> None:
    potential, model = pair
    atoms = STRUCTURES[name]
    out = sa.evaluate(potential, sa.SoftAtoms.from_ase(atoms), properties=ALL)
    expected = in_float64(model, atoms)
    assert_close(out.energy, np.array(expected.energy), "chgnet float64")
    assert_close(out.forces, expected.forces, "chgnet float64")
    assert_close(out.stress, expected.stress, "chgnet float64")


def across_the_first_angle(step: float) -> Atoms:
    """Three atoms whose second bond is shorter than 3 Å by ``step``."""
    height = np.sqrt((3.0 - step) ** 2 - 0.2**2)
    return Atoms("C2O", [[0, 0, 0], [1.3, 0, 0], [1.5, height, 0]], cell=[25] * 3, pbc=True)


def jump(potential: Potential) -> float:
    """Change of energy in eV where the only angle opens."""
    closed, opened = (
        sa.evaluate(potential, sa.SoftAtoms.from_ase(across_the_first_angle(step))).energy
        for step in (-1e-6, 1e-6)
    )
    return abs(float(opened - closed))


def test_the_jump_of_version_0_2_0_where_the_first_angle_opens_is_kept() -> None:
    potential, model = sa.load_potential("chgnet", model="0.2.0"), package_model("0.2.0")
    for step in (-1e-3, 1e-3):
        atoms = across_the_first_angle(step)
        energy = sa.evaluate(potential, sa.SoftAtoms.from_ase(atoms)).energy
        assert_close(energy, np.array(in_float64(model, atoms).energy), "chgnet float64")
    assert jump(potential) > 0.5


@pytest.mark.parametrize("version", ["0.3.0", "r2scan"])
def test_later_versions_do_not_jump(version: str) -> None:
    assert jump(sa.load_potential("chgnet", model=version)) < 1e-5
