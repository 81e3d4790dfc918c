"""A trajectory does not depend on what else is in its batch."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from dynamics_systems import argon, copper, lennard_jones

import softatoms as sa
from softatoms.dynamics import Schedule, Settings, run_dynamics
from softatoms.dynamics.random import generator
from softatoms.potentials.base import Potential


def systems() -> list[sa.SoftAtoms]:
    return [
        copper(0, (2, 2, 1), soft=True),
        copper(1),
        copper(2, (1, 1, 1), soft=True),
        copper(3, (3, 2, 1)),
        sa.SoftAtoms.from_ase(bulk("Au", a=4.1, cubic=True)),
    ]


def potentials() -> list[Potential]:
    return [
        sa.load_potential("gupta", elements=["Cu", "Au"]),
        sa.load_potential("painn", elements=["Cu", "Au"], n_features=8),
    ]


@pytest.mark.parametrize("coupling", ["mean_field", "replica"])
@pytest.mark.parametrize(
    ("thermostat", "cell"),
    [
        ("none", "fixed"),
        ("langevin", "fixed"),
        ("csvr", "fixed"),
        ("langevin", "isotropic"),
        ("csvr", "full"),
    ],
)
def test_batch_is_single(coupling: str, thermostat: str, cell: str) -> None:
    listed = systems()
    settings = [
        Settings(
            timestep=1.0 + 0.25 * index,
            temperature=300.0 + 50.0 * index,
            thermostat=thermostat,  # type: ignore[arg-type]
            cell=cell,  # type: ignore[arg-type]
            compressibility=1.0,
            barostat_time=200.0 + index,
            seed=index,
            schedule=Schedule((0.7, 0.3, 0.4), (0.5, 0.5, 0.9), 80) if index == 0 else None,
        )
        for index in range(len(listed))
    ]
    for potential in potentials()[: 1 if cell != "fixed" else 2]:
        n_steps = 100 if potential.name == "gupta" else 20
        together = run_dynamics(potential, listed, settings, n_steps=n_steps, coupling=coupling)
        for index, soft in enumerate(listed):
            alone = run_dynamics(
                potential, [soft], settings[index], n_steps=n_steps, coupling=coupling
            )[0]
            other = together[index]
            assert alone.error == other.error == ""
            for name in ("positions", "velocities", "cell"):
                np.testing.assert_allclose(
                    getattr(alone.soft, name), getattr(other.soft, name), rtol=0.0, atol=1e-10
                )
            assert alone.energy == pytest.approx(other.energy, rel=0.0, abs=1e-10)
            assert alone.work == pytest.approx(other.work, rel=0.0, abs=1e-10)
            assert alone.heat == pytest.approx(other.heat, rel=0.0, abs=1e-10)


def test_seeds_are_those_of_systems() -> None:
    seeds = [0, 1, 0, 2**64 - 1]
    settings = [
        Settings(temperature=50.0, thermostat="langevin", friction=0.1, seed=seed) for seed in seeds
    ]
    out = run_dynamics(lennard_jones(), [argon(0, cells=1)] * 4, settings, n_steps=20)
    np.testing.assert_array_equal(out[0].soft.positions, out[2].soft.positions)
    for other in (1, 3):
        assert np.abs(out[0].soft.positions - out[other].soft.positions).max() > 1e-3


def test_draws_are_a_function_of_seed_purpose_and_step() -> None:
    def draws(*key: object) -> np.ndarray:
        return generator(*key).standard_normal(1000)  # type: ignore[arg-type]

    first = draws(0, "thermostat", 5)
    np.testing.assert_array_equal(first, draws(0, "thermostat", 5))
    others = [draws(1, "thermostat", 5), draws(0, "barostat", 5), draws(0, "thermostat", 6)]
    for other in others:
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.1
        assert not np.isin(first, other).any()


@pytest.mark.parametrize("cell", ["fixed", "full"])
def test_skin_changes_no_number(cell: str) -> None:
    """Lists of any age hold the same pairs within the cutoff, in the same order."""
    settings = Settings(
        timestep=4.0, temperature=90.0, thermostat="langevin", cell=cell, compressibility=200.0,
        barostat_time=100.0, barostat_interval=3,
    )  # type: ignore[arg-type]  # fmt: skip
    ends = [
        run_dynamics(
            lennard_jones(),
            [argon(seed) for seed in range(5)],
            settings,
            n_steps=60,
            skin=skin,
        )
        for skin in (0.0, 0.3, 1.0)
    ]
    for other in ends[1:]:
        for a, b in zip(ends[0], other, strict=True):
            np.testing.assert_array_equal(a.soft.positions, b.soft.positions)
            assert a.energy == b.energy


def test_single_precision_keeps_sums_in_double() -> None:
    potential = sa.load_potential("painn", elements=["Cu", "Au"], isolated_energies={"Cu": -1e4})
    settings = Settings(temperature=300.0, seed=1)
    out = {
        dtype: run_dynamics(potential, [copper(0)], settings, n_steps=20, dtype=dtype)[0]
        for dtype in ("float32", "float64")
    }
    np.testing.assert_allclose(
        out["float32"].soft.positions, out["float64"].soft.positions, rtol=0.0, atol=1e-5
    )
    assert out["float32"].energy == pytest.approx(out["float64"].energy, abs=1e-4)
