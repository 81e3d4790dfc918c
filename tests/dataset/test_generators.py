"""Generators: how many frames, sane distances, the same frames again, other seeds differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list

from campaigns import SMALL
from softatoms import evaluate_batch, load_potential
from softatoms.config import ConfigError, load_config
from softatoms.config.generators import Parent
from softatoms.dataset.frames import Frame
from softatoms.dataset.generation import generate
from softatoms.dataset.generators_special import added_row
from softatoms.dataset.parents import (
    GenerationError,
    build_parent,
    closest_ratio,
    rattled,
    stream,
)
from softatoms.dataset.parquet_frames import frames_digest

NATURE = {
    ("fcc", "Cu"): 3.61,
    ("bcc", "W"): 3.16,
    ("fcc", "Pt"): 3.92,
    ("bcc", "Nb"): 3.30,
    ("hcp", "Mg"): 3.21,
    ("hcp", "Ti"): 2.95,
    ("diamond", "Si"): 5.43,
}
"""Measured lattice parameters in Å; hcp is made with an ideal c, which changes a by 1 % at most."""

CU = {"lattice": "fcc", "species": ["Cu"], "a_ang": 3.61}
CU32 = {**CU, "repeat": [2, 2, 2]}
GENERATORS: dict[str, tuple[dict[str, Any], int, bool]] = {
    "volumes": ({"parent": CU, "volumes": {"factors": [0.9, 1.0, 1.1]}}, 3, False),
    "strained": (
        {
            "parent": {"lattice": "rocksalt", "species": ["Na", "Cl"], "a_ang": 5.64},
            "strained": {"count": 5, "strain": 0.05, "rattle_ang": 0.05},
        },
        5,
        True,
    ),
    "rattled": (
        {
            "parent": {"lattice": "hcp", "species": ["Ti"], "repeat": [2, 2, 1]},
            "rattled": {"count": 4},
        },
        4,
        True,
    ),
    "substituted": (
        {
            "parent": {**CU32, "a_ang": 3.8},
            "substituted": {"count": 6, "species": "Cu", "elements": ["Cu", "Au"]},
        },
        6,
        True,
    ),
    "random-alloys": (
        {"random_alloys": {"compositions": [{"Cu": 0.5, "Au": 0.5}], "replicates": 2}},
        2,
        True,
    ),
    "vacancies": ({"parent": CU32, "vacancies": {"count": 3, "missing": 2}}, 3, True),
    "slabs": (
        {"parent": CU, "slabs": {"count": 3, "miller": [1, 1, 1], "adsorbate": "O"}},
        3,
        True,
    ),
    "rows": ({"parent": CU, "slabs": {"count": 3, "adsorbate": "O", "added_row": True}}, 3, True),
    "ghosts": (
        {"parent": {**CU32, "a_ang": 3.9}, "ghosts": {"count": 6, "species": ["O"]}},
        6,
        True,
    ),
    "dimers": ({"dimers": {"pairs": [["Cu", "O"], ["O", "O"]], "count": 7}}, 14, False),
    "atoms": ({"atoms": {"species": ["Cu", "O"]}}, 2, False),
    "dynamics": (
        {"parent": CU32, "dynamics": {"snapshots": 3, "every": 10, "equilibration": 5}},
        6,
        True,
    ),
}


def write_config(path: Path, dataset: dict[str, Any], seed: int = 0) -> Path:
    path.write_text(
        yaml.safe_dump({**SMALL, "campaign": {"name": "small", "seed": seed}, "dataset": dataset})
    )
    return path


def made(tmp_path: Path, name: str, seed: int = 0) -> list[Frame]:
    generator = {"name": name, **GENERATORS[name][0]}
    config = load_config(write_config(tmp_path / "c.yaml", {"generators": [generator]}, seed))
    assert config.dataset is not None
    return list(generate(config, config.dataset.generators[0]))


@pytest.mark.parametrize("name", GENERATORS)
def test_frames_are_sane_reproducible_and_follow_the_seed(tmp_path, name):
    _, count, is_random = GENERATORS[name]
    frames = made(tmp_path, name)
    assert len(frames) == count
    assert len({frame.frame_id for frame in frames}) == count
    assert all(frame.frame_id.startswith(name) for frame in frames)
    assert all(frame.group.split("/")[0] == name for frame in frames)
    assert {frame.status for frame in frames} == {"unlabelled"}
    assert min(closest_ratio(frame.soft.to_ase()) for frame in frames) > 0.59
    assert frames_digest(made(tmp_path, name)) == frames_digest(frames)
    assert (frames_digest(made(tmp_path, name, seed=1)) != frames_digest(frames)) == is_random


def test_what_generators_do(tmp_path):
    volumes = [abs(np.linalg.det(f.soft.cell)) / 3.61**3 for f in made(tmp_path, "volumes")]
    np.testing.assert_allclose(volumes, [0.9, 1.0, 1.1], rtol=1e-12, atol=0)
    assert {frame.n_sites for frame in made(tmp_path, "vacancies")} == {30}
    for frame in made(tmp_path, "strained"):
        strain = np.linalg.solve(5.64 * np.eye(3), frame.soft.cell) - np.eye(3)
        np.testing.assert_allclose(strain, strain.T, rtol=0, atol=1e-12)
        assert 0.01 < np.abs(strain).max() <= 0.05
    golden = [(f.soft.site_number == 79).sum() for f in made(tmp_path, "substituted")]
    assert len(set(golden)) > 3
    assert {(f.soft.site_number == 79).sum() for f in made(tmp_path, "random-alloys")} == {16}
    oxygen = [int((f.soft.site_number == 8).sum()) for f in made(tmp_path, "ghosts")]
    assert len(set(oxygen)) > 1
    assert max(oxygen) <= 4
    distances = [np.ptp(f.soft.positions[:, 2]) for f in made(tmp_path, "dimers")[:7]]
    assert distances == sorted(distances)
    assert distances[-1] == pytest.approx(5.0)
    assert len({f.group for f in made(tmp_path, "dimers")}) == 2


def test_trajectories_are_groups_and_follow_their_temperature(tmp_path):
    frames = made(tmp_path, "dynamics")
    assert len({frame.group for frame in frames}) == 2
    potential = load_potential("gupta", elements=["Cu"])
    energies = [
        float(out.energy) for out in evaluate_batch(potential, [frame.soft for frame in frames])
    ]
    assert np.mean(energies[3:]) > np.mean(energies[:3]) + 0.5
    assert all(frame.soft.velocities is None for frame in frames)


def test_the_added_row_is_the_known_one():
    a = 3.61
    atoms = added_row("Cu", "O", a, layers=4, size=(2, 1), vacuum=8.0)
    np.testing.assert_allclose(atoms.cell.lengths()[:2], [2 * a, 2 * a / np.sqrt(2)], rtol=1e-12)
    assert atoms.get_chemical_formula() == "Cu18O2"
    oxygen, row = atoms[-1], atoms[-2]
    assert row.symbol == "Cu"
    # The added atom continues the lattice: four neighbours in the top layer, one below.
    away = atoms.get_distances(len(atoms) - 2, range(len(atoms) - 2), mic=True)
    assert (np.abs(away - a / np.sqrt(2)) < 1e-9).sum() == 5
    # Oxygen is midway between added atoms along [001], a little above them.
    assert oxygen.z - row.z == pytest.approx(0.2)
    assert oxygen.y == pytest.approx(row.y)
    assert abs(oxygen.x - row.x) == pytest.approx(a / 2)


def test_impossible_displacements_are_refused(tmp_path):
    from ase.build import bulk

    with pytest.raises(GenerationError, match="make them smaller"):
        rattled(bulk("Cu", cubic=True).repeat(2), 1.0, stream(0, "x"))
    generator = {"name": "a", "parent": CU, "substituted": {"species": "Au", "elements": ["Cu"]}}
    config = load_config(write_config(tmp_path / "c.yaml", {"generators": [generator]}))
    assert config.dataset is not None
    with pytest.raises(GenerationError, match="generator 'a': the parent Cu4 has no Au"):
        list(generate(config, config.dataset.generators[0]))


GOOD = {"name": "a", "parent": CU, "volumes": {}}
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "dataset", "needs 'imports' or 'generators'"),
    ({"generators": [{"name": "a", "parent": CU}]}, "generators[0]", "it has none"),
    ({"generators": [{**GOOD, "atoms": {"species": ["Cu"]}}]}, "generators[0]", "exactly one of"),
    ({"generators": [{**GOOD, "strianed": {}}]}, "generators[0].strianed", "mean 'strained'"),
    (
        {"generators": [{**GOOD, "volumes": {"factor": [1.0]}}]},
        "generators[0].volumes.factor",
        "did you mean 'factors'",
    ),
    ({"generators": [GOOD, GOOD]}, "generators[1].name", "is the name of another"),
    ({"generators": [{"name": "a", "volumes": {}}]}, "generators[0].parent", "is required"),
    (
        {"generators": [{**GOOD, "parent": {"lattice": "foc", "species": ["Cu"]}}]},
        "generators[0].parent.lattice",
        "did you mean 'fcc'",
    ),
    (
        {"generators": [{**GOOD, "parent": {"lattice": "rocksalt", "species": ["Cu"]}}]},
        "generators[0].parent.species",
        "rocksalt holds 2, got 1",
    ),
    (
        {"generators": [{"name": "a", "atoms": {"species": ["cu"]}}]},
        "generators[0].atoms.species[0]",
        "did you mean 'Cu'",
    ),
    (
        {"generators": [{"name": "a", "parent": CU, "slabs": {"added_row": True}}]},
        "generators[0].slabs.added_row",
        "and an adsorbate",
    ),
    (
        {"generators": [{"name": "a", "random_alloys": {"compositions": [{"O": 0.3, "Cu": 0.7}]}}]},
        "generators[0].random_alloys.compositions[0]",
        "does not fit the 32 sites",
    ),
    ({"imports": [{"format": "xyz", "paths": ["a"]}]}, "imports[0].format", "mean 'extxyz'"),
    (
        {"generators": [{"name": "s", "parent": {**CU, "repeat": [2, 1, 1]}, "slabs": {}}]},
        "generators[0].slabs.miller",
        "repeat it equally",
    ),
    (
        {"generators": [{"name": "s", "parent": CU, "slabs": {"miller": [2, -2, 0]}}]},
        "generators[0].slabs.miller",
        "no common factor: [1, -1, 0] is the same plane",
    ),
    (
        {"imports": [{"format": "extxyz", "paths": ["a"], "keys": {"enery": "E"}}]},
        "imports[0].keys.enery",
        "did you mean 'energy'",
    ),
    ({"generators": [GOOD], "labels": {"calculator": "vsp"}}, "labels.calculator", "mean 'vasp'"),
    (
        {"generators": [GOOD], "labels": {"calculator": "vasp", "options": {"command": "rm"}}},
        "labels.options.command",
        "is chosen by the program",
    ),
    (
        {"generators": [GOOD], "labels": {"calculator": "vasp", "command": "vasp; rm -r x"}},
        "labels.command",
        "without characters of the shell",
    ),
    (
        {"generators": [GOOD], "labels": {"options": {"a": 1}}},
        "labels.options",
        "softatoms takes 'potential'",
    ),
    (
        {"generators": [GOOD], "labels": {"potential": {"name": "chgnt"}}},
        "labels.potential.name",
        "did you mean 'chgnet'",
    ),
    ({"generators": [GOOD], "split": {"train": 0.5}}, "split", "must sum to 1, got 0.7"),
    (
        {"generators": [GOOD], "split": {"assigned": {"a": "tests"}}},
        "split.assigned.a",
        "did you mean 'test'",
    ),
]


@pytest.mark.parametrize(("dataset", "key", "words"), BAD)
def test_mistakes_name_key_and_file(tmp_path, dataset, key, words):
    path = write_config(tmp_path / "c.yaml", dataset)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value).splitlines()[0]
    where = key if key == "dataset" else f"dataset.{key}"
    assert message.startswith(f"{path}: {where}: "), message
    assert words in message


@pytest.mark.parametrize(("lattice", "element"), sorted(NATURE))
def test_elements_without_a_length_have_their_volume_in_nature(lattice: str, element: str) -> None:
    atoms = build_parent(Parent(lattice=lattice, species=[element]))
    measured = NATURE[lattice, element]
    assert float(atoms.cell.lengths()[0]) == pytest.approx(measured, rel=0.012)


def test_elements_on_lattices_as_dense_have_the_same_volume_and_others_touch() -> None:
    volumes = {}
    for lattice in ("fcc", "bcc", "hcp"):
        atoms = build_parent(Parent(lattice=lattice, species=["W"]))
        volumes[lattice] = atoms.get_volume() / len(atoms)
    assert volumes["fcc"] == pytest.approx(volumes["bcc"], rel=1e-12)
    assert volumes["hcp"] == pytest.approx(volumes["bcc"], rel=1e-12)
    # Silicon is open in nature, which says nothing of a dense lattice; nor do metals of open ones.
    for lattice, species in (("fcc", ["Si"]), ("diamond", ["Cu"]), ("rocksalt", ["Mg", "O"])):
        atoms = build_parent(Parent(lattice=lattice, species=species))
        shortest = float(neighbor_list("d", atoms, 5.0).min())
        touching = sum(covalent_radii[atomic_numbers[element]] for element in (species * 2)[:2])
        assert shortest == pytest.approx(touching, rel=1e-9)
