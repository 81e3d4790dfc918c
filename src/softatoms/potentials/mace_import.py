"""Reads models of mace-torch and converts them.

Such a model is a pickled Python object, and unpickling can run any code. It happens only with
``trust=True``, after the SHA-256 of the file is printed. mace-torch changes global settings of the
process when it is imported; all of that stays in here and is undone.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from torch import Tensor, nn

from ..errors import CheckpointError, OptionError, suggest
from ..graph import Batch
from ..neighbours import neighbour_pairs
from ..structure import SoftAtoms
from .mace import Mace
from .mace_convert import convert

PROBE_ATOMS = 8
"""Number of atoms of the cluster that a converted model is compared on."""

AGREEMENT = 1e-9
"""Largest deviation of the energy of the probe from the original, relative to 1 eV + |E|."""

INSTALL_HINT = "reading MACE models needs the package mace-torch: pip install 'softatoms[mace]'"


def load_mace(
    *,
    path: str | Path | None = None,
    model: str | None = None,
    head: str | None = None,
    trust: bool = False,
    sha256: str | None = None,
) -> Mace:
    """Read an energy model of mace-torch and convert it.

    The result can be saved with ``save_potential`` and then be loaded without mace-torch and
    without trust.

    Args:
        path: File of the model, as mace-torch saves it.
        model: Name of a published MACE-MP model, such as ``small``, instead. mace-torch downloads
            it into its cache unless it is there.
        head: Head to take of a model with several.
        trust: Has to be True: the file is unpickled, which can run any code in it.
        sha256: Expected SHA-256 of the file; another file is refused unread.

    Raises:
        OptionError: For options that do not fit together, and without the package mace-torch.
        CheckpointError: For a file that holds no model, or one that cannot be converted.
    """
    if (path is None) == (model is None):
        raise OptionError("mace needs either path or model: a file, or the name of a MACE-MP model")
    for name, value in (("path", path), ("model", model), ("head", head)):
        if value is not None and not isinstance(value, str | Path):
            raise OptionError(f"{name} must be a text, got {value!r}")
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", str(sha256)):
        raise OptionError(f"sha256 must be 64 hexadecimal digits, got {sha256!r}")
    if trust is not True:
        raise OptionError(
            f"{path or model} is a pickled model, and reading it can run any code in it: "
            "pass trust=True if you know where it comes from"
        )
    file = Path(path) if path is not None else _download(str(model))
    content = _content(file)
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and sha256.lower() != digest:
        raise CheckpointError(f"{file} is not the expected file: its SHA-256 is {digest}")
    with isolated():
        _import("mace")
        sys.stderr.write(f"softatoms: unpickling {file}, SHA-256 {digest}\n")
        original = _unpickled(content, file)
        source = {"file": file.name, "sha256": digest}
        try:
            potential = convert(original, head, source)
            compare(potential, original)
        except CheckpointError as error:
            raise CheckpointError(f"{file}: {error}") from None
        except (AttributeError, IndexError, KeyError, TypeError, RuntimeError) as error:
            raise CheckpointError(
                f"{file} is not built like the models of mace-torch that are known: {error}"
            ) from error
    return potential


_ONE_AT_A_TIME = threading.RLock()
"""torch.fx and e3nn patch torch's modules while they trace, for all threads."""


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Undo what importing and running mace-torch changes for the whole process.

    One thread at a time; others see the changes as long as it lasts.
    """
    with _ONE_AT_A_TIME, _settings_restored():
        yield


@contextlib.contextmanager
def _settings_restored() -> Iterator[None]:
    root = logging.getLogger()
    environment, dtype = dict(os.environ), torch.get_default_dtype()
    level, handlers = root.level, list(root.handlers)
    trusted = list(torch.serialization.get_safe_globals())
    with (
        warnings.catch_warnings(),
        torch.random.fork_rng(devices=[]),
        # Messages of import and download belong with the other messages.
        contextlib.redirect_stdout(sys.stderr),
    ):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.serialization.clear_safe_globals()
            torch.serialization.add_safe_globals(trusted)
            root.setLevel(level)
            root.handlers[:] = handlers
            for key in set(os.environ) - set(environment):
                del os.environ[key]
            os.environ.update(environment)


def _import(name: str) -> Any:
    """Import a module of mace-torch without its remarks on packages that it could also use."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            # The first import lets e3nn read its tables of constants.
            importlib.import_module("mace.modules")
            return importlib.import_module(name)
    except ImportError as error:
        raise OptionError(f"{INSTALL_HINT} ({error})") from None


def _download(model: str) -> Path:
    with isolated():
        published = _import("mace.calculators.foundations_models")
        names = published.mace_mp_urls
        if model not in names:
            raise OptionError(f"there is no MACE-MP model '{model}': {suggest(model, names)}")
        try:
            return Path(published.download_mace_mp_checkpoint(model))
        except (OSError, RuntimeError) as error:
            raise CheckpointError(
                f"the MACE-MP model '{model}' could not be downloaded from {names[model]} into "
                f"{published.get_cache_dir()}: {error}; download it elsewhere and give its path"
            ) from error


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"{file}: no such file") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{str(file)!r} cannot be read: {error}") from error


def _unpickled(content: bytes, file: Path) -> nn.Module:
    """The model in float64."""
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
    # A damaged pickle can raise anything.
    except Exception as error:
        raise CheckpointError(
            f"{file} is no readable model: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(loaded, nn.Module):
        raise CheckpointError(f"{file} holds a {type(loaded).__name__}, not a model of mace-torch")
    return loaded.double().eval().requires_grad_(False)


def compare(potential: Mace, original: Any) -> None:
    """Compare a converted model with the original on a small cluster of random shape.

    Args:
        potential: The converted model, float64.
        original: The original, float64.

    Raises:
        CheckpointError: If their energies differ.
    """
    generator = torch.Generator().manual_seed(0)
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)
    shifts = torch.rand(corners.shape, generator=generator, dtype=torch.float64)
    positions = (corners + 0.3 * shifts) * 0.4 * potential.cutoff
    kinds = torch.randperm(len(potential.species), generator=generator)
    species = kinds.repeat(PROBE_ATOMS)[:PROBE_ATOMS]
    expected, atoms = _original_energies(potential, original, positions, species)
    # Without the energies of atoms, which can be so large that they hide everything else.
    energy, expected = _energy(potential, positions, species) - atoms, expected - atoms
    rounding = 16.0 * torch.finfo(torch.float64).eps * abs(atoms)
    if not abs(energy - expected) <= AGREEMENT * (1.0 + abs(expected)) + rounding:
        raise CheckpointError(
            f"the converted model gives {energy:.9f} eV for a cluster of {PROBE_ATOMS} atoms, the "
            f"original {expected:.9f} eV: this variant of MACE is not supported"
        )


def _energy(potential: Mace, positions: Tensor, species: Tensor) -> float:
    symbols = [potential.species[index] for index in species]
    soft = SoftAtoms.from_ase(Atoms(symbols, positions.numpy()))
    batch = Batch([soft], torch.device("cpu"))
    pairs = neighbour_pairs(soft.positions, soft.cell, soft.pbc, potential.cutoff)
    cells = positions.new_zeros((1, 3, 3))
    geometry = batch.geometry([pairs], positions, cells, potential.cutoff, torch.float64)
    weights = batch.node_weights(soft.weights)
    return float(potential(batch.graph(geometry, weights, "mean_field")).sum())


def _original_energies(
    potential: Mace, original: Any, positions: Tensor, species: Tensor
) -> tuple[float, float]:
    """Energy of a cluster, and the part of it that is atoms, in eV."""
    distances = torch.cdist(positions, positions) + 2.0 * potential.cutoff * torch.eye(PROBE_ATOMS)
    edges = (distances < potential.cutoff).nonzero().T.contiguous()
    none = positions.new_zeros((edges.shape[1], 3))
    heads = list(getattr(original, "heads", None) or ["Default"])
    head = heads.index(potential.options["source"]["head"])
    attributes = torch.nn.functional.one_hot(species, len(potential.species)).double()
    torch.set_default_dtype(torch.float64)
    result = original(
        {
            "positions": positions.clone(),
            "node_attrs": attributes,
            "edge_index": edges,
            "shifts": none,
            "unit_shifts": none,
            "cell": positions.new_zeros((3, 3)),
            "batch": torch.zeros(PROBE_ATOMS, dtype=torch.int64),
            "ptr": torch.tensor([0, PROBE_ATOMS]),
            "head": torch.tensor([head]),
        },
        compute_force=False,
    )
    atoms = original.atomic_energies_fn(attributes)[:, head].sum()
    return float(result["energy"].detach()), float(atoms)
