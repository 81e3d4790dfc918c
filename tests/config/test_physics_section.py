"""The section ``physics``: what is refused, and on what its result depends."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from softatoms.cli import main
from softatoms.config import load_config

GOOD: dict[str, Any] = {
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
            "Cu": {"prototype": "fcc", "elements": ["Cu"]},
            "CuAu": {"prototype": "B2", "elements": ["Cu", "Au"], "checks": ["vacancy"]},
        },
        "facets": [[1, 1, 1]],
        "references": {"Cu": {"prototype": "fcc", "elements": ["Cu"]}},
        "against": {"name": "lj", "options": {"epsilon": 0.4, "sigma": 2.3}},
        "given": [{"source": "measured", "values": {"Cu": {"C11": 177.0, "a": 3.6}}}],
    },
    "figures": {"names": ["physics_checks"]},
}
LABELLED = {
    "generators": [
        {
            "name": "cu",
            "parent": {"lattice": "fcc", "species": ["Cu"]},
            "volumes": {"factors": [1.0]},
        }
    ],
    "labels": {"potential": {"name": "chgnet"}},
}
NETWORK = {"potential": {"name": "painn", "options": {"elements": ["Cu"]}}}


def changed(*edits: tuple[tuple[str | int, ...], Any]) -> dict[str, Any]:
    values = copy.deepcopy(GOOD)
    for key, value in edits:
        place: Any = values
        for part in key[:-1]:
            place = place[part]
        if value is None:
            del place[key[-1]]
        else:
            place[key[-1]] = value
    return values


def written(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


P = ("physics",)
CU = (*P, "crystals", "Cu")
VALUES = (*P, "given", 0, "values")

BROKEN = {
    "no crystals": ((*P, "crystals"), {}, "crystals", "must have at least 1 entries"),
    "unknown prototype": ((*CU, "prototype"), "fc", "crystals.Cu.prototype", "did you mean 'fcc'?"),
    "prototype and file": (
        (*CU, "file"),
        "a.cif",
        "crystals.Cu",
        "either 'prototype' or 'file'",
    ),
    "neither of them": (CU, {"a_ang": 3.6}, "crystals.Cu", "either 'prototype' or 'file'"),
    "elements of a file": (
        CU,
        {"file": "a.cif", "elements": ["Cu"]},
        "crystals.Cu.file",
        "goes without 'elements'",
    ),
    "too many elements": (
        (*CU, "elements"),
        ["Cu", "Au"],
        "crystals.Cu.elements",
        "fcc holds 1, got 2",
    ),
    "misspelt element": ((*CU, "elements"), ["CU"], "crystals.Cu.elements[0]", "'Cu'?"),
    "element without parameters": (
        (*CU, "elements"),
        ["Fe"],
        "crystals.Cu.elements[0]",
        "Fe is not covered by the model, which has Cu, Au",
    ),
    "compound without a length": (
        CU,
        {"prototype": "rocksalt", "elements": ["Cu", "Au"]},
        "crystals.Cu.a_ang",
        "is required for rocksalt",
    ),
    "unknown check": ((*P, "checks"), ["phonon"], "checks[0]", "did you mean 'phonons'?"),
    "check named twice": (
        (*CU, "checks"),
        ["elastic", "equation_of_state", "elastic"],
        "crystals.Cu.checks[2]",
        "named twice",
    ),
    "facet of two indices": ((*P, "facets"), [[1, 1]], "facets[0]", "at least 3 entries"),
    "facet of zeros": ((*P, "facets"), [[0, 0, 0]], "facets[0]", "must not be 0"),
    "repeat of zero": ((*P, "phonon_repeat"), [2, 0, 2], "phonon_repeat[1]", "at least 1"),
    "reference of another element": (
        (*P, "references", "Cu", "elements"),
        ["Au"],
        "references.Cu.elements",
        "must be [Cu]",
    ),
    "unknown crystal": (VALUES, {"cu": {"C11": 1.0}}, "given[0].values.cu", "did you mean 'Cu'?"),
    "unknown quantity": (
        VALUES,
        {"Cu": {"bulkmodulus": 140.0}},
        "given[0].values.Cu.bulkmodulus",
        "did you mean 'bulk_modulus'?",
    ),
    "vacancy without a site": (
        VALUES,
        {"Cu": {"vacancy_Cu_zero_stress": 1.3}},
        "given[0].values.Cu.vacancy_Cu_zero_stress",
        "did you mean 'vacancy_Cu_site0_zero_stress'?",
    ),
    "energies have other zeros": (
        VALUES,
        {"Cu": {"energy": -3.5}},
        "given[0].values.Cu.energy",
        "no quantity to compare with 'energy'",
    ),
    "check that is not made": (
        VALUES,
        {"CuAu": {"C11": 140.0}},
        "given[0].values.CuAu.C11",
        "needs the check 'elastic'",
    ),
    "facet that is not cut": (
        VALUES,
        {"Cu": {"surface_(1 0 0)": 1.8}},
        "given[0].values.Cu.surface_(1 0 0)",
        "did you mean 'surface_(1 1 1)'?",
    ),
    "vacancy of an absent element": (
        VALUES,
        {"Cu": {"vacancy_Au_site0_zero_stress": 1.0}},
        "given[0].values.Cu.vacancy_Au_site0_zero_stress",
        "the crystal holds no Au: Cu",
    ),
    "numbers without a source": (
        (*P, "given", 0, "source"),
        None,
        "given[0].source",
        "is required and missing",
    ),
    "text for a number": (VALUES, {"Cu": {"a": "3.6"}}, "given[0].values.Cu.a", "must be a number"),
    "potential with itself": (
        (*P, "against"),
        GOOD["potential"],
        "against",
        "is the potential of the campaign itself",
    ),
    "option of the potential": (
        (*P, "against", "options", "sigm"),
        1.0,
        "against.options.sigm",
        "did you mean 'sigma'?",
    ),
    "negative tolerance": (
        (*P, "tolerances"),
        {"fmax_ev_per_ang": -1.0},
        "tolerances.fmax_ev_per_ang",
        "must be greater than 0",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_sections_end_in_one_line(name, tmp_path, capsys):
    key, value, shown, hint = BROKEN[name]
    path = written(tmp_path, changed((key, value)))
    out = tmp_path / "out.parquet"
    assert main(["physics", "--config", str(path), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"{path}: physics.{shown}: ")
    assert hint in error
    assert not out.exists()


def test_there_must_be_something_to_compare_with(tmp_path):
    path = written(tmp_path, changed(((*P, "against"), None), ((*P, "given"), None)))
    with pytest.raises(ValueError, match=r"physics.against: is required without 'given' numbers"):
        load_config(path)
    assert (
        load_config(written(tmp_path, changed(((*P, "against"), None)))).physics_against() is None
    )


def test_the_labeller_is_what_a_model_is_compared_with(tmp_path):
    edits = [(("dataset",), LABELLED), ((*P, "against"), None)]
    config = load_config(written(tmp_path, changed(*edits)))
    assert config.physics_against().name == "chgnet"
    values = changed(*edits, (("dataset", "labels"), {"calculator": "emt"}))
    assert load_config(written(tmp_path, values)).physics_against() is None
    assert load_config(written(tmp_path, GOOD)).physics_against().name == "lj"


def test_imported_frames_have_another_labeller(tmp_path):
    imports = [{"format": "extxyz", "paths": ["dft.xyz"]}]
    given = [{"source": "measured", "values": {"Cu": {"C11": 177.0}}}]
    edits = [(("dataset",), LABELLED), ((*P, "against"), None), ((*P, "given"), given)]
    values = changed(*edits, (("dataset", "generators"), []), (("dataset", "imports"), imports))
    assert load_config(written(tmp_path, values)).physics_against() is None


def test_the_figure_needs_the_section(tmp_path):
    with pytest.raises(ValueError, match=r"figures.names\[0\]: 'physics_checks' needs the section"):
        load_config(written(tmp_path, changed((P, None))))


def digest(folder: Path, values: dict[str, Any], section: str = "physics") -> str:
    return load_config(written(folder, values)).section_digest(section)


TRAINED = [(("dataset",), LABELLED), (("training",), NETWORK), ((*P, "crystals", "CuAu"), None)]


@pytest.mark.parametrize(
    ("key", "value", "is_trained", "reruns"),
    [
        ((*P, "facets"), [[1, 0, 0]], False, True),
        (("potential", "options", "elements"), ["Cu", "Au", "Ni"], False, True),
        (("compute",), {"device": "cuda"}, False, True),
        (("compute",), {"threads": 2}, False, False),
        (("campaign", "seed"), 1, False, False),
        (("campaign", "seed"), 1, True, True),
        (("training", "epochs"), 7, True, True),
        (("dataset", "labels", "jobs"), 7, True, True),
        (("composition", "scans", 0, "methods"), ["vegard"], True, False),
        (("figures", "dots_per_inch"), 70, True, False),
    ],
)
def test_the_checks_depend_on_what_they_are_made_from(key, value, is_trained, reruns, tmp_path):
    base = TRAINED if is_trained else []
    before = digest(tmp_path, changed(*base))
    assert (digest(tmp_path, changed(*base, (key, value))) != before) is reruns


def test_only_figures_and_report_depend_on_the_checks(tmp_path):
    after = changed(*TRAINED, ((*P, "facets"), [[1, 0, 0]]))
    for section in ("potential", "composition", "dataset", "training"):
        assert digest(tmp_path, changed(*TRAINED), section) == digest(tmp_path, after, section)
    for section in ("figures", "report"):
        assert digest(tmp_path, changed(*TRAINED), section) != digest(tmp_path, after, section)
