"""Weights that change in time: work, its order in the time step, reversal."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from dynamics_systems import KB, argon, copper, lennard_jones, sampled

import softatoms as sa
from softatoms.dynamics import Observer, Schedule, Settings, run_dynamics

WORK = Observer("work", ("energy", "kinetic", "work", "lambda", "de_dlambda", "weights"), every=10)


def gupta() -> sa.Potential:
    return sa.load_potential("gupta", elements=["Cu", "Au"])


def alloy() -> sa.SoftAtoms:
    """Copper with a site that turns to gold and an atom that fades."""
    atoms = copper(0, (2, 2, 1))
    return atoms.with_candidates([0], {"Cu": 1.0, "Au": 0.0}).with_existence([5], 1.0)


START, END = (1.0, 0.0, 1.0), (0.0, 1.0, 0.4)


@pytest.mark.parametrize(
    ("function", "masses", "follow"),
    [
        ("linear", "candidates", False),
        ("smooth", "expected", True),
        ("smooth", "conditional", True),
    ],
)
def test_energy_changes_by_the_work_to_second_order(
    function: str, masses: str, follow: bool
) -> None:
    errors, works = [], []
    for timestep in (2.0, 1.0, 0.5):
        n_steps = int(120 / timestep)
        out = run_dynamics(
            gupta(),
            [alloy()],
            Settings(
                timestep=timestep,
                temperature=200.0,
                schedule=Schedule(START, END, n_steps, function=function),  # type: ignore[arg-type]
                masses=masses,  # type: ignore[arg-type]
                masses_follow=follow,
                seed=3,
            ),
            n_steps=n_steps,
            observers=WORK,
        )[0]
        energy, kinetic = (sampled(out, "work", f"{name}_ev") for name in ("energy", "kinetic"))
        change = energy[-1] + kinetic[-1] - energy[0] - kinetic[0]
        errors.append(change - out.work)
        works.append(out.work)
        assert sampled(out, "work", "lambda")[[0, -1]].tolist() == [0.0, 1.0]
        assert sampled(out, "work", "weights")[-1].tolist() == list(END)
        assert out.soft.weights.tolist() == list(END)
    assert abs(works[-1]) > 1.0
    ratios = np.array(errors[:-1]) / errors[1:]
    np.testing.assert_allclose(ratios, 4.0, rtol=0.1)
    assert abs(errors[-1]) < 5e-4


def test_work_over_two_thousand_steps() -> None:
    """An argon atom fades by two thirds: ΔH = W to better than 1e-5 eV."""
    soft = argon(0, cells=1).with_existence([2], 1.0)
    out = run_dynamics(
        lennard_jones(),
        [soft],
        Settings(timestep=2.0, temperature=40.0, seed=1, schedule=Schedule((1.0,), (1 / 3,), 2000)),
        n_steps=2000,
        observers=Observer("work", ("conserved", "work"), every=2000),
    )[0]
    conserved = sampled(out, "work", "conserved_ev")
    assert abs(conserved[-1] - conserved[0]) < 1e-5
    assert out.work > 0.02


@pytest.mark.parametrize("masses", ["candidates", "expected"])
def test_the_way_back_gives_the_work_back(masses: str) -> None:
    schedule = Schedule(START, END, 200)
    common = {"timestep": 1.0, "masses": masses, "masses_follow": True}
    there = run_dynamics(
        gupta(),
        [alloy()],
        Settings(temperature=200.0, schedule=schedule, **common),
        n_steps=200,  # type: ignore[arg-type]
    )[0]
    turned = there.soft.with_velocities(-there.soft.velocities)  # type: ignore[operator]
    back = run_dynamics(
        gupta(),
        [turned],
        Settings(schedule=schedule.reversed(), **common),
        n_steps=200,  # type: ignore[arg-type]
    )[0]
    np.testing.assert_allclose(back.soft.positions, alloy().positions, rtol=0.0, atol=1e-10)
    assert back.work == pytest.approx(-there.work, abs=1e-10)


@pytest.mark.parametrize("follow", [False, True])
def test_works_give_the_exact_free_energy(follow: bool) -> None:
    """Springs of one atom of a harmonic crystal stiffen: ΔF = ½ kT Σ ln(k_B/k_A) over its modes.

    Masses that follow add (3/2) kT ln(m_A/m_B), less the same of the total masses where the centre
    of mass is at rest. The errors of Jarzynski's equality in the two directions cancel mostly.
    """
    temperature, n_replicas = 100.0, 100
    thermal = KB * temperature
    potential = sa.load_potential("harmonic", lattice="fcc", a=3.65, stiffness={"Cu": 2, "Au": 6})
    perfect = sa.SoftAtoms.from_ase(bulk("Cu", "fcc", a=3.65, cubic=True))
    perfect = perfect.with_candidates([0], {"Cu": 1.0, "Au": 0.0})
    schedule = Schedule((1.0, 0.0), (0.0, 1.0), 150, delay=200)
    expected = (
        0.5
        * thermal
        * (
            log_stiffness(potential, perfect, schedule.end)
            - log_stiffness(potential, perfect, schedule.start)
        )
    )
    if follow:
        copper_mass, gold_mass = 63.546, 196.96657
        total = (3.0 * copper_mass + gold_mass) / (4.0 * copper_mass)
        expected += 1.5 * thermal * (np.log(copper_mass / gold_mass) + np.log(total))
    found = []
    for sign, way in ((1.0, schedule), (-1.0, schedule.reversed())):
        out = run_dynamics(
            potential,
            [perfect] * n_replicas,
            [
                Settings(
                    timestep=3.0,
                    temperature=temperature,
                    thermostat="langevin",
                    friction=0.03,
                    schedule=way,
                    masses="conditional" if follow else "candidates",
                    masses_follow=follow,
                    seed=int(n_replicas * (2.0 + sign)) + replica,
                )
                for replica in range(n_replicas)
            ],
            n_steps=350,
        )
        works = sign * np.array([o.work for o in out]) / thermal
        found.append(-sign * np.log(np.exp(-sign * works).mean()))
        # Works of slow switching are nearly normal: the error is that of their mean.
        assert works.std() < 1.0
    error = 0.7 / np.sqrt(2 * n_replicas)
    assert abs(np.mean(found) - expected / thermal) < 3.5 * error


def log_stiffness(
    potential: sa.Potential, perfect: sa.SoftAtoms, weights: tuple[float, ...]
) -> float:
    """ln det of the force constants of a harmonic crystal, without its three translations."""
    soft, step = perfect.with_weights(weights), 1e-3
    rows = []
    for index in range(3 * len(soft)):
        moved = soft.positions.copy()
        moved.ravel()[index] += step
        out = sa.evaluate(potential, soft.with_positions(moved), properties=("forces",))
        assert out.forces is not None
        rows.append(-out.forces.numpy().ravel() / step)
    return float(np.log(np.linalg.eigvalsh(np.stack(rows))[3:]).sum())


def test_a_constant_schedule_does_no_work_and_knows_its_slope() -> None:
    window = Schedule(START, END, function="constant", at=0.3)
    out = run_dynamics(
        gupta(),
        [alloy()],
        Settings(temperature=200.0, thermostat="langevin", schedule=window),
        n_steps=40,
        observers=[WORK, Observer("where", ("positions",), every=40)],
    )[0]
    assert out.work == 0.0
    assert set(sampled(out, "work", "lambda")) == {0.3}
    slopes = []
    for value in (0.3 + 1e-5, 0.3 - 1e-5):
        theta = (1.0 - value) * np.array(START) + value * np.array(END)
        slopes.append(float(sa.evaluate(gupta(), out.soft.with_weights(theta)).energy))
    slope = (slopes[0] - slopes[1]) / 2e-5
    assert sampled(out, "work", "de_dlambda_ev")[-1] == pytest.approx(slope, rel=1e-6)


def test_systems_switch_by_schedules_of_their_own() -> None:
    schedules = [Schedule(START, END, 40), None, Schedule(START, END, 20, delay=10), None]
    out = run_dynamics(
        gupta(),
        [alloy()] * 4,
        [Settings(temperature=200.0, schedule=s, seed=7) for s in schedules],
        n_steps=40,
        observers=WORK,
    )
    lambdas = np.stack([sampled(o, "work", "lambda") for o in out])
    expected = [s.value(20) if s else 0.0 for s in schedules]
    np.testing.assert_allclose(lambdas[:, 2], expected, rtol=0.0, atol=0.0)
    assert out[1].work == 0.0
    assert out[1].soft.weights.tolist() == list(START)
    np.testing.assert_array_equal(out[1].soft.positions, out[3].soft.positions)


def test_the_smooth_function_starts_and_ends_at_rest() -> None:
    schedule = Schedule((0.0,), (1.0,), 1000)
    values = np.array([schedule.value(step) for step in range(-1, 1002)])
    assert values[[0, 1, -2, -1]].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert (np.diff(values) >= 0.0).all()
    np.testing.assert_allclose(values + values[::-1], 1.0, rtol=0.0, atol=1e-12)
    # λ ≈ 126 s⁵ near the start: the first four derivatives vanish.
    assert values[11] == pytest.approx(126 * 0.01**5, rel=0.05)
    assert [schedule.reversed().value(step) for step in (0, 1000)] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("rule", "weights", "mass"),
    [
        ("conditional", {"Cu": 0.5, "Au": 0.0}, 63.546),
        ("conditional", {"Cu": 0.3, "Au": 0.3}, (63.546 + 196.96657) / 2),
        ("conditional", {"Cu": 0.0, "Au": 0.0}, (63.546 + 196.96657) / 2),
        ("expected", {"Cu": 0.5, "Au": 0.0}, 63.546 / 2),
        ("expected", {"Cu": 0.0, "Au": 0.01}, 19.696657),
        ("candidates", {"Cu": 1.0, "Au": 0.0}, (63.546 + 196.96657) / 2),
    ],
)
def test_masses_of_soft_sites(rule: str, weights: dict[str, float], mass: float) -> None:
    soft = copper(0).with_candidates([1], weights)
    out = run_dynamics(
        gupta(),
        [soft.with_velocities(np.eye(8)[:, 1:2] * [0.01, 0.0, 0.0])],
        Settings(masses=rule, fix_com=False),  # type: ignore[arg-type]
        n_steps=0,
    )[0]
    assert out.kinetic == pytest.approx(0.5 * mass * 1e-4 * 103.6427, rel=1e-6)


def test_a_ghost_stays_calm() -> None:
    """It feels no force and keeps the mass of an atom: it moves like an ideal gas atom."""
    soft = copper(0, (2, 2, 1)).with_existence([5], 0.0)
    out = run_dynamics(
        gupta(),
        [soft] * 4,
        [Settings(temperature=300.0, thermostat="langevin", seed=seed) for seed in range(4)],
        n_steps=100,
    )
    assert [o.error for o in out] == [""] * 4
    assert max(o.temperature for o in out) < 900.0
