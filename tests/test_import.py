"""What an import costs, and that every public name is there."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import softatoms as sa

HEAVY = ("torch", "ase", "pymatgen", "vesin", "safetensors", "numpy")


def run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("module", ["softatoms", "softatoms.errors"])
def test_is_light(module: str) -> None:
    loaded = run(f"import sys, {module}; print(*sys.modules)")
    assert module in loaded
    assert not set(HEAVY) & set(loaded)


def test_potentials_and_pymatgen_are_loaded_when_asked_for() -> None:
    loaded = run(
        "import sys, softatoms as sa; sa.SoftAtoms; sa.evaluate; sa.load_potential;"
        "sa.load_potential('lj', epsilon=1.0, sigma=1.0); print(*sys.modules)"
    )
    assert "softatoms.potentials.lennard_jones" in loaded
    assert "softatoms.potentials.painn" not in loaded
    assert "pymatgen" not in loaded


def test_every_public_name_resolves() -> None:
    assert set(sa.__all__) <= set(dir(sa))
    assert len(set(sa.__all__)) == len(sa.__all__)
    for name in sa.__all__:
        assert getattr(sa, name) is not None
    for name in ("SoftAtoms", "Evaluation", "SoftCalculator", "StructureError"):
        assert isinstance(getattr(sa, name), type)
    for error in (sa.StructureError, sa.OptionError, sa.CheckpointError):
        assert issubclass(error, sa.SoftatomsError)
        assert issubclass(error, ValueError)


def test_an_unknown_name_is_named() -> None:
    with pytest.raises(AttributeError, match="'softatoms' has no attribute 'evalute'"):
        sa.evalute  # noqa: B018


def test_functions_stay_functions_after_importing_everything() -> None:
    modules = [
        info.name
        for info in pkgutil.walk_packages(sa.__path__, "softatoms.")
        # TorchSim is not installed for the tests.
        if not info.name.endswith(("__main__", "torchsim"))
    ]
    assert "softatoms.evaluation" in modules
    printed = run(
        f"import importlib, softatoms\nfor name in {modules!r}: importlib.import_module(name)\n"
        "print(all(callable(getattr(softatoms, n)) for n in softatoms.__all__ if n[0] != '_'))\n"
        "print(type(softatoms.evaluate).__name__)"
    )
    assert printed == ["True", "function"]
