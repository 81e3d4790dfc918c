"""Vacancies: what pair potentials fix exactly, and chemical potentials."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from crystals_exact import argon

import softatoms as sa
from softatoms.errors import OptionError, StructureError
from softatoms.physics import PhysicsError, crystal, vacancies
from softatoms.physics.crystals import DEFAULT, rest


@pytest.fixture(scope="module")
def gupta():
    return sa.load_potential("gupta", elements=["Cu", "Au"])


def test_pairs_pay_the_cohesive_energy():
    start = crystal("fcc", "Ar", a=5.3)
    out = vacancies(argon(), start, repeat=(4, 4, 4))[0]
    cohesive = -rest(argon(), start, DEFAULT).energy
    # Half of the bonds of the atom that went come back with it elsewhere.
    assert out.unrelaxed == pytest.approx(cohesive, abs=1e-11)
    assert out.zero_stress <= out.fixed_cell <= out.unrelaxed
    assert out.fixed_cell < out.unrelaxed - 1e-5
    assert (out.element, out.site, out.n_sites) == ("Ar", 0, 64)


def test_springs_keep_their_places():
    potential = sa.load_potential("harmonic", lattice="fcc", a=4.0, stiffness=1.7)
    out = vacancies(potential, crystal("fcc", "Ar", a=4.0), repeat=(3, 3, 3))[0]
    found = (out.unrelaxed, out.fixed_cell, out.zero_stress)
    np.testing.assert_allclose(found, 0.0, atol=1e-8)


def test_elements_of_a_compound(gupta):
    start = crystal("L1_2", {"corner": "Au", "face": "Cu"})
    references = {"Cu": crystal("fcc", "Cu"), "Au": crystal("fcc", "Au").to_ase()}
    found = vacancies(gupta, start, repeat=(3, 3, 3), references=references)
    assert [(one.element, one.site) for one in found] == [("Au", 0), ("Cu", 1)]
    cohesive = {e: rest(gupta, crystal("fcc", e), DEFAULT).energy for e in ("Cu", "Au")}
    for one in found:
        assert one.chemical_potential == pytest.approx(cohesive[one.element], abs=1e-9)
        assert 0 < one.zero_stress <= one.fixed_cell + 1e-6 < one.unrelaxed
    shifted = vacancies(
        gupta, start, repeat=(3, 3, 3), chemical_potentials={e: x + 1 for e, x in cohesive.items()}
    )
    for one, other in zip(found, shifted, strict=True):
        assert other.zero_stress == pytest.approx(one.zero_stress + 1, abs=1e-8)


def test_isolated_energies_cancel():
    kind = {"epsilon": 0.01, "sigma": 3.4, "cutoff": 7.0}
    bare = sa.load_potential("lj", **kind)
    shifted = sa.load_potential(
        "lj", epsilon={"Ar": 0.01}, sigma={"Ar": 3.4}, cutoff=7.0, isolated_energies={"Ar": -1000.0}
    )
    start = crystal("fcc", "Ar", a=5.3)
    one, other = (vacancies(p, start, repeat=(3, 3, 3))[0].fixed_cell for p in (bare, shifted))
    assert one == pytest.approx(other, abs=1e-8)


def test_supercell_by_length(gupta):
    out = vacancies(gupta, crystal("fcc", "Cu"), smallest_length=6.0)[0]
    # Planes of the primitive cell are a/√3 = 2.09 Å apart.
    assert out.n_sites == 27


def test_molecule_as_reference(gupta):
    dimer = Atoms("Au2", positions=[(0, 0, 0), (0, 0, 2.5)])
    start = crystal("B2", ["Cu", "Au"])
    references = {"Cu": crystal("fcc", "Cu"), "Au": dimer}
    found = vacancies(gupta, start, repeat=(3, 3, 3), references=references)
    assert all(np.isfinite(one.fixed_cell) for one in found)


def test_bad_input(gupta):
    start = crystal("B2", ["Cu", "Au"])
    with pytest.raises(PhysicsError, match="chemical potential of Au is unknown"):
        vacancies(gupta, start, chemical_potentials={"Cu": -3.5})
    with pytest.raises(OptionError, match="must hold Au only"):
        vacancies(gupta, start, references={"Au": start})
    with pytest.raises(OptionError, match="three whole numbers"):
        vacancies(gupta, start, repeat=(2, 2))
    with pytest.raises(OptionError, match="chemical potential of Au"):
        vacancies(gupta, start, chemical_potentials={"Au": float("nan")})
    soft = crystal("fcc", "Cu").with_existence([0], 0.5)
    with pytest.raises(StructureError, match="without soft sites"):
        vacancies(gupta, soft)
