"""Equilibration of crystals and switching that goes on until it is precise enough."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from spring_crystals import CELL_VOLUME, crystal, exact_free_energy, force_constants, springs

import softatoms as sa
from softatoms.errors import OptionError, StructureError
from softatoms.free_energy.einstein import thermal_energy
from softatoms.free_energy.equilibrium import EquilibrationProtocol, equilibrate
from softatoms.free_energy.errors import FreeEnergyError
from softatoms.free_energy.lengthening import Target, switch_until
from softatoms.free_energy.paths import frenkel_ladd, removal
from softatoms.free_energy.switching import Case, Protocol

TEMPERATURE = 300.0
SHORT = Protocol(
    equilibration_steps=150,
    switching_steps=60,
    timestep=5.0,
    friction=0.02,
    n_replicas=4,
    n_checks=2,
    n_profile=10,
)


def doped() -> sa.SoftAtoms:
    atoms = crystal().to_ase()
    atoms.symbols[0] = "Sc"
    return sa.SoftAtoms.from_ase(atoms)


STATIC = EquilibrationProtocol(
    cell="static",
    equilibration_steps=200,
    sampling_steps=1200,
    sample_every=10,
    n_replicas=12,
    timestep=8.0,
    friction=0.02,
)


def test_springs_are_those_of_the_covariance_of_positions() -> None:
    """⟨u²⟩ of a crystal of springs is kT times the trace of the inverse force constants.

    The centre of mass is held, so the inverse is taken on what leaves Σ m u = 0.
    """
    mixed = doped()
    found = equilibrate(springs(), [("mixed", mixed, TEMPERATURE)], STATIC)[0]
    masses = np.repeat(np.where(np.arange(8) == 0, 44.955908, 26.9815385), 3)
    directions = np.zeros((3, 24))
    for axis in range(3):
        directions[axis, axis::3] = masses[axis::3]
    _, _, rows = np.linalg.svd(directions)
    free = rows[3:].T
    inner = free.T @ force_constants(mixed, springs()) @ free
    covariance = thermal_energy(TEMPERATURE) * free @ np.linalg.inv(inner) @ free.T
    exact = np.diag(covariance).reshape(8, 3).sum(axis=1)
    np.testing.assert_allclose(found.mean_square, exact, rtol=0.1, atol=0.0)
    # One Sc, six Al next to it and one that is not: three kinds of sites.
    assert len(np.unique(found.stiffness.round(9))) == len(np.unique(exact.round(6)))
    for value in np.unique(found.stiffness):
        alike = found.stiffness == value
        mean = 3.0 * thermal_energy(TEMPERATURE) / exact[alike].mean()
        assert value == pytest.approx(mean, rel=0.06)
    np.testing.assert_array_equal(found.soft.positions, mixed.positions)
    assert (found.volume, found.volume_stderr) == (pytest.approx(8 * CELL_VOLUME), 0.0)
    assert found.offset < 0.02
    # Half a kT for each of 21 modes.
    assert found.energy == pytest.approx(10.5 * thermal_energy(TEMPERATURE), rel=0.1)


def test_the_mean_cell_grows_with_the_temperature(tmp_path: Path) -> None:
    """Copper expands, sites go with the cell, and springs get softer."""
    start = sa.SoftAtoms.from_ase(bulk("Cu", cubic=True, a=3.60) * (2, 2, 2))
    protocol = EquilibrationProtocol(
        equilibration_steps=150,
        sampling_steps=300,
        n_replicas=4,
        timestep=4.0,
        friction=0.02,
        barostat_time=150.0,
    )
    potential = sa.load_potential("gupta", elements=["Cu"])
    crystals = [("cold", start, 50.0), ("hot", start, 800.0)]
    cold, hot = equilibrate(potential, crystals, protocol, folder=tmp_path)
    assert 0.0 < cold.volume_stderr < 0.005 * cold.volume
    # Three times some 2e-5 per K.
    assert 1.02 < hot.volume / cold.volume < 1.07
    np.testing.assert_allclose(
        hot.soft.positions / hot.volume ** (1 / 3),
        cold.soft.positions / cold.volume ** (1 / 3),
        rtol=0.0,
        atol=0.02,
    )
    assert np.ptp(hot.stiffness) == 0.0
    assert hot.stiffness[0] < cold.stiffness[0]
    again = equilibrate(potential, crystals, protocol, folder=tmp_path)[1]
    assert again.volume == hot.volume
    np.testing.assert_array_equal(again.stiffness, hot.stiffness)


def test_an_interrupted_equilibration_says_so(tmp_path: Path) -> None:
    crystals = [("pure", crystal(), TEMPERATURE)]
    with pytest.raises(FreeEnergyError, match="equilibration of pure/volume/0") as caught:
        equilibrate(springs(), crystals, STATIC, folder=tmp_path, wall_time=1e-6)
    assert caught.value.status == "interrupted"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "cubic"}, "unknown cell 'cubic'"),
        ({"cell": "static", "pressure": 0.1}, "pressure does nothing"),
        ({"n_replicas": 1}, "n_replicas must be a whole number of at least 2"),
        ({"sampling_steps": 30}, "at least four times sample_every"),
    ],
)
def test_protocols_without_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        EquilibrationProtocol(**options)  # type: ignore[arg-type]


def test_soft_sites_have_no_springs() -> None:
    soft = crystal().with_existence([0], 0.5)
    with pytest.raises(StructureError, match="half has soft sites"):
        equilibrate(springs(), [("half", soft, 300.0)], STATIC)


def own_spring() -> float:
    return float(force_constants(crystal(), springs())[0, 0])


def test_replicas_are_added_until_the_error_is_met(tmp_path: Path) -> None:
    path = removal(crystal(), 7, own_spring())
    case = Case("removal", path, TEMPERATURE)
    kt = thermal_energy(TEMPERATURE)
    target = Target(stderr=0.06 * kt, budget=10**6)
    done = switch_until(springs(), case, SHORT, target, folder=tmp_path)
    assert (done.is_met, done.reason) == (True, "met")
    assert done.estimate.stderr <= 0.06 * kt
    assert len(done.works) == 1
    assert done.works[0].forward.size > SHORT.n_replicas
    assert len({*done.works[0].forward}) == done.works[0].forward.size
    assert done.evaluations == 2 * done.works[0].forward.size * SHORT.n_steps
    exact = [exact_free_energy(crystal().select(range(n)), TEMPERATURE) for n in (7, 8)]
    value = path.value(done.estimate.value, TEMPERATURE)
    assert value == pytest.approx(exact[0] - exact[1], abs=5.0 * done.estimate.stderr)
    again = switch_until(springs(), case, SHORT, target, folder=tmp_path)
    assert again.estimate == done.estimate


def test_runs_that_dissipate_much_are_made_longer() -> None:
    """Springs of a tenth of the right ones, in 50 fs."""
    path = frenkel_ladd(crystal(), 0.1 * own_spring(), cell_volume=CELL_VOLUME)
    fast = Protocol(**{**vars(SHORT), "switching_steps": 20})
    target = Target(stderr=0.3 * thermal_energy(TEMPERATURE), budget=40_000, most_rounds=6)
    done = switch_until(springs(), Case("fl", path, TEMPERATURE), fast, target)
    lengths = [works.switching_steps for works in done.works]
    assert lengths == [20 * 2**index for index in range(len(lengths))]
    assert len(lengths) > 1
    assert done.works[-1].dissipation < done.works[0].dissipation
    assert done.evaluations <= target.budget


def test_the_budget_is_never_passed() -> None:
    case = Case("removal", removal(crystal(), 7, own_spring()), TEMPERATURE)
    round_costs = 2 * SHORT.n_replicas * SHORT.n_steps
    target = Target(stderr=1e-9, budget=int(2.3 * round_costs))
    done = switch_until(springs(), case, SHORT, target)
    assert (done.is_met, done.reason) == (False, "budget")
    assert 2.0 * round_costs <= done.evaluations <= target.budget
    few = switch_until(springs(), case, SHORT, Target(1e-9, 10**9, most_rounds=1))
    assert few.reason == "rounds"
    with pytest.raises(OptionError, match="budget: the first round of removal takes 1680"):
        switch_until(springs(), case, SHORT, Target(stderr=1.0, budget=100))


def test_too_few_works_are_an_error() -> None:
    case = Case("removal", removal(crystal(), 7, own_spring()), TEMPERATURE)
    one = Protocol(**{**vars(SHORT), "n_replicas": 1, "switching_steps": 10})
    with pytest.raises(FreeEnergyError, match="fewer than two works in a direction"):
        switch_until(springs(), case, one, Target(stderr=1.0, budget=10**6))
