"""Scans over the sublattices of any parent: relaxed cells and sites, slopes, supercells."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ase.build import bulk

import softatoms as sa
from softatoms.composition import parent_scan
from softatoms.composition.scan import run_shard
from softatoms.composition.tasks import Task, list_tasks, manifest_rows
from softatoms.config import CampaignConfig, ConfigError, load_config
from softatoms.errors import SoftatomsError
from softatoms.physics import elastic_constants
from softatoms.progress import Progress
from softatoms.units import GPA_PER_EV_ANG3

POTENTIAL = {"name": "gupta", "options": {"elements": ["Cu", "Au", "Ni"]}}
HCP = {"prototype": "hcp", "species": ["Cu"], "name": "hcp-parent"}
TIGHT = {"pressure_tolerance_gpa": 1e-5, "fmax_ev_per_ang": 1e-6}


def configuration(folder: Path, *scans: dict[str, Any], **more: Any) -> CampaignConfig:
    potential = more.pop("potential", POTENTIAL)
    path = folder / "parents.yaml"
    content = {
        "campaign": {"name": "parents", "seed": 0},
        "compute": {"edges_per_batch": 100000},
        "potential": potential,
        "composition": {
            "scans": list(scans),
            "sqs": {"replicates": 3, "shells": 2, "swaps": 300},
            **more,
        },
        "figures": {"names": []},
    }
    path.write_text(yaml.safe_dump(content))
    return load_config(path)


def run(config: CampaignConfig, checkpoint: Path | None = None, tasks=None):
    tasks = list_tasks(config) if tasks is None else tasks
    potential = sa.load_potential(config.potential.name, **config.potential.options)
    with Progress(len(tasks), label="test", stream=io.StringIO()) as progress:
        return run_shard(config, potential, tasks, checkpoint=checkpoint, progress=progress).rows


def around(x: float, step: float, first: str, second: str) -> list[dict[str, float]]:
    return [{first: 1 - x - d, second: x + d} for d in (-step, 0.0, step)]


LJ = {
    "name": "lj",
    "options": {
        "cutoff": 7.0,
        "onset": 6.0,
        "epsilon": {"Ar": 0.0104, "Kr": 0.0140, "Ne": 0.0040},
        "sigma": {"Ar": 3.40, "Kr": 3.65, "Ne": 2.90},
    },
}


def low_symmetry(folder: Path, symbols: str) -> dict[str, str]:
    """A strained hexagonal crystal whose sites and angles nothing fixes."""
    atoms = bulk("Cu", "hcp", a=2.7, c=4.4).repeat((2, 1, 1))
    atoms.set_chemical_symbols(symbols.split())
    path = folder / "low.extxyz"
    atoms.write(path, format="extxyz")
    return {"file": str(path)}


@pytest.mark.parametrize("coupling", ["mean_field", "replica"])
def test_slopes_are_those_of_relaxed_scans(tmp_path, coupling):
    """Lengths, volume and energy of a crystal whose cell and sites all respond."""
    step = 5e-3
    scan = {
        "name": "slopes",
        "parent": low_symmetry(tmp_path, "Cu Cu Ni Cu"),
        "sublattices": {
            "one": {
                "sites": [0, 1],
                "elements": ["Cu", "Au"],
                "compositions": around(0.35, step, "Cu", "Au"),
            }
        },
        "methods": [coupling],
    }
    low, middle, high = run(configuration(tmp_path, scan, relaxation=TIGHT))
    assert {row["status"] for row in (low, middle, high)} == {"ok"}
    assert middle["distortion_ang"] > 1e-3
    for column, slope in (
        *((f"{k}_ang", f"d{k}_dx_ang") for k in "abc"),
        ("energy_ev_per_atom", "de_dx_ev"),
        ("de_dx_ev", "d2e_dx2_ev"),
    ):
        difference = (high[column] - low[column]) / (2 * step)
        assert middle[slope] == pytest.approx(difference, rel=0.01, abs=1e-6), slope
    volumes = [row["volume_ang3_per_atom"] for row in (low, high)]
    difference = np.log(volumes[1] / volumes[0]) / (2 * step)
    assert middle["dlnv_dx"] == pytest.approx(difference, rel=0.01, abs=1e-6)
    assert json.loads(middle["edges"])["one:Cu>Au"]["dlnv_dx"] == middle["dlnv_dx"]


@pytest.mark.parametrize("cell", ["full", "isotropic"])
def test_slopes_of_lennard_jones_crystals(tmp_path, cell):
    step = 5e-3
    scan = {
        "name": "noble",
        "parent": {"prototype": "hcp", "species": ["Ar"], "a_ang": 3.8, "name": "noble"},
        "sublattices": {
            "site": {
                "sites": "Ar",
                "elements": ["Ar", "Kr"],
                "compositions": around(0.4, step, "Ar", "Kr"),
            }
        },
        "cell": cell,
    }
    low, middle, high = run(configuration(tmp_path, scan, potential=LJ, relaxation=TIGHT))
    assert middle["x_Kr"] == pytest.approx(0.4)
    for k in "ac":
        difference = (high[f"{k}_ang"] - low[f"{k}_ang"]) / (2 * step)
        assert middle[f"d{k}_dx_ang"] == pytest.approx(difference, rel=0.01, abs=1e-6)
    curvature = (high["de_dx_ev"] - low["de_dx_ev"]) / (2 * step)
    assert middle["d2e_dx2_ev"] == pytest.approx(curvature, rel=0.01, abs=1e-6)
    # A strain that is not free has no elastic constant.
    assert (middle["c11_gpa"] is None) == (cell == "isotropic")
    assert middle["bulk_modulus_gpa"] > 0


def test_compositions_count_over_the_whole_crystal(tmp_path):
    scan = {
        "name": "rocksalt",
        "parent": {"prototype": "rocksalt", "species": ["Ar", "Ne"], "a_ang": 5.2},
        "sublattices": {
            "cation": {
                "sites": "Ar",
                "elements": ["Ar", "Kr"],
                "compositions": [{"Ar": 0.6, "Kr": 0.4}],
            }
        },
        "methods": ["vegard"],
    }
    (task,) = list_tasks(configuration(tmp_path, scan, potential=LJ))
    assert task.fractions == pytest.approx({"Ar": 0.3, "Kr": 0.2, "Ne": 0.5})


def test_elastic_constants_and_bulk_modulus_are_those_of_strained_crystals(tmp_path):
    scan = {
        "name": "stiff",
        "parent": HCP,
        "sublattices": {
            "site": {
                "sites": "Cu",
                "elements": ["Cu", "Au"],
                "compositions": [{"Cu": 0.6, "Au": 0.4}],
            }
        },
    }
    (row,) = run(configuration(tmp_path, scan, relaxation=TIGHT))
    potential = sa.load_potential("gupta", **POTENTIAL["options"])
    a, c = row["a_ang"], row["c_ang"]
    soft = sa.SoftAtoms.from_ase(bulk("Cu", "hcp", a=a, c=c))
    soft = soft.with_candidates([0, 1], {"Cu": 0.6, "Au": 0.4}, tie="site")
    found = elastic_constants(potential, soft)
    for name in ("c11", "c33", "c12", "c13", "c44"):
        i, j = int(name[1]) - 1, int(name[2]) - 1
        assert row[f"{name}_gpa"] == pytest.approx(found.tensor_gpa[i, j], rel=5e-3, abs=0.2), name
    assert row["bulk_modulus_gpa"] == pytest.approx(found.reuss[0] * GPA_PER_EV_ANG3, rel=5e-3)


def test_a_cubic_parent_gives_what_the_prototype_gives(tmp_path):
    """Full relaxation and the relaxation of the volume alone end at the same crystal."""
    sublattices = {
        "corner": {"elements": ["Au", "Cu"], "divisions": 1},
        "face": {"elements": ["Cu", "Au"], "divisions": 2},
    }
    old = {"name": "old", "prototypes": ["L1_2"], "sublattices": sublattices}
    parent = {"prototype": "L1_2", "species": ["Au", "Cu"], "name": "l12"}
    new = {"name": "new", "parent": parent, "sublattices": sublattices}
    rows = run(configuration(tmp_path, old, new, relaxation={**TIGHT, "max_steps": 99}))
    by_scan = {
        name: {row["occupation"]: row for row in rows if row["scan"] == name}
        for name in ("old", "new")
    }
    assert len(by_scan["old"]) == 6
    for occupation, row in by_scan["old"].items():
        other = by_scan["new"][occupation]
        assert other["energy_ev_per_atom"] == pytest.approx(row["energy_ev_per_atom"], abs=1e-8)
        assert other["a_ang"] == pytest.approx(row["a_ang"], abs=1e-5)
        if other["bulk_modulus_gpa"] is not None:
            assert other["bulk_modulus_gpa"] == pytest.approx(row["bulk_modulus_gpa"], rel=1e-3)
        assert other["entropy_kb"] == row["entropy_kb"]
    mixed = [row for row in rows if row["scan"] == "new" and "0.5" in row["occupation"]]
    # The line is that between compounds with one element on each sublattice.
    for row in mixed:
        corner = row["occupation"][:11]
        ends = [by_scan["new"][f"{corner};face:{e}=1"]["energy_ev_per_atom"] for e in ("Au", "Cu")]
        above = row["energy_ev_per_atom"] - np.mean(ends)
        assert row["mixing_ev_per_atom"] == pytest.approx(above, abs=1e-6)


CELLS = {
    "name": "cells",
    "parent": HCP,
    "sublattices": {
        "site": {
            "sites": "Cu",
            "elements": ["Cu", "Au"],
            "compositions": [{"Cu": 0.75, "Au": 0.25}],
        }
    },
    "methods": ["mean_field", "sqs", "random", "vegard"],
    "supercell": [2, 2, 1],
    "supercell_bulk_modulus": True,
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return run(configuration(tmp_path_factory.mktemp("cells"), CELLS))


def test_all_methods_stand_in_one_table(rows):
    methods = [row["method"] for row in rows]
    assert methods == ["mean_field", *["sqs"] * 3, *["random"] * 3, "vegard"]
    assert {row["status"] for row in rows} == {"ok"}


def test_sites_relax_and_lower_the_energy(rows):
    for row in rows[1:7]:
        assert row["n_sites"] == 8
        assert row["distortion_ang"] > 0.01
        assert row["mixing_ev_per_atom"] < rows[0]["mixing_ev_per_atom"]


def test_lengths_have_the_symmetry_of_the_parent(rows):
    for row in rows:
        assert row["a_ang"] == pytest.approx(row["b_ang"], rel=1e-9)
        assert row["gamma_deg"] == pytest.approx(120.0, abs=1e-9)


def test_bulk_moduli_are_near_that_of_the_mean_field(rows):
    for row in rows[1:7]:
        assert row["bulk_modulus_gpa"] == pytest.approx(rows[0]["bulk_modulus_gpa"], rel=0.05)


def test_bulk_moduli_by_squeezing_are_those_of_second_derivatives(tmp_path, rows):
    plain = {**CELLS, "methods": ["mean_field"], "second_derivatives": False}
    (without,) = run(configuration(tmp_path, plain))
    assert without["bulk_modulus_gpa"] is None
    for pressure in (0.5, 2.0):
        relaxation = {"squeeze_gpa": pressure, "pressure_tolerance_gpa": 1e-4}
        squeezed = {**plain, "soft_bulk_modulus": True}
        (row,) = run(configuration(tmp_path, squeezed, relaxation=relaxation))
        expected = rows[0]["bulk_modulus_gpa"]
        assert row["bulk_modulus_gpa"] == pytest.approx(expected, rel=0.01)
        assert row["evaluations"] > without["evaluations"]


def test_squeezing_needs_a_free_cell_and_no_second_derivatives(tmp_path):
    with pytest.raises(ConfigError, match=r"soft_bulk_modulus: goes with second_derivatives"):
        configuration(tmp_path, {**CELLS, "soft_bulk_modulus": True})
    fixed = {"cell": "fixed", "second_derivatives": False, "supercell_bulk_modulus": False}
    with pytest.raises(ConfigError, match=r"soft_bulk_modulus: cannot be had with a fixed cell"):
        configuration(tmp_path, {**CELLS, **fixed, "soft_bulk_modulus": True})


def test_the_line_lies_between_the_end_members(rows):
    line = rows[-1]
    assert line["a_ang"] == pytest.approx(0.75 * 2.5553 + 0.25 * 2.8846, abs=1e-3)
    assert line["bulk_modulus_gpa"] is None


def test_a_composition_that_does_not_fit(tmp_path):
    scan = {**CELLS, "supercell": [1, 1, 1]}
    with pytest.raises(SoftatomsError, match=r"Cu = 0.75 does not fit the 2 sites"):
        list_tasks(configuration(tmp_path, scan))


CIF = """data_alloy
_cell_length_a 3.7
_cell_length_b 3.7
_cell_length_c 3.7
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
_symmetry_Int_Tables_number 225
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
M Cu 0 0 0 0.75
M Au 0 0 0 0.25
"""


def test_a_disordered_file_is_computed_as_it_is(tmp_path):
    (tmp_path / "alloy.cif").write_text(CIF)
    file = {"name": "file", "parent": {"file": str(tmp_path / "alloy.cif")}}
    same = {
        "name": "same",
        "prototypes": ["fcc"],
        "sublattices": {
            "site": {"elements": ["Cu", "Au"], "compositions": [{"Cu": 0.75, "Au": 0.25}]}
        },
    }
    config = configuration(tmp_path, file, same, relaxation=TIGHT)
    assert config.elements() == ("Au", "Cu")
    before = config.section_digest("composition")
    found, expected = run(config)
    assert found["prototype"] == "alloy"
    assert found["occupation"] == "Au-Cu:Au=0.25,Cu=0.75"
    for column in ("a_ang", "energy_ev_per_atom", "entropy_kb"):
        assert found[column] == pytest.approx(expected[column], rel=1e-7, abs=1e-7), column
    # Another file under the same name is another campaign.
    (tmp_path / "alloy.cif").write_text(CIF.replace("3.7", "3.8"))
    assert config.section_digest("composition") != before


def test_a_crystal_that_leaves_its_parent_is_a_failed_row(tmp_path):
    """Mixed B2 crystals of this potential turn to fcc as soon as disorder lets them."""
    scan = {
        "name": "leaves",
        "parent": {"prototype": "B2", "species": ["Cu", "Au"], "name": "b2"},
        "sublattices": {
            "corner": {"elements": ["Cu", "Ni"], "compositions": [{"Cu": 0.25, "Ni": 0.75}]}
        },
        "methods": ["sqs"],
        "supercell": [2, 2, 1],
    }
    rows = run(configuration(tmp_path, scan))
    assert {row["status"] for row in rows} == {"failed"}
    for row in rows:
        assert "left its parent: its shape changed" in row["error"]
        assert row["a_ang"] is None


def test_a_broken_end_member_is_named(tmp_path, monkeypatch):
    relax = parent_scan.relax_batch

    def without_gold(potential, systems, **options):
        results = relax(potential, systems, **options)
        return [
            # Only end members are plain.
            r.__class__(**{**r.__dict__, "status": "failed", "error": "no gold today"})
            if r.soft.candidates(0).get("Au") == 1.0 and not len(r.soft.groups.theta)
            else r
            for r in results
        ]

    monkeypatch.setattr(parent_scan, "relax_batch", without_gold)
    scan = {
        "name": "broken",
        "parent": HCP,
        "sublattices": {"site": {"sites": "Cu", "elements": ["Cu", "Au"], "divisions": 2}},
        "methods": ["mean_field", "vegard"],
        "second_derivatives": False,
    }
    for row in run(configuration(tmp_path, scan)):
        assert (row["status"] == "ok") == (row["x_Au"] == 0.0)
        if row["x_Au"]:
            assert row["error"] == "end member Au: no gold today"


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"largest_shape_change": 1e-3}, "its shape changed by"),
        ({"largest_move_ang": 1e-3}, "a site moved by"),
    ],
)
def test_bounds_say_what_is_another_crystal(tmp_path, bounds, said):
    """The same supercell counts as the parent with wide bounds, as another crystal with narrow."""
    scan = {
        "name": "bounded",
        "parent": {"prototype": "fcc", "species": ["Cu"], "a_ang": 3.75},
        "sublattices": {"site": {"sites": "site", "elements": ["Cu", "Au"], "divisions": 2}},
        "methods": ["random"],
        "supercell": [3, 2, 2],
    }
    wide = {"largest_shape_change": 0.4, "largest_move_ang": 2.0}
    composed = [r for r in run(configuration(tmp_path, {**scan, **wide})) if 0 < r["x_Au"] < 1]
    assert {row["status"] for row in composed} == {"ok"}, [row["error"] for row in composed]
    rows = [r for r in run(configuration(tmp_path, {**scan, **bounds})) if 0 < r["x_Au"] < 1]
    assert {row["status"] for row in rows} == {"failed"}
    assert all(said in row["error"] for row in rows), [row["error"] for row in rows]


def test_a_killed_job_goes_on_to_the_same_digits(tmp_path, monkeypatch):
    scan = {
        "name": "resumed",
        "parent": HCP,
        "sublattices": {"site": {"sites": "Cu", "elements": ["Cu", "Au"], "divisions": 8}},
        "second_derivatives": False,
    }
    config = configuration(tmp_path, scan)
    whole = run(config)
    folder = tmp_path / "checkpoint"
    run_batch = parent_scan.ParentScan._run_batch
    starts = []

    def killed(self, tasks, neighbours):
        if starts:
            raise KeyboardInterrupt
        starts.append(len(tasks))
        return run_batch(self, tasks, neighbours)

    monkeypatch.setattr(parent_scan.ParentScan, "_run_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        run(config, folder)
    assert starts == [4]
    monkeypatch.setattr(parent_scan.ParentScan, "_run_batch", run_batch)
    assert run(config, folder) == whole


def test_tasks_survive_the_manifest(tmp_path):
    scan = {**CELLS, "name": "manifest"}
    config = configuration(tmp_path, scan)
    rows = manifest_rows(config)
    assert [Task.from_row(row) for row in rows] == list_tasks(config)
    assert len(rows) == config.n_tasks()


BASE = {
    "name": "bad",
    "parent": {"prototype": "rocksalt", "species": ["Cu", "Au"], "a_ang": 5.0},
    "sublattices": {"site": {"sites": "Cu", "elements": ["Cu", "Ni"], "divisions": 2}},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prototypes": ["fcc"]}, "needs either 'prototypes' or 'parent'"),
        ({"parent": {"prototype": "rocksalt", "species": ["Cu", "Au"]}}, "parent.a_ang"),
        ({"parent": {"prototype": "roksalt", "species": []}}, "did you mean 'rocksalt'"),
        ({"parent": {"prototype": "rocksalt", "species": ["Cu"], "a_ang": 5.0}}, "holds 2"),
        ({"parent": {}}, "needs either 'prototype' or 'file'"),
        ({"cell": "ful"}, "did you mean 'full'"),
        ({"cell": [True]}, "six truth values"),
        ({"supercell": [2, 2]}, "three repeats"),
        ({"supercell": [[1, 0, 0], [0, 1, 0], [1, 1, 0]]}, "positive determinant"),
        ({"sublattices": {"a b": BASE["sublattices"]["site"]}}, "letters, digits"),
        ({"sublattices": {}}, "is required, unless a file"),
        ({"parent": None, "prototypes": ["fcc"]}, "sites: goes with 'parent' only"),
    ],
)
def test_one_line_says_what_is_wrong(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        configuration(tmp_path, {**BASE, **changes})


def test_a_scan_of_prototypes_takes_no_cell(tmp_path):
    scan = {
        "name": "old",
        "prototypes": ["fcc"],
        "sublattices": {"site": {"elements": ["Cu", "Ni"], "divisions": 2}},
        "cell": "fixed",
    }
    with pytest.raises(ConfigError, match=r"cell: goes with 'parent' only"):
        configuration(tmp_path, scan)
