"""Damaged and foreign files are refused, and the message names the file and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk

import softatoms as sa
from softatoms.potentials.base import Potential


def gupta() -> Potential:
    return sa.load_potential("gupta", elements=["Cu", "Au"])


def alloy() -> sa.SoftAtoms:
    crystal = sa.SoftAtoms.from_ase(bulk("Cu", cubic=True))
    return crystal.with_candidates([0, 2], {"Cu": 0.6, "Au": 0.3}, tie="metal")


class TestExtxyz:
    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(sa.StructureError, match=r"none\.xyz: no such file"):
            sa.SoftAtoms.from_extxyz(tmp_path / "none.xyz")

    def test_truncated_file(self, tmp_path: Path) -> None:
        path = tmp_path / "cut.xyz"
        text = alloy().to_extxyz(path)
        path.write_text("\n".join(text.splitlines()[:-1]) + "\n")
        with pytest.raises(sa.StructureError, match=r"cut\.xyz is not an extended-XYZ structure"):
            sa.SoftAtoms.from_extxyz(path)

    @pytest.mark.parametrize("text", ["\n", "no\nstructure\n", "-1\n\n", "1\n\nCu 0 0\n"])
    def test_other_text(self, text: str) -> None:
        with pytest.raises(sa.StructureError, match="the given text"):
            sa.SoftAtoms.from_extxyz(text)

    @pytest.mark.parametrize(
        ("written", "message"),
        [
            ("Cu=0.6;Au=0.3", "candidates of site 0 must look like"),
            ("Cu", "candidates of site 0 must look like .* got 'Cu'"),
            ("Cu=lots", "candidates of site 0 must look like"),
            ("Cu=0.6,Cu=0.3", "site 0 has a duplicate candidate"),
            ("Cu=0.6,Qq=0.3", "unknown species 'Qq'"),
            ("Cu=0.6,Au=0.5", r"metal sum to 1\.1"),
            ("Cu=0.6,Au=nan", "metal:Au is nan"),
        ],
    )
    def test_damaged_candidates(self, written: str, message: str) -> None:
        text = alloy().to_extxyz().replace("Cu=0.6,Au=0.3", written)
        with pytest.raises(sa.StructureError, match=message):
            sa.SoftAtoms.from_extxyz(text)

    def test_tie_torn_apart(self) -> None:
        text = alloy().to_extxyz().replace("Cu=0.6,Au=0.3", "Cu=0.5,Au=0.3", 1)
        with pytest.raises(sa.StructureError, match="tie 'metal' already has the weights"):
            sa.SoftAtoms.from_extxyz(text)

    def test_several_structures(self) -> None:
        with pytest.raises(sa.StructureError, match="holds 2 structures"):
            sa.SoftAtoms.from_extxyz(2 * alloy().to_extxyz())


class TestCheckpoint:
    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        sa.save_potential(gupta(), tmp_path / "model")
        return tmp_path / "model"

    def refuse(self, model: Path, message: str) -> None:
        with pytest.raises(sa.CheckpointError, match=message):
            sa.load_potential(model)

    def describe(self, model: Path, **changes: Any) -> None:
        path = model / "potential.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    def test_options_are_not_taken(self, model: Path) -> None:
        with pytest.raises(sa.OptionError, match=r"model .*takes no options, got \['elements'\]"):
            sa.load_potential(model, elements=["Cu"])

    def test_missing_description(self, model: Path) -> None:
        (model / "potential.json").unlink()
        self.refuse(model, r"model holds no saved potential: potential\.json is missing")

    def test_missing_weights(self, model: Path) -> None:
        (model / "weights.safetensors").unlink()
        self.refuse(model, r"weights\.safetensors: no such file")

    def test_truncated_weights(self, model: Path) -> None:
        path = model / "weights.safetensors"
        path.write_bytes(path.read_bytes()[:-8])
        self.refuse(model, r"weights\.safetensors is damaged")

    def test_empty_weights(self, model: Path) -> None:
        (model / "weights.safetensors").write_bytes(b"")
        self.refuse(model, r"weights\.safetensors is damaged")

    def test_changed_weights(self, model: Path) -> None:
        path = model / "weights.safetensors"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(bytes(content))
        self.refuse(model, "fingerprint differs")

    def test_weights_of_another_potential(self, model: Path, tmp_path: Path) -> None:
        argon = sa.load_potential("lj", epsilon=0.01, sigma=3.4)
        sa.save_potential(argon, tmp_path / "lj")
        (tmp_path / "lj" / "weights.safetensors").replace(model / "weights.safetensors")
        self.refuse(model, "does not fit gupta")

    def test_changed_options(self, model: Path) -> None:
        self.describe(model, options={"elements": ["Au", "Cu"]})
        self.refuse(model, "fingerprint differs")

    @pytest.mark.parametrize("text", ["", "{", '{"format": "softatoms-', "\x00\xff"])
    def test_damaged_description(self, model: Path, text: str) -> None:
        (model / "potential.json").write_bytes(text.encode("latin-1"))
        self.refuse(model, r"potential\.json is damaged")

    @pytest.mark.parametrize("text", ["[]", "{}", "3", '{"format": "other"}'])
    def test_foreign_description(self, model: Path, text: str) -> None:
        (model / "potential.json").write_text(text)
        self.refuse(model, r"potential\.json does not describe a potential")

    def test_wrong_version(self, model: Path) -> None:
        self.describe(model, version=99)
        self.refuse(model, "format version 99.* reads 1")

    @pytest.mark.parametrize("name", ["gupto", 3, ["gupta"]])
    def test_unknown_name(self, model: Path, name: object) -> None:
        self.describe(model, name=name)
        self.refuse(model, "unknown potential")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"elements": ["Cu"], "temperature": 3}, "gupta has no option 'temperature'"),
            ({}, "gupta needs the option 'elements'"),
            ({"elements": 3}, "unusable options"),
            ({"elements": ["Qq"]}, "unknown species 'Qq'"),
            ([], "options must be named"),
        ],
    )
    def test_unusable_options(self, model: Path, options: object, message: str) -> None:
        self.describe(model, options=options)
        self.refuse(model, rf"potential\.json.*{message}")

    def test_incomplete_description(self, model: Path) -> None:
        path = model / "potential.json"
        description = json.loads(path.read_text())
        del description["sha256"]
        path.write_text(json.dumps(description))
        self.refuse(model, "it lacks sha256")
