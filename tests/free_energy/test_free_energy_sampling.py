"""Whole calculations: crystals of springs against exact numbers, and what goes wrong as rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from spring_crystals import A, crystal, exact_free_energy, springs

import softatoms as sa
from softatoms.errors import OptionError
from softatoms.free_energy.controls import changed_crystal, controls
from softatoms.free_energy.equilibrium import EquilibrationProtocol
from softatoms.free_energy.expansion import cell_change
from softatoms.free_energy.lengthening import Target
from softatoms.free_energy.sampling import sampled
from softatoms.free_energy.switching import Protocol
from softatoms.free_energy.tasks import Doubt, Task, combined
from softatoms.physics.crystals import rest
from softatoms.units import BOLTZMANN_EV_PER_K

STATIC = EquilibrationProtocol(
    cell="static", equilibration_steps=50, sampling_steps=300, n_replicas=4, timestep=4.0
)
SWITCHING = Protocol(
    equilibration_steps=100, switching_steps=250, n_replicas=6, timestep=4.0, friction=0.02
)
TEMPERATURES = (300.0, 600.0)


def task(**changes) -> Task:
    own = Task(
        name="al",
        cell=sa.SoftAtoms.from_ase(bulk("Al", "fcc", a=A)),
        repeat=(2, 2, 2),
        quantity="vacancy",
        temperatures=TEMPERATURES,
        methods=("alchemical", "frenkel_ladd"),
        equilibration=STATIC,
        switching=SWITCHING,
    )
    return replace(own, **changes)


def exact_vacancy(temperature: float) -> float:
    perfect = crystal()
    broken = perfect.select(np.arange(1, len(perfect)))
    return exact_free_energy(broken, temperature) - 7 / 8 * exact_free_energy(perfect, temperature)


def test_a_vacancy_between_springs_has_its_exact_free_energy() -> None:
    own = task()
    answer = sampled(springs(), own, methods=own.methods)
    assert [row["run_id"] for row in answer.rows] == [
        f"al-{method}-{kelvin:g}k" for method in own.methods for kelvin in TEMPERATURES
    ]
    for row in answer.rows:
        assert (row["status"], row["error"]) == ("ok", "")
        exact = exact_vacancy(row["temperature_k"])
        assert abs(row["value_ev"] - exact) < 4.0 * row["stderr_ev"]
        assert row["stderr_ev"] < 0.03
        assert row["low_ev"] < row["value_ev"] < row["high_ev"]
        assert (row["n_atoms"], row["n_changed"], row["n_forward"]) == (8, 1, 6)
        assert abs(row["closure_ev"]) < 4.0 * row["closure_stderr_ev"]
        assert row["hysteresis_ev"] == pytest.approx(2.0 * row["dissipation_ev"], rel=1e-9)
    first, _, third, _ = answer.rows
    assert first["value_ev"] - third["value_ev"] == pytest.approx(
        first["closure_ev"], rel=1e-6, abs=1e-9
    )
    # The removal and both full paths, each at two temperatures, with six runs each way.
    assert {record.path for record in answer.paths} == {"removal", "perfect", "defective"}
    assert len(answer.paths) == 6
    assert all(len(record.runs) == 12 for record in answer.paths)


def test_a_change_of_composition_between_springs_is_exact() -> None:
    own = task(quantity="composition_change", changes={"Al": "Sc"}, temperatures=(400.0,))
    answer = sampled(springs(), own, methods=own.methods)
    answer.rows += controls(springs(), own, method="harmonic")
    exact = (exact_free_energy(crystal("Sc"), 400.0) - exact_free_energy(crystal(), 400.0)) / 8
    alchemical, einstein, harmonic = answer.rows
    assert harmonic["value_ev"] == pytest.approx(exact, rel=1e-6, abs=1e-9)
    for row in (alchemical, einstein):
        assert row["status"] == "ok"
        assert abs(row["value_ev"] - exact) < 4.0 * row["stderr_ev"]
        assert row["stderr_ev"] < 2e-3
    assert abs(alchemical["closure_ev"]) < 4.0 * alchemical["closure_stderr_ev"]


def test_runs_go_on_until_the_error_is_met_or_the_budget_spent() -> None:
    quick = replace(SWITCHING, n_replicas=2, switching_steps=100)
    own = task(
        temperatures=(400.0,),
        methods=("alchemical",),
        switching=quick,
        target=Target(0.004, 40_000, 6),
    )
    (row,) = sampled(springs(), own, methods=own.methods).rows
    assert row["status"] == "ok"
    # The first round of both paths takes 1600 steps, and its error is twice as large.
    assert row["evaluations"] > 1600
    assert row["stderr_ev"] < 0.0045
    assert "target missed" not in row["warnings"]
    poor = replace(own, target=Target(1e-6, 1000, 1))
    (row,) = sampled(springs(), poor, methods=own.methods).rows
    assert "removal: target missed" in row["warnings"]


def test_straining_a_crystal_of_springs_takes_its_exact_free_energy() -> None:
    start = crystal()
    # Without a rotation, which would cost springs along fixed axes energy.
    end = start.cell @ np.diag([1.02, 0.99, 1.01])
    protocol = replace(STATIC, sampling_steps=1000)
    found = cell_change(springs(), [("al", start, end, 300.0)], protocol)[0]
    strained = start.with_positions(start.positions @ np.diag([1.02, 0.99, 1.01]), end)
    energies = [float(sa.evaluate(springs(), soft).energy) for soft in (start, strained)]
    # Force constants do not change, so only the room of the centre of mass does.
    room = BOLTZMANN_EV_PER_K * 300.0 * np.log(np.linalg.det(end) / np.linalg.det(start.cell))
    exact = energies[1] - energies[0] - room
    assert energies[1] - energies[0] > 0.03
    assert abs(found.value - exact) < 4.0 * found.stderr
    assert found.stderr < 0.01


def test_part_of_the_sites_is_the_same_for_the_same_seed() -> None:
    own = task(quantity="composition_change", changes={"Al": "Sc"}, share=0.375)
    chosen = own.changed_sites(crystal())
    assert len(chosen) == 3
    assert chosen == own.changed_sites(crystal())
    others = [replace(own, seed=seed).changed_sites(crystal()) for seed in range(1, 6)]
    assert any(other != chosen for other in others)
    with pytest.raises(OptionError, match=r"share: 0.01 of 8 sites of Al is none"):
        replace(own, share=0.01).changed_sites(crystal())
    # Three of eight are no 0.4: rows and the compositions of polymorphs would say what is not.
    with pytest.raises(OptionError, match=r"share: 0.4 of 8 sites of Al is no whole .* take 0.375"):
        replace(own, share=0.4).changed_sites(crystal())
    with pytest.raises(OptionError, match="changes: the crystal holds no Cu: Al"):
        replace(own, changes={"Cu": "Sc"}).changed_sites(crystal())


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_controls_stay_in_the_cell_that_sampling_keeps(share: float) -> None:
    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    cell = sa.SoftAtoms.from_ase(bulk("Cu", "fcc", a=3.61, cubic=True))
    own = task(
        cell=cell,
        repeat=(1, 1, 1),
        quantity="composition_change",
        changes={"Cu": "Au"},
        share=share,
        temperatures=(300.0,),
    )
    # By symmetry nothing moves: 4 atoms of the cell at rest, then the same sites with gold.
    start = rest(potential, cell, own.settings).soft
    after = changed_crystal(start, own.changed_sites(start))
    ends = [float(sa.evaluate(potential, soft, properties=()).energy) for soft in (start, after)]
    (row,) = controls(potential, own, method="static")
    assert row["error"] == ""
    assert row["value_ev"] == pytest.approx((ends[1] - ends[0]) / 4.0, rel=1e-5, abs=1e-6)
    relaxed = replace(own, equilibration=replace(STATIC, cell="isotropic"))
    (free,) = controls(potential, relaxed, method="static")
    assert free["value_ev"] < row["value_ev"] - 0.05


def test_what_fails_is_a_row_with_the_reason() -> None:
    # Steps of 80 fs: nothing stays where it was.
    wild = task(
        equilibration=replace(STATIC, timestep=80.0), switching=replace(SWITCHING, timestep=80.0)
    )
    answer = sampled(springs(), wild, methods=wild.methods)
    assert len(answer.rows) == 4
    for row in answer.rows:
        assert row["status"] == "failed"
        assert "equilibration of al-perfect-300k" in row["error"]
        assert row["value_ev"] is None
    # Runs that are lost while they are switched are all there, with their reasons.
    torn = task(temperatures=(300.0,), switching=replace(SWITCHING, timestep=80.0))
    answer = sampled(springs(), torn, methods=("alchemical",))
    assert answer.rows[0]["status"] == "failed"
    assert "forward works must be a list of at least two numbers" in answer.rows[0]["error"]
    assert {record.path for record in answer.paths} == {"removal", "perfect"}
    for record in answer.paths:
        assert len(record.runs) == 12
        assert all(run.status == "failed" and run.error for run in record.runs)
    alloy = bulk("Al", "fcc", a=A, cubic=True)
    alloy.symbols[0] = "Sc"
    mixed = task(cell=sa.SoftAtoms.from_ase(alloy), repeat=(1, 1, 1))
    for row in sampled(springs(), mixed, methods=("alchemical",)).rows:
        assert "only crystals of one element are supported" in row["error"]
    for row in controls(springs(), mixed, method="harmonic"):
        assert "needs a crystal of one element" in row["error"]


def test_errors_of_sums_have_the_doubt_of_their_terms() -> None:
    found = combined(1.0, [Doubt(0.03, 6.0), Doubt(0.04, np.inf)])
    assert found["stderr_ev"] == pytest.approx(0.05, rel=1e-12)
    # Only the first term is uncertain of itself: 6 (5/3)⁴ degrees.
    degrees = 6.0 * (0.05 / 0.03) ** 4
    from scipy.stats import t

    assert found["high_ev"] - 1.0 == pytest.approx(0.05 * t.ppf(0.975, degrees), rel=1e-9)
    assert combined(1.0, [])["low_ev"] == 1.0
