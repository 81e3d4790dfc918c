"""The physics checks of a campaign, through the command line."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

import softatoms as sa
from softatoms.cli import main
from softatoms.composition.prototypes import PROTOTYPES
from softatoms.config.physics_quantities import CHECKS, LATTICES, WITHOUT_LENGTH, quantity
from softatoms.errors import OptionError
from softatoms.physics import Options, PhysicsError, crystal
from softatoms.physics.compare import rows_of_values
from softatoms.physics.crystals import COMPOUNDS
from softatoms.physics.measure import Item, measure
from softatoms.tables import read_table

CAMPAIGN: dict[str, Any] = {
    "campaign": {"name": "checks"},
    "potential": {"name": "gupta", "options": {"elements": ["Cu", "Au"]}},
    "composition": {
        "scans": [
            {
                "name": "a",
                "prototypes": ["fcc"],
                "sublattices": {"site": {"elements": ["Cu", "Au"], "divisions": 2}},
            }
        ]
    },
    "physics": {
        "crystals": {
            "copper": {"prototype": "fcc", "elements": ["Cu"]},
            "alloy": {
                "prototype": "L1_2",
                "elements": ["Au", "Cu"],
                "checks": ["vacancy", "equation_of_state"],
            },
        },
        "checks": ["equation_of_state", "elastic", "surface"],
        "facets": [[1, 1, 1]],
        "references": {e: {"prototype": "fcc", "elements": [e]} for e in ("Cu", "Au")},
        "vacancy_repeat": [2, 2, 2],
        "against": {"name": "lj", "options": {"epsilon": 0.409, "sigma": 2.338, "cutoff": 6.0}},
        "given": [
            {
                "source": "measured",
                "values": {
                    "copper": {"C11": 177.0, "C44": 81.0, "surface_(1 1 1)": 1.83},
                    "alloy": {"a": 3.75, "vacancy_Cu_site1_zero_stress": 1.2},
                },
            }
        ],
    },
    "figures": {"names": ["physics_checks"]},
}


def written(folder: Path, **changes: Any) -> Path:
    """The campaign as a file, with some keys of its section different."""
    values = copy.deepcopy(CAMPAIGN)
    values["physics"].update(changes)
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def run(config: Path, *options: str | Path) -> int:
    out = config.parent / "checks.parquet"
    return main(["physics", "--config", str(config), "--out", str(out), *map(str, options)])


def rows(folder: Path, **wanted: str) -> dict[str, dict[str, Any]]:
    """Rows by quantity."""
    table = read_table(folder / "checks.parquet", "physics_checks")
    return {
        row["quantity"]: row
        for row in table.rows()
        if all(row[name] == value for name, value in wanted.items())
    }


def test_the_potential_against_another_one_and_published_numbers(tmp_path, capsys):
    assert run(written(tmp_path)) == 0
    copper = rows(tmp_path, crystal="copper", reference="lj")
    assert copper["C11"]["model"] == "gupta"
    assert {row["status"] for row in copper.values()} == {"ok"}
    assert "vacancy_Cu_site0_unrelaxed" not in copper
    measured = rows(tmp_path, crystal="copper", reference="measured")
    # Only what is given, and the model's number is the one it has in the other row.
    assert set(measured) == {"C11", "C44", "surface_(1 1 1)"}
    c11 = measured["C11"]
    assert (c11["reference_value"], c11["unit"], c11["status"]) == (177.0, "GPa", "ok")
    assert c11["model_value"] == copper["C11"]["model_value"]
    assert c11["relative_error"] == pytest.approx((c11["model_value"] - 177.0) / 177.0)
    alloy = rows(tmp_path, crystal="alloy", reference="measured")
    assert alloy["vacancy_Cu_site1_zero_stress"]["model_value"] > 0.0
    assert "C11" not in rows(tmp_path, crystal="alloy", reference="lj")
    said = capsys.readouterr().out.splitlines()
    for line in ("copper, elastic by gupta: ok", "copper, surface_(1 1 1) by lj: ok"):
        assert sum(text.startswith(line) for text in said) == 1
    assert said[-1].startswith(f"{tmp_path / 'checks.parquet'}: ")
    table = read_table(tmp_path / "checks.parquet", "physics_checks")
    gupta = sa.load_potential("gupta", elements=["Cu", "Au"])
    assert table.provenance.model_sha256 == gupta.sha256()
    assert table.provenance.dtype == "float64"


def test_a_crystal_that_leaves_is_a_row_that_says_so(tmp_path):
    far = {"copper": {"prototype": "fcc", "elements": ["Cu"], "a_ang": 4.6}}
    given = [{"source": "measured", "values": {"copper": {"C11": 177.0}}}]
    assert run(written(tmp_path, crystals=far, given=given, references={})) == 0
    elastic = rows(tmp_path, reference="lj")["elastic"]
    assert elastic["status"] == "failed"
    assert "gupta: the crystal became another one" in elastic["error"]
    assert "its volume changed by -51 %" in elastic["error"]
    (c11,) = rows(tmp_path, reference="measured").values()
    assert (c11["status"], c11["model_value"]) == ("failed", None)
    assert "became another one" in c11["error"]


def test_a_trained_model_is_taken_from_its_folder(tmp_path):
    model = tmp_path / "model"
    sa.save_potential(sa.load_potential("lj", epsilon=0.4, sigma=2.3), model)
    checks = {"checks": ["equation_of_state"], "given": []}
    assert run(written(tmp_path, **checks), "--model", model) == 0
    alloy = rows(tmp_path, crystal="alloy", model="model")
    assert alloy["a"]["reference"] == "lj"
    # Everything of such a potential scales with σ.
    assert alloy["a"]["relative_error"] == pytest.approx(2.3 / 2.338 - 1, abs=2e-3)


def test_what_is_missing_is_named(tmp_path, capsys):
    values = {name: part for name, part in CAMPAIGN.items() if name not in ("physics", "figures")}
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump({**values, "figures": {"names": []}}))
    assert run(path) == 2
    assert capsys.readouterr().err == f"{path}: physics: is required for physics checks\n"
    trained = {**CAMPAIGN, "training": {"frames": "f", "potential": CAMPAIGN["potential"]}}
    path.write_text(yaml.safe_dump(trained))
    assert run(path) == 2
    assert "--model: is required" in capsys.readouterr().err
    assert run(written(tmp_path), "--model", tmp_path / "none") == 2
    assert "none" in capsys.readouterr().err
    crystals = {"copper": {"file": str(tmp_path / "no.cif")}}
    assert run(written(tmp_path, crystals=crystals, given=[])) == 2
    assert capsys.readouterr().err == f"{tmp_path / 'no.cif'}: no such file\n"


def test_every_number_has_the_unit_and_the_check_that_the_names_say():
    options = Options(vacancy_repeat=(2, 2, 2), facets=((1, 1, 1),))
    seen: dict[str, list[str]] = {}

    def report(check, items):
        for name, item in items.items():
            what = quantity(name)
            assert what is not None, name
            assert (what.unit, what.check) == (item.unit, check)
            seen.setdefault(check, []).append(name)

    measure(sa.load_potential("gupta", elements=["Cu"]), crystal("fcc", "Cu"), options, report)
    assert set(seen) == {*CHECKS, "surface_(1 1 1)"} - {"surface"}
    assert quantity("C21") is None
    assert quantity("vacancy") is None
    assert quantity("phonon_X_0") is None


def test_names_that_stand_twice_agree():
    assert set(LATTICES) == {*PROTOTYPES, *COMPOUNDS}
    known = {"hcp": "Mg", "diamond": "Si"}
    for lattice, count in LATTICES.items():
        elements = [known.get(lattice, "Cu"), "Au"][:count]
        crystal(lattice, elements, a=4.0)
        if lattice in WITHOUT_LENGTH:
            crystal(lattice, elements)
        else:
            with pytest.raises(OptionError, match="needs a lattice parameter"):
                crystal(lattice, elements)


def test_numbers_that_cannot_be_compared_are_refused():
    mine = {"C11": Item(170.0, "GPa"), "energy": Item(-3.5, "eV/atom")}
    for name in ("energy", "C7"):
        with pytest.raises(OptionError, match=f"'{name}' is no quantity to compare with"):
            rows_of_values("Cu", ("model", mine), "paper", {name: 1.0})
    (row,) = rows_of_values("Cu", ("model", mine), "paper", {"phonon_X_1": 5.1})
    assert (row["status"], row["unit"]) == ("failed", "THz")
    assert row["error"] == "model: has no such number"


def test_checks_share_one_crystal_at_rest(monkeypatch):
    """It is brought to rest once, and every check fails with the reason if it is not."""
    calls = []

    def fails(*arguments):
        calls.append(arguments)
        raise PhysicsError("no rest", "unconverged")

    monkeypatch.setattr("softatoms.physics.measure.rest", fails)
    options = Options(facets=((1, 0, 0), (1, 1, 1)))
    found = measure(sa.load_potential("gupta", elements=["Cu"]), crystal("fcc", "Cu"), options)
    assert len(calls) == 1
    assert len(found) == 6
    assert {(item.value, item.status, item.error) for item in found.values()} == {
        (None, "unconverged", "no rest")
    }
