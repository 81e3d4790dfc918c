"""Systems that are lost end with a status and a message; the others go on as if alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from dynamics_systems import argon, gas, lennard_jones, no_interaction, sampled
from torch import Tensor

import softatoms as sa
from softatoms.dynamics import (
    Limits,
    Observer,
    Schedule,
    Settings,
    exit_code,
    read_frames,
    read_samples,
    run_dynamics,
)
from softatoms.graph import Graph
from softatoms.potentials.lennard_jones import LennardJones


def pushed(soft: sa.SoftAtoms, site: int, towards: int, distance: float) -> sa.SoftAtoms:
    positions = soft.positions.copy()
    way = positions[site] - positions[towards]
    positions[site] = positions[towards] + distance * way / np.linalg.norm(way)
    return soft.with_positions(positions)


def fast(soft: sa.SoftAtoms, speed: float) -> sa.SoftAtoms:
    velocities = np.zeros_like(soft.positions)
    velocities[0] = [speed, 0.0, 0.0]
    return soft.with_velocities(velocities)


def test_three_of_sixteen_explode(tmp_path: Path) -> None:
    healthy = [argon(seed, cells=1) for seed in range(16)]
    systems = list(healthy)
    systems[2] = pushed(systems[2], 1, 0, 0.5)
    systems[7] = fast(systems[7], 2.0)
    systems[11] = pushed(systems[11], 1, 0, 1.8)
    settings = [
        Settings(timestep=2.0, temperature=40.0, thermostat="langevin", seed=seed)
        for seed in range(16)
    ]
    options = {"n_steps": 60, "observers": Observer("energy", ("energy",), every=5)}
    out = run_dynamics(
        lennard_jones(),
        systems,
        settings,
        folder=tmp_path,
        frames_every=20,
        **options,  # type: ignore[arg-type]
    )
    undisturbed = run_dynamics(lennard_jones(), healthy, settings, **options)  # type: ignore[arg-type]
    for index, (end, same) in enumerate(zip(out, undisturbed, strict=True)):
        if index in (2, 7, 11):
            assert end.status == "failed"
            assert end.error.startswith("step ")
            assert end.steps < 60
            assert np.isfinite(end.soft.positions).all()
            assert np.isfinite([end.energy, end.kinetic]).all()
        else:
            assert (end.status, end.error, end.steps) == ("ok", "", 60)
            np.testing.assert_allclose(
                end.soft.positions, same.soft.positions, rtol=0.0, atol=1e-10
            )
    rows = read_samples(tmp_path, "energy").to_pylist()
    for index, end in enumerate(out):
        own = [row["step"] for row in rows if row["system"] == str(index)]
        assert own == list(range(0, end.steps + 1, 5)) or not own
    frames = [(about["system"], about["step"]) for about, _ in read_frames(tmp_path)]
    assert len(set(frames)) == len(frames)
    assert frames.count(("0", 40)) == 1
    assert exit_code(out) == 0


def test_a_site_that_moves_too_far() -> None:
    settings = Settings(timestep=2.0, limits=Limits(temperature=1e6))
    out = run_dynamics(lennard_jones(), [fast(argon(0), 0.8)], settings, n_steps=5)[0]
    assert out.error == "step 1: a site moves 1.55 Å in one step, the limit is 1 Å"
    assert out.steps == 0


def test_a_temperature_that_is_too_high() -> None:
    settings = Settings(timestep=0.5, limits=Limits(temperature=100.0))
    out = run_dynamics(lennard_jones(), [fast(argon(0), 0.05)], settings, n_steps=5)[0]
    assert out.status == "failed"
    assert "K, the limit is 100 K" in out.error


def test_a_site_that_leaves() -> None:
    atoms = Atoms("Ar2", positions=[[0, 0, 5], [3.8, 0, 5]], cell=[8, 8, 10], pbc=[1, 1, 0])
    soft = sa.SoftAtoms.from_ase(atoms).with_velocities([[0, 0, 0.02], [0, 0, -0.02]])
    settings = Settings(timestep=5.0, limits=Limits(escape=3.0))
    out = run_dynamics(
        lennard_jones(),
        [soft, soft.with_velocities([[0.02, 0, 0], [-0.02, 0, 0]])],
        settings,
        n_steps=60,
    )
    assert out[0].status == "failed"
    assert "a site is lost: it is 3" in out[0].error
    # Along periodic directions a site may go as far as it likes.
    assert out[1].status == "ok"


def test_a_cell_that_does_not_hold() -> None:
    settings = Settings(
        timestep=2.0, temperature=300.0, thermostat="csvr", cell="isotropic", pressure=-1e-3,
        barostat_time=20.0, compressibility=200.0, limits=Limits(cell_factor=1.5),
    )  # fmt: skip
    out = run_dynamics(no_interaction(), [gas(0, 8, 2000.0)], settings, n_steps=500)[0]
    assert out.status == "failed"
    assert "the cell does not hold" in out.error
    assert out.error.endswith("by more than a factor of 1.5")
    assert np.linalg.det(out.soft.cell) <= 1.5 * 2000.0


class Brittle(LennardJones):
    """Lennard-Jones that gives up on some systems."""

    def __init__(self, problem: Callable[[Graph, Tensor], Tensor]) -> None:
        super().__init__(epsilon=0.01042, sigma=3.405, cutoff=8.5, onset=7.0)
        self.problem = problem

    def interaction(self, graph: Graph) -> Tensor:
        return self.problem(graph, super().interaction(graph))


def no_number_for_krypton(graph: Graph, energies: Tensor) -> Tensor:
    """nan at krypton, which spreads to every system of the batch."""
    sick = (graph.numbers == 36).any()
    return energies * float("nan") if sick else energies


def no_energy_for_krypton(graph: Graph, energies: Tensor) -> Tensor:
    if (graph.numbers == 36).any():
        raise RuntimeError("krypton is not for me")
    return energies


@pytest.mark.parametrize(
    ("problem", "error"),
    [
        (no_number_for_krypton, "the energy is not finite"),
        (no_energy_for_krypton, "the potential gave up: RuntimeError: krypton is not for me"),
    ],
)
def test_a_sick_system_does_not_spoil_its_batch(problem: Callable[..., Tensor], error: str) -> None:
    krypton = argon(1, cells=1).to_ase()
    krypton.numbers[:] = 36
    systems = [argon(0, cells=1), sa.SoftAtoms.from_ase(krypton), argon(2, cells=1)]
    settings = Settings(temperature=40.0)
    out = run_dynamics(Brittle(problem), systems, settings, n_steps=10)
    assert [o.status for o in out] == ["ok", "failed", "ok"]
    assert out[1].error == f"step 0: {error}"
    for index in (0, 2):
        alone = run_dynamics(lennard_jones(), [systems[index]], settings, n_steps=10)[0]
        np.testing.assert_allclose(
            out[index].soft.positions, alone.soft.positions, rtol=0.0, atol=1e-10
        )


def no_slope(graph: Graph, energies: Tensor) -> Tensor:
    """Energies and forces as ever, but a derivative by weights of 0 · ∞."""
    return energies + 0.0 * (graph.weights - 1.0).abs().sqrt()


def test_work_that_is_no_number_is_a_failure() -> None:
    fading = argon(0, cells=1).with_existence([1], 1.0)
    schedule = Schedule((1.0,), (0.5,), 10)
    out = run_dynamics(
        Brittle(no_slope),
        [fading, argon(1, cells=1)],
        [Settings(temperature=40.0, schedule=schedule), Settings(temperature=40.0)],
        n_steps=10,
    )
    assert [o.status for o in out] == ["failed", "ok"]
    assert out[0].error == "step 0: dE/dλ is not finite"
    assert out[0].work == 0.0


def test_a_slope_that_no_schedule_needs_may_be_no_number() -> None:
    """Also in a batch with a system that needs its own."""
    fading = argon(0, cells=1).with_existence([1], 0.4)
    resting = argon(1, cells=1).with_existence([1], 1.0)
    schedule = Schedule((0.4,), (0.3,), 5)
    settings = [Settings(temperature=40.0, schedule=schedule), Settings(temperature=40.0)]
    out = run_dynamics(Brittle(no_slope), [fading, resting], settings, n_steps=5)
    assert [(o.status, o.error) for o in out] == [("ok", "")] * 2
    assert np.isfinite(out[0].work)
    assert out[0].work != 0.0


def test_all_may_fail() -> None:
    out = run_dynamics(
        lennard_jones(),
        [fast(argon(0, cells=1), 2.0)] * 2,
        Settings(),
        n_steps=5,
        observers=Observer("energy", ("energy",)),
    )
    assert [o.status for o in out] == ["failed", "failed"]
    assert len(sampled(out[0], "energy", "energy_ev")) <= 1
