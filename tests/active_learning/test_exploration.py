"""Dynamics that end where models disagree: what is seen, what stops, what survives a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softatoms as sa
from softatoms.active_learning import dynamics
from softatoms.active_learning.dynamics import explore_by_dynamics
from softatoms.active_learning.jury import Jury
from softatoms.active_learning.walks import Walk
from softatoms.config.active_learning import Exploration
from softatoms.dataset.frames import Frame
from softatoms.dataset.parents import closest_ratio
from softatoms.errors import OptionError, SoftatomsError

ARGON = {"lattice": "fcc", "species": ["Ar"], "a_ang": 5.3}
DEPTHS = (0.010, 0.012, 0.011)


def jury(measure: str = "largest_force", models: int = 2, sigma: float = 3.405) -> Jury:
    return Jury(
        tuple(
            sa.load_potential(
                "lj", epsilon=depth, sigma=sigma, cutoff=1.6 * sigma, onset=1.3 * sigma
            )
            for depth in DEPTHS[:models]
        ),
        measure,  # type: ignore[arg-type]
        dtype="float64",
    )


def exploration(**changes: Any) -> Exploration:
    values: dict[str, Any] = {
        "name": "argon",
        "parent": ARGON,
        "dynamics": {"temperatures_k": [40.0, 80.0], "replicas": 2, "snapshots": 4, "every": 10},
    }
    values["dynamics"] = {**values["dynamics"], **changes.pop("dynamics", {})}
    return Exploration.model_validate({**values, **changes})


def explore(
    wanted: Exploration,
    *,
    upper: float = 1e9,
    checkpoint: Path | None = None,
    frames: tuple[Frame, ...] = (),
    seed: int = 0,
    models: int = 2,
    closest: float = 0.6,
    sigma: float = 3.405,
) -> list[Walk]:
    return explore_by_dynamics(
        wanted,
        jury(models=models, sigma=sigma),
        frames,
        upper=upper,
        unit="eV/Å",
        closest=closest,
        seed=seed,
        round_number=0,
        checkpoint=checkpoint,
    )


def assert_same(one: list[Walk], other: list[Walk]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert (a.name, a.steps, a.status, a.error) == (b.name, b.steps, b.status, b.error)
        assert [v.step for v in a.visited] == [v.step for v in b.visited]
        assert [v.spread for v in a.visited] == [v.spread for v in b.visited]
        for v, w in zip(a.visited, b.visited, strict=True):
            np.testing.assert_array_equal(v.soft.positions, w.soft.positions)
            np.testing.assert_array_equal(v.soft.cell, w.soft.cell)


def test_spreads_of_potentials_that_differ_by_a_factor() -> None:
    # Forces are proportional to the depth of the well, so spreads are known exactly.
    parent = sa.SoftAtoms.from_ase(_rattled(3))
    out = sa.evaluate(jury().models[0], parent, properties=("energy", "forces"))
    forces, deviation = out.forces.numpy() / DEPTHS[0], np.std(DEPTHS, ddof=1)
    lengths = deviation * np.linalg.norm(forces, axis=1)
    for measure, expected in (
        ("largest_force", lengths.max()),
        ("mean_force", lengths.mean()),
        ("energy", deviation * abs(float(out.energy)) / DEPTHS[0] / len(parent)),
    ):
        found = jury(measure, models=3).spreads([parent, parent])
        np.testing.assert_allclose(found, [expected] * 2, rtol=1e-10, atol=1e-14)


def test_a_lone_model_does_not_disagree() -> None:
    with pytest.raises(OptionError, match="takes 2 models"):
        jury(models=1)


def test_all_trajectories_are_seen_and_differ() -> None:
    walks = explore(exploration())
    assert [walk.name for walk in walks] == [
        f"argon-{t:02d}-{r:02d}" for t in (0, 1) for r in (0, 1)
    ]
    assert {walk.status for walk in walks} == {"ok"}
    for walk in walks:
        assert [visit.step for visit in walk.visited] == [10, 20, 30, 40]
        assert walk.steps == 40
        said = jury().spreads([visit.soft for visit in walk.visited])
        np.testing.assert_allclose([v.spread for v in walk.visited], said, rtol=1e-9, atol=1e-12)
    ends = [walk.visited[-1].soft.positions for walk in walks]
    assert all(np.abs(a - b).max() > 1e-3 for i, a in enumerate(ends) for b in ends[:i])
    other = explore(exploration(), seed=1)
    assert np.abs(other[0].visited[-1].soft.positions - ends[0]).max() > 1e-3


def test_a_trajectory_ends_where_models_disagree() -> None:
    free = explore(exploration())
    spreads = {walk.name: [visit.spread for visit in walk.visited] for walk in free}
    upper = float(np.quantile([s for own in spreads.values() for s in own], 0.6))
    walks = explore(exploration(), upper=upper)
    assert {walk.status for walk in walks} == {"ok", "stopped"}
    for walk in walks:
        own = spreads[walk.name]
        within = next((i for i, spread in enumerate(own) if spread > upper), len(own))
        # What is left of a batch moves on as it would have, to rounding.
        np.testing.assert_allclose([v.spread for v in walk.visited], own[:within], rtol=1e-6)
        assert walk.steps == 10 * min(within + 1, 4)
        if walk.status == "stopped":
            assert f"step {walk.steps}: the uncertainty is {own[within]:.4g} eV/Å" in walk.error


def test_a_trajectory_ends_where_atoms_come_too_close() -> None:
    # Argon of half its size, so that neighbours are about a covalent distance apart.
    small = exploration(parent={**ARGON, "a_ang": 2.65})
    free = explore(small, sigma=1.7)
    ratios = [[closest_ratio(v.soft.to_ase()) for v in walk.visited] for walk in free]
    # Two of the four come closer than this, and two do not.
    closest = float(np.mean(sorted(min(own) for own in ratios)[1:3]))
    walks = explore(small, closest=closest, sigma=1.7)
    assert sum(walk.status == "stopped" for walk in walks) == 2
    for walk, own in zip(walks, ratios, strict=True):
        within = next((i for i, ratio in enumerate(own) if ratio < closest), len(own))
        assert len(walk.visited) == within
        if walk.status == "stopped":
            assert f"two atoms are at {own[within]:.3g} of their covalent radii" in walk.error


def test_dynamics_that_break_down_are_rows() -> None:
    wanted = exploration(dynamics={"temperatures_k": [40.0, 60_000.0], "replicas": 1})
    calm, lost = explore(wanted)
    assert calm.status == "ok"
    assert len(calm.visited) == 4
    assert lost.status == "lost"
    assert lost.visited == ()
    assert lost.error


def test_a_killed_exploration_goes_on_with_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = {"cell": "isotropic", "pressure_gpa": 0.1}
    wanted = exploration(dynamics=moving)
    whole = explore(wanted)
    run, calls = dynamics.run_dynamics, []

    def until_killed(*arguments: Any, **options: Any) -> Any:
        calls.append(options["n_steps"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run(*arguments, **options)

    monkeypatch.setattr(dynamics, "run_dynamics", until_killed)
    with pytest.raises(KeyboardInterrupt):
        explore(wanted, checkpoint=tmp_path)
    assert_same(explore(wanted, checkpoint=tmp_path), whole)
    # Two stretches, the kill, and the two that were missing.
    assert len(calls) == 5
    assert_same(explore(wanted, checkpoint=tmp_path), whole)
    assert len(calls) == 5
    # More snapshots go on; anything else starts anew beside it.
    longer = explore(exploration(dynamics={**moving, "snapshots": 5}), checkpoint=tmp_path)
    assert len(calls) == 6
    assert [len(walk.visited) for walk in longer] == [5] * 4
    explore(wanted, checkpoint=tmp_path, seed=1)
    explore(wanted, checkpoint=tmp_path, models=3)
    assert len(calls) == 14
    assert len(list(tmp_path.iterdir())) == 3


def test_starts() -> None:
    holes = explore(exploration(missing=1, parent={**ARGON, "repeat": [2, 1, 1]}))
    assert {len(walk.visited[0].soft) for walk in holes} == {7}
    with pytest.raises(SoftatomsError, match="explore 'argon': missing: the parent has 4 atoms"):
        explore(exploration(missing=4))
    frames = tuple(
        Frame(f"{split}-{index}", f"{split}/walk", soft, split=split, status="ok")  # type: ignore[arg-type]
        for split in ("train", "test")
        for index, soft in enumerate([sa.SoftAtoms.from_ase(_rattled(size)) for size in (1, 2)])
    )
    wanted = exploration(parent=None, frames="*/walk", dynamics={"replicas": 6, "snapshots": 1})
    assert {len(walk.visited[0].soft) for walk in explore(wanted, frames=frames)} == {4, 8}
    # Nothing is started from what the errors are measured on.
    for pattern in ("test*", "nothing"):
        with pytest.raises(SoftatomsError, match=f"no group of training frames .* '{pattern[0]}"):
            explore(exploration(parent=None, frames=pattern), frames=frames)


def _rattled(cells: int) -> Any:
    from ase.build import bulk

    atoms = bulk("Ar", "fcc", a=5.3, cubic=True).repeat([cells, 1, 1])
    atoms.rattle(0.1, seed=cells)
    return atoms
