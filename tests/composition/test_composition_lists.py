"""Lists of compositions of a user's own: formulas, fractions, and what is wrong with them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from softatoms.cli import main
from softatoms.composition.formulas import parse_formula
from softatoms.composition.placement import Layout, place_amounts
from softatoms.composition.tasks import list_tasks, manifest_rows
from softatoms.config import CampaignConfig, ConfigError, load_config
from softatoms.errors import SoftatomsError
from softatoms.tables import read_table

ELEMENTS = ["Ba", "Ca", "Ce", "Cu", "La", "Mo", "O", "Sr", "Ti", "W", "Zr"]
CERIA = {
    "parent": {"prototype": "fluorite", "species": ["Ce", "O"], "a_ang": 5.4},
    "sublattices": {"cation": {"sites": "Ce", "elements": ["Ce", "Zr"]}},
}
BCC = {"prototypes": ["bcc"], "sublattices": {"site": {"elements": ["Mo", "W"]}}}
ORDERED = {
    "prototypes": ["B2"],
    "sublattices": {"corner": {"elements": ["Cu", "Mo"]}, "centre": {"elements": ["Mo", "W"]}},
}
TITANATE = Layout({"a": 1, "b": 1}, {"a": ("Ba", "Sr", "La"), "b": ("Ti", "Zr", "La")}, {"O": 3.0})


def campaign(folder: Path, text: str | bytes, scan: dict[str, Any], **given: Any) -> CampaignConfig:
    """A campaign that scans what a file lists."""
    name = given.pop("name", "list.csv")
    content = text if isinstance(text, bytes) else text.encode()
    (folder / name).write_bytes(content)
    options = {"elements": ELEMENTS}
    own = {"name": "s", **scan, "compositions": {"file": str(folder / name), **given}}
    path = folder / "campaign.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "campaign": {"name": "lists"},
                "potential": {"name": "schnet", "options": options},
                "composition": {"scans": [own]},
                "figures": {"names": []},
            }
        )
    )
    return load_config(path)


def occupations(config: CampaignConfig) -> list[dict[str, dict[str, float]]]:
    return [task.occupation for task in list_tasks(config)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mo0.3W0.7", {"Mo": 0.3, "W": 0.7}),
        ("Ba(Zr0.2Ti0.8)O3", {"Ba": 1, "Zr": 0.2, "Ti": 0.8, "O": 3}),
        ("[(Ba.5Sr.5)2 Ti2]O6", {"Ba": 1, "Sr": 1, "Ti": 2, "O": 6}),
        ("Ce₀.₈Zr₀.₂O₂", {"Ce": 0.8, "Zr": 0.2, "O": 2}),
        ("CO", {"C": 1, "O": 1}),
        ("Co", {"Co": 1}),
        ("La0Ce1", {"Ce": 1}),
    ],
)
def test_formulas(text, expected):
    assert parse_formula(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Xx0.5O", "'Xx' in 'Xx0.5O' is no chemical element"),
        ("Ba(TiO3", "brackets do not match"),
        ("Ba[Ti)O3", "brackets do not match"),
        ("BaTi)O3", "brackets do not match"),
        ("ce0.5O2", "is no part of a formula"),
        ("Ce0.5.5O2", "is no part of a formula"),
        ("Ce-0.5O2", "is no part of a formula"),
        ("Ce0O0", "holds no atoms"),
    ],
)
def test_what_is_no_formula(text, message):
    with pytest.raises(SoftatomsError, match=message.replace("(", r"\(").replace(")", r"\)")):
        parse_formula(text)


def test_a_formula_is_matched_to_the_sublattice(tmp_path):
    text = "formula,note\nCe0.8Zr0.2O2,mine\nCe4ZrO10.0,\n"
    with pytest.raises(SoftatomsError, match="line 3: repeats the composition of line 2"):
        list_tasks(campaign(tmp_path, text, CERIA))
    text = "formula\nCe0.8Zr0.2O2\n\nZr3Ce1O8\nCeO2\n"
    assert occupations(campaign(tmp_path, text, CERIA)) == [
        {"cation": pytest.approx({"Ce": 0.8, "Zr": 0.2})},
        {"cation": pytest.approx({"Ce": 0.25, "Zr": 0.75})},
        {"cation": {"Ce": 1.0}},
    ]


def test_fractions_are_those_of_the_sublattice_or_overall(tmp_path):
    expected = [{"cation": pytest.approx({"Ce": 0.75, "Zr": 0.25})}]
    for text in (
        "x_Ce,x_Zr\n0.75,0.25\n",
        "x_cation_Ce,x_cation_Zr\n0.75,0.25\n",
        "x_Ce,x_Zr,x_O\n0.25,0.0833333333333,0.6666666666667\n",
        "formula,x_Ce,x_Zr\nCe0.75Zr0.25O2,0.75,0.25\n",
        "﻿x_Ce,x_Zr,x_O\r\n0.75,0.25,\r\n",
    ):
        assert occupations(campaign(tmp_path, text, CERIA)) == expected
    for text, given in (
        ("x_Ce;x_Zr\n0.75;0.25\n", {"separator": ";"}),
        ("x_Ce\tx_Zr\n0.75\t0.25\n", {"name": "list.tsv"}),
    ):
        assert occupations(campaign(tmp_path, text, CERIA, **given)) == expected


def test_parquet_is_read_like_csv(tmp_path):
    table = pa.table({"x_Mo": [0.3, 1.0], "x_W": [0.7, None], "sample": [17, 18], "note": ["", ""]})
    parquet.write_table(table, tmp_path / "list.parquet")
    content = (tmp_path / "list.parquet").read_bytes()
    config = campaign(tmp_path, content, BCC, name="list.parquet", id="sample")
    tasks = list_tasks(config)
    assert [task.label for task in tasks] == ["17", "18"]
    assert tasks[0].occupation == {"site": pytest.approx({"Mo": 0.3, "W": 0.7})}
    assert tasks[1].occupation == {"site": {"Mo": 1.0}}
    assert [row["label"] for row in manifest_rows(config)] == ["17", "18"]
    with pytest.raises(ConfigError, match="cannot be read as Parquet"):
        campaign(tmp_path, b"PAR1 is not all", BCC, name="list.parquet")


def test_several_sublattices_are_told_apart():
    def place(text: str) -> dict[str, dict[str, float]]:
        return place_amounts(parse_formula(text), TITANATE, 1e-6)

    assert place("Ba0.5Sr0.5TiO3") == {
        "a": pytest.approx({"Ba": 0.5, "Sr": 0.5}),
        "b": {"Ti": 1.0},
    }
    # What is left of lanthanum fills first the one, then the other.
    assert place("Ba0.7La0.5Ti0.8O3") == {
        "a": pytest.approx({"Ba": 0.7, "La": 0.3}),
        "b": pytest.approx({"Ti": 0.8, "La": 0.2}),
    }


def test_what_is_placed_has_the_amounts_it_came_from():
    rng = np.random.default_rng(0)
    for _ in range(200):
        weights = {
            "a": dict(zip(("Ba", "Sr", "La"), rng.dirichlet(np.ones(3)).tolist(), strict=True)),
            "b": dict(zip(("Ti", "Zr", "La"), rng.dirichlet(np.ones(3)).tolist(), strict=True)),
        }
        scale = float(rng.uniform(0.1, 10.0))
        amounts = {"O": 3.0 * scale}
        for own in weights.values():
            for symbol, x in own.items():
                amounts[symbol] = amounts.get(symbol, 0.0) + scale * x
        found = place_amounts(amounts, TITANATE, 1e-6)
        for name, own in weights.items():
            assert found[name] == pytest.approx(own, abs=1e-9)


def test_partial_occupancies_of_the_parent_count_as_they_are(tmp_path):
    rows = [
        "data_x",
        *(f"_cell_length_{k} 5.4" for k in "abc"),
        *(f"_cell_angle_{k} 90" for k in ("alpha", "beta", "gamma")),
        "_symmetry_space_group_name_H-M 'F m -3 m'",
        "_symmetry_Int_Tables_number 225",
        "loop_",
        *(f"_atom_site_{k}" for k in ("label", "type_symbol", "fract_x", "fract_y", "fract_z")),
        "_atom_site_occupancy",
        "M Ce 0 0 0 0.75",
        "M Zr 0 0 0 0.25",
        "O1 O 0.25 0.25 0.25 1.0",
    ]
    (tmp_path / "mixed.cif").write_text("\n".join(rows))
    scan = {
        "parent": {"file": str(tmp_path / "mixed.cif")},
        "sublattices": {"anion": {"sites": "O", "elements": ["O", "Cu"]}},
    }
    (found,) = occupations(campaign(tmp_path, "formula\nCe0.75Zr0.25O1.5Cu0.5\n", scan))
    assert found == {
        "anion": pytest.approx({"O": 0.75, "Cu": 0.25}),
        "Ce-Zr": pytest.approx({"Ce": 0.75, "Zr": 0.25}),
    }
    with pytest.raises(SoftatomsError, match=r"has 2\.\d+ of Ce per 12 sites, where .* has 3"):
        list_tasks(campaign(tmp_path, "formula\nCe0.7Zr0.3O1.5Cu0.5\n", scan))


def test_no_way_or_two_ways_to_place_are_refused():
    both = Layout({"a": 1, "b": 3}, {"a": ("Cu", "Mo"), "b": ("Cu", "Mo")})
    with pytest.raises(SoftatomsError, match=r"how much \w+ is on 'a' and 'b': .*'x_a_"):
        place_amounts({"Cu": 0.5, "Mo": 0.5}, both, 1e-6)
    assert place_amounts({"Cu": 2.0}, both, 1e-6) == {"a": {"Cu": 1.0}, "b": {"Cu": 1.0}}
    for text, message in (
        ("BaTiO2", "sublattice 'a' has 1 sites per cell, but would hold 1.5 atoms"),
        ("Ba0.9TiO3", "sublattice 'a' has 1 sites per cell, but would hold 0.9 atoms"),
        ("BaTi", "has 0 of O per 5 sites, where the parent has 3"),
        ("BaHfO3", "no site of the parent holds Hf"),
        ("Ba1.1Ti0.9O3", "sublattice 'a' .* 1.1 atoms"),
    ):
        with pytest.raises(SoftatomsError, match=message):
            place_amounts(parse_formula(text), TITANATE, 1e-6)


def test_an_element_on_fixed_sites_too_is_told_from_them():
    layout = Layout({"a": 2}, {"a": ("Sr", "Ti")}, {"Ti": 1.0, "O": 3.0})
    assert place_amounts({"Sr": 1.5, "Ti": 1.5, "O": 3.0}, layout, 1e-6) == {
        "a": pytest.approx({"Sr": 0.75, "Ti": 0.25})
    }
    with pytest.raises(SoftatomsError, match=r"has 0\.5 of Ti per 6 sites, where the parent has 1"):
        place_amounts({"Sr": 2.5, "Ti": 0.5, "O": 3.0}, layout, 1e-6)


def test_sublattices_by_columns(tmp_path):
    text = "x_corner_Cu,x_corner_Mo,x_centre_Mo,x_centre_W\n0.5,0.5,0.25,0.75\n"
    (found,) = occupations(campaign(tmp_path, text, ORDERED))
    assert found == {
        "corner": pytest.approx({"Cu": 0.5, "Mo": 0.5}),
        "centre": pytest.approx({"Mo": 0.25, "W": 0.75}),
    }
    # The same from its formula, as only molybdenum is on both, and each has another element.
    assert occupations(campaign(tmp_path, "formula\nCu0.5Mo0.75W0.75\n", ORDERED)) == [found]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "list.csv: is empty: give a header"),
        ("formula\n\n", "has a header, but no compositions below it"),
        ("name,remark\na,b\n", "has no column 'formula' and none of fractions, .*'name', 'remark'"),
        ("formula;id\nCeO2;1\n", "seem to be separated by ';': give it as 'separator'"),
        ("formula,x_Ce,x_Ce\nCeO2,1,1\n", "two columns are named 'x_Ce'"),
        ("formula\nCeO2\nCe0,8Zr0,2O2\n", "line 3: has 3 cells where the header has 1"),
        ('x_Ce,x_Zr\n"0,8","0,2"\n', "line 2: x_Ce: '0,8' is no number: write a decimal point"),
        ("x_Ce,x_Zr\n1.5,-0.5\n", "line 2: x_Ce: must lie between 0 and 1, got 1.5"),
        ("x_Ce,x_Zr\nnan,1\n", "line 2: x_Ce: must lie between 0 and 1, got nan"),
        (b"formula\nCeO2\nCeO\xb2\n", r"line 3: is not UTF-8 \(byte 0xb2\)"),
        ("formula\nCeO2\n".encode("utf-16"), "line 1: is not UTF-8"),
        ('formula\n"CeO2\n', "line 2: is no CSV"),
        ("formula,x_Ce\nCeO2,1\n,1\n,1\n", r"line 3: the formula is missing \(1 more lines"),
    ],
)
def test_files_that_cannot_be_read_are_refused_with_the_configuration(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        campaign(tmp_path, text, CERIA)
    assert "composition.scans[0].compositions.file" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("formula\nCeO2\nXxO2\nYyO2\n", r"line 3: 'Xx' in 'XxO2' is no chem.*\(1 more lines have"),
        ("formula\nLaO2\n", "line 2: LaO2: no site of the parent holds La: it has 1 cation of Ce"),
        ("formula\nCe0.8Zr0.3O2\n", r"would hold 1\.1 atoms \(Ce 0\.8 \+ Zr 0\.3\)"),
        ("formula\nCe0.8Zr0.2O1.9\n", "sublattice 'cation' has 1 sites"),
        ("x_Ce,x_Zr\n0.8,0.3\n", "line 2: fractions must sum to 1, got 1.1"),
        ("x_Ce,x_La\n0.8,0.2\n", "line 2: La is not among the elements of sublattice 'cation'"),
        ("x_Ce,x_Zz\n0.8,0.2\n", "column 'x_Zz': 'Zz' is no chemical element"),
        ("x_kation_Ce\n1\n", "column 'x_kation_Ce': unknown sublattice 'kation': did you mean"),
        ("x_cation_La\n1\n", "La is not among the elements of sublattice 'cation'"),
        ("x_cation_Ce,x_Zr\n1,0\n", "do not go together: name the sublattice in all"),
        ("x_Ce,x_Zr\n1,0\n0.5,0.5\n0.5,0.5\n", "line 4: repeats the composition of line 3"),
        ("formula,x_Ce,x_Zr\nCe0.7Zr0.3O2,0.75,0.25\n", "says 0.2333 of Ce per atom"),
    ],
)
def test_compositions_that_do_not_fit_are_refused_before_anything_runs(tmp_path, text, message):
    config = campaign(tmp_path, text, CERIA)
    with pytest.raises(SoftatomsError) as caught:
        list_tasks(config)
    assert caught.match(message)
    assert str(caught.value).startswith("composition.scans 's': compositions: ")
    assert "\n" not in str(caught.value)


def test_names_of_ones_own_must_differ_and_exist(tmp_path):
    text = "formula,sample\nCeO2,a\nZrO2,a\n"
    with pytest.raises(ConfigError, match="line 3: 'a' in 'sample' stands in line 2 too"):
        campaign(tmp_path, text, CERIA, id="sample")
    with pytest.raises(ConfigError, match="has no column 'sampel': did you mean 'sample'"):
        campaign(tmp_path, text, CERIA, id="sampel")
    with pytest.raises(ConfigError, match="line 2: 'sample' is empty"):
        campaign(tmp_path, "formula,sample\nCeO2,\n", CERIA, id="sample")


def test_tolerance_rescales_rounded_fractions(tmp_path):
    text = "x_Ce,x_Zr\n0.333,0.666\n"
    with pytest.raises(SoftatomsError, match=r"must sum to 1, got 0\.999"):
        list_tasks(campaign(tmp_path, text, CERIA))
    (found,) = occupations(campaign(tmp_path, text, CERIA, tolerance=2e-3))
    assert found == {"cation": pytest.approx({"Ce": 1 / 3, "Zr": 2 / 3})}


def test_formulas_without_fixed_sites_sum_to_a_whole_number(tmp_path):
    with pytest.raises(SoftatomsError, match=r"Mo0.3W0.8: amounts sum to 1\.1"):
        list_tasks(campaign(tmp_path, "formula\nMo0.3W0.8\n", BCC))
    (found,) = occupations(campaign(tmp_path, "formula\nMo3W1\n", BCC))
    assert found == {"site": pytest.approx({"Mo": 0.75, "W": 0.25})}


def test_supercells_refuse_what_does_not_fit_them(tmp_path):
    text = "formula\nMo0.5W0.5\nMo0.123W0.877\n"
    with pytest.raises(SoftatomsError, match=r"Mo = 0\.123 does not fit the 128 sites"):
        list_tasks(campaign(tmp_path, text, {**BCC, "methods": ["mean_field", "sqs"]}))
    supercell = {**CERIA, "methods": ["sqs"], "supercell": [2, 2, 2]}
    with pytest.raises(SoftatomsError, match=r"Ce = 0\.8 does not fit the 8 sites"):
        list_tasks(campaign(tmp_path, "formula\nCe0.8Zr0.2O2\n", supercell))


def test_the_content_of_the_file_is_what_reruns_the_scan(tmp_path):
    first = campaign(tmp_path, "formula\nCeO2\n", CERIA)
    before = first.section_digest("composition")
    again = campaign(tmp_path, "formula\nCeO2\nZrO2\n", CERIA)
    assert again.section_digest("composition") != before
    assert (first.n_tasks(), again.n_tasks()) == (2, 2), "the file is read when it is asked for"


@pytest.mark.parametrize(("steps", "status"), [(60, "ok"), (1, "unconverged")])
def test_every_line_becomes_a_row_with_its_own_name(tmp_path, steps, status):
    (tmp_path / "list.csv").write_text("sample;formula\nS-1;Cu0.6Au0.4\nS-2;CuNi\n")
    content = {
        "campaign": {"name": "lists"},
        "potential": {"name": "gupta", "options": {"elements": ["Cu", "Au", "Ni"]}},
        "composition": {
            "shard_size": 1,
            "relaxation": {"max_steps": steps},
            "scans": [
                {
                    "name": "own",
                    "prototypes": ["fcc"],
                    "sublattices": {"site": {"elements": ["Cu", "Au", "Ni"]}},
                    "compositions": {
                        "file": str(tmp_path / "list.csv"),
                        "id": "sample",
                        "separator": ";",
                    },
                }
            ],
        },
        "screening": {"rank_by": "mixing_ev_per_atom"},
        "figures": {"names": []},
    }
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(content))
    given = ["--config", str(tmp_path / "campaign.yaml")]
    manifest, ranking = tmp_path / "manifest.parquet", tmp_path / "ranking.parquet"
    assert main(["manifest", *given, "--out", str(manifest)]) == 0
    parts = [str(tmp_path / f"{shard}.parquet") for shard in range(2)]
    for shard, part in enumerate(parts):
        job = ["--manifest", str(manifest), "--shard", str(shard), "--out", part]
        assert main(["scan", *given, *job]) == 0
    table = tmp_path / "composition.parquet"
    joined = ["--table", "composition", "--tables", *parts, "--manifest", str(manifest)]
    assert main(["collect", *given, *joined, "--out", str(table)]) == 0
    rows = read_table(table, "composition").rows()
    assert [(row["label"], row["status"]) for row in rows] == [("S-1", status), ("S-2", status)]
    assert all(bool(row["error"]) == (status != "ok") for row in rows)
    assert main(["rank", *given, "--table", str(table), "--out", str(ranking)]) == 0
    ranked = {row["label"] for row in read_table(ranking, "ranking").rows()}
    assert ranked == ({"S-1", "S-2"} if status == "ok" else set())


def test_sublattices_say_elements_only(tmp_path):
    grid = {"sites": "Ce", "elements": ["Ce", "Zr"], "divisions": 2}
    with pytest.raises(ConfigError, match=r"divisions.*does not go with the scan's 'compositions'"):
        campaign(tmp_path, "formula\nCeO2\n", {**CERIA, "sublattices": {"cation": grid}})


def test_thousands_of_lines_are_quick(tmp_path):
    count = 2000
    lines = [f"Ce{1 - k / count:.6f}Zr{k / count:.6f}O2" for k in range(count)]
    config = campaign(tmp_path, "\n".join(["formula", *lines]), CERIA)
    started = time.process_time()
    assert len(list_tasks(config)) == count
    per_line = (time.process_time() - started) / count
    started = time.process_time()
    for line in lines:
        yaml.safe_load(f"{{formula: {line}, sublattice: cation}}")
    # Far below what reading the same as YAML takes.
    assert per_line < (time.process_time() - started) / count
