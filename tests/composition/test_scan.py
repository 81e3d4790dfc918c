"""One job of the composition stage, row by row."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.spacegroup import crystal

import softatoms as sa
from softatoms.composition import scan as scan_module
from softatoms.composition.scan import run_shard
from softatoms.composition.tasks import list_tasks, occupation_text, parse_occupation
from softatoms.config import CampaignConfig, load_config
from softatoms.progress import Progress
from softatoms.units import GPA_PER_EV_ANG3

CONFIG = {
    "campaign": {"name": "scan", "seed": 0},
    "compute": {"edges_per_batch": 1500},
    "potential": {"name": "gupta", "options": {"elements": ["Cu", "Au"]}},
    "composition": {
        "scans": [
            {
                "name": "cu-au",
                "prototypes": ["fcc", "bcc"],
                "sublattices": {"site": {"elements": ["Cu", "Au"], "divisions": 4}},
                "methods": ["mean_field", "replica", "vegard"],
            },
            {
                "name": "ordered",
                "prototypes": ["L1_2"],
                "sublattices": {
                    "corner": {"elements": ["Au", "Cu"], "divisions": 1},
                    "face": {"elements": ["Au", "Cu"], "divisions": 2},
                },
                "methods": ["mean_field", "vegard"],
            },
            {
                "name": "sqs",
                "prototypes": ["fcc"],
                "sublattices": {"site": {"elements": ["Cu", "Au"], "divisions": 2}},
                "methods": ["sqs"],
            },
        ],
        "sqs": {"supercell": [1, 1, 1], "replicates": 2, "swaps": 10, "shells": 1},
    },
    "figures": {"names": ["mixing"]},
}


def configuration(tmp_path: Path, **sections: object) -> CampaignConfig:
    path = tmp_path / "scan.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **sections}))
    return load_config(path)


def run(config: CampaignConfig, checkpoint: Path | None = None, tasks=None):
    tasks = list_tasks(config) if tasks is None else tasks
    potential = sa.load_potential(config.potential.name, **config.potential.options)
    with Progress(len(tasks), label="test", stream=io.StringIO()) as progress:
        return run_shard(config, potential, tasks, checkpoint=checkpoint, progress=progress)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    return run(configuration(tmp_path_factory.mktemp("scan")))


@pytest.fixture(scope="module")
def rows(outcome):
    return outcome.rows


def pick(rows, **wanted):
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_one_row_per_task_in_order_and_all_ok(rows, tmp_path):
    config = configuration(tmp_path)
    assert [row["composition_id"] for row in rows] == [t.identifier for t in list_tasks(config)]
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["error"] for row in rows} == {""}


def test_rows_carry_the_occupation_of_their_task(rows, tmp_path):
    tasks = list_tasks(configuration(tmp_path))
    assert [row["occupation"] for row in rows] == [occupation_text(t.occupation) for t in tasks]
    for task, row in zip(tasks, rows, strict=True):
        present = {
            name: {element: x for element, x in weights.items() if x > 0}
            for name, weights in task.occupation.items()
        }
        assert parse_occupation(row["occupation"]) == present
    assert {row["occupation"] for row in pick(rows, scan="ordered", x_Au=0.625)} == {
        "corner:Au=1;face:Au=0.5,Cu=0.5"
    }


def test_an_occupation_has_one_text():
    first = {"corner": {"Cu": 1.0, "Au": 0.0}, "face": {"Cu": 0.1 + 0.2, "Au": 0.7}}
    second = {"corner": {"Cu": 1.0}, "face": {"Au": 0.7, "Cu": 0.3}}
    assert occupation_text(first) == occupation_text(second) == "corner:Cu=1;face:Au=0.7,Cu=0.3"


def test_end_members_mix_to_nothing_by_every_method(rows):
    ends = [row for row in rows if row["x_Cu"] in (0.0, 1.0)]
    assert {row["method"] for row in ends} == {"mean_field", "replica", "vegard", "sqs"}
    for row in ends:
        assert row["mixing_ev_per_atom"] == pytest.approx(0.0, abs=1e-7)


def test_pure_lattice_constants(rows):
    for row in pick(rows, prototype="fcc", x_Cu=1.0):
        assert row["a_ang"] == pytest.approx(3.615, abs=2e-3)
    for row in pick(rows, prototype="fcc", x_Au=1.0):
        assert row["a_ang"] == pytest.approx(4.079, abs=2e-3)


def test_fcc_is_below_bcc(rows):
    for element in ("Cu", "Au"):
        energies = {
            name: pick(rows, prototype=name, method="mean_field", **{f"x_{element}": 1.0})[0][
                "energy_ev_per_atom"
            ]
            for name in ("fcc", "bcc")
        }
        assert energies["fcc"] < energies["bcc"] - 0.01


def test_vegard_is_the_straight_line(rows):
    line = pick(rows, scan="cu-au", prototype="fcc", method="vegard")
    x = np.array([row["x_Au"] for row in line])
    order = np.argsort(x)
    for column in ("a_ang", "energy_ev_per_atom"):
        values = np.array([row[column] for row in line])[order]
        np.testing.assert_allclose(values, np.linspace(values[0], values[-1], 5), atol=1e-12)


def test_mixing_is_energy_above_the_line(rows):
    for method in ("mean_field", "replica"):
        for row in pick(rows, scan="cu-au", method=method):
            (line,) = pick(
                rows,
                scan="cu-au",
                method="vegard",
                prototype=row["prototype"],
                x_Cu=row["x_Cu"],
            )
            above = row["energy_ev_per_atom"] - line["energy_ev_per_atom"]
            assert row["mixing_ev_per_atom"] == pytest.approx(above, abs=1e-12)


def test_lengths_and_volume_belong_together(rows):
    per_cube = {"fcc": 4, "bcc": 2, "L1_2": 4}
    for row in rows:
        assert row["a_ang"] == row["b_ang"] == row["c_ang"]
        cube = row["volume_ang3_per_atom"] * per_cube[row["prototype"]]
        assert row["a_ang"] ** 3 == pytest.approx(cube, rel=1e-12)
        if row["pressure_gpa"] is not None:
            assert abs(row["pressure_gpa"]) < 1e-3


def test_mean_field_of_a_crystal_with_pure_sublattices_is_that_crystal(rows):
    """Au on the corners and Cu on the faces is ordered Cu3Au, here computed as plain atoms."""
    (soft,) = pick(rows, scan="ordered", method="mean_field", x_Au=0.25, formula="Au0.25Cu0.75")
    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    atoms = crystal(
        ["Au", "Cu"],
        [(0, 0, 0), (0, 0.5, 0.5)],
        spacegroup=221,
        cellpar=[soft["a_ang"]] * 3 + [90] * 3,
    )
    assert atoms.get_chemical_formula() == "AuCu3"
    plain = sa.evaluate(potential, sa.SoftAtoms.from_ase(atoms), properties=("stress",))
    assert float(plain.energy) / 4 == pytest.approx(soft["energy_ev_per_atom"], abs=1e-9)
    assert abs(float(plain.stress.trace())) < 1e-5


def test_order_beats_disorder_in_cu3au(rows):
    (ordered,) = pick(rows, scan="ordered", method="mean_field", formula="Au0.25Cu0.75")
    (random,) = pick(
        rows, scan="cu-au", prototype="fcc", method="mean_field", formula="Au0.25Cu0.75"
    )
    assert ordered["energy_ev_per_atom"] < random["energy_ev_per_atom"]


@pytest.mark.parametrize("method", ["mean_field", "replica"])
def test_energy_and_pressure_of_a_cell_made_by_other_means(rows, method):
    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    for row in pick(rows, scan="cu-au", method=method):
        soft = sa.SoftAtoms.from_ase(bulk("Cu", row["prototype"], a=row["a_ang"], cubic=True))
        weights = {"Au": row["x_Au"], "Cu": row["x_Cu"]}
        soft = soft.with_candidates(range(len(soft)), weights, tie="all")
        out = sa.evaluate(potential, soft, properties=("stress",), coupling=method)
        assert float(out.energy) / len(soft) == pytest.approx(row["energy_ev_per_atom"], abs=1e-9)
        pressure = -float(out.stress.trace()) / 3 * GPA_PER_EV_ANG3
        assert pressure == pytest.approx(row["pressure_gpa"], abs=1e-6)


def test_replicates_are_different_supercells(tmp_path):
    scan = {
        "name": "s",
        "prototypes": ["fcc"],
        "sublattices": {
            "site": {"elements": ["Cu", "Au"], "compositions": [{"Cu": 0.75, "Au": 0.25}]}
        },
        "methods": ["sqs"],
    }
    sqs = {"supercell": [2, 2, 2], "replicates": 3, "swaps": 1}
    rows = run(configuration(tmp_path, composition={"scans": [scan], "sqs": sqs})).rows
    assert len({row["energy_ev_per_atom"] for row in rows}) == 3


def test_slopes_only_where_one_sublattice_is_soft(rows):
    for row in rows:
        soft = row["method"] in ("mean_field", "replica") and row["scan"] == "cu-au"
        assert (row["slope_Cu_ev"] is not None) == soft
        assert (row["slope_Au_ev"] is not None) == soft


def test_slopes_are_those_of_the_curve(tmp_path):
    near = [{"Cu": 0.7 - d, "Au": 0.3 + d} for d in (-1e-3, 0.0, 1e-3)]
    scans = [
        {
            "name": "near",
            "prototypes": ["bcc"],
            "sublattices": {"site": {"elements": ["Cu", "Au"], "compositions": near}},
        }
    ]
    low, middle, high = run(configuration(tmp_path, composition={"scans": scans})).rows
    rise = (high["energy_ev_per_atom"] - low["energy_ev_per_atom"]) / 2e-3
    assert rise == pytest.approx(middle["slope_Au_ev"] - middle["slope_Cu_ev"], abs=1e-5)


def test_supercells_carry_their_deviation_from_randomness(rows):
    for row in rows:
        assert (row["correlation_error"] is not None) == (row["method"] == "sqs")
    assert [row["replicate"] for row in pick(rows, method="sqs")] == [0, 1] * 3


def test_how_tasks_are_grouped_does_not_matter(rows, tmp_path):
    config = configuration(tmp_path)
    tasks = list_tasks(config)
    apart = {
        row["composition_id"]: row for k in range(3) for row in run(config, None, tasks[k::3]).rows
    }
    for row in rows:
        other = apart[row["composition_id"]]
        for key, value in row.items():
            if isinstance(value, float):
                assert other[key] == pytest.approx(value, rel=1e-9, abs=1e-9), key
            else:
                assert other[key] == value, key


def test_bad_compositions_become_rows(tmp_path):
    options = {"elements": ["Cu", "Au"], "pairs": {"Cu-Au": dict.fromkeys(("a", "xi"), 1e-6)}}
    options["pairs"]["Cu-Au"].update(a=5.0, p=11.0, q=3.0, r0=9.0)
    config = configuration(
        tmp_path,
        potential={"name": "gupta", "options": options},
        composition={**CONFIG["composition"], "relaxation": {"max_steps": 12}},
    )
    rows = run(config).rows
    assert len(rows) == config.n_tasks()
    mixed = pick(rows, method="mean_field", scan="cu-au", x_Au=0.5)
    pure = pick(rows, method="mean_field", scan="cu-au", x_Au=1.0)
    assert {row["status"] for row in pure} == {"ok"}
    for row in mixed:
        assert row["status"] in ("failed", "unconverged")
        assert row["error"]
        assert row["energy_ev_per_atom"] is None


def test_a_broken_end_member_is_named_in_every_row_that_needs_it(tmp_path, monkeypatch):
    relax = scan_module.relax_volumes

    def without_gold(potential, systems, settings):
        results = relax(potential, systems, settings)
        for soft, result in zip(systems, results, strict=True):
            if soft.candidates(0).get("Au") == 1.0 and not len(soft.groups.theta):
                result.fail("no gold today")
        return results

    monkeypatch.setattr(scan_module, "relax_volumes", without_gold)
    rows = run(configuration(tmp_path)).rows
    for row in pick(rows, scan="cu-au"):
        assert (row["status"] == "ok") == (row["x_Au"] == 0.0)
        if row["x_Au"]:
            assert row["error"] == f"pure Au in {row['prototype']}: no gold today"


class TestCheckpoint:
    def test_a_killed_job_goes_on_and_ends_with_the_same_rows(self, outcome, tmp_path, monkeypatch):
        config = configuration(tmp_path)
        folder = tmp_path / "checkpoint"
        run_batch = scan_module.Scanner._run_batch
        done = []

        def killed_in_the_third(self, tasks):
            if len(done) == 3:
                raise KeyboardInterrupt
            done.append(tasks)
            return run_batch(self, tasks)

        monkeypatch.setattr(scan_module.Scanner, "_run_batch", killed_in_the_third)
        with pytest.raises(KeyboardInterrupt):
            run(config, folder)
        assert len(list(folder.iterdir())) == 3
        again = []
        monkeypatch.setattr(
            scan_module.Scanner,
            "_run_batch",
            lambda self, tasks: again.append(tasks) or run_batch(self, tasks),
        )
        resumed = run(config, folder)
        assert resumed == outcome
        assert not {t.identifier for b in done for t in b} & {
            t.identifier for b in again for t in b
        }

    def test_what_belongs_to_another_run_is_not_used(self, tmp_path, monkeypatch):
        config = configuration(tmp_path)
        tasks = list_tasks(config)[:4]
        folder = tmp_path / "checkpoint"
        run(config, folder, tasks)
        for file in folder.iterdir():
            saved = json.loads(file.read_text())
            saved["rows"] = []
            saved["key"] = "of another run"
            file.write_text(json.dumps(saved))
        assert len(run(config, folder, tasks).rows) == 4
        monkeypatch.setattr(scan_module, "code_digest", lambda: "of corrected code")
        before = set(folder.iterdir())
        run(config, folder, tasks)
        assert len(set(folder.iterdir()) - before) == len(before)
        for file in folder.iterdir():
            file.write_text("{ half")
        assert len(run(config, folder, tasks).rows) == 4
