"""Relaxed volumes against ASE, against published fits, and against differences of energies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from ase.filters import UnitCellFilter
from ase.optimize import BFGS

import softatoms as sa
from softatoms.composition import relaxation
from softatoms.composition.prototypes import PROTOTYPES
from softatoms.composition.relaxation import LARGEST_CHANGE, Relaxed, Settings, relax_volumes
from softatoms.composition.structures import (
    explicit_crystal,
    plain_crystal,
    soft_crystal,
    supercell,
)
from softatoms.potentials.gupta import Gupta
from softatoms.units import GPA_PER_EV_ANG3

if TYPE_CHECKING:
    from softatoms.graph import Graph

FCC = PROTOTYPES["fcc"]
TOLERANCE = 1e-7
"""Pressure in eV/Å³."""


@pytest.fixture(scope="module")
def gupta():
    return sa.load_potential("gupta", elements=["Cu", "Au", "Ni"])


def relax(potential, systems, *, coupling="mean_field", max_steps=60, dtype=torch.float64):
    settings = Settings(coupling, TOLERANCE, max_steps, dtype, torch.device("cpu"))
    return relax_volumes(potential, systems, settings)


def alloy(a: float = 3.9, gold: float = 0.4, prototype: str = "fcc") -> sa.SoftAtoms:
    lattice = PROTOTYPES[prototype]
    weights = {"Cu": 1.0 - gold, "Au": gold}
    return soft_crystal(lattice, a, dict.fromkeys(lattice.sublattices, weights))


def energy(potential, soft: sa.SoftAtoms, volume: float, coupling="mean_field") -> float:
    scale = (volume / abs(np.linalg.det(soft.cell))) ** (1 / 3)
    moved = soft.with_positions(scale * soft.positions, scale * soft.cell)
    return float(sa.evaluate(potential, moved, coupling=coupling).energy)


@pytest.mark.parametrize(
    ("element", "a", "cohesive", "bulk_modulus"),
    [
        # Lattice constants, cohesive energies and bulk moduli that the potential was fitted to.
        ("Cu", 3.615, 3.544, 142.0),
        ("Au", 4.079, 3.779, 166.0),
        ("Ni", 3.523, 4.435, 189.0),
    ],
)
def test_pure_metals_are_what_the_potential_was_fitted_to(
    gupta, element, a, cohesive, bulk_modulus
):
    (found,) = relax(gupta, [plain_crystal(FCC, 1.05 * a, [element])])
    assert (4 * found.volume) ** (1 / 3) == pytest.approx(a, abs=2e-3)
    assert found.energy == pytest.approx(-cohesive, abs=5e-3)
    assert found.bulk_modulus * GPA_PER_EV_ANG3 == pytest.approx(bulk_modulus, rel=0.01)


@pytest.mark.parametrize("coupling", ["mean_field", "replica"])
@pytest.mark.parametrize("prototype", ["fcc", "bcc", "L1_2"])
def test_same_cell_and_energy_as_an_ase_optimisation(gupta, prototype, coupling):
    soft = alloy(prototype=prototype, a=3.1 if prototype == "bcc" else 3.85)
    (found,) = relax(gupta, [soft], coupling=coupling)
    atoms = soft.to_ase()
    atoms.calc = sa.SoftCalculator(gupta, soft, coupling=coupling)
    assert BFGS(UnitCellFilter(atoms), logfile=None).run(fmax=1e-5, steps=200)
    assert found.volume == pytest.approx(atoms.get_volume(), rel=1e-5)
    assert found.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-8)


def test_an_explicit_supercell_like_ase(gupta):
    empty = supercell(FCC, [2, 1, 1])
    soft = explicit_crystal(empty, 3.9, ["Cu", "Au", "Cu", "Cu", "Au", "Cu", "Ni", "Au"])
    (found,) = relax(gupta, [soft])
    atoms = soft.to_ase()

    def scaled(volume: float) -> float:
        copy = atoms.copy()
        copy.calc = sa.SoftCalculator(gupta, soft)
        copy.set_cell(atoms.cell * (volume / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
        return float(copy.get_potential_energy())

    assert scaled(found.volume) == pytest.approx(found.energy, abs=1e-10)
    step = 1e-3 * found.volume
    assert scaled(found.volume + step) > found.energy
    assert scaled(found.volume - step) > found.energy


def test_bulk_modulus_is_the_curvature_of_the_energy(gupta):
    soft = alloy(gold=0.55)
    (found,) = relax(gupta, [soft])
    h = 2e-3 * found.volume
    low, middle, high = (energy(gupta, soft, found.volume + k * h) for k in (-1, 0, 1))
    curvature = found.volume * (low - 2 * middle + high) / h**2
    assert found.bulk_modulus == pytest.approx(curvature, rel=2e-3)
    assert low > middle < high


@pytest.mark.parametrize("coupling", ["mean_field", "replica"])
def test_slope_of_the_relaxed_energy_along_the_composition(gupta, coupling):
    """At rest the volume's own response does not enter the first derivative."""
    h = 1e-4
    low, middle, high = relax(
        gupta, [alloy(gold=0.3 + k * h) for k in (-1, 0, 1)], coupling=coupling
    )
    copper, gold = middle.weight_gradient
    assert (high.energy - low.energy) / (2 * h) == pytest.approx(gold - copper, abs=2e-6)


def test_replica_is_linear_in_the_composition_at_fixed_volume(gupta):
    volume = 15.0
    ends = [energy(gupta, alloy(gold=x), volume, "replica") for x in (0.0, 1.0)]
    for x in (0.2, 0.5, 0.9):
        mixed = energy(gupta, alloy(gold=x), volume, "replica")
        assert mixed == pytest.approx((1 - x) * ends[0] + x * ends[1], abs=1e-12)
    bent = energy(gupta, alloy(gold=0.5), volume, "mean_field")
    assert abs(bent - np.mean(ends)) > 0.01


def test_relaxed_replica_lies_above_the_line_between_its_end_members(gupta):
    low, middle, high = relax(gupta, [alloy(gold=x) for x in (0.0, 0.5, 1.0)], coupling="replica")
    assert middle.energy > 0.5 * (low.energy + high.energy) + 0.05


@pytest.mark.parametrize("factor", [0.75, 0.9, 1.1, 1.3])
def test_the_guess_does_not_matter(gupta, factor):
    good, bad = relax(gupta, [alloy(3.85), alloy(3.85 * factor)])
    assert bad.status == "ok"
    assert bad.volume == pytest.approx(good.volume, rel=1e-6)


def test_a_batch_gives_what_each_gives_alone(gupta):
    systems = [alloy(gold=0.1), alloy(prototype="L1_2", gold=0.7), plain_crystal(FCC, 3.4, ["Ni"])]
    together = relax(gupta, systems)
    for soft, found in zip(systems, together, strict=True):
        (alone,) = relax(gupta, [soft])
        assert found.volume == pytest.approx(alone.volume, rel=1e-12)
        assert found.energy == pytest.approx(alone.energy, abs=1e-12)
        assert found.evaluations == alone.evaluations


def test_neighbours_that_come_into_reach_are_seen():
    """Started far outside, the crystal shrinks through many shells of a long-ranged potential."""
    argon = sa.load_potential("lj", epsilon=0.01042, sigma=3.405, cutoff=8.5, onset=7.0)
    far, near = relax(argon, [plain_crystal(FCC, 6.4, ["Ar"]), plain_crystal(FCC, 5.25, ["Ar"])])
    assert far.volume == pytest.approx(near.volume, rel=1e-6)
    assert far.energy == pytest.approx(near.energy, abs=1e-9)
    # Lattice sums of the untruncated potential give 1.09 σ between neighbours.
    assert (4 * near.volume) ** (1 / 3) / 2**0.5 / 3.405 == pytest.approx(1.09, abs=0.01)


def test_single_precision_comes_close(gupta):
    settings = Settings("mean_field", 1e-5, 60, torch.float32, torch.device("cpu"))
    (single,) = relax_volumes(gupta, [alloy()], settings)
    (double,) = relax(gupta, [alloy()])
    assert single.status == "ok"
    assert single.energy == pytest.approx(double.energy, abs=1e-5)
    assert single.volume == pytest.approx(double.volume, rel=1e-4)


@pytest.mark.parametrize("root", [-0.4, 0.0123, 0.31])
def test_a_pressure_on_which_secants_run_away(gupta, monkeypatch, root):
    """A cube root is so steep at its zero that secant steps alone jump from side to side."""
    seen = []

    def steep(self, indices, changes):
        seen.append(changes[0])
        self.results[0].evaluations += 1
        return {0: float(-np.cbrt(changes[0] - root))}

    monkeypatch.setattr(relaxation._Search, "_pressures", steep)
    settings = Settings("mean_field", 1e-3, 60, torch.float64, torch.device("cpu"))
    search = relaxation._Search(gupta, [alloy()], settings)
    search.find_roots()
    assert search.results[0].status == "ok"
    assert search.change[0] == pytest.approx(root, abs=1e-8)
    assert np.abs(np.diff(seen)).max() <= relaxation.LARGEST_STEP * (1 + 1e-9)


class NickelIsPoison(Gupta):
    """A potential that is undefined wherever there is nickel."""

    def interaction(self, graph: Graph) -> torch.Tensor:
        poison = torch.where(graph.numbers == 28, torch.nan, 1.0)
        return super().interaction(graph) * poison


class TestFailures:
    """One bad structure never disturbs the others, and never goes missing."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _alone(cls, gupta):
        (cls.alone,) = relax(gupta, [alloy()])

    def others_are_fine(self, found: Relaxed) -> None:
        assert found.status == "ok"
        assert found.energy == pytest.approx(self.alone.energy, abs=1e-12)

    def test_an_element_without_parameters(self, gupta):
        good, bad, last = relax(gupta, [alloy(), plain_crystal(FCC, 3.6, ["Fe"]), alloy()])
        self.others_are_fine(good)
        self.others_are_fine(last)
        assert bad.status == "failed"
        assert "does not cover Fe" in bad.error
        assert np.isnan(bad.energy)

    def test_too_few_steps(self, gupta):
        (found,) = relax(gupta, [alloy()], max_steps=2)
        assert found.status == "unconverged"
        assert "GPa after 2 evaluations" in found.error
        assert found.evaluations == 2
        assert np.isnan(found.energy)

    def test_atoms_out_of_reach_of_each_other(self, gupta):
        good, bad = relax(gupta, [alloy(), plain_crystal(FCC, 30.0, ["Cu"])])
        self.others_are_fine(good)
        assert bad.status == "failed"
        assert "do not hold together" in bad.error

    def test_no_equilibrium_at_all(self):
        repulsive = sa.load_potential("lj", epsilon=0.01, sigma=9.0, cutoff=9.2, onset=9.1)
        (found,) = relax(repulsive, [plain_crystal(FCC, 3.0, ["Ar"])])
        assert found.status == "failed"
        assert "no volume without pressure" in found.error
        assert found.evaluations > LARGEST_CHANGE / 0.15

    def test_numbers_that_are_none(self):
        poisoned = NickelIsPoison(elements=["Cu", "Au", "Ni"])
        good, bad = relax(poisoned, [alloy(), plain_crystal(FCC, 3.5, ["Ni"])])
        self.others_are_fine(good)
        assert (bad.status, bad.error) == ("failed", "stress is not finite")
