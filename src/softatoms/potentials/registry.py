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
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.torch
import torch

from ..errors import CheckpointError, OptionError, SoftatomsError, suggest
from .base import Potential


class Backend(NamedTuple):
    """Where a potential is found; imported only when asked for.

    Attributes:
        module: Module of its class.
        kind: Name of its class.
        opener: Module and name of the function that makes it by name, where that reads a file of
            somebody else's; None if the class itself is called. What is saved is made by the class.
    """

    module: str
    kind: str
    opener: tuple[str, str] | None = None

    def cls(self) -> type[Potential]:
        """The class."""
        kind: type[Potential] = getattr(_sibling(self.module), self.kind)
        return kind

    def maker(self) -> Callable[..., Potential]:
        """What makes it by name from options."""
        if self.opener is None:
            return self.cls()
        module, function = self.opener
        maker: Callable[..., Potential] = getattr(_sibling(module), function)
        return maker


def _sibling(module: str) -> ModuleType:
    return importlib.import_module(f".{module}", __package__)


BACKENDS = {
    "lj": Backend("lennard_jones", "LennardJones"),
    "gupta": Backend("gupta", "Gupta"),
    "harmonic": Backend("harmonic", "Harmonic"),
    "schnet": Backend("schnet", "SchNet"),
    "painn": Backend("painn", "PaiNN"),
    "chgnet": Backend("chgnet", "CHGNet", ("chgnet_import", "load_chgnet")),
    "mace": Backend("mace", "Mace", ("mace_import", "load_mace")),
}
"""Every potential by its name."""

FORMAT = "softatoms-potential"
FORMAT_VERSION = 1
DESCRIPTION_FILE = "potential.json"
WEIGHTS_FILE = "weights.safetensors"


@torch.inference_mode(False)
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
        return _build(name, BACKENDS[name].maker(), options)
    if not isinstance(name, str | Path) or not str(name):
        raise OptionError(f"a potential has a name or a directory, got {name!r}")
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


def with_seed(
    name: str, options: Mapping[str, Any], seed: int, *, index: int = 0
) -> dict[str, Any]:
    """Options of one of several models that differ in their seeds.

    Args:
        name: Name of a potential.
        options: Its options; their own seed goes before the other.
        seed: Seed of the first model.
        index: Number of the model.

    Returns:
        The options with a seed, or as they are for a potential whose parameters are not random.
    """
    if "seed" not in inspect.signature(BACKENDS[name].maker()).parameters:
        return dict(options)
    return {**options, "seed": options.get("seed", seed) + index}


def save_potential(potential: Potential, directory: str | Path) -> None:
    """Save a potential so that :func:`load_potential` gives back the same energies.

    The directory is written under another name first and appears whole or not at all; a saved
    potential that is there already is replaced, anything else is left alone.

    Raises:
        CheckpointError: If something else has that name, or no potential could be loaded from it.
    """
    if not isinstance(potential, Potential):
        raise CheckpointError(f"only potentials are saved, got a {type(potential).__name__}")
    target = Path(directory).resolve()
    backend = BACKENDS.get(potential.name)
    if backend is None or backend.kind != type(potential).__name__:
        raise CheckpointError(
            f"a {type(potential).__name__} could not be loaded again: it is not in the registry"
        )
    if target.exists():
        _check_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
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
        # The order of options is kept: that of elements is the order of species.
        text = json.dumps(description, indent=2) + "\n"
        (partial / DESCRIPTION_FILE).write_text(text)
        partial.chmod(0o755)
        _put_in_place(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _check_replaceable(target: Path) -> None:
    """Raise if ``target`` holds anything but a saved potential."""
    if not target.is_dir():
        raise CheckpointError(f"{target} exists and is not a directory; it is left as it is")
    foreign = sorted({item.name for item in target.iterdir()} - {DESCRIPTION_FILE, WEIGHTS_FILE})
    if foreign:
        raise CheckpointError(
            f"{target} exists and holds other files, such as '{foreign[0]}'; it is left as it is"
        )


def _put_in_place(partial: Path, target: Path) -> None:
    """Give ``partial`` the name ``target``; what had it before is deleted only afterwards."""
    if not target.exists():
        partial.replace(target)
        return
    former = partial.with_name(f"{partial.name}.former")
    target.replace(former)
    try:
        partial.replace(target)
    except BaseException:
        former.replace(target)
        raise
    shutil.rmtree(former, ignore_errors=True)


def _build(name: str, maker: Callable[..., Potential], options: dict[str, Any]) -> Potential:
    parameters = inspect.signature(maker).parameters
    for option in options:
        if option not in parameters:
            raise OptionError(f"{name} has no option '{option}': {suggest(option, parameters)}")
    for option, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and option not in options:
            raise OptionError(f"{name} needs the option '{option}'")
    return maker(**{option: _plain(value) for option, value in options.items()})


def _plain(value: Any) -> Any:
    """An option in the types that JSON keeps, so that a saved potential has the same options."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


def _load(directory: Path) -> Potential:
    description = _read_description(directory / DESCRIPTION_FILE)
    try:
        name = description["name"]
        potential = _build(name, BACKENDS[name].cls(), description["options"])
    except (SoftatomsError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"{directory / DESCRIPTION_FILE}: unusable options: {_in_one_line(error)}"
        ) from error
    weights = directory / WEIGHTS_FILE
    try:
        tensors = safetensors.torch.load_file(weights)
    except FileNotFoundError:
        raise CheckpointError(f"{weights}: no such file") from None
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{weights} is damaged: {error}") from error
    saved_dtypes = {tensor.dtype for key, tensor in tensors.items() if key != "isolated_energies"}
    try:
        if len(saved_dtypes) == 1:
            potential.to(saved_dtypes.pop())
        potential.load_state_dict(tensors)
    except (RuntimeError, TypeError) as error:
        raise CheckpointError(
            f"{weights} does not fit {description['name']}: {_in_one_line(error)}"
        ) from error
    if potential.sha256() != description["sha256"]:
        raise CheckpointError(
            f"{directory}: weights and description do not belong together (fingerprint differs)"
        )
    return potential


def _in_one_line(error: Exception) -> str:
    """What torch says over several lines, without the heading."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[1] if len(lines) > 1 else "".join(lines)


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(
            f"{path.parent} holds no saved potential: {path.name} is missing"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise CheckpointError(f"{path} does not describe a potential")
    if description.get("version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {description.get('version')!r}; this version of softatoms "
            f"reads {FORMAT_VERSION}"
        )
    missing = {"name", "options", "sha256"} - set(description)
    if missing:
        raise CheckpointError(f"{path} is damaged: it lacks {', '.join(sorted(missing))}")
    if not isinstance(description["options"], dict):
        raise CheckpointError(f"{path} is damaged: options must be named")
    name = description["name"]
    if not isinstance(name, str) or name not in BACKENDS:
        raise CheckpointError(
            f"{path} is of an unknown potential {name!r}: {suggest(name, BACKENDS)}"
        )
    return description
