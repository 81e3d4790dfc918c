"""Relaxed structures against ASE's filters and optimisers with the same potential."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100, molecule
from ase.constraints import FixAtoms
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

import softatoms as sa
from softatoms.potentials.base import Potential

pytestmark = pytest.mark.filterwarnings("ignore:logm result may be inaccurate:RuntimeWarning")

TIGHT = {"fmax": 1e-6, "smax": 1e-8}
IN_PLANE = (True, True, False, False, False, True)


@pytest.fixture(scope="module")
def gupta() -> Potential:
    return sa.load_potential("gupta", elements=["Cu", "Au"])


@pytest.fixture(scope="module")
def lj() -> Potential:
    return sa.load_potential("lj", epsilon=0.01042, sigma=3.405, cutoff=7.5, onset=6.5)


def triclinic_alloy(seed: int = 0) -> Atoms:
    """A strained and rattled cell without any right angle."""
    atoms = bulk("Cu", a=3.75) * (2, 2, 1)
    atoms.numbers[[0, 3]] = 79
    strain = 0.04 * np.random.default_rng(seed).normal(size=(3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


def argon() -> Atoms:
    atoms = bulk("Ar", cubic=True, a=5.4)
    atoms.set_cell(atoms.cell.array @ np.diag([1.03, 0.98, 1.0]), scale_atoms=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def slab() -> Atoms:
    atoms = fcc100("Cu", (2, 2, 3), a=3.75, vacuum=6.0, periodic=True)
    atoms.numbers[[1, 6]] = 79
    atoms.rattle(0.05, seed=2)
    atoms.pbc = [True, True, False]
    return atoms


def relaxed_by_ase(
    potential: Potential,
    soft: sa.SoftAtoms,
    fixed: list[int] | None = None,
    fmax: float = 1e-6,
    **cell: object,
) -> tuple[Atoms, int]:
    """What ASE makes of it, and how many evaluations that took."""
    atoms = soft.to_ase()
    atoms.calc = sa.SoftCalculator(potential, soft)
    if fixed:
        atoms.set_constraint(FixAtoms(fixed))
    target = FrechetCellFilter(atoms, **cell) if cell else atoms
    optimiser = BFGS(target, logfile=None)
    assert optimiser.run(fmax=fmax, steps=1000)
    return atoms, optimiser.nsteps + 1


def check(potential: Potential, mine: sa.Relaxation, theirs: Atoms) -> None:
    """Same energy, shape of the cell and distances, whatever way the cell is turned."""
    assert mine.status == "ok", mine.error
    energy = theirs.get_potential_energy()
    assert abs(mine.energy - energy) < 1e-7 * len(theirs)
    cell = theirs.cell.array
    np.testing.assert_allclose(
        mine.soft.cell @ mine.soft.cell.T, cell @ cell.T, rtol=1e-5, atol=1e-5
    )
    here = mine.soft.to_ase()
    np.testing.assert_allclose(
        here.get_all_distances(mic=bool(np.any(cell))),
        theirs.get_all_distances(mic=bool(np.any(cell))),
        rtol=1e-5,
        atol=2e-5,
    )


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("pressure", [0.0, 0.05])
def test_any_strain_of_a_triclinic_alloy(gupta: Potential, seed: int, pressure: float) -> None:
    soft = sa.SoftAtoms.from_ase(triclinic_alloy(seed))
    theirs, evaluations = relaxed_by_ase(gupta, soft, scalar_pressure=pressure)
    mine = sa.relax_batch(gupta, [soft], cell="full", pressure=pressure, **TIGHT)[0]
    check(gupta, mine, theirs)
    volume = theirs.get_volume()
    np.testing.assert_allclose(abs(np.linalg.det(mine.soft.cell)), volume, rtol=1e-5, atol=0.0)
    np.testing.assert_allclose(mine.stress, -pressure * np.eye(3), rtol=1e-6, atol=1e-7)
    assert abs(mine.enthalpy - theirs.get_potential_energy() - pressure * volume) < 1e-6
    assert mine.evaluations < evaluations


def test_isotropic_strain(gupta: Potential) -> None:
    soft = sa.SoftAtoms.from_ase(triclinic_alloy())
    theirs, _ = relaxed_by_ase(gupta, soft, hydrostatic_strain=True)
    mine = sa.relax_batch(gupta, [soft], cell="isotropic", **TIGHT)[0]
    check(gupta, mine, theirs)
    ratios = mine.soft.cell / soft.cell
    np.testing.assert_allclose(ratios, ratios[0, 1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "mask",
    [(True, False, False, False, False, False), (True, True, False, False, False, True)],
)
def test_some_strains(gupta: Potential, mask: tuple[bool, ...]) -> None:
    soft = sa.SoftAtoms.from_ase(triclinic_alloy())
    theirs, _ = relaxed_by_ase(gupta, soft, mask=[int(wanted) for wanted in mask])
    mine = sa.relax_batch(gupta, [soft], cell=mask, **TIGHT)[0]
    check(gupta, mine, theirs)


def test_argon(lj: Potential) -> None:
    soft = sa.SoftAtoms.from_ase(argon())
    # A soft crystal: what is left of the stress strains it fifty times as much as a metal.
    theirs, _ = relaxed_by_ase(lj, soft, fmax=1e-7, scalar_pressure=0.0)
    check(lj, sa.relax_batch(lj, [soft], cell="full", fmax=1e-7, smax=1e-9)[0], theirs)


def test_a_network() -> None:
    potential = sa.load_potential("painn", elements=["Cu", "Au"], seed=0, cutoff=4.0)
    soft = sa.SoftAtoms.from_ase(triclinic_alloy())
    theirs, _ = relaxed_by_ase(potential, soft)
    check(potential, sa.relax_batch(potential, [soft], **TIGHT)[0], theirs)


def test_fixed_sites(gupta: Potential) -> None:
    soft = sa.SoftAtoms.from_ase(triclinic_alloy())
    theirs, _ = relaxed_by_ase(gupta, soft, fixed=[0, 2])
    mine = sa.relax_batch(gupta, [soft], fixed_sites=[[0, 2]], **TIGHT)[0]
    check(gupta, mine, theirs)
    assert (mine.soft.positions[[0, 2]] == soft.positions[[0, 2]]).all()


def test_fixed_sites_keep_fractional_coordinates(gupta: Potential) -> None:
    soft = sa.SoftAtoms.from_ase(triclinic_alloy())
    theirs, _ = relaxed_by_ase(gupta, soft, fixed=[1], scalar_pressure=0.0)
    mine = sa.relax_batch(gupta, [soft], cell="full", fixed_sites=[[1]], **TIGHT)[0]
    check(gupta, mine, theirs)
    before = soft.positions @ np.linalg.inv(soft.cell)
    after = mine.soft.positions @ np.linalg.inv(mine.soft.cell)
    np.testing.assert_allclose(after[1], before[1], rtol=0.0, atol=1e-12)
    assert np.abs(after - before).max() > 1e-3


def test_a_slab_with_its_back_fixed(gupta: Potential) -> None:
    soft = sa.SoftAtoms.from_ase(slab())
    back = [0, 1, 2, 3]
    mask = [int(wanted) for wanted in IN_PLANE]
    theirs, _ = relaxed_by_ase(gupta, soft, fixed=back, mask=mask)
    mine = sa.relax_batch(gupta, [soft], cell=IN_PLANE, fixed_sites=[back], **TIGHT)[0]
    check(gupta, mine, theirs)
    # What is masked is not merely close to what it was.
    assert (mine.soft.cell[:, 2] == soft.cell[:, 2]).all()
    assert (mine.soft.positions[back, 2] == soft.positions[back, 2]).all()


def test_a_molecule_in_vacuum() -> None:
    potential = sa.load_potential("lj", epsilon=0.1, sigma=1.2, cutoff=6.0, onset=5.0)
    atoms = molecule("C2H6")
    atoms.rattle(0.05, seed=0)
    soft = sa.SoftAtoms.from_ase(atoms)
    theirs, _ = relaxed_by_ase(potential, soft)
    mine = sa.relax_batch(potential, [soft], **TIGHT)[0]
    check(potential, mine, theirs)
    assert mine.stress is None
    assert mine.smax is None


def test_tolerances_as_ase_has_them(gupta: Potential) -> None:
    soft = sa.SoftAtoms.from_ase(triclinic_alloy())
    mine = sa.relax_batch(gupta, [soft], cell="full", fmax=0.02, smax=None)[0]
    volume = abs(np.linalg.det(mine.soft.cell))
    assert mine.converged
    assert mine.fmax <= 0.02
    assert mine.smax * volume / len(soft) <= 0.02
