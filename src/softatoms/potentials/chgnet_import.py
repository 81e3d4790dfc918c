"""Reads the trained CHGNet models that the ``chgnet`` package carries.

Only tensors and plain values are unpickled (``weights_only``), so a file can hold no code. The
package itself is not imported.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols
from torch import Tensor

from ..errors import CheckpointError, OptionError, suggest
from .chgnet import CHGNet

CARRIED = {
    "0.3.0": "0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
    "r2scan": "r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
    "0.2.0": "0.2.0/chgnet_0.2.0_e30f77s348m32.pth.tar",
}
"""Files of the trained models inside the package's ``pretrained`` directory."""

NEWEST = "0.3.0"
"""The model that is read unless another is named."""

NEVER_SEEN = ("Po", "At", "Rn", "Fr", "Ra")
"""Elements without any structure in the training data; their parameters mean nothing."""

EXPECTED: dict[str, tuple[Any, ...]] = {
    "read_out": ("ave",),
    "mlp_first": (True,),
    "update_bond": (True,),
    "update_angle": (True,),
    "non_linearity": ("silu",),
    "conv_norm": (None,),
    "gMLP_norm": (None, "layer"),
    "readout_norm": (None, "layer"),
    "angle_layer_hidden_dim": (0,),
}
"""Settings of the architecture that are understood; a missing one has the first value."""


def load_chgnet(*, model: str | None = None, path: str | Path | None = None) -> CHGNet:
    """A trained CHGNet.

    Args:
        model: One of the models in the ``chgnet`` package: ``0.3.0`` (PBE(+U)), ``r2scan`` or
            ``0.2.0``; ``0.3.0`` if neither model nor path is given.
        path: File of a fine-tuned model, as CHGNet's trainer writes it, instead.

    Raises:
        OptionError: If there is no such model, or the package is not installed.
        CheckpointError: If the file holds no CHGNet, or one of an unknown architecture.
    """
    if model is not None and path is not None:
        raise OptionError("chgnet takes either a model or a path, got both")
    if not isinstance(path, str | Path | None):
        raise OptionError(f"path must be that of a file, got {path!r}")
    file = carried_file(NEWEST if model is None else model) if path is None else Path(path)
    saved = _read(file)
    try:
        settings, tensors = saved["model"]["model_args"], saved["model"]["state_dict"]
        settings = dict(settings)
        tensors = dict(tensors)
    except (TypeError, KeyError, IndexError, ValueError):
        raise CheckpointError(f"{file} holds no CHGNet model") from None
    for name, known in EXPECTED.items():
        if settings.get(name, known[0]) not in known:
            raise CheckpointError(
                f"{file}: {name} is {settings[name]!r}; only {' or '.join(map(repr, known))} is "
                "supported"
            )
    try:
        network = _built(settings, tensors)
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError, OptionError) as error:
        raise CheckpointError(f"{file} does not fit CHGNet: {error}") from error
    return network


def carried_file(model: str) -> Path:
    """The file of a trained model inside the package chgnet.

    Raises:
        OptionError: If there is no such model, or the package is not installed.
    """
    if not isinstance(model, str) or model not in CARRIED:
        raise OptionError(f"chgnet has no model {model!r}: {suggest(str(model), CARRIED)}")
    package = importlib.util.find_spec("chgnet")
    if package is None or not package.submodule_search_locations:
        raise OptionError(
            "the chgnet potential reads its parameters from the package chgnet, which is not "
            "installed: pip install 'softatoms[chgnet]'"
        )
    file = Path(package.submodule_search_locations[0]) / "pretrained" / CARRIED[model]
    if not file.is_file():
        raise OptionError(f"this version of the package chgnet has no model {model}: {file}")
    return file


def _read(file: Path) -> Any:
    try:
        if not file.is_file():
            raise CheckpointError(f"{file}: no such file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # foreign bytes can raise anything inside an unpickler
        # What torch says runs over many lines; the first one names the trouble.
        reason = (str(error) or type(error).__name__).partition("\n")[0]
        raise CheckpointError(f"{file} is damaged or no CHGNet model: {reason}") from error


def _built(settings: dict[str, Any], tensors: dict[str, Tensor]) -> CHGNet:
    embedding = tensors["atom_embedding.embedding.weight"]
    known = list(range(1, len(embedding) + 1))
    numbers = [z for z in known if chemical_symbols[z] not in NEVER_SEEN]
    rows = torch.tensor(numbers) - 1
    widths = settings["mlp_hidden_dims"]
    network = CHGNet(
        elements=[chemical_symbols[z] for z in numbers],
        cutoff=settings["atom_graph_cutoff"],
        bond_cutoff=settings["bond_graph_cutoff"],
        envelope_power=settings["cutoff_coeff"],
        n_rounds=settings["n_conv"],
        n_radial=settings["num_radial"],
        n_angular=settings["num_angular"],
        n_features=embedding.shape[1],
        n_hidden=settings["atom_conv_hidden_dim"],
        readout=[widths] if isinstance(widths, int) else widths,
        has_norms=settings.get("gMLP_norm") is not None,
        has_readout_norm=settings.get("readout_norm") is not None,
        has_biases="bond_conv_layers.0.mlp_out.layers.1.bias" in tensors,
    )
    found = _renamed(network, tensors)
    found["embedding.weight"] = embedding[rows]
    found["isolated_energies"] = torch.zeros_like(network.isolated_energies)
    network.load_state_dict(found)
    reference = tensors["composition_model.fc.weight"].to(torch.float64).ravel()[rows]
    exact = network.cast(torch.float64, torch.device("cpu"))
    with torch.no_grad():
        network.isolated_energies.copy_(reference + exact.lone_readout())
    return network


def _renamed(network: CHGNet, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The trained parameters under the names they have here."""
    found = {
        "radial.frequencies": tensors["bond_basis_expansion.rbf_expansion_ag.frequencies"],
        "bond_radial.frequencies": tensors["bond_basis_expansion.rbf_expansion_bg.frequencies"],
        "angular.frequencies": tensors["angle_basis_expansion.fourier_expansion.frequencies"],
        "bond_embedding.weight": tensors["bond_embedding.weight"],
        "edge_weights.weight": tensors["bond_weights_ag.weight"],
        "bond_weights.weight": tensors["bond_weights_bg.weight"],
        "angle_embedding.weight": tensors["angle_embedding.weight"],
    }
    rounds = (
        ("atom_rounds", "atom_conv_layers", "twoBody_atom", network.atom_rounds),
        ("bond_rounds", "bond_conv_layers", "twoBody_bond", network.bond_rounds),
        ("angle_rounds", "angle_layers", "twoBody_bond", network.angle_rounds),
    )
    for ours, theirs, part, steps in rounds:
        for index in range(len(steps)):
            found |= _message(tensors, f"{theirs}.{index}.{part}", f"{ours}.{index}")
            for kind in ("weight", "bias"):
                source = f"{theirs}.{index}.mlp_out.layers.1.{kind}"
                if source in tensors:
                    found[f"{ours}.{index}.out.{kind}"] = tensors[source]
    for kind in ("weight", "bias"):
        if f"readout_norm.{kind}" in tensors:
            found[f"readout_norm.{kind}"] = tensors[f"readout_norm.{kind}"]
    # Their last layer is preceded by a dropout, which counts as a layer.
    count = len(network.readout)
    for index in range(0, count, 2):
        layer = index if index < count - 1 else index + 1
        for kind in ("weight", "bias"):
            found[f"readout.{index}.{kind}"] = tensors[f"mlp.layers.{layer}.{kind}"]
    return found


def _message(tensors: dict[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    """Parameters of a gated message, whose value and gate are two perceptrons in the original."""
    found = {}
    has_hidden = f"{theirs}.mlp_core.layers.3.weight" in tensors
    for kind in ("weight", "bias"):
        first = [
            tensors[f"{theirs}.mlp_{part}.layers.{0 if has_hidden else 1}.{kind}"]
            for part in ("core", "gate")
        ]
        found[f"{ours}.first.{kind}"] = torch.cat(first)
        for part, name, norm in (("core", "value", "bn1"), ("gate", "gate", "bn2")):
            if has_hidden:
                found[f"{ours}.{name}.{kind}"] = tensors[f"{theirs}.mlp_{part}.layers.3.{kind}"]
            if f"{theirs}.{norm}.{kind}" in tensors:
                found[f"{ours}.{name}_norm.{kind}"] = tensors[f"{theirs}.{norm}.{kind}"]
    return found
