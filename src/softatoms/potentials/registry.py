"""Potentials by name, and potentials saved to a directory.

A saved potential is a directory with ``potential.json`` (format, name, options, fingerprint) and
``weights.safetensors`` (parameters and isolated-atom energies). Nothing in it can run code.
"""

from __future__ import annotations

import importlib
import inspect
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from ..errors import CheckpointError, OptionError, suggest
from .base import Potential

BACKENDS = {
    "lj": ("lennard_jones", "LennardJones"),
    "gupta": ("gupta", "Gupta"),
    "harmonic": ("harmonic", "Harmonic"),
    "schnet": ("schnet", "SchNet"),
    "painn": ("painn", "PaiNN"),
}
"""Module and class of every potential; imported only when asked for."""

FORMAT = "softatoms-potential"
FORMAT_VERSION = 1
DESCRIPTION_FILE = "potential.json"
WEIGHTS_FILE = "weights.safetensors"


def load_potential(name: str | Path, **options: Any) -> Potential:
    """Make a potential by name, or load a saved one from its directory.

    Args:
        name: A registered name such as ``lj``, or the directory of a saved potential.
        **options: Options of the potential; none for a saved one.

    Raises:
        OptionError: For an unknown name or option.
        CheckpointError: For a directory that holds no intact potential.
    """
    if isinstance(name, str) and name in BACKENDS:
        return _build(name, options)
    directory = Path(name)
    if directory.is_dir():
        if options:
            raise OptionError(
                f"{directory} is a saved potential and takes no options, got {sorted(options)}"
            )
        return _load(directory)
    raise OptionError(
        f"'{name}' is neither a potential nor the directory of a saved one: "
        f"{suggest(str(name), BACKENDS)}"
    )


def save_potential(potential: Potential, directory: str | Path) -> None:
    """Save a potential so that :func:`load_potential` gives back the same energies.

    The directory is written under another name first and appears whole or not at all; one that
    exists already is replaced.
    """
    target = Path(directory)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and not (target / DESCRIPTION_FILE).is_file():
        raise CheckpointError(f"{target} exists and is not a saved potential; it is left as it is")
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        tensors = {key: value.contiguous().cpu() for key, value in potential.state_dict().items()}
        safetensors.torch.save_file(tensors, partial / WEIGHTS_FILE)
        description = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "name": potential.name,
            "options": potential.options,
            "sha256": potential.sha256(),
        }
        text = json.dumps(description, indent=2, sort_keys=True) + "\n"
        (partial / DESCRIPTION_FILE).write_text(text)
        partial.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        partial.replace(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _build(name: str, options: dict[str, Any]) -> Potential:
    module_name, class_name = BACKENDS[name]
    module = importlib.import_module(f".{module_name}", __package__)
    kind: type[Potential] = getattr(module, class_name)
    parameters = inspect.signature(kind).parameters
    for option in options:
        if option not in parameters:
            raise OptionError(f"{name} has no option '{option}': {suggest(option, parameters)}")
    for option, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and option not in options:
            raise OptionError(f"{name} needs the option '{option}'")
    return kind(**options)


def _load(directory: Path) -> Potential:
    description = _read_description(directory / DESCRIPTION_FILE)
    potential = _build(description["name"], description["options"])
    weights = directory / WEIGHTS_FILE
    try:
        tensors = safetensors.torch.load_file(weights)
    except FileNotFoundError:
        raise CheckpointError(f"{weights}: no such file") from None
    except (safetensors.SafetensorError, ValueError) as error:
        raise CheckpointError(f"{weights} is damaged: {error}") from error
    saved_dtypes = {tensor.dtype for key, tensor in tensors.items() if key != "isolated_energies"}
    if len(saved_dtypes) == 1:
        potential.to(saved_dtypes.pop())
    try:
        potential.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{weights} does not fit {description['name']}: {error}") from error
    if potential.sha256() != description["sha256"]:
        raise CheckpointError(
            f"{directory}: weights and description do not belong together (fingerprint differs)"
        )
    return potential


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(
            f"{path.parent} holds no saved potential: {path.name} is missing"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise CheckpointError(f"{path} does not describe a potential")
    if description.get("version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {description.get('version')!r}; this version of softatoms "
            f"reads {FORMAT_VERSION}"
        )
    missing = {"name", "options", "sha256"} - set(description)
    if missing or description["name"] not in BACKENDS:
        raise CheckpointError(f"{path} is damaged: missing or unknown {sorted(missing) or 'name'}")
    return description
