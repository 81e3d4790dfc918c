"""Errors of a potential on labelled frames: per split, group and element."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ..dataset.frames import Frame
from ..evaluation import check_device, check_dtype
from ..graph import check_coupling
from ..potentials.base import Potential
from .batches import collate, fixed_batches
from .differentiable import predict
from .examples import ALL, SYSTEM, has_volume, labelled, make_examples
from .loss import VOIGT

UNITS = {"energy": "eV/atom", "force": "eV/Å", "stress": "eV/Å³"}
"""Unit of the errors of each quantity."""


@dataclass(frozen=True)
class Prediction:
    """What a potential says of one frame.

    Attributes:
        frame: The frame.
        atoms: Number of atoms, each counted by its existence.
        energy: In eV.
        forces: In eV/Å, shape (n_sites, 3).
        stress: In eV/Å³, shape (3, 3); nan without a volume.
    """

    frame: Frame
    atoms: float
    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]

    def energy_error(self) -> float:
        """Predicted energy minus label in eV per atom, nan without a label."""
        label = self.frame.energy
        return float("nan") if label is None else (self.energy - label) / self.atoms

    def force_errors(self) -> NDArray[np.float64]:
        """Predicted forces minus labels, shape (n_sites, 3); nan without a label or an atom."""
        if self.frame.forces is None:
            return np.full(self.forces.shape, np.nan)
        exists = self.frame.soft.existence[:, None] > 0.0
        return np.where(exists, self.forces - self.frame.forces, np.nan)

    def stress_errors(self) -> NDArray[np.float64]:
        """Predicted stress minus label, shape (6,), Voigt order; nan without a label."""
        if self.frame.stress is None:
            return np.full(6, np.nan)
        return (self.stress - self.frame.stress)[VOIGT]


def predictions(
    potential: Potential,
    frames: Sequence[Frame],
    *,
    atoms_per_batch: int = 1024,
    coupling: str = "mean_field",
    dtype: str | None = None,
    device: str = "cpu",
) -> list[Prediction]:
    """What a potential says of frames, in their order, without those that labelling failed on.

    Args:
        potential: The energy function.
        frames: Labelled frames.
        atoms_per_batch: Nodes to evaluate together; the results do not depend on it.
        coupling: Coupling of soft sites.
        dtype: Precision; that of the potential if None.
        device: Where to compute.

    Raises:
        FrameError: If a frame cannot be evaluated.
    """
    rule, target = check_coupling(coupling), check_device(device)
    own = next((p.dtype for p in potential.parameters()), torch.float64)
    kind = own if dtype is None else check_dtype(dtype)
    model = potential.cast(kind, target)
    examples = make_examples(labelled(frames), model)
    found: dict[int, Prediction] = {}
    for indices in fixed_batches(examples, atoms_per_batch):
        part = collate([examples[index] for index in indices], model.cutoff, kind, target)
        result = predict(
            model,
            part.batch,
            part.geometry,
            part.weights,
            part.cells,
            coupling=rule,
            differentiable=False,
        )
        assert result.forces is not None, "forces were asked for"
        assert result.stresses is not None, "stresses were asked for"
        pulls = result.forces.cpu().split(part.batch.site_counts)
        rows = zip(
            indices, result.energies.tolist(), pulls, result.stresses.cpu().numpy(), strict=True
        )
        for index, energy, forces, stress in rows:
            example = examples[index]
            if not has_volume(example.frame.soft.cell):
                stress = np.full((3, 3), np.nan)
            found[index] = Prediction(
                example.frame, example.atoms, energy, forces.numpy().copy(), stress
            )
    return [found[index] for index in range(len(examples))]


def metric_rows(
    model: str,
    found: Sequence[Prediction],
    *,
    group: Callable[[Frame], str] | None = None,
) -> list[dict[str, Any]]:
    """Rows of the table ``evaluation``: mean errors per split, group, system and element.

    Args:
        model: Name of the model.
        found: What it says of frames.
        group: Group of a frame; its own one if None.
    """
    of = (lambda frame: frame.group) if group is None else group
    rows: list[dict[str, Any]] = []
    for split in sorted({item.frame.split for item in found}):
        inside = [item for item in found if item.frame.split == split]
        parts: dict[str, list[Prediction]] = {ALL: inside}
        for item in inside:
            for name in (of(item.frame), f"{SYSTEM}{chemical_system(item.frame)}"):
                if name != ALL:
                    parts.setdefault(name, []).append(item)
        for name, part in parts.items():
            for element, quantity, values in _errors(part):
                known = values[np.isfinite(values)]
                if not known.size:
                    continue
                rows.append(
                    {
                        "metric_id": "/".join((model, split or "-", name, element, quantity)),
                        "model": model,
                        "split": split,
                        "group": name,
                        "element": element,
                        "quantity": quantity,
                        "mae": float(np.abs(known).mean()),
                        "rmse": float(np.sqrt((known * known).mean())),
                        "largest": float(np.abs(known).max()),
                        "unit": UNITS[quantity],
                        "n": int(known.size),
                    }
                )
    return rows


def chemical_system(frame: Frame) -> str:
    """Elements of a frame by their symbols, sorted, such as ``Cu-O``."""
    soft = frame.soft
    numbers = set(soft.node_number[soft.node_weight > 0.0].tolist())
    return "-".join(sorted(chemical_symbols[number] for number in numbers))


def prediction_rows(
    model: str,
    found: Sequence[Prediction],
    *,
    mean: Sequence[Prediction] | None = None,
    energy_spread: Sequence[float] | None = None,
    force_spread: Sequence[NDArray[np.float64]] | None = None,
) -> list[dict[str, Any]]:
    """Rows of the table ``prediction``: one per frame, with the spread of an ensemble if known.

    Args:
        model: Name of the model.
        found: What it says of frames.
        mean: What the mean of an ensemble says of them, whose error the spreads are about.
        energy_spread: Standard deviation of each energy in eV, one per frame.
        force_spread: Standard deviation of each force in eV/Å, arrays of shape (n_sites,).
    """
    rows = []
    for index, item in enumerate(found):
        forces = item.force_errors()
        lengths = np.linalg.norm(forces, axis=1)
        stress = item.stress_errors()
        wide = None if force_spread is None else force_spread[index]
        together = None if mean is None else mean[index]
        rows.append(
            {
                "frame_id": item.frame.frame_id,
                "model": model,
                "split": item.frame.split,
                "group": item.frame.group,
                "n_atoms": item.atoms,
                "energy_ev": item.energy,
                "energy_error_ev_per_atom": _or_none(item.energy_error()),
                "force_rmse_ev_per_ang": _root_mean_square(forces),
                "force_largest_error_ev_per_ang": _or_none(np.nanmax(lengths))
                if np.isfinite(lengths).any()
                else None,
                "stress_rmse_ev_per_ang3": _root_mean_square(stress),
                "energy_spread_ev_per_atom": None
                if energy_spread is None
                else float(energy_spread[index] / item.atoms),
                "force_spread_ev_per_ang": None
                if wide is None
                else float(np.sqrt((wide * wide).mean())),
                "force_largest_spread_ev_per_ang": None if wide is None else float(wide.max()),
                "mean_energy_error_ev_per_atom": None
                if together is None
                else _or_none(together.energy_error()),
                "mean_force_rmse_ev_per_ang": None
                if together is None
                else _root_mean_square(together.force_errors()),
            }
        )
    return rows


def force_rows(
    model: str,
    found: Sequence[Prediction],
    *,
    mean: Sequence[Prediction] | None = None,
    force_spread: Sequence[NDArray[np.float64]] | None = None,
) -> list[dict[str, Any]]:
    """Rows of the table ``force_prediction``: one per site that exists and has a label.

    Args:
        model: Name of the model.
        found: What it says of frames.
        mean: What the mean of an ensemble says of them.
        force_spread: Root of the summed variance of the components of each force in eV/Å, arrays
            of shape (n_sites,).
    """
    rows = []
    for index, item in enumerate(found):
        frame = item.frame
        if frame.forces is None:
            continue
        known = np.isfinite(item.force_errors()).all(axis=1)
        numbers = frame.soft.site_number.tolist()
        for site in np.flatnonzero(known).tolist():
            row: dict[str, Any] = {
                "site_id": f"{frame.frame_id}/{site}",
                "frame_id": frame.frame_id,
                "model": model,
                "split": frame.split,
                "group": frame.group,
                "element": chemical_symbols[numbers[site]],
            }
            for part, forces in (("label", frame.forces), ("predicted", item.forces)):
                for axis, value in zip("xyz", forces[site], strict=True):
                    row[f"{part}_{axis}_ev_per_ang"] = float(value)
            for place, axis in enumerate("xyz"):
                row[f"mean_{axis}_ev_per_ang"] = (
                    None if mean is None else float(mean[index].forces[site, place])
                )
            row["spread_ev_per_ang"] = (
                None if force_spread is None else float(force_spread[index][site])
            )
            rows.append(row)
    return rows


def _errors(part: Sequence[Prediction]) -> Iterator[tuple[str, str, NDArray[np.float64]]]:
    """Errors of all frames of one group: element, quantity and values."""
    yield ALL, "energy", np.array([item.energy_error() for item in part])
    forces = np.concatenate([item.force_errors() for item in part])
    yield ALL, "force", forces
    yield ALL, "stress", np.concatenate([item.stress_errors() for item in part])
    numbers = np.concatenate([item.frame.soft.site_number for item in part])
    for number in sorted(set(numbers.tolist()) - {0}):
        yield chemical_symbols[number], "force", forces[numbers == number]


def _root_mean_square(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.sqrt((known * known).mean())) if known.size else None


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
