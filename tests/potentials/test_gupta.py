"""Gupta potential against the published properties and against a lattice sum in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import bulk
from scipy.optimize import brentq

import softatoms as sa
from softatoms import units
from softatoms.potentials.gupta import (
    CLERI_ROSATO,
    CUTOFF_IN_R0,
    ONSET_IN_R0,
    smooth_square_root,
)
from tolerances import assert_close

# Lattice constant (Å), cohesive energy (eV) and bulk modulus (Mbar) that the parameters were fitted
# to: F. Cleri and V. Rosato, Phys. Rev. B 48, 22 (1993), tables I and II (experimental bulk moduli
# as quoted there are met within the accuracy of the fit).
PUBLISHED = {
    "Ni": (3.523, 4.44, 1.88),
    "Cu": (3.615, 3.544, 1.42),
    "Pd": (3.887, 3.936, 1.95),
    "Ag": (4.085, 2.96, 1.08),
    "Pt": (3.924, 5.853, 2.88),
    "Au": (4.079, 3.779, 1.66),
    "Al": (4.050, 3.339, 0.81),
}


def crystal_at(element: str, lattice_constant: float) -> sa.Evaluation:
    potential = sa.load_potential("gupta", elements=[element])
    soft = sa.SoftAtoms.from_ase(bulk(element, "fcc", a=lattice_constant))
    return sa.evaluate(potential, soft, properties=("energy", "stress"))


def pressure(element: str, lattice_constant: float) -> float:
    return -float(crystal_at(element, lattice_constant).stress.trace()) / 3.0


@pytest.mark.parametrize("element", sorted(PUBLISHED))
def test_bulk_properties_are_the_published_ones(element: str) -> None:
    constant, cohesive, modulus = PUBLISHED[element]
    relaxed = brentq(lambda a: pressure(element, a), 0.98 * constant, 1.02 * constant, xtol=1e-10)
    energy = float(crystal_at(element, relaxed).energy)
    step = 1e-3
    slope = (pressure(element, relaxed + step) - pressure(element, relaxed - step)) / (2 * step)
    bulk_modulus = -relaxed / 3.0 * slope * units.GPA_PER_EV_ANG3 / 100.0
    assert relaxed == pytest.approx(constant, rel=2e-4)
    assert -energy == pytest.approx(cohesive, rel=2e-3)
    assert bulk_modulus == pytest.approx(modulus, rel=0.03)


def test_copper_to_the_last_published_digit() -> None:
    relaxed = brentq(lambda a: pressure("Cu", a), 3.55, 3.68, xtol=1e-10)
    assert round(relaxed, 3) == 3.615
    assert round(-float(crystal_at("Cu", relaxed).energy), 3) == 3.544


@pytest.mark.parametrize("element", sorted(CLERI_ROSATO))
def test_energy_equals_a_lattice_sum_over_five_shells(element: str) -> None:
    a, xi, p, q, r0 = CLERI_ROSATO[element]
    constant = r0 * 2**0.5
    shells = {0.5: 12, 1.0: 6, 1.5: 24, 2.0: 12, 2.5: 24}
    stretch = {n: constant * n**0.5 / r0 for n in shells}
    repulsion = sum(count * a * np.exp(-p * (stretch[n] - 1)) for n, count in shells.items())
    band = sum(count * xi**2 * np.exp(-2 * q * (stretch[n] - 1)) for n, count in shells.items())
    assert_close(crystal_at(element, constant).energy, repulsion - np.sqrt(band), "same")


def test_unlike_pairs_follow_the_mixing_rule_or_what_is_given() -> None:
    from ase import Atoms

    copper, gold = CLERI_ROSATO["Cu"], CLERI_ROSATO["Au"]
    dimer = sa.SoftAtoms.from_ase(Atoms("CuAu", [[0, 0, 0], [0, 0, 2.7]]))

    def expected(a: float, xi: float, p: float, q: float, r0: float) -> float:
        x = 2.7 / r0 - 1
        return float(2 * (a * np.exp(-p * x) - xi * np.exp(-q * x)))

    mixed = (
        (copper.a * gold.a) ** 0.5,
        (copper.xi * gold.xi) ** 0.5,
        0.5 * (copper.p + gold.p),
        0.5 * (copper.q + gold.q),
        0.5 * (copper.r0 + gold.r0),
    )
    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    assert_close(sa.evaluate(potential, dimer).energy, expected(*mixed), "same")

    given = {"a": 0.15, "xi": 1.56, "p": 11.05, "q": 3.05, "r0": 2.7}
    potential = sa.load_potential("gupta", elements=["Cu", "Au"], pairs={"Cu-Au": given})
    assert_close(sa.evaluate(potential, dimer).energy, expected(**given), "same")


def test_the_switch_leaves_five_shells_whole_under_strain() -> None:
    fifth, sixth = 5**0.5, 6**0.5
    assert fifth * 1.019 < ONSET_IN_R0 < CUTOFF_IN_R0 < sixth


def test_the_square_root_is_smooth_where_it_is_replaced() -> None:
    onset = 0.01
    x = torch.tensor([0.0, onset * (1 - 1e-7), onset * (1 + 1e-7), 4.0], dtype=torch.float64)
    x.requires_grad_()
    y = smooth_square_root(x, onset)
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    slope = slope.detach()
    assert y[0] == 0.0
    assert torch.isfinite(slope).all()
    assert_close(y[1], y[2], "difference")
    assert abs(float(slope[1] - slope[2])) < 1e-5 * float(slope[2])
    assert abs(float(curvature[1] - curvature[2])) < 1e-5 * abs(float(curvature[2]))
    assert y[3] == 2.0
