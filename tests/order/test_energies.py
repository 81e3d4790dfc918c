"""Ordering energies where they are known: pair interactions, direct relaxations, equal elements."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import softatoms as sa
from softatoms.order.energies import (
    BOLTZMANN,
    Relaxed,
    Settings,
    mixing_entropy,
    ordering,
    relative_energy,
    relax_variants,
)
from softatoms.order.parents import make_parent
from softatoms.order.perovskites import ORDERS, order_cell, ordered_species
from softatoms.order.variants import Options, Variant, enumerated_variants
from softatoms.relax import relax

A = 3.0
EPSILON = {"Ar": 0.010, "Kr": 0.014}
HALF = {"Ar": 0.5, "Kr": 0.5}
RIGID = Settings(cell="fixed", sites=False, max_steps=1)


def pair_alloy(**unlike: float):
    """Pair interactions that end between first and second neighbours of a lattice of spacing A."""
    given = unlike or {"epsilon": 0.020, "sigma": 2.7}
    return sa.load_potential(
        "lj",
        epsilon=EPSILON,
        sigma={"Ar": 2.6, "Kr": 2.6},
        cutoff=4.0,
        onset=3.5,
        pairs={"Ar-Kr": given},
    )


def depth(epsilon: float, sigma: float) -> float:
    return 4.0 * epsilon * ((sigma / A) ** 12 - (sigma / A) ** 6)


def simple_cubic():
    return make_parent(Atoms("Ar", cell=[A] * 3, pbc=True), [0], HALF)


def test_pair_interactions_on_a_cubic_lattice_give_the_ising_energies():
    like = depth(0.010, 2.6) + depth(0.014, 2.6)
    unlike = depth(0.020, 2.7)
    # Halves of six neighbours: all unlike; two unlike and four alike; four unlike and two alike.
    expected = {
        "rocksalt": 3.0 * unlike,
        "layered": unlike + like,
        "columnar": 2 * unlike + like / 2,
    }
    parent = simple_cubic()
    variants = []
    for order in ORDERS:
        matrix = order_cell(order, tilted=False)
        cell = parent.supercell(matrix)
        structure = cell.decorated(ordered_species(cell, matrix, order))
        variants.append(Variant("ordered", order, 0, structure, 2))
    one = parent.supercell(np.eye(3, dtype=np.int64))
    variants.append(Variant("mean_field", "mean_field", 0, one.soft(), 1))
    results = relax_variants(pair_alloy(), variants, RIGID)
    found = {result.variant.name: result.energy for result in results}
    for order, energy in expected.items():
        assert found[order] == pytest.approx(energy, rel=1e-10, abs=1e-13)
    # Random occupation of both ends of a pair.
    assert found["mean_field"] == pytest.approx(3 * (like / 4 + unlike / 2), rel=1e-10, abs=1e-13)
    coupling = (like - 2.0 * unlike) / 4.0
    result = ordering(results, HALF, reference="mean_field", threshold=1.0)
    assert result.best == "rocksalt"
    assert result.temperature == pytest.approx(3.0 * coupling / (BOLTZMANN * math.log(2.0)))
    # Below the exact 4.5115 J/k of the Ising model (Monte Carlo) by its short-range order, above
    # nothing: the estimate is 4.33 J/k.
    assert result.temperature * BOLTZMANN / coupling == pytest.approx(4.5115, rel=0.05)


def test_enumeration_on_the_cubic_lattice_finds_the_named_orders():
    options = Options(states=("mean_field",), largest=2)
    potential = pair_alloy()
    variants = enumerated_variants(simple_cubic(), options, "ising")
    results = relax_variants(potential, variants, RIGID)
    like, unlike = depth(0.010, 2.6) + depth(0.014, 2.6), depth(0.020, 2.7)
    energies = sorted(r.energy for r in results if r.variant.state == "ordered")
    expected = sorted([3.0 * unlike, unlike + like, 2.0 * unlike + like / 2.0])
    assert energies == pytest.approx(expected, rel=1e-10, abs=1e-13)


def test_the_mean_over_random_supercells_approaches_the_mean_field():
    options = Options(
        states=("random",),
        largest=2,
        supercell=((4, 0, 0), (0, 4, 0), (0, 0, 4)),
        replicates=12,
        shells=1,
    )
    results = relax_variants(
        pair_alloy(),
        [v for v in enumerated_variants(simple_cubic(), options, "r") if v.state == "random"],
        RIGID,
    )
    like, unlike = depth(0.010, 2.6) + depth(0.014, 2.6), depth(0.020, 2.7)
    energies = np.array([result.energy for result in results])
    # Without replacement an unlike neighbour is a little more probable: 32 of 63, not one half.
    p = 32 / 63
    expected = 3.0 * (p * unlike + (1.0 - p) * like / 2.0)
    assert abs(energies.mean() - expected) < 4.0 * energies.std(ddof=1) / math.sqrt(len(energies))


def test_copper_gold_agrees_with_direct_relaxations():
    gupta = sa.load_potential("gupta", elements=["Cu", "Au"])
    parent = make_parent(bulk("Cu", a=3.75), [0], {"Cu": 0.75, "Au": 0.25})
    options = Options(states=("mean_field",), largest=4)
    settings = Settings(fmax=1e-4, smax=1e-6)
    results = relax_variants(gupta, enumerated_variants(parent, options, "x"), settings)
    result = ordering(results, parent.fractions, reference="mean_field", threshold=300.0)
    # L1_2 and D0_22 by hand, and one soft site. In this potential D0_22 lies 0.8 meV lower.
    l12 = bulk("Cu", a=3.75, cubic=True)
    l12.symbols[0] = "Au"
    d022 = bulk("Cu", a=3.75, cubic=True).repeat((1, 1, 2))
    d022.symbols[[0, 7]] = "Au"
    tight = {"cell": "full", "fmax": 1e-4, "smax": 1e-6}
    ordered = [
        relax(gupta, sa.SoftAtoms.from_ase(atoms), **tight).energy / len(atoms)
        for atoms in (l12, d022)
    ]
    soft = sa.SoftAtoms.from_ase(bulk("Cu", a=3.75)).with_candidates([0], parent.fractions)
    disordered = relax(gupta, soft, **tight).energy
    assert result.energies["mean_field"] == pytest.approx(disordered - min(ordered), rel=1e-5)
    found = sorted(r.energy for r in results if r.variant.state == "ordered")
    assert found[:2] == pytest.approx(sorted(ordered), rel=0.0, abs=1e-6)
    assert len(found) == 7


def test_setting_and_origin_do_not_matter():
    gupta = sa.load_potential("gupta", elements=["Cu", "Au"])
    cube = bulk("Cu", a=3.87, cubic=True)
    cube.positions += [0.4, -1.0, 0.2]
    cube.wrap()
    settings = Settings(fmax=1e-4, smax=1e-6)
    options = Options(states=("mean_field", "replica"), largest=2)
    found = []
    for atoms in (bulk("Cu", a=3.87), cube):
        parent = make_parent(atoms, list(range(len(atoms))), {"Cu": 0.5, "Au": 0.5})
        results = relax_variants(gupta, enumerated_variants(parent, options, "y"), settings)
        found.append(
            ordering(results, parent.fractions, reference="mean_field", threshold=300.0).energies
        )
    assert found[0] == pytest.approx(found[1], rel=1e-6, abs=1e-8)


def test_elements_that_are_alike_do_not_order():
    same = sa.load_potential(
        "lj", epsilon={"Ar": 0.01, "Kr": 0.01}, sigma={"Ar": 2.6, "Kr": 2.6}, cutoff=6.0
    )
    options = Options(
        largest=2, shells=1, replicates=2, supercell=((2, 0, 0), (0, 2, 0), (0, 0, 2))
    )
    variants = enumerated_variants(simple_cubic(), options, "same")
    result = ordering(relax_variants(same, variants, RIGID), HALF, reference="sqs", threshold=300.0)
    assert result.status == "ok"
    assert list(result.energies.values()) == pytest.approx([0.0] * 3, rel=0.0, abs=1e-12)
    assert result.classification == "disordered"


def fake(state: str, name: str, energy: float, status: str = "ok", error: str = "") -> Relaxed:
    soft = sa.SoftAtoms.from_ase(bulk("Cu"))
    variant = Variant(state, name, 0, soft, 1)  # type: ignore[arg-type]
    return Relaxed(variant, energy, 1.0, (1.0, 1.0, 1.0), 1, 0.0, 1, status, error)


def test_spread_and_threshold():
    results = [fake("ordered", "rocksalt", -1.0), fake("ordered", "layered", -0.9)]
    results += [fake("sqs", "sqs", energy) for energy in (-0.90, -0.92, -0.94)]
    result = ordering(results, HALF, reference="sqs", threshold=1000.0)
    assert mixing_entropy(HALF) == pytest.approx(BOLTZMANN * math.log(2.0))
    assert result.energies["sqs"] == pytest.approx(0.08)
    assert result.errors["sqs"] == pytest.approx(0.02 / math.sqrt(3.0))
    assert result.temperature == pytest.approx(0.08 / mixing_entropy(HALF))
    assert result.temperature_error == pytest.approx(0.02 / math.sqrt(3) / mixing_entropy(HALF))
    assert result.classification == "rocksalt"
    high = ordering(results, HALF, reference="sqs", threshold=1500.0)
    assert high.classification == "disordered"
    assert relative_energy(results[1], results) == pytest.approx(0.1)


def test_a_state_that_failed_leaves_no_result():
    results = [fake("ordered", "rocksalt", -1.0), fake("sqs", "sqs", -0.9)]
    broken = [*results, fake("ordered", "layered", math.nan, "failed", "it collapsed")]
    result = ordering(broken, HALF, reference="sqs", threshold=1000.0)
    assert (result.status, result.error) == ("failed", "layered: it collapsed")
    assert relative_energy(broken[2], broken) is None
    other = ordering(results, HALF, reference="replica", threshold=1000.0)
    assert "'replica' was not computed" in other.error
    assert (
        "no ordered structure" in ordering(results[1:], HALF, reference="sqs", threshold=1.0).error
    )


def test_an_element_without_potential_is_a_failed_row():
    copper = sa.load_potential("gupta", elements=["Cu"])
    parent = make_parent(bulk("Cu"), [0], {"Cu": 0.5, "Au": 0.5})
    variants = enumerated_variants(parent, Options(states=("mean_field",), largest=2), "z")
    results = relax_variants(copper, variants, dataclasses.replace(RIGID))
    assert {result.status for result in results} == {"failed"}
    assert all("Au" in result.error for result in results)
