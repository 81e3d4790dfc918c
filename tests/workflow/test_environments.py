"""The conda environments have what pyproject.toml asks for, in the versions of the constraints."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
NAME = re.compile(r"[A-Za-z0-9._-]+")


def normalised(name: str) -> str:
    return name.lower().replace("_", "-")


CONDA_EXTRAS = ("chgnet", "mace", "workflow")


def requirement_name(requirement: str) -> str:
    match = NAME.match(requirement)
    assert match is not None, requirement
    return normalised(match[0])


def constraints() -> dict[str, str]:
    lines = (REPOSITORY / "envs/constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normalised(name): version for name, version in pairs}


def project() -> dict:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def conda(kind: str) -> tuple[list[str], list[str]]:
    """The conda packages of an environment and those from PyPI."""
    dependencies = yaml.safe_load((REPOSITORY / f"envs/{kind}.yaml").read_text())["dependencies"]
    (pip,) = (item["pip"] for item in dependencies if isinstance(item, dict))
    return [item for item in dependencies if isinstance(item, str)], pip


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_packages_and_versions(kind: str) -> None:
    extras = project()["optional-dependencies"]
    asked = [*project()["dependencies"], *itertools.chain(*(extras[x] for x in CONDA_EXTRAS))]
    pinned = constraints()
    expected = {name: pinned[name] for name in map(requirement_name, asked)}
    _, pip = conda(kind)
    given = dict(line.split("==") for line in pip if not line.startswith("--"))
    assert given == expected


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_python_is_one_the_package_supports(kind: str) -> None:
    packages, _ = conda(kind)
    (version,) = (item.removeprefix("python=") for item in packages if item.startswith("python="))
    classifiers = project()["classifiers"]
    assert f"Programming Language :: Python :: {version}" in classifiers


def test_only_the_build_of_torch_differs() -> None:
    (cpu_packages, cpu_pip), (cuda_packages, cuda_pip) = conda("cpu"), conda("cuda")
    assert cpu_packages == cuda_packages
    assert [line for line in cpu_pip if not line.startswith("--")] == cuda_pip


def test_everything_in_the_constraints_is_pinned_once() -> None:
    lines = (REPOSITORY / "envs/constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[^\s=]+", line) for line in pins)
    assert len(pins) == len(constraints())
