"""A killed search goes on from its journal and ends with the same digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import softatoms as sa
from softatoms.cli import main
from softatoms.composition.journal import Journal
from softatoms.composition.optimise import Outcome, Problem, Target, optimise
from softatoms.composition.surface import Surface, _Graph
from softatoms.physics import crystal
from softatoms.tables import read_table

IDENTITY = ["one", "two"]


@pytest.fixture(scope="module")
def gupta() -> sa.Potential:
    return sa.load_potential("gupta", elements=["Cu", "Au"])


def searched(gupta: sa.Potential, path: Path | None, method: str) -> tuple[list[Outcome], Journal]:
    journal = Journal(path, IDENTITY)
    soft = crystal("fcc", "Cu", 3.75).with_candidates([0], {"Cu": 0.5, "Au": 0.5}, tie="site")
    targets = [Target("bulk_modulus", value=150.0), Target("mixing_energy", goal="minimise")]
    problem = Problem(gupta, soft, targets, journal=journal, fmax=1e-3)
    return optimise(problem, method=method, starts=2, max_steps=3), journal


def digits(outcomes: list[Outcome]) -> list[Any]:
    """Everything that an outcome says, to the last digit."""
    return [
        (
            *(outcome.status, outcome.error, outcome.relaxation_evaluations),
            *(outcome.derivative_passes, repr(outcome.gap)),
            [
                (step.theta.tolist(), step.objective, step.gap, step.quantities, step.evaluations)
                for step in outcome.steps
            ],
            None if outcome.point is None else outcome.point.soft.positions.tolist(),
            None if outcome.point is None else outcome.point.gradient.tolist(),
        )
        for outcome in outcomes
    ]


@pytest.mark.parametrize("method", ["newton", "exponentiated_gradient", "joint"])
def test_wherever_a_search_is_killed_it_ends_with_the_same_digits(
    gupta: sa.Potential, tmp_path: Path, method: str
) -> None:
    whole = digits(searched(gupta, None, method)[0])
    path = tmp_path / "search.jsonl"
    assert digits(searched(gupta, path, method)[0]) == whole
    lines = path.read_bytes().splitlines(keepends=True)
    count = len(lines) - 1
    for kept in {0, 2 * count // 3, count}:
        # The next answer was being written.
        torn = lines[kept + 1][:-5] if kept < count else b""
        path.write_bytes(b"".join(lines[: kept + 1]) + torn)
        outcomes, journal = searched(gupta, path, method)
        assert digits(outcomes) == whole
        assert journal.recalled == kept
        assert path.read_bytes() == b"".join(lines)


def test_known_answers_cost_no_evaluation(
    gupta: sa.Potential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "search.jsonl"
    whole = digits(searched(gupta, path, "joint")[0])
    asked: list[str] = []
    monkeypatch.setattr(_Graph, "__init__", lambda *_: asked.append("graph"))
    monkeypatch.setattr(
        "softatoms.composition.journal.relax_batch", lambda *_, **__: asked.append("relax")
    )
    assert digits(searched(gupta, path, "joint")[0]) == whole
    assert asked == []


def test_answers_to_other_questions_are_dropped(gupta: sa.Potential, tmp_path: Path) -> None:
    """Another start, method or identity: nothing of the old file is believed."""
    path = tmp_path / "search.jsonl"
    searched(gupta, path, "newton")
    joint = digits(searched(gupta, None, "joint")[0])
    outcomes, journal = searched(gupta, path, "joint")
    assert digits(outcomes) == joint
    known = len(path.read_bytes().splitlines()) - 1
    assert journal.recalled < known
    assert Journal(path, ["another"]).recalled == 0
    assert len(path.read_bytes().splitlines()) == 1


def test_a_damaged_line_ends_what_is_known(gupta: sa.Potential, tmp_path: Path) -> None:
    path = tmp_path / "search.jsonl"
    whole = digits(searched(gupta, path, "joint")[0])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], b"{}\n", *lines[6:]]))
    outcomes, journal = searched(gupta, path, "joint")
    assert digits(outcomes) == whole
    assert journal.recalled == 4


def test_a_surface_from_a_journal_can_be_asked_more(gupta: sa.Potential, tmp_path: Path) -> None:
    """Its graph is made when the first unknown derivative is wanted."""
    soft = crystal("fcc", "Cu", 3.75).with_candidates([0], {"Cu": 0.5, "Au": 0.5}, tie="site")
    settings = Problem(gupta, soft, [Target("a", value=3.8)]).settings
    path = tmp_path / "search.jsonl"
    Surface(gupta, soft, settings, Journal(path, IDENTITY))
    known = Surface(gupta, soft, settings, Journal(path, IDENTITY))
    fresh = Surface(gupta, soft, settings)
    assert known.energy == fresh.energy
    assert known.bulk_modulus().value == fresh.bulk_modulus().value
    np.testing.assert_array_equal(known.by_weights.numpy(), fresh.by_weights.numpy())


def test_a_killed_job_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``softatoms optimize --checkpoint``, supercells included."""
    campaign = {
        "campaign": {"name": "sought"},
        "potential": {"name": "gupta", "options": {"elements": ["Cu", "Au"]}},
        "optimisation": {
            "searches": [
                {
                    "name": "cu-au",
                    "crystal": {"prototype": "fcc", "elements": ["Cu"]},
                    "sublattices": {"metal": {"replaces": "Cu", "elements": ["Cu", "Au"]}},
                    "targets": [{"quantity": "a", "value": 3.85}],
                    "supercell": [2, 2, 2],
                }
            ],
            "methods": ["joint"],
            "starts": 2,
            "verification": {"replicates": 2, "swaps": 20},
        },
        "figures": {"names": ["optimisation"]},
    }
    config = tmp_path / "campaign.yaml"
    config.write_text(yaml.safe_dump(campaign))
    folder = tmp_path / "checkpoints"

    def run(name: str, *more: str) -> list[dict[str, Any]]:
        out = tmp_path / name
        assert main(["optimize", "--config", str(config), "--out", str(out), *more]) == 0
        return read_table(out, "optimisation").rows()

    whole = run("whole.parquet")
    product = _Graph.product
    left = [7]

    def killed(self: _Graph, direction: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return product(self, direction)

    monkeypatch.setattr(_Graph, "product", killed)
    for passes in (1, 1):
        left[0] = passes
        with pytest.raises(KeyboardInterrupt):
            run("killed.parquet", "--checkpoint", str(folder))
    monkeypatch.setattr(_Graph, "product", product)
    before = len((folder / "cu-au.jsonl").read_bytes().splitlines())
    assert before > 3
    assert run("resumed.parquet", "--checkpoint", str(folder)) == whole
