"""Checkpoints in one file: tensors, what else there is to know, and which run they belong to.

Tensors stand in safetensors, the rest as JSON in its metadata: nothing in it can run code. A file
is replaced as a whole, so there is always one that is complete.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.numpy
from torch import Tensor

from .errors import CheckpointError
from .files import replacing

VERSION = 2


def save_checkpoint(
    path: Path,
    kind: str,
    own: Mapping[str, str],
    tensors: Mapping[str, Tensor],
    about: Mapping[str, Any],
) -> None:
    """Write a checkpoint; the one before is there until this one is complete.

    Args:
        path: The file.
        kind: What goes on from it, such as a ``training``.
        own: Fingerprints of everything that determines the numbers, by what it is.
        tensors: Tensors by name.
        about: The rest, as JSON knows it.
    """
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    described = {
        "kind": kind,
        "version": VERSION,
        "identity": dict(own),
        "about": dict(about),
    }
    text = json.dumps(described)
    metadata = {"softatoms": text, "sha256": _digest(text, kept)}
    # Unlike tensors, arrays may share memory.
    arrays = {name: tensor.numpy() for name, tensor in kept.items()}
    with replacing(path) as partial:
        safetensors.numpy.save_file(arrays, partial, metadata=metadata)


def load_checkpoint(
    path: Path, kind: str, own: Mapping[str, str]
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and the rest of a checkpoint, or None if there is none.

    Args:
        path: The file.
        kind: What shall go on from it.
        own: Its fingerprints.

    Raises:
        CheckpointError: If it is damaged, or belongs to something else.
    """
    if not path.exists():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as handle:
            metadata = handle.metadata() or {}
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    text = metadata.get("softatoms", "{}")
    if metadata.get("sha256") != _digest(text, tensors):
        raise CheckpointError(f"{path} is damaged: it does not hold what was written")
    described = json.loads(text)
    if described.get("kind") != kind or described.get("version") != VERSION:
        raise CheckpointError(
            f"{path} is no checkpoint of a {kind} that this version of softatoms reads: remove it "
            "to start anew"
        )
    other = [name for name, value in own.items() if described["identity"].get(name) != value]
    if other:
        raise CheckpointError(
            f"{path} belongs to another {kind}: {', '.join(other)} differ; use another folder, or "
            "remove this one to start anew"
        )
    return tensors, described["about"]


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Fingerprint of a description, names and numbers."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
