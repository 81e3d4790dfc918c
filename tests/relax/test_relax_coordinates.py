"""The variables of a relaxation: the gradient by them, and what a cell may do."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

import softatoms as sa
from softatoms.relax.coordinates import Coordinates
from softatoms.relax.options import checked_settings
from tolerances import assert_close

PRESSURE = 0.03
STEP = 1e-4


def strains(cell: object) -> np.ndarray:
    return checked_settings(
        coupling="mean_field",
        dtype="float64",
        device="cpu",
        cell=cell,
        pressure=0.0,
        fmax=1.0,
        smax=1.0,
        max_steps=1,
        optimiser="fire",
        max_step_length=1.0,
        on_step=None,
    ).strains


def systems() -> list[sa.SoftAtoms]:
    made = []
    for seed, repeat in enumerate([(1, 1, 1), (2, 1, 1)]):
        atoms = bulk("Cu", cubic=True, a=3.8) * repeat
        atoms.rattle(0.1, seed=seed)
        made.append(sa.SoftAtoms.from_ase(atoms).with_candidates([1], {"Cu": 0.4, "Au": 0.5}))
    return made


@pytest.mark.parametrize(
    "cell",
    ["fixed", "full", "isotropic", (True, False, False, True, False, True)],
    ids=["fixed", "full", "isotropic", "mask"],
)
def test_gradient_of_the_enthalpy_far_from_the_start(cell: object) -> None:
    """Strains of 20 % that do not commute with the stress, against differences of enthalpies."""
    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    mobile = [np.array([True, False, True, True]), np.ones(8, dtype=bool)]
    coordinates = Coordinates(systems(), mobile, strains(cell))
    rng = np.random.default_rng(5)
    x = 0.06 * rng.normal(size=len(coordinates.zeros()))
    x[: len(strains(cell))] *= 4.0

    def evaluated(at: np.ndarray) -> tuple[np.ndarray, list[sa.Evaluation], np.ndarray]:
        positions, cells = coordinates.structures(at)
        moved = [
            soft.with_positions(own, box)
            for soft, own, box in zip(systems(), positions, cells, strict=True)
        ]
        outs = sa.evaluate_batch(potential, moved, properties=("forces", "stress"))
        volumes = np.abs(np.linalg.det(cells))
        return np.array([float(out.energy) for out in outs]) + PRESSURE * volumes, outs, volumes

    _, outs, volumes = evaluated(x)
    stresses = np.array([out.stress.numpy() for out in outs])
    virials = volumes[:, None, None] * (stresses + PRESSURE * np.eye(3))
    forces = np.concatenate([out.forces.numpy() for out in outs])
    gradients = coordinates.gradients(x, forces, virials)
    expected = np.zeros_like(x)
    for k in range(len(x)):
        step = STEP * (np.arange(len(x)) == k)
        near = (evaluated(x + step)[0] - evaluated(x - step)[0]).sum()
        far = (evaluated(x + 2 * step)[0] - evaluated(x - 2 * step)[0]).sum()
        expected[k] = (8.0 * near - far) / (12.0 * STEP)
    first = len(strains(cell)) + 3
    assert (gradients[first : first + 3] == 0.0).all(), "a fixed site has a slope"
    expected[first : first + 3] = 0.0
    assert_close(gradients, expected, "difference")


def log_strains(cell: object) -> np.ndarray:
    soft = systems()
    coordinates = Coordinates(soft, [np.ones(len(one), dtype=bool) for one in soft], strains(cell))
    x = np.random.default_rng(0).normal(size=len(coordinates.zeros()))
    return coordinates.log_strains(x)


def test_isotropic_strain_keeps_the_shape() -> None:
    logs = log_strains("isotropic")
    np.testing.assert_allclose(logs, logs[:, :1, :1] * np.eye(3), rtol=0.0, atol=1e-15)


def test_what_is_masked_is_not_strained() -> None:
    logs = log_strains((False, True, False, False, True, False))
    for row, column in ((0, 0), (2, 2), (1, 2), (0, 1)):
        assert (logs[:, row, column] == 0.0).all()
    assert (logs[:, 1, 1] != 0.0).all()
    assert (logs[:, 0, 2] == logs[:, 2, 0]).all()


def test_what_is_kept_is_what_it_was() -> None:
    soft = systems()
    mobile = [np.ones(len(one), dtype=bool) for one in soft]
    both = Coordinates(soft, mobile, strains("full"))
    x = 0.1 * np.random.default_rng(0).normal(size=len(both.zeros()))
    positions, cells = both.structures(x)
    second = x[-(6 + 24) :]
    both.keep(np.array([False, True]))
    own, cell = both.structures(second)
    assert_close(own[0], positions[1], "same")
    assert_close(cell[0], cells[1], "same")
