"""Ω of atoms that exist in part."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import add_adsorbate, fcc110

import softatoms as sa
from softatoms.errors import OptionError
from softatoms.external import HarmonicTrap
from softatoms.surface.evaluator import Pool
from softatoms.surface.free_energy import existence_curve, free_energies
from softatoms.surface.problem import Problem, Reservoir
from softatoms.surface.region import Ball, Layer


def slab(symbol: str) -> sa.SoftAtoms:
    """Cu(110) with one adatom in the long bridge, where added rows begin; the adatom is last."""
    atoms = fcc110("Cu", (1, 2, 3), a=3.61, vacuum=6.0)
    add_adsorbate(atoms, symbol, 1.0 if symbol == "O" else 1.3, "hollow")
    return sa.SoftAtoms.from_ase(atoms)


def potential_of(name: str) -> sa.Potential:
    if name == "lj":
        pairs = {"Cu-O": {"epsilon": 0.6, "sigma": 1.75}}
        widths = {"Cu": 2.27, "O": 2.0}
        return sa.load_potential(
            "lj", epsilon={"Cu": 0.4, "O": 0.1}, sigma=widths, cutoff=6.0, pairs=pairs
        )
    if name == "gupta":
        return sa.load_potential("gupta", elements=["Cu"])
    if name == "chgnet":
        pytest.importorskip("chgnet")
        return sa.load_potential("chgnet")
    return sa.load_potential(name, elements=["Cu", "O"], seed=3)


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("lj", "O"),
        ("gupta", "Cu"),
        ("painn", "O"),
        ("schnet", "O"),
        ("painn", "Cu"),
        ("chgnet", "O"),
        ("chgnet", "Cu"),
    ],
)
def test_existence_curve_is_smooth_and_ends_at_the_plain_structures(name: str, symbol: str):
    potential = potential_of(name)
    soft = slab(symbol)
    q = np.linspace(0.0, 1.0, 33)
    curve = existence_curve(potential, soft, [len(soft) - 1], q)
    scale = max(1.0, abs(curve.whole))
    isolated = float(potential.isolated_energies.abs().max())
    assert curve.energies[0] == pytest.approx(curve.without, abs=1e-9 * scale)
    assert curve.energies[-1] == pytest.approx(curve.whole, abs=1e-9 * scale)
    assert abs(curve.whole - curve.without) > 1e-3, "the atom must matter"
    # The integral of the slope is the energy: nothing jumps between the points.
    width = q[1] - q[0]
    simpson = width / 3 * (curve.slopes[:-2:2] + 4 * curve.slopes[1:-1:2] + curve.slopes[2::2])
    gained = curve.energies[2::2] - curve.energies[:-2:2]
    spread = np.ptp(curve.slopes) + 1e-3
    np.testing.assert_allclose(
        simpson, gained, rtol=0, atol=2e-2 * spread * width + 1e-9 * isolated
    )
    # Slopes move on in steps, none of which is a jump.
    assert np.abs(np.diff(curve.slopes)).max() < 0.6 * np.ptp(curve.slopes) + 1e-9


def test_curve_needs_something_that_stays():
    soft = slab("Cu")
    with pytest.raises(OptionError, match="leave some atom"):
        existence_curve(potential_of("gupta"), soft, range(len(soft)), [0.5])


def surface_problem() -> Problem:
    bare = slab("Cu").select(range(6))
    top = float(bare.positions[:, 2].max())
    return Problem(
        potential=potential_of("lj"),
        substrate=bare,
        region=Layer(bare.cell, low=top + 0.5, high=top + 3.0),
        species=("Cu", "O"),
        external=HarmonicTrap(0.05, (1.0, 1.0, 1.0)),
        reference=-3.0,
    )


def random_pool(problem: Problem, n: int) -> Pool:
    rng = np.random.default_rng(1)
    sites = problem.region.sample(rng, n)
    weights = 0.45 * rng.random((n, len(problem.species)))
    return Pool(np.vstack([problem.substrate_positions, sites]), weights)


def test_slopes_of_omega_are_its_differences():
    problem = surface_problem()
    pool, reservoir = random_pool(problem, 3), Reservoir({"Cu": -1.2, "O": -0.7})
    (here,) = free_energies(problem, [pool], [reservoir])
    assert not isinstance(here, str)
    h = 1e-5

    def omega(positions: np.ndarray, weights: np.ndarray) -> float:
        (out,) = free_energies(problem, [Pool(positions, weights)], [reservoir])
        assert not isinstance(out, str)
        return out.omega

    for site, axis in ((0, 2), (6, 0), (7, 1), (8, 2)):
        step = np.zeros_like(pool.positions)
        step[site, axis] = h
        up, down = (
            omega(pool.positions + step, pool.weights),
            omega(pool.positions - step, pool.weights),
        )
        assert here.by_positions[site, axis] == pytest.approx(
            (up - down) / (2 * h), rel=1e-6, abs=1e-7
        )
    for site, column in ((0, 0), (1, 1), (2, 0)):
        step = np.zeros_like(pool.weights)
        step[site, column] = h
        up, down = (
            omega(pool.positions, pool.weights + step),
            omega(pool.positions, pool.weights - step),
        )
        assert here.by_weights[site, column] == pytest.approx(
            (up - down) / (2 * h), rel=1e-6, abs=1e-7
        )


def test_omega_counts_atoms_reference_and_area():
    problem = surface_problem()
    pool, reservoir = random_pool(problem, 3), Reservoir({"Cu": -1.2, "O": -0.7})
    (out,) = free_energies(problem, [pool], [reservoir])
    assert not isinstance(out, str)
    energy = float(sa.evaluate(problem.potential, problem.pool(*pool)).energy)
    trap = problem.external
    assert trap is not None
    own = trap.energies(pool.positions)
    energy += own[:6].sum() + (pool.weights.sum(axis=1) * own[6:]).sum()
    wanted = energy + 3.0 + 1.2 * pool.weights[:, 0].sum() + 0.7 * pool.weights[:, 1].sum()
    area = float(np.linalg.norm(np.cross(*problem.cell[:2])))
    assert out.omega == pytest.approx(wanted, rel=1e-12, abs=1e-12)
    assert out.omega_per_area == pytest.approx(wanted / area, rel=1e-12, abs=1e-12)


def test_a_pool_that_cannot_be_evaluated_says_so_and_leaves_the_others_alone():
    problem = surface_problem()
    good, reservoir = random_pool(problem, 3), Reservoir({"Cu": 0.0, "O": 0.0})
    bad = Pool(good.positions.copy(), good.weights)
    bad.positions[-1] = np.nan
    alone = free_energies(problem, [good], [reservoir])[0]
    first, second, third = free_energies(problem, [good, bad, good], [reservoir] * 3)
    assert isinstance(second, str)
    assert "nan" in second
    for out in (first, third):
        assert not isinstance(out, str)
        assert not isinstance(alone, str)
        assert out.omega == pytest.approx(alone.omega, rel=1e-13, abs=1e-13)


def test_a_ball_has_no_area():
    problem = Problem(potential_of("gupta"), None, Ball(4.0), ("Cu",))
    pool = Pool(np.array([[0.0, 0, 0], [2.5, 0, 0]]), np.array([[0.5], [1.0]]))
    (out,) = free_energies(problem, [pool], [Reservoir({"Cu": 0.0})])
    assert not isinstance(out, str)
    assert np.isnan(out.omega_per_area)
    assert torch.get_default_dtype() == torch.float32
