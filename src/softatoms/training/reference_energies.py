"""Isolated-atom energies: the part of the energies that is linear in composition.

Energies of DFT codes are counted from references of their own, tens of eV per atom. A network
should not have to learn that; it is regressed over compositions and stored as isolated-atom
energies. Only where they were fitted to isolated atoms do they mean these: a fit to condensed
phases puts the mean cohesion into them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..dataset.frames import Frame
from ..errors import OptionError
from ..potentials.base import Potential
from .examples import FrameError, composition_matrix
from .settings import TrainingSettings

SMALLEST_SINGULAR_VALUE = 1e-8
"""Relative to the largest: directions of composition along which the frames do not vary."""


def fit_isolated_energies(
    frames: Sequence[Frame],
    species: Sequence[str],
    interactions: NDArray[np.float64] | None = None,
) -> dict[str, float]:
    """Energies per atom that reproduce those of frames best, by least squares.

    Every frame counts alike, by its energy per atom. Where compositions do not tell elements apart
    (a single composition, say), the solution is the one in which they differ least.

    Args:
        frames: Frames; those without energy are not looked at.
        species: Elements of the potential.
        interactions: What to leave out of each energy in eV, shape (n_frames,), or None.

    Returns:
        Energy in eV by chemical symbol, of the elements that occur.
    """
    energies = np.array([np.nan if f.energy is None else f.energy for f in frames])
    if interactions is not None:
        energies = energies - interactions
    known = np.isfinite(energies)
    counts = composition_matrix(frames, species)[known]
    present = counts.any(axis=0)
    if not present.any():
        return {}
    atoms = counts.sum(axis=1)
    fractions = counts[:, present] / atoms[:, None]
    per_atom = energies[known] / atoms
    # Measured from the mean, the solution of least norm is that of least differences.
    mean = per_atom.mean()
    change, *_ = np.linalg.lstsq(fractions, per_atom - mean, rcond=SMALLEST_SINGULAR_VALUE)
    symbols = [species[index] for index in np.flatnonzero(present).tolist()]
    return dict(zip(symbols, (mean + change).tolist(), strict=True))


def set_isolated_energies(
    potential: Potential,
    frames: Sequence[Frame],
    choice: str | Mapping[str, float],
    totals: Callable[[], NDArray[np.float64]],
) -> None:
    """Give a potential its isolated-atom energies.

    Args:
        potential: Changed in place.
        frames: Training frames.
        choice: ``fit``, ``refit``, ``keep`` or energies in eV by chemical symbol.
        totals: Gives the energies that the potential predicts for the frames in eV.

    Raises:
        OptionError: If energies are given for elements that the potential does not know.
    """
    if choice == "keep":
        return
    if isinstance(choice, Mapping):
        energies = {symbol: float(energy) for symbol, energy in choice.items()}
    elif not potential.species:
        raise OptionError(
            f"the {potential.name} potential treats all elements alike: isolated energies cannot "
            "be fitted, use isolated_energies='keep'"
        )
    else:
        interactions = None
        if choice == "refit":
            interactions = totals() - isolated_sums(frames, potential)
        energies = fit_isolated_energies(frames, potential.species, interactions)
    for symbol, energy in energies.items():
        if symbol not in potential.species:
            raise OptionError(
                f"isolated_energies names {symbol}, but the potential covers "
                f"{', '.join(potential.species)}"
            )
        with torch.no_grad():
            potential.isolated_energies[potential.species.index(symbol)] = energy


def refuse_absurd_labels(
    frames: Sequence[Frame], potential: Potential, settings: TrainingSettings
) -> None:
    """Raise if a label is beyond all reason, which one bad calculation suffices for.

    Raises:
        FrameError: Naming the worst frame.
    """
    reference = isolated_sums(frames, potential)
    checks = (
        ("energy per atom", "eV from its reference", settings.energy_limit),
        ("force", "eV/Å", settings.forces_limit),
        ("stress", "eV/Å³", settings.stress_limit),
    )
    worst = np.zeros((3, len(frames)))
    for column, frame in enumerate(frames):
        if frame.energy is not None:
            atoms = frame.soft.existence.sum()
            worst[0, column] = abs(frame.energy - reference[column]) / atoms
        if frame.forces is not None:
            worst[1, column] = np.abs(frame.forces).max(initial=0.0)
        if frame.stress is not None:
            worst[2, column] = np.abs(frame.stress).max()
    for values, (name, unit, limit) in zip(worst, checks, strict=True):
        index = int(values.argmax()) if len(frames) else 0
        if len(frames) and values[index] > limit:
            raise FrameError(
                f"frame {frames[index].frame_id}: {name} of {values[index]:g} {unit} is beyond the "
                f"limit of {limit:g}; leave the frame out, or raise the limit if it is right"
            )


def isolated_sums(frames: Sequence[Frame], potential: Potential) -> NDArray[np.float64]:
    """Energy of the isolated atoms of each frame in eV, shape (n_frames,)."""
    energies = potential.isolated_energies.cpu().numpy()
    if potential.species:
        return composition_matrix(frames, potential.species) @ energies
    return np.array([frame.soft.existence.sum() for frame in frames]) * energies[0]
