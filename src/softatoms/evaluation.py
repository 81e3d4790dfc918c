"""Evaluate soft structures: what a caller asks for, checked, and run as one batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from .batch_evaluator import PROPERTIES, BatchEvaluator, Evaluation
from .errors import OptionError, StructureError, suggest
from .graph import Batch, check_coupling
from .neighbours import Pairs
from .neighbours_many import neighbour_pairs_of_many
from .potentials.base import Potential
from .runtime import keep_freed_memory
from .structure import SoftAtoms
from .structure_checks import real_array

INCLUDED = ("energy", "isolated_energy", "site_energies")
"""Properties that always come along."""

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def evaluate(
    potential: Potential,
    soft: SoftAtoms,
    *,
    properties: Iterable[str] = ("energy", "forces"),
    velocities: ArrayLike | Tensor | None = None,
    coupling: str = "mean_field",
    dtype: str = "float64",
    device: str = "cpu",
    pairs: Pairs | None = None,
) -> Evaluation:
    """Evaluate one soft structure.

    Args:
        potential: The energy function.
        soft: The structure.
        properties: What to compute; see ``PROPERTIES``. The energy always comes along.
        velocities: Velocities in Å/fs, shape (n_sites, 3), for the heat flux; those of the
            structure if None.
        coupling: ``mean_field`` or ``replica``, see ``graph.py``.
        dtype: Precision of the potential, ``float32`` or ``float64``. Sums are always float64.
        device: Where to compute, such as ``cpu`` or ``cuda``.
        pairs: Pairs of sites that include all within the cutoff, if they are known already.

    Returns:
        The properties.
    """
    return evaluate_batch(
        potential,
        [soft],
        properties=properties,
        velocities=None if velocities is None else [velocities],
        coupling=coupling,
        dtype=dtype,
        device=device,
        pairs=None if pairs is None else [pairs],
    )[0]


@torch.inference_mode(False)
def evaluate_batch(
    potential: Potential,
    systems: Iterable[SoftAtoms],
    *,
    properties: Iterable[str] = ("energy", "forces"),
    velocities: Sequence[ArrayLike | Tensor | None] | None = None,
    coupling: str = "mean_field",
    dtype: str = "float64",
    device: str = "cpu",
    pairs: Sequence[Pairs] | None = None,
) -> list[Evaluation]:
    """Evaluate many soft structures in one pass; see :func:`evaluate`.

    Args:
        potential: The energy function.
        systems: The structures, of any sizes.
        properties: What to compute for each of them.
        velocities: One entry per structure, or None.
        coupling: Coupling of soft sites.
        dtype: Precision of the potential.
        device: Where to compute.
        pairs: One entry per structure, or None.

    Returns:
        One result per structure, in the same order.
    """
    if not isinstance(potential, Potential):
        raise OptionError(f"potential must come from load_potential, got {potential!r}")
    systems = check_systems(systems, for_one="evaluate")
    wanted = check_properties(properties)
    rule = check_coupling(coupling)
    target = check_device(device)
    for name, given in (("velocities", velocities), ("pairs", pairs)):
        if given is not None and len(given) != len(systems):
            raise OptionError(
                f"{name} must have one entry per structure: {len(systems)}, got {len(given)}"
            )
    if len(systems) == 0:
        return []
    if target.type == "cpu":
        keep_freed_memory()
    if pairs is None:
        pairs = neighbour_pairs_of_many(systems, potential.cutoff)
    batch = Batch(systems, target)
    moving = None
    if "heat_flux" in wanted or velocities is not None:
        moving = _stack_velocities(systems, velocities, target)
    if wanted & {"stress", "stress_weight_gradient"}:
        _check_volumes(systems)
    return BatchEvaluator(potential, batch, rule, check_dtype(dtype)).evaluate(
        positions=torch.from_numpy(np.concatenate([s.positions for s in systems])).to(target),
        cells=torch.from_numpy(np.stack([s.cell for s in systems])).to(target),
        theta=torch.from_numpy(np.concatenate([s.groups.theta for s in systems])).to(target),
        pairs=pairs,
        wanted=wanted,
        velocities=moving if "heat_flux" in wanted else None,
    )


def check_systems(systems: Any, *, for_one: str) -> list[SoftAtoms]:
    """The structures as a list.

    Args:
        systems: What was given as such.
        for_one: The function that takes a single structure.

    Raises:
        OptionError: If they are anything but soft structures.
    """
    if isinstance(systems, SoftAtoms):
        raise OptionError(f"systems must be a list of SoftAtoms; for one structure use {for_one}")
    if isinstance(systems, str) or not isinstance(systems, Iterable):
        raise OptionError(f"systems must be a list of SoftAtoms, got {systems!r}")
    listed = list(systems)
    for index, soft in enumerate(listed):
        if not isinstance(soft, SoftAtoms):
            raise OptionError(
                f"structure {index} is a {type(soft).__name__}, not SoftAtoms: convert it with "
                "SoftAtoms.from_ase or SoftAtoms.from_pymatgen"
            )
    return listed


def check_properties(properties: Iterable[str]) -> frozenset[str]:
    """The set of names in ``properties``.

    Raises:
        OptionError: If a name is unknown.
    """
    if isinstance(properties, str) or not isinstance(properties, Iterable):
        raise OptionError(
            f"properties must be a list of names such as ('energy', 'forces'), got {properties!r}"
        )
    wanted = frozenset(properties)
    for name in sorted(wanted, key=str):
        if name not in (*PROPERTIES, *INCLUDED):
            raise OptionError(f"unknown property '{name}': {suggest(str(name), PROPERTIES)}")
    return wanted - set(INCLUDED)


def check_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """Torch's type of this name, or the type itself.

    Raises:
        OptionError: If it is neither ``float32`` nor ``float64``.
    """
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise OptionError(f"unknown dtype '{name}': {suggest(name, DTYPES)}")
    return DTYPES[name]


def check_device(device: str) -> torch.device:
    """Torch's device of this name.

    Raises:
        OptionError: If the name means nothing or this machine has no such device.
    """
    try:
        target = torch.device(device)
    except (RuntimeError, TypeError):
        target = torch.device("meta")
    if target.type not in ("cpu", "cuda") or (target.type == "cpu" and target.index):
        raise OptionError(f"unknown device {device!r}: use 'cpu', 'cuda' or 'cuda:<n>'")
    if target.type == "cuda":
        if not torch.cuda.is_available():
            raise OptionError(f"device '{device}' is not available: torch finds no CUDA GPU here")
        if target.index is None:
            target = torch.device("cuda", torch.cuda.current_device())
        if target.index >= torch.cuda.device_count():
            raise OptionError(f"device '{device}' does not exist: {torch.cuda.device_count()} GPUs")
    return target


def _check_volumes(systems: Sequence[SoftAtoms]) -> None:
    flat = np.flatnonzero(np.abs(np.linalg.det(np.stack([s.cell for s in systems]))) < 1e-12)
    if flat.size:
        raise StructureError(
            f"stress of structure {flat[0]} is undefined: its cell has no volume; give it a cell "
            "or leave 'stress' out of the properties"
        )


def _stack_velocities(
    systems: Sequence[SoftAtoms],
    velocities: Sequence[ArrayLike | Tensor | None] | None,
    device: torch.device,
) -> Tensor:
    parts = []
    for index, soft in enumerate(systems):
        given = None if velocities is None else velocities[index]
        if isinstance(given, Tensor):
            given = given.detach().cpu().numpy()
        moving = soft.velocities if given is None else real_array(given, "velocities")
        if moving is None:
            raise OptionError(
                f"heat_flux needs velocities (Å/fs): structure {index} has none and none were given"
            )
        if moving.shape != soft.positions.shape:
            raise OptionError(
                f"velocities of structure {index} must have shape {soft.positions.shape}, "
                f"got shape {moving.shape}"
            )
        wrong = np.flatnonzero(~np.isfinite(moving).all(axis=1))
        if wrong.size:
            raise OptionError(
                f"velocity of site {wrong[0]} in structure {index} contains nan or infinite values"
            )
        parts.append(moving)
    return torch.from_numpy(np.concatenate(parts)).to(device)
