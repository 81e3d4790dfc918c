"""Pareto fronts against counting by hand, and what rankings make of objectives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from softatoms.config import ConfigError, load_config
from softatoms.config.objectives import Objective
from softatoms.config.screening import Filter, Screening
from softatoms.errors import SoftatomsError
from softatoms.screening.pareto import pareto_fronts
from softatoms.screening.ranking import rank

ELEMENTS = ("Ce", "Mg", "O", "Zr")


def peeled(points: np.ndarray) -> np.ndarray:
    """Fronts by definition: take off what nothing left dominates, again and again."""
    found = np.zeros(len(points), dtype=np.int64)
    front = 0
    while (found == 0).any():
        front += 1
        left = np.flatnonzero(found == 0)
        own = points[left]
        no_worse = (own[:, None] <= own).all(axis=2)
        better = (own[:, None] < own).any(axis=2)
        found[left[~(no_worse & better).any(axis=0)]] = front
    return found


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("levels", [0, 5])
def test_fronts_are_those_of_the_definition(n_objectives, levels):
    rng = np.random.default_rng(10 * n_objectives + levels)
    for count in (1, 2, 17, 200):
        points = rng.normal(size=(count, n_objectives))
        if levels:  # many equal coordinates and equal points
            points = rng.integers(levels, size=(count, n_objectives)).astype(float)
        np.testing.assert_array_equal(pareto_fronts(points), peeled(points))


def test_no_points_stand_on_no_front():
    assert pareto_fronts(np.zeros((0, 3))).tolist() == []


def test_chains_and_equal_points():
    chain = np.arange(300.0)[:, None] * np.ones(2)
    assert pareto_fronts(chain).tolist() == list(range(1, 301))
    assert pareto_fronts(np.stack([chain[:, 0], -chain[:, 1]], axis=1)).tolist() == [1] * 300
    assert pareto_fronts(np.zeros((5, 3))).tolist() == [1] * 5


def test_signed_zeros_are_equal():
    assert pareto_fronts(np.array([[0.0, 1.0], [-0.0, 0.5], [0.0, 0.5]])).tolist() == [2, 1, 1]


def row(identifier: str, mixing: float, a: float, **changes: object) -> dict[str, Any]:
    values: dict[str, object] = {
        "composition_id": identifier,
        "scan": "s",
        "prototype": "fluorite",
        "formula": identifier,
        "method": "mean_field",
        "replicate": 0,
        "x_Ce": 0.25,
        "x_Mg": 0.0,
        "x_O": 2 / 3,
        "x_Zr": 0.25 / 3,
        "occupation": "cation:Ce=0.75,Zr=0.25",
        "entropy_kb": 0.0,
        "a_ang": a,
        "volume_ang3_per_atom": 13.0,
        "energy_ev_per_atom": -8.0,
        "mixing_ev_per_atom": mixing,
        "bulk_modulus_gpa": 200.0,
        "label": identifier.upper(),
        "status": "ok",
    }
    return {**values, **changes}


ROCKSALT = {
    "prototype": "rocksalt",
    "occupation": "cation:Mg=1",
    "x_Ce": 0.0,
    "x_Mg": 0.5,
    "x_O": 0.5,
    "x_Zr": 0.0,
}
OBJECTIVES = [
    {"column": "mixing_free_energy_ev_per_atom", "goal": "minimise"},
    {"column": "a_ang", "goal": "target", "target": {"fluorite": 5.4, "rocksalt": 4.0}},
]


def ranked(rows: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
    objectives = [Objective(**given) for given in options.pop("objectives", OBJECTIVES)]
    return rank(rows, Screening(objectives=objectives, **options), ELEMENTS)


def fronts(rows: list[dict[str, Any]], **options: Any) -> dict[str, int | None]:
    return {r["composition_id"]: r["pareto_front"] for r in ranked(rows, **options)}


def test_fronts_of_a_ranking():
    rows = [row("a", 0.01, 5.5), row("b", 0.02, 5.41), row("c", 0.03, 5.45), row("d", 0.0, 5.1)]
    assert fronts(rows) == {"a": 1, "b": 1, "c": 2, "d": 1}
    # Distances are in parts of the target, whose sign does not matter.
    rows.append(row("e", 0.025, 4.0, **ROCKSALT))
    assert fronts(rows) == {"a": 1, "b": 1, "c": 2, "d": 1, "e": 1}
    distances = {r["composition_id"]: r["target_distance"] for r in ranked(rows)}
    assert distances == pytest.approx(
        {"a": 0.1 / 5.4, "b": 0.01 / 5.4, "c": 0.05 / 5.4, "d": 0.3 / 5.4, "e": 0.0}
    )
    large = [{"column": "bulk_modulus_gpa", "goal": "maximise"}, OBJECTIVES[0]]
    rows = [row("a", 0.01, 5.0, bulk_modulus_gpa=150.0), row("b", 0.02, 5.0), row("c", 0.03, 5.0)]
    assert fronts(rows, objectives=large) == {"a": 1, "b": 1, "c": 2}


def test_filters_come_first_and_own_names_stay():
    rows = [row("a", 0.01, 5.4), row("b", 0.02, 5.5)]
    assert fronts(rows) == {"a": 1, "b": 2}
    found = ranked(rows, filters=[Filter(column="target_distance", at_least=0.01)])
    assert [(r["label"], r["pareto_front"], r["rank"]) for r in found] == [("B", 1, 1)]


def test_what_lacks_a_value_stands_on_no_front():
    objectives = [OBJECTIVES[0], {"column": "bulk_modulus_gpa", "goal": "maximise"}]
    rows = [row("a", 0.01, 5.4), row("b", 0.0, 5.4, bulk_modulus_gpa=None)]
    assert fronts(rows, objectives=objectives) == {"a": 1, "b": None}
    with pytest.raises(SoftatomsError, match="'bulk_modulus_gpa' is missing in all rows"):
        ranked(rows[1:], objectives=objectives)


def test_energies_of_different_zeros_are_no_objective():
    objectives = [{"column": "mixing_ev_per_atom", "goal": "minimise"}, OBJECTIVES[1]]
    rows = [row("a", 0.01, 5.4), row("b", 0.02, 4.2, **ROCKSALT)]
    assert fronts(rows[:1], objectives=objectives) == {"a": 1}
    with pytest.raises(
        SoftatomsError, match=r"screening\.objectives: 'mixing_ev_per_atom' has a z"
    ):
        ranked(rows, objectives=objectives)


def test_the_first_front_stays_whatever_is_kept():
    rows = [row("a", 0.01, 5.6), row("b", 0.02, 5.7), row("c", 0.03, 5.45), row("d", 0.04, 5.5)]
    kept = ranked(rows, keep=2)
    assert [(r["composition_id"], r["rank"]) for r in kept] == [("a", 1), ("b", 2), ("c", 3)]
    by_front = ranked(rows, rank_by="pareto_front")
    assert [r["composition_id"] for r in by_front] == ["a", "c", "b", "d"]


def test_without_objectives_there_are_no_fronts():
    found = ranked([row("a", 0.01, 5.4)], objectives=[])
    assert (found[0]["pareto_front"], found[0]["target_distance"]) == (None, None)


def test_lattices_without_a_common_end_member_have_one_zero():
    rows = [row("a", 0.01, 5.4), row("b", 0.02, 4.2, **ROCKSALT)]
    assert [r["formation_ev_per_atom"] for r in ranked(rows)] == [0.01, 0.02]
    # The same compound on another lattice is a competitor: the zero is not known without it.
    rows.append(row("c", 0.0, 4.5, **{**ROCKSALT, "prototype": "zincblende"}))
    with pytest.raises(SoftatomsError, match="missing in"):
        ranked(rows, objectives=[])


CAMPAIGN: dict[str, Any] = {
    "campaign": {"name": "pareto"},
    "potential": {"name": "gupta", "options": {"elements": ["Cu", "Au"]}},
    "composition": {
        "scans": [
            {
                "name": "s",
                "prototypes": ["fcc", "bcc"],
                "sublattices": {"site": {"elements": ["Cu", "Au"], "divisions": 4}},
            }
        ]
    },
    "figures": {"names": ["pareto"]},
}
STIFF = {"column": "bulk_modulus_gpa", "goal": "maximise"}
SMALL_A = {"column": "a_ang", "goal": "minimise"}


@pytest.mark.parametrize(
    ("screening", "message"),
    [
        ({}, r"figures\.names\[0\]: 'pareto' needs 'screening.objectives'"),
        ({"objectives": [STIFF]}, "needs two objectives at least"),
        ({"objectives": [STIFF, STIFF]}, "'bulk_modulus_gpa' is an objective already"),
        ({"objectives": [STIFF, {**SMALL_A, "column": "a_an"}]}, "did you mean 'a_ang'"),
        ({"objectives": [STIFF, {**SMALL_A, "target": 3.0}]}, "goes with the goal 'target'"),
        ({"objectives": [STIFF, {**SMALL_A, "goal": "target"}]}, "goes with the goal 'target'"),
        ({"objectives": [STIFF, {"column": "a_ang", "goal": "target", "target": 0.0}]}, "not be 0"),
        (
            {"objectives": [STIFF, {"column": "a_ang", "goal": "target", "target": {"fcc": 4.0}}]},
            "says nothing of the prototype 'bcc'",
        ),
        (
            {
                "objectives": [
                    STIFF,
                    {
                        "column": "a_ang",
                        "goal": "target",
                        "target": {"fc": 4.0, "fcc": 4, "bcc": 3},
                    },
                ]
            },
            "unknown prototype 'fc'",
        ),
        ({"objectives": [STIFF, SMALL_A], "rank_by": "target_distance"}, "unknown column 'target_"),
        ({"rank_by": "pareto_front"}, "unknown column 'pareto_front'"),
    ],
)
def test_objectives_that_make_no_sense_are_one_line(tmp_path: Path, screening, message):
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump({**CAMPAIGN, "screening": screening}))
    with pytest.raises(ConfigError, match=message):
        load_config(path)
    path.write_text(yaml.safe_dump({**CAMPAIGN, "screening": {"objectives": [STIFF, SMALL_A]}}))
    load_config(path)
