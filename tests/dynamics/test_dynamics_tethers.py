"""Springs to points and a potential that is scaled: energies, work, the centre of mass at rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dynamics_systems import KB, copper, no_interaction, sampled

import softatoms as sa
from softatoms.dynamics import Observer, Schedule, Settings, Tethers, run_dynamics
from softatoms.errors import OptionError

ALL = ("energy", "kinetic", "work", "de_dlambda", "conserved", "positions", "forces")
SITES = (0, 3, 5)
STIFFNESS = (1.5, 0.7, 2.5)


def gupta() -> sa.Potential:
    return sa.load_potential("gupta", elements=["Cu", "Au"])


def system() -> sa.SoftAtoms:
    """Copper with an atom that fades and one that turns to gold."""
    return copper(0).with_candidates([0], {"Cu": 1.0, "Au": 0.0}).with_existence([5], 1.0)


def tethers(soft: sa.SoftAtoms) -> Tethers:
    return Tethers(SITES, STIFFNESS, soft.positions[list(SITES)] + 0.05, strength=(0.1, 1.0))


def schedule(n_steps: int) -> Schedule:
    return Schedule((1.0, 0.0, 1.0), (0.4, 0.6, 0.2), n_steps, scale=(1.0, 0.6))


def moved(timestep: float, n_steps: int, **more: object) -> sa.dynamics.Outcome:
    soft = system()
    settings = Settings(
        timestep=timestep,
        temperature=200.0,
        tethers=tethers(soft),
        schedule=schedule(n_steps),
        seed=3,
    )
    settings = replace(settings, **more)  # type: ignore[arg-type]
    return run_dynamics(
        gupta(), [soft], settings, n_steps=n_steps, observers=Observer("all", ALL, every=10)
    )[0]


@pytest.mark.parametrize("fix_com", [True, False])
def test_energy_changes_by_the_work_to_second_order(fix_com: bool) -> None:
    errors, works = [], []
    for timestep in (2.0, 1.0, 0.5):
        out = moved(timestep, int(120 / timestep), fix_com=fix_com)
        conserved = sampled(out, "all", "conserved_ev")
        errors.append(conserved[-1] - conserved[0])
        works.append(out.work)
    assert abs(works[-1]) > 1.0
    np.testing.assert_allclose(np.array(errors[:-1]) / errors[1:], 4.0, rtol=0.1, atol=0.0)
    assert abs(errors[-1]) < 1e-3


@pytest.mark.parametrize("at", [0.0, 0.3, 1.0])
def test_energy_forces_and_slope_are_those_of_the_formula(at: float) -> None:
    """E = p U + s S, written out with the energies of the potential alone."""
    window = replace(schedule(1), function="constant", at=at)
    out = moved(1.0, 20, schedule=window)
    soft, held, points = system(), list(SITES), np.array(tethers(system()).positions)

    def energy(value: float, positions: np.ndarray) -> float:
        theta = (1 - value) * np.array(window.start) + value * np.array(window.end)
        inner = sa.evaluate(gupta(), soft.with_positions(positions).with_weights(theta)).energy
        springs = 0.5 * np.sum(np.array(STIFFNESS) * ((positions[held] - points) ** 2).sum(1))
        return float((1.0 - 0.4 * value) * inner + (0.1 + 0.9 * value) * springs)

    positions = sampled(out, "all", "positions_ang")[-1].reshape(-1, 3)
    assert sampled(out, "all", "energy_ev")[-1] == pytest.approx(energy(at, positions), rel=1e-12)
    step = 1e-5
    slope = (energy(at + step, positions) - energy(at - step, positions)) / (2 * step)
    if 0.0 < at < 1.0:
        assert sampled(out, "all", "de_dlambda_ev")[-1] == pytest.approx(slope, rel=1e-7)
    forces = sampled(out, "all", "forces_ev_per_ang")[-1].reshape(-1, 3)
    for site, axis in ((0, 0), (5, 2), (6, 1)):
        ways = []
        for sign in (1.0, -1.0):
            shifted = positions.copy()
            shifted[site, axis] += sign * 1e-4
            ways.append(energy(at, shifted))
        assert forces[site, axis] == pytest.approx(-(ways[0] - ways[1]) / 2e-4, rel=1e-6, abs=1e-7)


def test_a_batch_gives_what_single_runs_give() -> None:
    soft, plain = system(), copper(4)
    settings = [
        Settings(temperature=200.0, thermostat="langevin", tethers=tethers(soft), seed=1),
        Settings(temperature=200.0, thermostat="langevin", seed=2),
        Settings(
            temperature=200.0,
            thermostat="langevin",
            tethers=replace(tethers(soft), strength=(1.0, 0.0)),
            schedule=schedule(60),
            seed=3,
        ),
        Settings(
            temperature=200.0,
            thermostat="langevin",
            schedule=Schedule((), (), 60, scale=(1.0, 0.5)),
            seed=4,
        ),
    ]
    systems = [soft, plain, soft, plain]
    together = run_dynamics(gupta(), systems, settings, n_steps=60)
    for index, one in enumerate(together):
        alone = run_dynamics(gupta(), [systems[index]], settings[index], n_steps=60)[0]
        np.testing.assert_allclose(one.soft.positions, alone.soft.positions, rtol=0, atol=1e-11)
        assert one.work == pytest.approx(alone.work, rel=1e-11, abs=1e-11)


def test_a_run_that_is_continued_ends_with_the_same_bits(tmp_path: Path) -> None:
    soft = system()
    settings = Settings(
        temperature=200.0, thermostat="langevin", tethers=tethers(soft), schedule=schedule(80)
    )
    straight = run_dynamics(gupta(), [soft], settings, n_steps=80)[0]
    for n_steps in (23, 80):
        again = run_dynamics(
            gupta(), [soft], settings, n_steps=n_steps, folder=tmp_path, checkpoint_every=10
        )[0]
    np.testing.assert_array_equal(again.soft.positions, straight.soft.positions)
    assert (again.work, again.energy) == (straight.work, straight.energy)


def test_the_centre_of_mass_stays_although_springs_pull() -> None:
    out = moved(2.0, 100, thermostat="langevin", friction=0.02)
    masses = np.full(8, 63.546)
    momentum = masses @ out.soft.velocities  # type: ignore[operator]
    np.testing.assert_allclose(momentum, 0.0, rtol=0.0, atol=1e-12)
    drift = masses @ (out.soft.positions - system().positions) / masses.sum()
    np.testing.assert_allclose(drift, 0.0, rtol=0.0, atol=1e-12)
    free = moved(2.0, 100, thermostat="langevin", friction=0.02, fix_com=False)
    assert np.abs(masses @ (free.soft.positions - system().positions)).max() > 1.0


def test_springs_reach_the_nearest_image() -> None:
    soft, held = system(), tethers(system())
    whole = np.array([[1, 0, -2], [0, 3, 0], [-1, -1, 1]]) @ soft.cell
    shifted = replace(held, positions=np.array(held.positions) + whole)
    ends = [moved(1.0, 20, tethers=one) for one in (held, shifted)]
    assert ends[0].energy == pytest.approx(ends[1].energy, rel=1e-12)
    np.testing.assert_allclose(ends[0].soft.positions, ends[1].soft.positions, rtol=0, atol=1e-9)


def test_springs_of_a_skewed_cell_reach_the_nearest_image() -> None:
    """Rounding along these lattice vectors misses the nearest image by one of them."""
    cell = np.array([[4.0, 0.0, 0.0], [3.4, 1.0, 0.0], [0.0, 0.0, 5.0]])
    soft = copper(0).select([0], positions=np.zeros((1, 3)), cell=cell)
    point = np.array([0.48, 0.48, 0.0]) @ cell + np.array([2, -1, 1]) @ cell
    found = Tethers((0,), (1.0,), (tuple(point),)).nearest_positions(soft)[0]
    steps = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), -1).reshape(-1, 3)
    shortest = np.linalg.norm(point + steps @ cell, axis=1).min()
    assert np.linalg.norm(found) == pytest.approx(shortest, rel=1e-12)


def test_a_free_centre_of_mass_and_one_at_rest_sample_their_own_einstein_crystal() -> None:
    """Without a potential: 3N or 3N − 3 modes, and the exact spread of a light and a heavy site."""
    soft = copper(0, (1, 1, 1)).with_candidates([0], {"Au": 1.0})
    springs, thermal = np.array([1.0, 2.0, 3.0, 4.0]), KB * 300.0
    masses = np.array([196.96657, 63.546, 63.546, 63.546])
    held = Tethers((0, 1, 2, 3), tuple(springs), soft.positions, strength=(1.0, 1.0))
    for fix_com in (True, False):
        settings = [
            Settings(
                timestep=15.0,
                temperature=300.0,
                thermostat="langevin",
                friction=0.02,
                tethers=held,
                schedule=Schedule((1.0,), (1.0,), function="constant", scale=(0.0, 0.0)),
                fix_com=fix_com,
                seed=seed,
            )
            for seed in range(60)
        ]
        out = run_dynamics(
            no_interaction(),
            [soft] * 60,
            settings,
            n_steps=500,
            observers=Observer("where", ("positions",), every=25),
        )
        away = np.stack([sampled(o, "where", "positions_ang")[4:] for o in out])
        away = away.reshape(len(out), -1, 4, 3) - soft.positions
        # Cov of unconstrained springs, less what the constraint takes off.
        exact = thermal / springs
        if fix_com:
            shares = masses / masses.sum()
            spread = thermal * np.sum(shares**2 / springs)
            exact = exact - (shares * thermal / springs) ** 2 / spread
        found = (away**2).mean(axis=(1, 3))
        error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
        assert (error < 0.05 * exact).all()
        np.testing.assert_array_less(np.abs(found.mean(axis=0) - exact), 4.0 * error)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sites": ()}, "sites must be a list of indices"),
        ({"sites": (1, 1, 2)}, "each once"),
        ({"stiffness": (1.0, 2.0)}, r"one number or one per site \(3\)"),
        ({"stiffness": (-1.0,)}, "must be positive"),
        ({"positions": ((0.0, 0.0, 0.0),)}, r"must have shape \(3, 3\)"),
        ({"strength": (0.0, -1.0)}, "at least 0 at both ends"),
        ({"strength": 1.0}, "two numbers"),
    ],
)
def test_tethers_that_make_no_sense_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        replace(tethers(system()), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": "isotropic"}, "do not go with cell='isotropic'"),
        ({"masses_follow": True}, "use masses_follow=False"),
        ({"tethers": 3}, "tethers must be Tethers or None"),
        ({"tethers": Tethers((8,), (1.0,), ((0.0,) * 3,))}, "site 8 does not exist"),
    ],
)
def test_settings_that_do_not_go_with_tethers(change: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        moved(1.0, 10, **{"thermostat": "langevin", **change})
