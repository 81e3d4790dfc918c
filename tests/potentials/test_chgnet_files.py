"""Trained CHGNet models are read without running anything, and refused with a reason."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

import softatoms as sa
from potentials.chgnet_package import by_calculator, package_model
from softatoms.errors import CheckpointError, OptionError
from softatoms.potentials.chgnet_import import NEVER_SEEN
from tolerances import assert_close


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A file as CHGNet's trainer writes it, and what it holds."""
    model = package_model("0.3.0")
    with torch.no_grad():
        for parameter in model.mlp.parameters():
            parameter *= 1.1
    content = {"model": model.as_dict()}
    torch.save(content, tmp_path / "tuned.pth.tar")
    return tmp_path / "tuned.pth.tar", content


def test_a_fine_tuned_model_is_read_from_its_file(trained: tuple[Path, Any]) -> None:
    path, content = trained
    potential = sa.load_potential("chgnet", path=path)
    atoms = bulk("MgO", "rocksalt", a=4.3, cubic=True)
    atoms.rattle(0.05, seed=0)
    out = sa.evaluate(potential, sa.SoftAtoms.from_ase(atoms), dtype="float32")
    model = package_model("0.3.0")
    model.load_state_dict(content["model"]["state_dict"])
    expected = by_calculator(model, atoms)
    assert_close(out.energy / 8, np.array(expected.energy / 8), "chgnet energy")
    assert_close(out.forces, expected.forces, "chgnet forces")
    assert potential.sha256() != sa.load_potential("chgnet").sha256()


def test_the_package_is_not_imported() -> None:
    code = (
        "import sys, softatoms as sa; sa.load_potential('chgnet'); "
        "sys.exit('chgnet' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_saved_model_needs_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    potential = sa.load_potential("chgnet")
    sa.save_potential(potential, tmp_path / "model")
    _hide_the_package(monkeypatch)
    assert sa.load_potential(tmp_path / "model").sha256() == potential.sha256()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _hide_the_package(monkeypatch)
    with pytest.raises(OptionError, match=r"pip install 'softatoms\[chgnet\]'"):
        sa.load_potential("chgnet")


def _hide_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "chgnet" else find(name)
    )


def test_a_package_without_the_model_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = ModuleSpec("chgnet", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: spec)
    with pytest.raises(OptionError, match=r"has no model 0\.3\.0"):
        sa.load_potential("chgnet")


@pytest.mark.parametrize(
    "options", [{"path": 5}, {"path": b"abc"}, {"model": ["x"]}, {"model": "0.3.0", "path": "x"}]
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        sa.load_potential("chgnet", **options)


def test_torch_s_default_precision_changes_nothing(tmp_path: Path) -> None:
    code = (
        "import torch; torch.set_default_dtype(torch.float64); import softatoms as sa; "
        "from ase.build import molecule; pot = sa.load_potential('chgnet'); "
        "soft = sa.SoftAtoms.from_ase(molecule('H2O')); "
        "print(pot.sha256(), float(sa.evaluate(pot, soft).energy).hex())"
    )
    answers = set()
    for start in (code, code.replace("torch.set_default_dtype(torch.float64); ", "")):
        done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        answers.add(done.stdout)
    assert len(answers) == 1


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(OptionError, match=r"no model '0\.3': did you mean '0\.3\.0'"):
        sa.load_potential("chgnet", model="0.3")


@pytest.mark.parametrize("symbol", NEVER_SEEN)
def test_elements_that_were_never_seen_are_refused(symbol: str) -> None:
    soft = sa.SoftAtoms.from_ase(Atoms(symbol))
    with pytest.raises(OptionError, match=f"does not cover {symbol}"):
        sa.evaluate(sa.load_potential("chgnet"), soft)


class TestUnusableFiles:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="no such file"):
            sa.load_potential("chgnet", path=tmp_path / "none.pth.tar")

    def test_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=str(tmp_path)):
            sa.load_potential("chgnet", path=tmp_path)

    def test_truncated(self, trained: tuple[Path, Any]) -> None:
        path, _ = trained
        path.write_bytes(path.read_bytes()[:50_000])
        with pytest.raises(CheckpointError, match="is damaged or no CHGNet"):
            sa.load_potential("chgnet", path=path)

    @pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
    def test_something_else(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(CheckpointError, match="is damaged or no CHGNet"):
            sa.load_potential("chgnet", path=tmp_path / "x")

    @pytest.mark.parametrize("content", [{"weights": 1}, [1], {"model": {"state_dict": {}}}, 3])
    def test_another_content(self, tmp_path: Path, content: object) -> None:
        torch.save(content, tmp_path / "x")
        with pytest.raises(CheckpointError, match="holds no CHGNet"):
            sa.load_potential("chgnet", path=tmp_path / "x")

    def test_code_is_never_run(self, tmp_path: Path) -> None:
        class Runs:
            def __reduce__(self) -> tuple[Any, ...]:
                return (Path.touch, (tmp_path / "was run",))

        (tmp_path / "x").write_bytes(pickle.dumps(Runs()))
        torch.save({"model": Runs()}, tmp_path / "y")
        for name in ("x", "y"):
            with pytest.raises(CheckpointError):
                sa.load_potential("chgnet", path=tmp_path / name)
        assert not (tmp_path / "was run").exists()

    @pytest.mark.parametrize(
        ("setting", "value"),
        [("mlp_first", False), ("non_linearity", "tanh"), ("gMLP_norm", "batch")],
    )
    def test_another_architecture(
        self, trained: tuple[Path, Any], setting: str, value: object
    ) -> None:
        path, content = trained
        content["model"]["model_args"][setting] = value
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=setting):
            sa.load_potential("chgnet", path=path)

    def test_parameters_that_do_not_fit(self, trained: tuple[Path, Any]) -> None:
        path, content = trained
        for change in ("remove", "reshape"):
            tensors = dict(content["model"]["state_dict"])
            weight = tensors.pop("bond_embedding.weight")
            if change == "reshape":
                tensors["bond_embedding.weight"] = weight[:, :-1]
            torch.save({"model": {**content["model"], "state_dict": tensors}}, path)
            with pytest.raises(CheckpointError, match="does not fit CHGNet"):
                sa.load_potential("chgnet", path=path)
