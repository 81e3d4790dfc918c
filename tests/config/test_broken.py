"""Every broken configuration ends in one clear line, exit code 2, and nothing written."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from softatoms.cli import main
from softatoms.config import ConfigError, load_config

GOOD = {
    "campaign": {"name": "broken", "seed": 1},
    "compute": {"device": "cpu"},
    "potential": {"name": "gupta", "options": {"elements": ["Cu", "Au"]}},
    "composition": {
        "shard_size": 4,
        "scans": [
            {
                "name": "cu-au",
                "prototypes": ["fcc"],
                "sublattices": {"site": {"elements": ["Cu", "Au"], "divisions": 4}},
                "methods": ["mean_field", "sqs"],
            },
            {
                "name": "listed",
                "prototypes": ["fcc"],
                "sublattices": {
                    "site": {
                        "elements": ["Cu", "Au"],
                        "compositions": [{"Cu": 0.25, "Au": 0.75}, {"Cu": 0.5, "Au": 0.5}],
                    }
                },
            },
        ],
    },
    "screening": {"temperature_k": 300, "filters": [{"column": "x_Cu", "at_least": 0.1}]},
    "figures": {"names": ["mixing"], "temperatures_k": [300]},
}

SCAN = ("composition", "scans", 0)
SITE = (*SCAN, "sublattices", "site")
LISTED = ("composition", "scans", 1, "sublattices", "site", "compositions")

BROKEN = {
    "unknown section": (("campain",), {}, "campain", "did you mean 'campaign'?"),
    "unknown key": (("compute", "dvice"), "cpu", "compute.dvice", "did you mean 'device'?"),
    "unknown nested key": (
        (*SITE, "divsions"),
        4,
        "composition.scans[0].sublattices.site.divsions",
        "did you mean 'divisions'?",
    ),
    "text for a whole number": (
        ("campaign", "seed"),
        "one",
        "campaign.seed",
        "must be a whole number, got 'one'",
    ),
    "truth value for a whole number": (
        ("compute", "threads"),
        True,
        "compute.threads",
        "must be a whole number, got True",
    ),
    "fraction for a whole number": (
        ("composition", "shard_size"),
        2.5,
        "composition.shard_size",
        "must be a whole number, got 2.5",
    ),
    "number for a text": (
        ("potential", "name"),
        3,
        "potential.name",
        "must be a text, got 3",
    ),
    "text for a list": (
        (*SCAN, "methods"),
        "sqs",
        "composition.scans[0].methods",
        "must be a list",
    ),
    "list for a section": (("figures",), ["mixing"], "figures", "must be a mapping"),
    "negative temperature": (
        ("screening", "temperature_k"),
        -300,
        "screening.temperature_k",
        "must be greater than 0, got -300",
    ),
    "negative temperature in a list": (
        ("figures", "temperatures_k"),
        [300, -1.5],
        "figures.temperatures_k[1]",
        "must be greater than 0, got -1.5",
    ),
    "infinite tolerance": (
        ("composition", "relaxation"),
        {"pressure_tolerance_gpa": float("inf")},
        "composition.relaxation.pressure_tolerance_gpa",
        "must be a finite number",
    ),
    "negative seed": (("campaign", "seed"), -1, "campaign.seed", "must be at least 0, got -1"),
    "name that is no folder": (
        ("campaign", "name"),
        "../up",
        "campaign.name",
        "must match",
    ),
    "required key missing": (("campaign", "name"), None, "campaign.name", "is required"),
    "required section missing": (("potential",), None, "potential", "is required"),
    "a potential that nothing trains": (
        ("potential",),
        {"name": "trained"},
        "potential.name",
        "'trained' needs the section 'training'",
    ),
    "unknown device": (("compute", "device"), "cuda0", "compute.device", "did you mean 'cuda'?"),
    "unknown method": (
        (*SCAN, "methods"),
        ["meanfield"],
        "composition.scans[0].methods[0]",
        "did you mean 'mean_field'?",
    ),
    "method named twice": (
        (*SCAN, "methods"),
        ["sqs", "sqs"],
        "composition.scans[0].methods[1]",
        "named twice",
    ),
    "unknown prototype": (
        (*SCAN, "prototypes"),
        ["fc"],
        "composition.scans[0].prototypes[0]",
        "did you mean 'fcc'?",
    ),
    "sublattice of another prototype": (
        (*SCAN, "prototypes"),
        ["B2"],
        "composition.scans[0].sublattices.site",
        "B2 has no such sublattice",
    ),
    "missing saved potential": (
        ("potential",),
        {"name": "results/none/model"},
        "potential.name",
        "neither a potential nor an existing directory",
    ),
    "misspelt element": (
        (*SITE, "elements"),
        ["Cu", "AU"],
        "composition.scans[0].sublattices.site.elements[1]",
        "did you mean 'Au'?",
    ),
    "element without parameters": (
        (*SITE, "elements"),
        ["Cu", "Fe"],
        "composition.scans[0].sublattices.site.elements[1]",
        "Fe is not covered by the potential",
    ),
    "option that a potential does not have": (
        ("potential", "options", "cutof"),
        5.0,
        "potential.options.cutof",
        "unknown key: known: elements, isolated_energies, pairs",
    ),
    "element that a potential has no parameters for": (
        ("potential", "options", "elements"),
        ["Cu", "Fe"],
        "potential.options.elements[1]",
        "gupta has no parameters for Fe",
    ),
    "potential without elements": (
        ("potential", "options", "elements"),
        [],
        "potential.options.elements",
        "must have at least 1 entries",
    ),
    "potential without a required option": (
        ("potential",),
        {"name": "harmonic", "options": {"lattice": "fcc", "a": 4.0}},
        "potential.options.stiffness",
        "is required and missing",
    ),
    "misspelt option of a potential": (
        ("potential",),
        {"name": "painn", "options": {"cutof": 4.0, "elements": ["Cu", "Au"]}},
        "potential.options.cutof",
        "did you mean 'cutoff'?",
    ),
    "negative well depth": (
        ("potential",),
        {"name": "lj", "options": {"epsilon": -1, "sigma": 3.0}},
        "potential.options.epsilon",
        "must be a positive number, got -1",
    ),
    "composition that does not sum to 1": (
        (*LISTED, 1),
        {"Cu": 0.5, "Au": 0.4},
        "composition.scans[1].sublattices.site.compositions[1]",
        "must sum to 1, got 0.9",
    ),
    "negative fraction": (
        (*LISTED, 1),
        {"Cu": 1.5, "Au": -0.5},
        "composition.scans[1].sublattices.site.compositions[1].Au",
        "must lie between 0 and 1, got -0.5",
    ),
    "fraction of a stranger": (
        (*LISTED, 1),
        {"Cu": 0.5, "Ag": 0.5},
        "composition.scans[1].sublattices.site.compositions[1].Ag",
        "not among the elements of the sublattice",
    ),
    "composition listed twice": (
        (*LISTED, 1),
        {"Cu": 0.25, "Au": 0.75},
        "composition.scans[1].sublattices.site.compositions[1]",
        "repeats compositions[0]",
    ),
    "grid and list at once": (
        (*SITE, "compositions"),
        [{"Cu": 1.0}],
        "composition.scans[0].sublattices.site",
        "either 'divisions' or 'compositions'",
    ),
    "grid that no supercell can hold": (
        (*SITE, "divisions"),
        5,
        "composition.scans[0].sublattices.site.divisions",
        "must divide the 256 sites",
    ),
    "far too fine a grid": (
        LISTED[:-1],
        {"elements": ["Cu", "Au"], "divisions": 10**12},
        "composition.scans",
        "1000000000021 compositions are more than 10000000",
    ),
    "a grid finer than any number that can be shown": (
        (*LISTED[:-1],),
        {
            "elements": ["Cu", "Au", "Ag", "Ni", "Pd", "Pt"],
            "divisions": 10**31,
        },
        "composition.scans",
        "over 10^18 compositions are more than 10000000",
    ),
    "far too large a supercell": (
        ("composition", "sqs"),
        {"supercell": [10, 10, 11]},
        "composition.sqs.supercell",
        "fcc has 4400 sites in it, more than 4000",
    ),
    "scan named twice": (
        ("composition", "scans", 1, "name"),
        "cu-au",
        "composition.scans[1].name",
        "'cu-au' is the name of another scan",
    ),
    "filter on an unknown column": (
        ("screening", "filters", 0, "column"),
        "x_Ag",
        "screening.filters[0].column",
        "unknown column 'x_Ag'",
    ),
    "filter that nothing passes": (
        ("screening", "filters", 0),
        {"column": "x_Cu", "at_least": 0.5, "at_most": 0.4},
        "screening.filters[0]",
        "at_least (0.5) is above at_most (0.4)",
    ),
    "ranking of a method that is not scanned": (
        ("screening", "methods"),
        ["replica"],
        "screening.methods[0]",
        "no scan uses the method 'replica'",
    ),
    "filter on a scan that does not exist": (
        ("screening", "filters", 0),
        {"column": "scan", "one_of": ["cu-au", "liste"]},
        "screening.filters[0].one_of[1]",
        "unknown scan 'liste': did you mean 'listed'?",
    ),
    "filter on a prototype that is not scanned": (
        ("screening", "filters", 0),
        {"column": "prototype", "one_of": ["bcc"]},
        "screening.filters[0].one_of[0]",
        "unknown prototype 'bcc'",
    ),
    "free energy from too few compositions": (
        ("figures", "names"),
        ["free_energy"],
        "figures.names[0]",
        "needs a scan of two elements with at least 4 compositions, got 3",
    ),
    "parity without a training": (
        ("figures", "names"),
        ["mixing", "parity"],
        "figures.names[1]",
        "'parity' needs the section 'training'",
    ),
    "training curve without a training": (
        ("figures", "names"),
        ["training"],
        "figures.names[0]",
        "'training' needs the section 'training'",
    ),
    "more threads than any computer has": (
        ("compute", "threads"),
        100_000,
        "compute.threads",
        "must be at most 1024",
    ),
}


def changed(key: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """A good configuration with one value put in, or taken out if it is None."""
    config = copy.deepcopy(GOOD)
    place: object = config
    for part in key[:-1]:
        place = place[part]  # type: ignore[index]
    if value is None:
        del place[key[-1]]  # type: ignore[attr-defined]
    else:
        place[key[-1]] = value  # type: ignore[index]
    return config


def run_manifest(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and standard error of a command; after a failure no file may have appeared."""
    before = sorted(path.parent.rglob("*"))
    out = path.parent / "results" / "manifest.parquet"
    code = main(["manifest", "--config", str(path), "--out", str(out)])
    if code:
        assert sorted(path.parent.rglob("*")) == before
    return code, capsys.readouterr().err


def test_what_is_missing_where_compositions_are_not_scanned(tmp_path, capsys):
    path = tmp_path / "nothing.yaml"
    path.write_text(yaml.safe_dump({name: GOOD[name] for name in ("campaign", "potential")}))
    code, error = run_manifest(path, capsys)
    assert code == 2
    assert "composition: is required without a section 'dataset', 'training'" in error
    generator = {
        "name": "warm",
        "parent": {"lattice": "fcc", "species": ["Cu"]},
        "dynamics": {"snapshots": 1},
    }
    network = {"name": "painn", "options": {"elements": ["Cu"]}}
    config = {
        "campaign": GOOD["campaign"],
        "potential": {"name": "trained"},
        "dataset": {"generators": [generator]},
        "training": {"potential": network},
        "figures": {"names": []},
    }
    path.write_text(yaml.safe_dump(config))
    code, error = run_manifest(path, capsys)
    assert code == 2
    assert "dataset.dynamics_potential: is required" in error
    config["dataset"]["dynamics_potential"] = network
    path.write_text(yaml.safe_dump(config))
    assert run_manifest(path, capsys) == (2, f"{path}: composition: is required to scan\n")


def test_the_unbroken_one_works(tmp_path, capsys):
    path = tmp_path / "good.yaml"
    path.write_text(yaml.safe_dump(GOOD))
    assert run_manifest(path, capsys) == (0, "")


@pytest.mark.parametrize("name", BROKEN)
def test_one_clear_line(name, tmp_path, capsys):
    key, value, shown, hint = BROKEN[name]
    path = tmp_path / "broken.yaml"
    config = changed(key, value)
    if value == ["free_energy"]:
        config["composition"]["scans"][0]["sublattices"]["site"]["divisions"] = 2
    path.write_text(yaml.safe_dump(config))
    code, error = run_manifest(path, capsys)
    assert code == 2
    assert error.count("\n") == 1
    assert error.startswith(f"{path}: {shown}: ")
    assert hint in error


NESTED_ALIASES = "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}' if level else 'x'] * 10)}]\n"
    for level in range(30)
)


@pytest.mark.parametrize("where", ["rank_by", "filters"])
def test_a_bulk_modulus_that_no_method_gives(where, tmp_path, capsys):
    config = changed(("screening", "methods"), ["vegard"])
    config["composition"]["scans"][0]["methods"] = ["vegard"]
    condition = {"column": "bulk_modulus_gpa", "at_least": 1.0}
    config["screening"][where] = [condition] if where == "filters" else "bulk_modulus_gpa"
    path = tmp_path / "broken.yaml"
    path.write_text(yaml.safe_dump(config))
    code, error = run_manifest(path, capsys)
    assert code == 2
    assert error.count("\n") == 1
    assert f"screening.{where}" in error
    assert "needs a method other than vegard" in error


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (None, "no such file"),
        ("campaign: [unclosed\n", "is not valid YAML"),
        ("", "must be a mapping of sections, got nothing"),
        ("- a\n- b\n", "must be a mapping of sections"),
        (
            "campaign:\n  name: a\n  seed: 1\n  seed: 2\n",
            "campaign.seed: stands twice, lines 3 and 4",
        ),
        ("campaign: !!python/object/apply:os.system [true]\n", "could not determine a constructor"),
        (b"campaign: \xff\n", "cannot be read as UTF-8"),
        ("a: &a [*a]\n", "refers to itself"),
        ("campaign: \0\n", "is not valid YAML: "),
        ("a: " + "[" * 3000 + "]" * 3000, "is nested too deeply"),
        ("a: " + "[" * 100 + "]" * 100, "is nested too deeply"),
        ('a: !!int "x"\n', "cannot be read as int (line 1)"),
        ('a: !!float "x"\n', "cannot be read as float (line 1)"),
        ('a: !!bool "x"\n', "cannot be read as bool (line 1)"),
        (f"campaign:\n  seed: {'9' * 5000}\n", "cannot be read as int (line 2)"),
        (f"campaign:\n  seed: {'9' * 400}\n", "cannot be read as int (line 2)"),
        ('a: !!timestamp "x"\n', "could not determine a constructor"),
        (NESTED_ALIASES, "aliases repeat more than 10000 values"),
    ],
)
def test_files_that_are_no_configuration(text, hint, tmp_path, capsys):
    path = tmp_path / "broken.yaml"
    if isinstance(text, bytes):
        path.write_bytes(text)
    elif text is not None:
        path.write_text(text)
    code, error = run_manifest(path, capsys)
    assert code == 2
    assert error.count("\n") == 1
    assert error.startswith(f"{path}: ")
    assert hint in error


def keys_of(value: object, key: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Keys of all values of a configuration, sections and lists included."""
    found: list[tuple[str | int, ...]] = [key] if key else []
    if isinstance(value, dict):
        for name, part in value.items():
            found += keys_of(part, (*key, name))
    if isinstance(value, list):
        for index, part in enumerate(value):
            found += keys_of(part, (*key, index))
    return found


JUNK = [True, 0, -1, 1.5, 10**30, float("nan"), "", "x", [], [[]], {}, {1: 2}, {"x": None}]


@pytest.mark.parametrize("key", keys_of(GOOD), ids=str)
def test_junk_anywhere_is_refused_or_makes_sense(key, tmp_path):
    path = tmp_path / "junk.yaml"
    for junk in JUNK:
        path.write_text(yaml.safe_dump(changed(key, junk)))
        try:
            config = load_config(path)
        except ConfigError as error:
            for line in str(error).splitlines():
                assert re.match(rf"{path}: [\w.\[\]-]+: .", line), line
        else:
            assert 0 < config.n_shards() <= config.n_tasks()


def test_all_problems_are_named_at_once_in_the_order_of_the_file(tmp_path, capsys):
    config = changed(("campaign", "seed"), "one")
    config["compute"] = {"dvice": "cpu", "dtype": "half"}
    path = tmp_path / "broken.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    code, error = run_manifest(path, capsys)
    assert code == 2
    keys = [line.split(": ")[1] for line in error.splitlines()]
    assert keys == ["campaign.seed", "compute.dvice", "compute.dtype"]


def test_the_line_of_the_file_is_named(tmp_path, capsys):
    path = tmp_path / "broken.yaml"
    path.write_text(yaml.safe_dump(changed(("compute", "dvice"), "cpu"), sort_keys=False))
    line = path.read_text().splitlines().index("  dvice: cpu") + 1
    assert run_manifest(path, capsys)[1].endswith(f"(line {line})\n")
