"""Batches of examples: which frames go together, and how they are laid end to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..graph import Batch, Geometry
from .examples import Example

POOL = 16
"""Batches that are filled together. Within a pool frames are sorted by their numbers of neighbours,
because a row is as wide as the site with most neighbours in its batch."""


@dataclass(frozen=True)
class Labelled:
    """A batch with its labels.

    Attributes:
        batch: The systems.
        geometry: Their pairs.
        weights: Weight of every node, shape (n_nodes,), float64.
        cells: Cells in Å, shape (n_systems, 3, 3), float64.
        atoms: Number of atoms of each system, shape (n_systems,), float64.
        importance: Factor of the penalties of each system, shape (n_systems,), float64.
        energies: In eV, shape (n_systems,), float64; nan where missing.
        forces: In eV/Å, shape (n_sites, 3), float64; nan where missing, and at sites that do not
            exist, whose force is 0 whatever the potential says.
        stresses: In eV/Å³, shape (n_systems, 3, 3), float64; nan where missing.
    """

    batch: Batch
    geometry: Geometry
    weights: Tensor
    cells: Tensor
    atoms: Tensor
    importance: Tensor
    energies: Tensor
    forces: Tensor
    stresses: Tensor


def pack(order: Sequence[int], examples: Sequence[Example], most_nodes: int) -> list[list[int]]:
    """Cut an order into batches of at most ``most_nodes`` nodes; larger frames stand alone."""
    batches: list[list[int]] = []
    filled = 0
    for index in order:
        nodes = examples[index].nodes
        if not batches or filled + nodes > most_nodes:
            batches.append([])
            filled = 0
        batches[-1].append(index)
        filled += nodes
    return batches


def fixed_batches(examples: Sequence[Example], most_nodes: int) -> list[list[int]]:
    """Batches of frames with similar numbers of neighbours, the same every time."""
    order = sorted(range(len(examples)), key=lambda index: examples[index].width)
    return pack(order, examples, most_nodes)


def shuffled_batches(
    examples: Sequence[Example], most_nodes: int, seed: int, epoch: int
) -> list[list[int]]:
    """Batches in a random order that depends on seed and epoch alone."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(examples)).tolist()
    batches: list[list[int]] = []
    for pool in pack(order, examples, POOL * most_nodes):
        pool.sort(key=lambda index: examples[index].width)
        batches += pack(pool, examples, most_nodes)
    return [batches[index] for index in rng.permutation(len(batches)).tolist()]


def collate(
    examples: Sequence[Example],
    cutoff: float,
    dtype: torch.dtype,
    device: torch.device,
    importance: Mapping[str, float] | None = None,
) -> Labelled:
    """Lay examples end to end.

    Args:
        examples: Frames with neighbours.
        cutoff: Radius of the potential in Å.
        dtype: Precision of the pair vectors.
        device: Where to compute.
        importance: Factor of the penalties of the frames of each group; 1 of all if None.
    """
    frames = [example.frame for example in examples]
    systems = [frame.soft for frame in frames]

    def joined(parts: Sequence[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.concatenate(parts)).to(device)

    batch = Batch(systems, device)
    cells = joined([soft.cell[None] for soft in systems])
    geometry = batch.geometry(
        [example.pairs for example in examples],
        joined([soft.positions for soft in systems]),
        cells,
        cutoff,
        dtype,
    )
    forces = [
        np.full((len(frame.soft), 3), np.nan)
        if frame.forces is None
        else np.where((frame.soft.existence > 0.0)[:, None], frame.forces, np.nan)
        for frame in frames
    ]
    missing = np.full((3, 3), np.nan)
    factors = [1.0 if importance is None else importance[frame.group] for frame in frames]
    return Labelled(
        batch=batch,
        geometry=geometry,
        weights=joined([soft.node_weight for soft in systems]),
        cells=cells,
        atoms=joined([np.array([example.atoms for example in examples])]),
        importance=joined([np.array(factors, dtype=np.float64)]),
        energies=joined([np.array([np.nan if f.energy is None else f.energy for f in frames])]),
        forces=joined(forces),
        stresses=joined([(missing if f.stress is None else f.stress)[None] for f in frames]),
    )
