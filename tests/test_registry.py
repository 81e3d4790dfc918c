"""Potentials by name, and potentials saved to a directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import bulk

import softatoms as sa
from softatoms.potentials.base import Potential
from softatoms.potentials.registry import BACKENDS

NETWORK = {"elements": ["O", "Cu"], "cutoff": 3.4, "n_features": 6, "n_layers": 2, "seed": 5}
# Elements stand in no alphabetical order: parameters and energies must not change places.
OPTIONS: dict[str, dict[str, Any]] = {
    "lj": {
        "epsilon": {"Kr": 0.0141, "Cu": 0.3, "Ar": 0.0104},
        "sigma": {"Ar": 3.4, "Kr": 3.65, "Cu": 2.3},
        "pairs": {"Kr-Cu": {"sigma": 3.0, "epsilon": 0.1}},
    },
    "gupta": {
        "elements": ["Pt", "Cu"],
        "pairs": {"Cu-Pt": {"a": 0.15, "xi": 1.9, "p": 10.8, "q": 3.1, "r0": 2.7}},
    },
    "harmonic": {
        "lattice": "fcc",
        "a": 3.6,
        "stiffness": {"Sc": 2.5, "Cu": 1.5},
        "pairs": {"Cu-Sc": 1.75},
    },
    "schnet": NETWORK,
    "painn": NETWORK,
    "chgnet": {
        "elements": ["Sc", "Cu"],
        "cutoff": 4.0,
        "n_rounds": 2,
        "n_radial": 5,
        "n_angular": 5,
        "n_features": 4,
        "n_hidden": 3,
        "readout": [5],
    },
    "mace": {
        "elements": ["Sc", "Cu"],
        "cutoff": 4.0,
        "n_channels": 3,
        "radial": {
            "basis": "bessel",
            "transform": "none",
            "n_functions": 4,
            "power": 5,
            "fades_basis": True,
        },
        "layers": [
            {
                "senders": [[3, 0, 1]],
                "paths": [[0, 0, 0], [0, 1, 1]],
                "messages": [[0, 1], [1, -1]],
                "features": [[0, 1]],
                "hidden": [5],
                "has_density": True,
                "mixes_by_species": True,
                "keeps_features": False,
                "degree": 2,
                "products": [3],
            }
        ],
        "readouts": [{"layer": 0, "hidden": [4], "activation": "silu", "biases": [False, True]}],
    },
}
EVERY = sorted(BACKENDS)


def make(name: str) -> Potential:
    return BACKENDS[name].cls()(**OPTIONS[name], isolated_energies={"Cu": -3.5})


def structure(potential: Potential) -> sa.SoftAtoms:
    """Copper with the potential's other elements on some sites."""
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=1)
    weights = dict.fromkeys(potential.species, 0.9 / len(potential.species))
    return sa.SoftAtoms.from_ase(atoms).with_candidates([1, 2], weights, tie="a")


def energy(potential: Potential) -> float:
    return float(sa.evaluate(potential, structure(potential)).energy)


def test_options_are_known_for_every_potential() -> None:
    assert set(OPTIONS) == set(BACKENDS)


@pytest.mark.parametrize("name", EVERY)
class TestEveryPotential:
    def test_is_saved_and_loaded(self, name: str, tmp_path: Path) -> None:
        potential = make(name)
        sa.save_potential(potential, tmp_path / "deep" / "model")
        again = sa.load_potential(tmp_path / "deep" / "model")
        assert type(again) is type(potential)
        assert again.name == name
        assert again.species == potential.species
        assert again.options == potential.options
        assert list(again.options) == list(potential.options)
        assert again.cutoff == potential.cutoff
        assert torch.equal(again.isolated_energies, potential.isolated_energies)
        assert energy(again) == energy(potential)
        assert sorted(item.name for item in (tmp_path / "deep").iterdir()) == ["model"]
        assert sorted(item.name for item in (tmp_path / "deep" / "model").iterdir()) == [
            "potential.json",
            "weights.safetensors",
        ]

    def test_options_build_it_again(self, name: str) -> None:
        potential = make(name)
        again = type(potential)(**potential.options, isolated_energies={"Cu": -3.5})
        assert again.sha256() == potential.sha256()

    def test_fingerprint_is_stable(self, name: str, tmp_path: Path) -> None:
        potential = make(name)
        fingerprint = potential.sha256()
        assert len(fingerprint) == 64
        assert make(name).sha256() == fingerprint
        energy(potential)
        sa.evaluate(potential, structure(potential), dtype="float32")
        assert potential.sha256() == fingerprint
        sa.save_potential(potential, tmp_path / "model")
        sa.save_potential(sa.load_potential(tmp_path / "model"), tmp_path / "again")
        assert sa.load_potential(tmp_path / "again").sha256() == fingerprint

    def test_fingerprint_tells_every_parameter(self, name: str) -> None:
        potential = make(name)
        seen = {potential.sha256()}
        for count, tensor in enumerate(potential.state_dict().values(), start=2):
            with torch.no_grad():
                tensor.view(-1)[-1] += 1e-6
            seen.add(potential.sha256())
            assert len(seen) == count

    def test_a_converted_copy_follows_its_original(self, name: str) -> None:
        potential = make(name)
        soft = structure(potential)
        before = sa.evaluate(potential, soft, dtype="float32").energy
        with torch.no_grad():
            for tensor in potential.state_dict().values():
                if tensor.is_floating_point():
                    tensor *= 1.01
        after = sa.evaluate(potential, soft, dtype="float32").energy
        exact = sa.evaluate(potential, soft).energy
        assert abs(float(after - before)) > 1e-3
        assert float(after) == pytest.approx(float(exact), rel=1e-4)


class TestOptions:
    def test_numpy_values_and_tuples_are_options_too(self, tmp_path: Path) -> None:
        plain = sa.load_potential("lj", epsilon={"Ar": 0.25}, sigma={"Ar": 3.0}, cutoff=8.0)
        given = sa.load_potential(
            "lj",
            epsilon={"Ar": np.float32(0.25)},
            sigma={"Ar": np.float64(3.0)},
            cutoff=np.float64(8.0),
        )
        assert given.sha256() == plain.sha256()
        for index, potential in enumerate(
            (
                given,
                sa.load_potential("gupta", elements=("Cu", "Au")),
                sa.load_potential("gupta", elements=np.array(["Cu", "Au"])),
                sa.load_potential("painn", elements=["Cu"], n_features=4, seed=np.int64(3)),
            )
        ):
            sa.save_potential(potential, tmp_path / str(index))
            again = sa.load_potential(tmp_path / str(index))
            assert again.sha256() == potential.sha256()

    def test_a_name_comes_before_a_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        sa.save_potential(make("gupta"), "lj")
        assert sa.load_potential("lj", epsilon=1.0, sigma=1.0).name == "lj"
        assert sa.load_potential("./lj").name == "gupta"
        assert sa.load_potential(Path("lj")).name == "gupta"

    def test_networks_keep_their_precision(self, tmp_path: Path) -> None:
        potential = make("painn").float()
        sa.save_potential(potential, tmp_path / "model")
        again = sa.load_potential(tmp_path / "model")
        assert {p.dtype for p in again.parameters()} == {torch.float32}
        assert again.isolated_energies.dtype == torch.float64
        assert energy(again) == energy(potential)


class TestSaving:
    def test_replaces_what_was_saved_before(self, tmp_path: Path) -> None:
        sa.save_potential(make("gupta"), tmp_path / "model")
        sa.save_potential(make("painn"), tmp_path / "model")
        assert sa.load_potential(tmp_path / "model").name == "painn"
        assert [item.name for item in tmp_path.iterdir()] == ["model"]

    @pytest.mark.parametrize("fails_after", [0, 1])
    def test_a_failure_leaves_the_former_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_after: int
    ) -> None:
        former = make("gupta")
        sa.save_potential(former, tmp_path / "model")
        replace, calls = Path.replace, []

        def fail(self: Path, target: Path) -> Path:
            calls.append(target)
            if len(calls) == fails_after + 1:
                raise OSError("no space left")
            return replace(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", fail)
            with pytest.raises(OSError, match="no space left"):
                sa.save_potential(make("painn"), tmp_path / "model")
        assert sa.load_potential(tmp_path / "model").sha256() == former.sha256()
        assert [item.name for item in tmp_path.iterdir()] == ["model"]

    def test_an_empty_directory_and_a_link_may_be_used(self, tmp_path: Path) -> None:
        sa.save_potential(make("gupta"), tmp_path)
        assert sa.load_potential(tmp_path).name == "gupta"
        (tmp_path.parent / "latest").symlink_to(tmp_path)
        sa.save_potential(make("lj"), tmp_path.parent / "latest")
        assert sa.load_potential(tmp_path).name == "lj"
        assert (tmp_path.parent / "latest").is_symlink()

    def test_files_of_others_are_left_alone(self, tmp_path: Path) -> None:
        sa.save_potential(make("gupta"), tmp_path / "model")
        (tmp_path / "model" / "notes.txt").write_text("mine")
        with pytest.raises(sa.CheckpointError, match=r"model .*'notes\.txt'"):
            sa.save_potential(make("lj"), tmp_path / "model")
        assert (tmp_path / "model" / "notes.txt").read_text() == "mine"
        with pytest.raises(sa.CheckpointError, match="not a directory"):
            sa.save_potential(make("lj"), tmp_path / "model" / "notes.txt")

    def test_what_could_not_be_loaded_is_not_saved(self, tmp_path: Path) -> None:
        class Private(type(make("gupta"))):  # type: ignore[misc]
            pass

        with pytest.raises(sa.CheckpointError, match=r"Private .* not in the registry"):
            sa.save_potential(Private(elements=["Cu"]), tmp_path / "model")
        assert not list(tmp_path.iterdir())

    def test_the_description_is_plain_json(self, tmp_path: Path) -> None:
        potential = make("lj")
        sa.save_potential(potential, tmp_path / "model")
        description = json.loads((tmp_path / "model" / "potential.json").read_text())
        assert description["name"] == "lj"
        assert description["version"] == 1
        assert description["sha256"] == potential.sha256()
        assert list(description["options"]["epsilon"]) == ["Kr", "Cu", "Ar"]
