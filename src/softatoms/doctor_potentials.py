"""What ``softatoms doctor`` says of potentials: which work here, and for which elements."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .doctor_finding import Finding
from .errors import SoftatomsError

if TYPE_CHECKING:
    from .potentials.base import Potential

FRESH = {
    "lj": "all elements alike, or those named with parameters",
    "gupta": "",
    "harmonic": "all elements alike, or those named with parameters",
    "schnet": "any elements, to be trained",
    "painn": "any elements, to be trained",
}
"""Elements of the potentials that come without a package of their own."""

PACKAGES = {"chgnet": ("chgnet", "chgnet"), "mace": ("mace-torch", "mace")}
"""Packages that potentials read their parameters from, and the modules in them."""


def examine_potentials() -> list[Finding]:
    """One line per potential, and one per trained model that is here already."""
    try:
        from .potentials.gupta import CLERI_ROSATO
        from .potentials.registry import BACKENDS
    except ImportError as error:
        return [Finding("missing", "potentials", f"cannot be imported ({error})", "make env")]
    findings = []
    for name in sorted(BACKENDS):
        if name not in PACKAGES:
            covered = FRESH[name] or ", ".join(CLERI_ROSATO)
            findings.append(Finding("ok", f"potential {name}", covered))
            continue
        package, module = PACKAGES[name]
        try:
            found = f"{package} {importlib.metadata.version(package)}"
            is_there = importlib.util.find_spec(module) is not None
        except (importlib.metadata.PackageNotFoundError, ValueError):
            is_there = False
        if not is_there:
            remedy = f"pip install 'softatoms[{name}]'"
            findings.append(
                Finding("info", f"potential {name}", f"{package} is not installed", remedy)
            )
            continue
        findings.append(Finding("ok", f"potential {name}", found))
        findings += _carried_models() if name == "chgnet" else _downloaded_models()
    return findings


def _carried_models() -> list[Finding]:
    """The models inside the package chgnet."""
    from .potentials.chgnet_import import CARRIED, carried_file
    from .potentials.registry import load_potential

    findings = []
    for model in CARRIED:
        try:
            potential = load_potential("chgnet", model=model)
            covered = f"{_elements(potential)}; file {_digest(carried_file(model))}"
            findings.append(Finding("ok", f"chgnet {model}", covered))
        except SoftatomsError as error:
            findings.append(Finding("info", f"chgnet {model}", str(error)))
    return findings


def _downloaded_models() -> list[Finding]:
    """Models of MACE in mace-torch's cache; what is in them is pickled and not looked at."""
    # Where mace-torch downloads to; asking it would mean importing it.
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mace"
    files = sorted(item for item in folder.glob("*") if item.is_file()) if folder.is_dir() else []
    findings = []
    for file in files:
        try:
            findings.append(Finding("ok", "mace model", f"{file}; file {_digest(file)}"))
        except OSError as error:
            findings.append(Finding("info", "mace model", f"{file} cannot be read: {error}"))
    return findings


def examine_files(paths: Sequence[Path]) -> list[Finding]:
    """What the given saved potentials cover; a pickled file is only hashed.

    Args:
        paths: Directories of saved potentials, or files of models.
    """
    from .potentials.registry import load_potential

    findings = []
    for path in paths:
        try:
            if path.is_file():
                found = f"file {_digest(path)}; not opened, as it may be pickled"
            else:
                potential = load_potential(path)
                found = f"{potential.name}, {_elements(potential)}, sha256 {potential.sha256()}"
            findings.append(Finding("ok", str(path), found))
        except (SoftatomsError, OSError) as error:
            findings.append(Finding("missing", str(path), f"cannot be read: {error}"))
    return findings


def _elements(potential: Potential) -> str:
    """The elements, counted where there are many."""
    covered = potential.species
    if len(covered) <= 12:
        return ", ".join(covered) or "all elements alike"
    return f"{len(covered)} elements from {covered[0]} to {covered[-1]}"


def _digest(file: Path) -> str:
    return f"sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}"
