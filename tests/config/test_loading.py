"""Good configurations: what they count, what they depend on, and that loading them is light."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
import yaml
from ase.data import chemical_symbols
from pydantic_core import PydanticUndefined

from softatoms.composition.tasks import list_tasks
from softatoms.config import load_config
from softatoms.config.elements import SYMBOLS
from softatoms.config.figures import FEWEST_POINTS
from softatoms.config.potential import BACKENDS, DESCRIPTION_FILE
from softatoms.config.potential_options import (
    CHGNET_MODELS,
    GUPTA_ELEMENTS,
    OPTIONS,
    GuptaPair,
    option_problems,
)
from softatoms.config.reference import json_schema, markdown_reference
from softatoms.config.yaml_source import dotted, read_yaml
from softatoms.errors import SoftatomsError
from softatoms.figures import free_energy
from softatoms.potentials import registry
from softatoms.potentials.chgnet_import import CARRIED
from softatoms.potentials.gupta import CLERI_ROSATO, GuptaParameters

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("config/**/*.yaml"))


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
def quickstart() -> str:
    return (ROOT / "config/config.yaml").read_text()


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configurations(name):
    config = load_config(ROOT / name)
    assert config.n_tasks() == (len(list_tasks(config)) if config.composition else 0)
    schema = json.loads((ROOT / "config/schema.json").read_text())
    jsonschema.validate(read_yaml(ROOT / name)[0], schema)
    pointer = (ROOT / name).read_text().splitlines()[0].partition("$schema=")[2]
    assert (ROOT / name).parent.joinpath(pointer).resolve() == ROOT / "config/schema.json"


def test_schema_and_reference_are_not_stale():
    assert (ROOT / "config/schema.json").read_text() == json_schema()
    assert (ROOT / "docs/configuration.md").read_text() == markdown_reference()


def test_the_screening_is_large_and_counted_without_listing():
    started = time.perf_counter()
    config = load_config(ROOT / "config/screening/fcc-metals.yaml")
    assert config.n_tasks() >= 10_000
    assert config.n_shards() == 16
    assert time.perf_counter() - started < 1.0


def test_loading_imports_nothing_heavy():
    code = (
        "import sys; from softatoms.config import load_config;"
        "c = load_config('config/config.yaml');"
        "c.n_shards(), c.figure_names(), c.section_digest('report');"
        "heavy = {'torch', 'ase', 'pymatgen', 'numpy', 'pyarrow', 'matplotlib', 'scipy'};"
        "sys.exit(' '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_constants_that_stand_twice_agree():
    assert set(BACKENDS) == set(registry.BACKENDS)
    assert DESCRIPTION_FILE == registry.DESCRIPTION_FILE
    assert list(SYMBOLS) == chemical_symbols[1:]
    assert set(GUPTA_ELEMENTS) == set(CLERI_ROSATO)
    assert tuple(CARRIED) == CHGNET_MODELS
    assert FEWEST_POINTS == free_energy._FEWEST_POINTS
    assert tuple(GuptaPair.model_fields) == GuptaParameters._fields


@pytest.mark.parametrize("name", BACKENDS)
def test_options_are_those_of_the_potentials(name):
    maker = registry.BACKENDS[name].maker()
    expected = {
        option: PydanticUndefined if parameter.default is parameter.empty else parameter.default
        for option, parameter in inspect.signature(maker).parameters.items()
    }
    assert {key: field.default for key, field in OPTIONS[name].model_fields.items()} == expected


PAIR = {"a": 0.15, "xi": 1.56, "p": 11.05, "q": 3.05, "r0": 2.72}
GOOD_OPTIONS = [
    ("lj", {"epsilon": 0.01, "sigma": 3}),
    (
        "lj",
        {
            "epsilon": {"Ar": 0.01, "Kr": 0.02},
            "sigma": {"Kr": 3.6, "Ar": 3.4},
            "cutoff": 9.0,
            "onset": 8.0,
            "pairs": {"Kr-Ar": {"epsilon": 0.012, "sigma": 3.5}},
            "isolated_energies": {"Ar": -1.0},
        },
    ),
    ("gupta", {"elements": ["Cu", "Au"], "pairs": {"Cu-Au": PAIR}}),
    ("harmonic", {"lattice": "bcc", "a": 3.0, "stiffness": 2.0}),
    (
        "harmonic",
        {"lattice": "fcc", "a": 4, "stiffness": {"Al": 1.0, "Sc": 2.0}, "pairs": {"Al-Sc": 2.0}},
    ),
    ("schnet", {"elements": ["Cu"], "n_features": 4, "seed": 3}),
    ("painn", {"elements": ["Cu", "Au"], "cutoff": 4, "isolated_energies": {"Au": -2}}),
    ("chgnet", {"model": "r2scan"}),
]
BAD_OPTIONS = [
    ("lj", {"epsilon": -1, "sigma": 3.0}, "epsilon"),
    ("lj", {"epsilon": True, "sigma": 3.0}, "epsilon"),
    ("lj", {"epsilon": 1.0}, "sigma"),
    ("lj", {"epsilon": {"Ar": 1.0}, "sigma": {"Kr": 1.0}}, "sigma"),
    ("lj", {"epsilon": {"Ar": 1.0}, "sigma": 1.0}, "sigma"),
    ("lj", {"epsilon": {}, "sigma": {}}, "epsilon"),
    ("lj", {"epsilon": {"ar": 1.0}, "sigma": {"ar": 1.0}}, "epsilon.ar"),
    ("lj", {"epsilon": 1.0, "sigma": 1.0, "onset": 3.5}, "onset"),
    ("lj", {"epsilon": 1.0, "sigma": 1.0, "isolated_energies": {"Ar": 1.0}}, "isolated_energies"),
    ("lj", {"epsilon": 1.0, "sigma": 1.0, "pairs": {"Ar-Kr": {"epsilon": 1.0}}}, "pairs"),
    ("gupta", {}, "elements"),
    ("gupta", {"elements": []}, "elements"),
    ("gupta", {"elements": ["Cu", "Cu"]}, "elements[1]"),
    ("gupta", {"elements": ["Cu", "Fe"]}, "elements[1]"),
    ("gupta", {"elements": ["Cu"], "cutof": 5.0}, "cutof"),
    ("gupta", {"elements": ["Cu"], "pairs": {"Cu-Au": PAIR}}, "pairs.Cu-Au"),
    (
        "gupta",
        {"elements": ["Cu", "Au"], "pairs": {"Cu-Au": PAIR, "Au-Cu": PAIR}},
        "pairs.Au-Cu",
    ),
    ("harmonic", {"lattice": "fcc", "a": 4.0}, "stiffness"),
    ("harmonic", {"lattice": "hcp", "a": 4.0, "stiffness": 1.0}, "lattice"),
    ("harmonic", {"lattice": "fcc", "a": 4.0, "stiffness": {"Al": 0}}, "stiffness.Al"),
    ("painn", {}, "elements"),
    ("painn", {"elements": ["Cu"], "n_features": 0}, "n_features"),
    ("schnet", {"elements": ["Cu"], "seed": -1}, "seed"),
    ("schnet", {"elements": ["Cu"], "isolated_energies": {"Au": 1.0}}, "isolated_energies.Au"),
    ("mace", {}, "path"),
    ("mace", {"path": "a.model", "model": "small", "trust": True}, "path"),
    ("mace", {"path": "a.model"}, "trust"),
    ("mace", {"path": "a.model", "trust": True, "sha256": "12"}, "sha256"),
    ("mace", {"path": "no.model", "trust": True}, "sha256"),
    ("chgnet", {"model": "0.4.0"}, "model"),
    ("chgnet", {"elements": ["Cu"]}, "elements"),
    ("chgnet", {"isolated_energies": {"Cu": 1.0}}, "isolated_energies"),
]


@pytest.mark.parametrize(("name", "options"), GOOD_OPTIONS)
def test_options_that_a_potential_takes_are_accepted(name, options):
    assert option_problems(name, options, ()) == []
    registry.load_potential(name, **options)


@pytest.mark.parametrize(("name", "options", "where"), BAD_OPTIONS)
def test_options_that_a_potential_refuses_are_refused_at_once(name, options, where):
    problems = option_problems(name, options, ("potential", "options"))
    assert problems
    assert dotted(problems[0].key).startswith(f"potential.options.{where}")
    with pytest.raises(SoftatomsError):
        registry.load_potential(name, **options)


DIGESTS = ("potential", "composition", "screening", "dataset", "training", "figures", "report")
DRAWN = {"figures", "report"}
TRAINED = {"training", *DRAWN}
ALL_BUT_POTENTIAL = set(DIGESTS) - {"potential"}


def digests(path: Path) -> dict[str, str]:
    config = load_config(path)
    return {section: config.section_digest(section) for section in DIGESTS}


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("# Explicit supercells", "# Supercells", set()),
        ("  seed: 0\n", "", set()),
        ("  threads: 1\n", "  threads: 2\n", set()),
        ("campaign:\n  name: quickstart", "campaign:\n\n  name:   'quickstart'", set()),
        ("title: Cu–Au", "title: Au–Cu", {"report"}),
        ("[300, 600, 900]", "[300, 600]", DRAWN),
        ("shard_size: 64", "shard_size: 32", {"composition", "screening", "figures", "report"}),
        ("seed: 0", "seed: 1", ALL_BUT_POTENTIAL),
        ("dtype: float64", "dtype: float32", ALL_BUT_POTENTIAL),
        ("epochs: 120", "epochs: 20", TRAINED),
        ("strain: 0.04", "strain: 0.05", {"dataset", *TRAINED}),
        ("elements: [Cu, Au, Ni]", "elements: [Cu, Au, Ni, Ag]", set(DIGESTS)),
    ],
)
def test_a_change_reaches_what_depends_on_it_and_nothing_else(
    old, new, changed, quickstart, tmp_path
):
    assert old in quickstart
    before = digests(write(tmp_path / "a.yaml", quickstart))
    after = digests(write(tmp_path / "b.yaml", quickstart.replace(old, new)))
    assert {section for section in DIGESTS if before[section] != after[section]} == changed


def test_a_retrained_potential_changes_the_digest(tmp_path):
    from softatoms import load_potential, save_potential

    model = tmp_path / "model"
    text = yaml.safe_dump(
        {
            "campaign": {"name": "a"},
            "potential": {"name": str(model)},
            "composition": {
                "scans": [
                    {
                        "name": "a",
                        "prototypes": ["fcc"],
                        "sublattices": {"site": {"elements": ["Cu", "Au"], "divisions": 2}},
                    }
                ]
            },
            "figures": {"names": ["mixing"]},
        }
    )
    seen = []
    for seed in (0, 1):
        save_potential(load_potential("schnet", elements=["Cu", "Au"], seed=seed), model)
        seen.append(digests(write(tmp_path / "a.yaml", text))["potential"])
    assert seen[0] != seen[1]


def test_scalars_follow_yaml_1_2(tmp_path):
    text = "a: [No, yes, true, 1e-3, 0o7, 010, 1_000, .5, ~, null, 2020-01-01, -3]\n"
    values, lines = read_yaml(write(tmp_path / "a.yaml", text))
    assert values == {
        "a": ["No", "yes", True, 1e-3, "0o7", 10, "1_000", 0.5, None, None, "2020-01-01", -3]
    }
    assert lines[("a",)] == 1
