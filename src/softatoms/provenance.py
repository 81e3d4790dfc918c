"""Where a result comes from: revision, configuration, model, versions."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__

if TYPE_CHECKING:
    from .config import CampaignConfig

PACKAGES = ("ase", "numpy", "pyarrow", "pydantic", "torch", "vesin")
"""Packages that can change a number in a table."""


@dataclass(frozen=True)
class Provenance:
    """Origin of one table.

    Attributes:
        campaign: Name of the campaign.
        git_revision: Commit of the source tree, with ``-dirty`` if it had changes; ``unknown``
            for an installed package.
        config_hash: Fingerprint of the configuration values that the table depends on.
        seed: Seed of the campaign.
        model_sha256: Fingerprint of the potential; empty where none was used.
        dtype: Precision of the potential.
        device: Where it ran.
        packages: Versions of softatoms, Python and what can change a number.
        created_utc: When the table was written, ISO 8601.
        code_sha256: Fingerprint of the program and the packages, see :func:`code_digest`; empty in
            tables that are older than this entry.
    """

    campaign: str
    git_revision: str
    config_hash: str
    seed: int
    model_sha256: str
    dtype: str
    device: str
    packages: dict[str, str]
    created_utc: str
    code_sha256: str = ""

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str | bytes) -> Provenance:
        """From JSON text.

        Raises:
            ValueError: If the text is something else.
        """
        try:
            return Provenance(**json.loads(text))
        except TypeError as error:
            raise ValueError(str(error)) from None


def collect(config: CampaignConfig, section: str, model_sha256: str = "") -> Provenance:
    """Provenance of what is made now.

    Args:
        config: The campaign.
        section: Section of the configuration whose stage makes it.
        model_sha256: Fingerprint of the potential, if one is used.
    """
    return Provenance(
        campaign=config.campaign.name,
        git_revision=git_revision(),
        config_hash=config.section_digest(section),
        seed=config.campaign.seed,
        model_sha256=model_sha256,
        dtype=config.compute.dtype,
        device=config.compute.device,
        packages=versions(),
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        code_sha256=code_digest(),
    )


def versions() -> dict[str, str]:
    """Versions of softatoms, Python and the packages that can change a number."""
    found = {"softatoms": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


@functools.cache
def code_digest() -> str:
    """Fingerprint of everything that computes: the sources of this package and the versions."""
    digest = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode())
    root = Path(__file__).resolve().parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@functools.cache
def git_revision() -> str:
    """Commit of the source tree this package runs from, or ``unknown``."""
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        revision = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{revision}-dirty" if changed else revision
