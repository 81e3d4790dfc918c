"""Equations of state: known curves, and bulk moduli found on another way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crystals_exact import argon

import softatoms as sa
from softatoms.composition.relaxation import Settings as VolumeSettings
from softatoms.composition.relaxation import relax_volumes
from softatoms.errors import OptionError, SoftatomsError, StructureError
from softatoms.graph import check_coupling
from softatoms.physics import PhysicsError, crystal, equation_of_state, fit_birch_murnaghan


def birch_murnaghan(volumes, volume, energy, bulk_modulus, derivative):
    x = (volume / volumes) ** (2 / 3)
    bracket = (x - 1) ** 3 * derivative + (x - 1) ** 2 * (6 - 4 * x)
    return energy + 9 / 16 * volume * bulk_modulus * bracket


@pytest.mark.parametrize("expected", [(40.0, -3.5, 0.9, 5.2), (11.0, -1e4, 2.5, 3.1)])
def test_fit_gives_back_the_curve(expected):
    volumes = expected[0] * np.linspace(0.93, 1.05, 8)
    fit = fit_birch_murnaghan(volumes, birch_murnaghan(volumes, *expected))
    found = (fit.volume, fit.energy, fit.bulk_modulus, fit.derivative)
    np.testing.assert_allclose(found, expected, rtol=2e-6)
    assert fit.residual < 1e-10


def test_fit_without_minimum_or_points():
    volumes = np.linspace(10.0, 12.0, 8)
    with pytest.raises(PhysicsError, match="no minimum"):
        fit_birch_murnaghan(volumes, -volumes)
    with pytest.raises(OptionError, match="at least 5 different volumes"):
        fit_birch_murnaghan([1, 2, 3, 3, 3], [1, 2, 3, 3, 3])
    with pytest.raises(OptionError, match="finite"):
        fit_birch_murnaghan(volumes, np.full(8, np.nan))


@pytest.mark.parametrize("element", ["Cu", "Al", "Au"])
def test_bulk_modulus_against_pressures(element):
    potential = sa.load_potential("gupta", elements=[element])
    start = crystal("fcc", element)
    settings = VolumeSettings(
        check_coupling("mean_field"), 1e-8, 60, torch.float64, torch.device("cpu")
    )
    other = relax_volumes(potential, [start], settings)[0]
    narrow = equation_of_state(potential, start, volumes=np.linspace(0.99, 1.01, 9))
    assert narrow.volume == pytest.approx(other.volume, rel=1e-5)
    assert narrow.energy == pytest.approx(other.energy, abs=1e-7)
    assert narrow.bulk_modulus == pytest.approx(other.bulk_modulus, rel=1e-3)
    # Over 8 % of the volume the third order is not exact any more.
    wide = equation_of_state(potential, start)
    assert wide.bulk_modulus == pytest.approx(other.bulk_modulus, rel=0.01)
    assert wide.a == pytest.approx((4 * other.volume) ** (1 / 3), rel=1e-4)


def test_any_cell_of_the_crystal():
    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    start = crystal("L1_2", {"corner": "Au", "face": "Cu"})
    one, eight = (equation_of_state(potential, soft) for soft in (start, start.repeat((2, 1, 1))))
    assert eight.n_sites == 2 * one.n_sites
    assert eight.a == pytest.approx(one.a, rel=1e-6)
    assert eight.bulk_modulus == pytest.approx(one.bulk_modulus, rel=1e-5)


def test_soft_crystal_has_an_equation_of_state():
    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    soft = crystal("fcc", "Cu", a=3.8).with_candidates([0], {"Cu": 0.5, "Au": 0.5})
    out = equation_of_state(potential, soft)
    ends = [equation_of_state(potential, crystal("fcc", e)).a for e in ("Cu", "Au")]
    assert min(ends) < out.a < max(ends)


def test_hexagonal_crystal_has_no_cubic_parameter():
    out = equation_of_state(argon(), crystal("hcp", "Ar", a=3.8))
    assert np.isnan(out.a)
    assert out.bulk_modulus > 0


def test_atoms_that_do_not_hold_together():
    with pytest.raises(PhysicsError) as caught:
        equation_of_state(argon(), crystal("fcc", "Ar", a=13.0))
    assert caught.value.status == "failed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fc", "Cu"), "did you mean 'fcc'"),
        (("B2", "Cu"), "2 sublattices"),
        (("B2", {"corner": "Cu", "middle": "Au"}), "corner, centre"),
        (("fcc", "Qq"), "Qq"),
        (("rocksalt", "MgO"), "needs a lattice parameter"),
        (("rocksalt", "Cu", 4.0), "cannot be built"),
        (("fcc", "Cu", -1.0), "a must"),
    ],
)
def test_bad_crystals(arguments, message):
    with pytest.raises(SoftatomsError, match=message):
        crystal(*arguments)


def test_bad_input():
    potential = argon()
    with pytest.raises(OptionError, match="must be SoftAtoms or ASE Atoms"):
        equation_of_state(potential, "fcc")
    slab = crystal("fcc", "Ar", a=5.3).to_ase()
    slab.pbc = (True, True, False)
    with pytest.raises(StructureError, match="repeat along three"):
        equation_of_state(potential, slab)
    with pytest.raises(OptionError, match="positive ratios"):
        equation_of_state(potential, crystal("fcc", "Ar"), volumes=(-1, 1, 2, 3, 4))
