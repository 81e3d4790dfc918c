"""Files of MACE models: what is read, what is refused, and what reading leaves behind."""

from __future__ import annotations

import collections
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

import softatoms as sa
from potentials.mace_package import build, converted, mace_torch, saved, small
from potentials.test_mace_package import ALL, alloy
from softatoms.potentials.base import Potential
from softatoms.potentials.mace_convert import convert
from softatoms.potentials.mace_import import compare
from tolerances import assert_close


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return build(blocks="AgnosticDensityResidual", hidden="4x0e", correlation=2, max_ell=1)


@pytest.fixture(scope="module")
def file(model: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(model, tmp_path_factory.mktemp("mace"))


def load(file: Path | str, **options: Any) -> Potential:
    return sa.load_potential("mace", path=file, trust=True, **options)


class Touch:
    """A pickle that creates a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


class TestReading:
    def test_gives_what_conversion_gives(
        self, file: Path, model: torch.nn.Module, capsys: pytest.CaptureFixture[str]
    ) -> None:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        potential = load(file, sha256=digest.upper())
        assert f"unpickling {file}, SHA-256 {digest}" in capsys.readouterr().err
        assert potential.options["source"] == {
            "file": "some.model",
            "sha256": digest,
            "kind": "ScaleShiftMACE",
            "head": "Default",
        }
        assert potential.name == "mace"
        assert potential.species == ("O", "Cu", "Au")
        assert potential.cutoff == pytest.approx(3.4)
        assert potential.n_layers == 2
        soft = sa.SoftAtoms.from_ase(alloy())
        out = sa.evaluate(potential, soft)
        assert torch.equal(out.energy, sa.evaluate(converted(model), soft).energy)

    def test_models_of_float32_are_read_in_float64(self, tmp_path: Path) -> None:
        rounded = build(dtype=torch.float32, hidden="4x0e", max_ell=1)
        potential = load(saved(rounded, tmp_path))
        assert {tensor.dtype for tensor in potential.buffers() if tensor.is_floating_point()} == {
            torch.float64
        }

    def test_a_saved_model_needs_neither_mace_torch_nor_trust(
        self, file: Path, tmp_path: Path
    ) -> None:
        potential = load(file)
        sa.save_potential(potential, tmp_path / "converted")
        out = sa.evaluate(potential, sa.SoftAtoms.from_ase(alloy()), properties=ALL)
        alloy().write(tmp_path / "alloy.json")
        code = (
            "import sys\n"
            "for name in ('mace', 'e3nn'): sys.modules[name] = None\n"
            "import ase.io, softatoms as sa\n"
            f"potential = sa.load_potential({str(tmp_path / 'converted')!r})\n"
            f"soft = sa.SoftAtoms.from_ase(ase.io.read({str(tmp_path / 'alloy.json')!r}))\n"
            "out = sa.evaluate(potential, soft, properties=('energy', 'forces'))\n"
            "print(potential.sha256(), float(out.energy).hex(), float(out.forces.sum(0)[0]))\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        fingerprint, energy, _ = done.stdout.split()
        assert fingerprint == potential.sha256()
        assert float.fromhex(energy) == pytest.approx(float(out.energy), rel=1e-14)

    def test_a_saved_model_is_the_same_to_the_last_bit(self, tmp_path: Path) -> None:
        for name in ("density", "agnostic"):
            potential = small(name)
            sa.save_potential(potential, tmp_path / name)
            again = sa.load_potential(tmp_path / name)
            assert again.sha256() == potential.sha256()
            assert again.options == potential.options
            soft = sa.SoftAtoms.from_ase(alloy())
            a = sa.evaluate(potential, soft, properties=ALL)
            b = sa.evaluate(again, soft, properties=ALL)
            assert torch.equal(a.energy, b.energy)
            assert torch.equal(a.forces, b.forces)

    def test_single_precision_survives_saving(self, tmp_path: Path) -> None:
        potential = small("density")
        soft = sa.SoftAtoms.from_ase(alloy())
        exact = sa.evaluate(potential, soft, properties=ALL)
        sa.save_potential(potential.float(), tmp_path / "model")
        again = sa.load_potential(tmp_path / "model")
        assert again.embedding.dtype == torch.float32
        assert again.isolated_energies.dtype == torch.float64
        rounded = sa.evaluate(again, soft, properties=ALL, dtype="float32")
        for name in ALL:
            assert_close(getattr(rounded, name), getattr(exact, name), "float32")

    def test_files_of_older_versions_lack_attributes(self, tmp_path: Path) -> None:
        old = build(blocks="AgnosticResidual", hidden="4x0e + 4x1o", dtype=torch.float32)
        recent = converted(build(blocks="AgnosticResidual", dtype=torch.float32))
        for module in old.modules():
            for name in (
                "heads",
                "num_heads",
                "apply_cutoff",
                "edge_irreps",
                "radial_MLP",
                "cueq_config",
                "oeq_config",
                "use_agnostic_product",
                "use_reduced_cg",
                "use_so3",
                "use_last_readout_only",
                "use_edge_irreps_first",
                "lammps_mliap",
            ):
                module.__dict__.pop(name, None)
        potential = load(saved(old, tmp_path))
        soft = sa.SoftAtoms.from_ase(alloy())
        assert_close(sa.evaluate(potential, soft).energy, sa.evaluate(recent, soft).energy, "same")

    def test_a_model_without_its_parts_is_refused(self, tmp_path: Path) -> None:
        maimed = build(hidden="4x0e", max_ell=1)
        del maimed.interactions[0].linear_up
        with pytest.raises(sa.CheckpointError, match="not built like the models of mace-torch"):
            load(saved(maimed, tmp_path))


class TestByName:
    def test_reads_what_is_in_the_cache(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        (tmp_path / "mace").mkdir()
        name = "20231210mace128L0_energy_epoch249model"
        (tmp_path / "mace" / name).write_bytes(file.read_bytes())
        potential = sa.load_potential("mace", model="small", trust=True)
        assert potential.options["source"]["file"] == name

    def test_without_a_network_the_error_says_what_to_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unreachable(*_: Any, **__: Any) -> None:
            raise OSError("network is unreachable")

        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr("urllib.request.urlopen", unreachable)
        with pytest.raises(sa.CheckpointError, match="'small' could not be downloaded") as caught:
            sa.load_potential("mace", model="small", trust=True)
        for part in ("https://github.com/ACEsuit", str(tmp_path / "mace"), "unreachable", "path"):
            assert part in str(caught.value)

    def test_names_are_checked(self) -> None:
        with pytest.raises(sa.OptionError, match="did you mean 'small'"):
            sa.load_potential("mace", model="smal", trust=True)


class TestRefusals:
    def test_nothing_is_read_without_trust(self, tmp_path: Path) -> None:
        malicious = saved(Touch(tmp_path / "ran"), tmp_path)
        for trust in (False, None, "yes", 1):
            with pytest.raises(sa.OptionError, match="trust=True"):
                sa.load_potential("mace", path=malicious, trust=trust)
        with pytest.raises(sa.OptionError, match="trust=True"):
            sa.load_potential("mace", path=malicious)
        assert not (tmp_path / "ran").exists()

    def test_another_file_than_the_pinned_one_is_refused_unread(self, tmp_path: Path) -> None:
        malicious = saved(Touch(tmp_path / "ran"), tmp_path)
        with pytest.raises(sa.CheckpointError, match="not the expected file: its SHA-256 is"):
            load(malicious, sha256="0" * 64)
        with pytest.raises(sa.OptionError, match="64 hexadecimal digits"):
            load(malicious, sha256="abc")
        assert not (tmp_path / "ran").exists()

    def test_one_of_path_and_model_is_needed(self, file: Path) -> None:
        with pytest.raises(sa.OptionError, match="either path or model"):
            sa.load_potential("mace", trust=True)
        with pytest.raises(sa.OptionError, match="either path or model"):
            load(file, model="small")
        with pytest.raises(sa.OptionError, match="path must be a text"):
            load(3)  # type: ignore[arg-type]
        with pytest.raises(sa.OptionError, match="no option 'device'"):
            load(file, device="cpu")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "no readable model"),
            (b"not a model", "no readable model"),
            (None, "no readable model"),
            ({"state_dict": {}}, "holds a dict, not a model"),
            (collections.OrderedDict(a=torch.ones(2)), "holds a OrderedDict, not a model"),
            (torch.nn.Linear(2, 2), "holds the model Linear; softatoms converts MACE"),
        ],
    )
    def test_files_that_hold_no_model(
        self, file: Path, tmp_path: Path, content: Any, message: str
    ) -> None:
        bad = tmp_path / "bad.model"
        if content is None:
            bad.write_bytes(file.read_bytes()[:-2000])
        elif isinstance(content, bytes):
            bad.write_bytes(content)
        else:
            torch.save(content, bad)
        with pytest.raises(sa.CheckpointError, match=message) as caught:
            load(bad)
        assert str(bad) in str(caught.value)

    def test_files_that_are_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(sa.CheckpointError, match=r"nowhere\.model: no such file"):
            load(tmp_path / "nowhere.model")
        with pytest.raises(sa.CheckpointError, match="cannot be read"):
            load(tmp_path)

    def test_other_elements(self, file: Path) -> None:
        silver = sa.SoftAtoms.from_ase(Atoms("CuAg", [[0, 0, 0], [0, 0, 2.5]]))
        with pytest.raises(sa.OptionError, match="mace potential does not cover Ag; it covers O"):
            sa.evaluate(load(file), silver)

    def test_without_the_package_the_error_says_what_to_install(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in [name for name in sys.modules if name.split(".")[0] == "mace"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "mace", None)
        with pytest.raises(sa.OptionError, match=r"pip install 'softatoms\[mace\]'"):
            load(file)

    def test_heads_have_to_be_chosen_and_to_exist(self, file: Path, tmp_path: Path) -> None:
        two = saved(build(heads=["pbe", "r2scan"], hidden="4x0e", max_ell=1), tmp_path)
        with pytest.raises(sa.OptionError, match=r"several heads.*head=pbe \| r2scan"):
            load(two)
        with pytest.raises(sa.OptionError, match="did you mean 'r2scan'"):
            load(two, head="r2scn")
        assert load(two, head="r2scan").options["source"]["head"] == "r2scan"
        with pytest.raises(sa.OptionError, match="no head 'pbe': known: Default"):
            load(file, head="pbe")


class TestUnsupported:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"blocks": "AgnosticAttResidual", "first_block": "AgnosticResidual"},
                "interaction block RealAgnosticAttResidualInteractionBlock; softatoms converts",
            ),
            ({"blocks": "AgnosticResidualNonLinear"}, "RealAgnosticResidualNonLinear"),
            ({"correlation": 4, "max_ell": 1, "hidden": "4x0e"}, "products of 4 factors"),
        ],
    )
    def test_blocks(self, tmp_path: Path, options: dict[str, Any], message: str) -> None:
        with pytest.raises(sa.CheckpointError, match=message):
            load(saved(build(**options), tmp_path))

    def test_readouts(self, tmp_path: Path) -> None:
        other = build(hidden="4x0e", max_ell=1)
        with mace_torch() as modules:
            other.readouts[1] = modules.blocks.GeneralNonLinearBiasReadoutBlock(
                other.readouts[1].linear_1.irreps_in,
                other.readouts[1].hidden_irreps,
                torch.nn.functional.silu,
            )
        with pytest.raises(sa.CheckpointError, match="the readout GeneralNonLinearBiasReadout"):
            load(saved(other, tmp_path))

    def test_other_models_and_additions(self, tmp_path: Path) -> None:
        with_embedding = build(
            hidden="4x0e",
            max_ell=1,
            embedding_specs={
                "charge": {
                    "type": "categorical",
                    "per": "graph",
                    "num_classes": 3,
                    "emb_dim": 4,
                    "in_dim": 1,
                }
            },
        )
        with pytest.raises(sa.CheckpointError, match="holds joint_embedding"):
            load(saved(with_embedding, tmp_path))
        with mace_torch():
            from mace.modules.lora import inject_lora

            adapted = build(hidden="4x0e", max_ell=1)
            inject_lora(adapted, rank=2)
        with pytest.raises(sa.CheckpointError, match="softatoms converts"):
            load(saved(adapted, tmp_path))

    def test_a_model_that_computes_something_else_is_noticed(self, tmp_path: Path) -> None:
        # The same modules with another scale of one product: nothing that can be read off them.
        other = build(hidden="4x0e", max_ell=1)
        other.products[0].linear.instructions = [
            rule._replace(path_weight=2.0 * rule.path_weight)
            for rule in other.products[0].linear.instructions
        ]
        with pytest.raises(sa.CheckpointError, match=r"gives .* the original .* not supported"):
            load(saved(other, tmp_path))


@pytest.fixture
def surroundings() -> Iterator[None]:
    """The state of the process must be the same before and after."""
    root = logging.getLogger()

    def state() -> tuple[Any, ...]:
        return (
            {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"},
            torch.get_default_dtype(),
            torch.random.get_rng_state().tolist(),
            # torch keeps a set, whose order is no part of the state.
            set(torch.serialization.get_safe_globals()),
            list(warnings.filters),
            list(root.handlers),
            root.level,
        )

    before = state()
    yield
    assert state() == before


class TestIsolation:
    @pytest.mark.usefixtures("surroundings")
    def test_models_may_be_read_in_several_threads(self, file: Path) -> None:
        call = torch.nn.Module.__call__
        with ThreadPoolExecutor(3) as pool:
            potentials = list(pool.map(load, [file] * 3))
        assert len({potential.sha256() for potential in potentials}) == 1
        assert torch.nn.Module.__call__ is call

    @pytest.mark.usefixtures("surroundings")
    def test_loading_leaves_the_process_as_it_was(
        self, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        load(file)
        assert capsys.readouterr().out == ""
        malicious = saved(Touch(tmp_path / "ran"), tmp_path)
        with pytest.raises(Exception, match="Weights only load failed"):
            torch.load(malicious)
        assert not (tmp_path / "ran").exists()

    @pytest.mark.usefixtures("surroundings")
    def test_a_failure_leaves_the_process_as_it_was(self, tmp_path: Path) -> None:
        with pytest.raises(sa.CheckpointError):
            load(saved({}, tmp_path))

    def test_the_first_import_leaves_a_fresh_process_as_it_was(
        self, file: Path, tmp_path: Path
    ) -> None:
        malicious = saved(Touch(tmp_path / "ran"), tmp_path)
        code = (
            "import os, pickle, sys, torch, warnings\n"
            "import softatoms as sa\n"
            "warnings.simplefilter('error')\n"
            "before = dict(os.environ), torch.get_default_dtype(), list(warnings.filters)\n"
            f"sa.load_potential('mace', path={str(file)!r}, trust=True)\n"
            "after = dict(os.environ), torch.get_default_dtype(), list(warnings.filters)\n"
            "assert after == before\n"
            "assert 'mace' in sys.modules\n"
            "try:\n"
            f"    torch.load({str(malicious)!r})\n"
            "except pickle.UnpicklingError:\n"
            "    print('refused')\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr
        assert not (tmp_path / "ran").exists()

    def test_importing_softatoms_imports_no_mace(self) -> None:
        code = "import sys, softatoms.potentials.mace; sys.exit('e3nn' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_name_of_the_file_is_no_part_of_the_fingerprint(file: Path, tmp_path: Path) -> None:
    shutil.copy(file, tmp_path / "other.model")
    assert load(tmp_path / "other.model").sha256() == load(file).sha256()


def test_large_energies_of_atoms_do_not_hide_a_wrong_conversion(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mace_torch():
        model = torch.load(file, weights_only=False).double()
        model.atomic_energies_fn.atomic_energies -= 5e5
        potential = convert(model, None, {})
        potential.options["source"]["head"] = "Default"
        compare(potential, model)
        for readout in potential.readouts:
            readout.weight_0 *= 1.01
        with pytest.raises(sa.CheckpointError, match="not supported"):
            compare(potential, model)


def test_energies_of_isolated_atoms_are_part_of_the_result(file: Path) -> None:
    potential = load(file)
    lone = sa.SoftAtoms.from_ase(Atoms("Cu", [[0, 0, 0]]))
    out = sa.evaluate(potential, lone)
    assert_close(out.energy, potential.isolated_energies[1], "same")
    assert np.isfinite(float(out.energy))
