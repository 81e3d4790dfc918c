"""Labels in other units among the rest of a dataset, told by their scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .findings import Finding
from .frames import Frame

ENERGY_UNITS = {
    "Hartree": 27.211386,
    "Rydberg": 13.605693,
    "kcal/mol": 0.0433641,
    "kJ/mol": 0.0103643,
}
"""Units in eV."""

FORCE_UNITS = {
    "Hartree/bohr": 51.422067,
    "Rydberg/bohr": 25.711034,
    "kcal/mol/Å": 0.0433641,
    "kJ/mol/Å": 0.0103643,
}
"""Units in eV/Å."""

_FEWEST = 5
"""Frames in a group from which a typical force can be told."""

_STEADY = 0.4
"""Spread of the logarithm of forces in a group up to which a stray frame stands out."""


def robust_fit(amounts: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values that follow linearly from amounts for most rows, whatever the others hold.

    Least absolute deviations by reweighted least squares.

    Args:
        amounts: Amount of each element, shape (n_rows, n_elements).
        values: What to fit, shape (n_rows,).

    Returns:
        Fitted values, shape (n_rows,).
    """
    # The median carries most of the scale, so that a few huge outliers do not spoil the start.
    middle = float(np.median(values))
    rest = values - middle
    weights = 1.0 / np.maximum(np.abs(rest), 1.0)
    fitted = np.zeros_like(values)
    for _ in range(50):
        root = np.sqrt(weights)
        solved = np.linalg.lstsq(amounts * root[:, None], rest * root, rcond=1e-8)[0]
        fitted = amounts @ solved
        weights = 1.0 / np.maximum(np.abs(rest - fitted), 1e-6)
    total: NDArray[np.float64] = fitted + middle
    return total


def energies_in_other_units(
    frames: Sequence[Frame], per_atom: NDArray[np.float64], expected: NDArray[np.float64]
) -> list[Finding]:
    """Energies that are far off but fit the rest once converted, or as energies per atom.

    Args:
        frames: The frames.
        per_atom: Their energies in eV/atom.
        expected: What their compositions suggest, in eV/atom.
    """
    away = np.abs(per_atom - expected)
    usual = max(float(np.median(away)), 0.02)
    found: list[Finding] = []
    for frame, value, wanted, off in zip(frames, per_atom, expected, away, strict=True):
        # Near zero every unit fits.
        if off < 10 * usual or abs(wanted) < 10 * usual:
            continue
        factors = {f"in {name}": unit for name, unit in ENERGY_UNITS.items()}
        if frame.n_sites > 3:
            # Two or three atoms may well be bound by half or a third of what a crystal is.
            factors["as energy per atom"] = float(frame.n_sites)
        misfit = {name: abs(value * factor - wanted) for name, factor in factors.items()}
        name = min(misfit, key=lambda unit: misfit[unit])
        if misfit[name] < min(5 * usual, 0.2 * off):
            found.append(
                Finding(
                    frame.frame_id,
                    "mixed units",
                    "error",
                    f"energy is {value:.6g} eV/atom where the rest suggests {wanted:.4g}: it would "
                    f"fit {name}",
                )
            )
    return found


def forces_in_other_units(frames: Sequence[Frame]) -> list[Finding]:
    """Forces whose scale differs from that of their group by a factor between units.

    These are warnings: a snapshot near a minimum has small forces of its own.
    """
    groups: dict[str, list[Frame]] = {}
    for frame in frames:
        if frame.forces is not None and frame.forces.any():
            groups.setdefault(frame.group, []).append(frame)
    found: list[Finding] = []
    for members in groups.values():
        if len(members) < _FEWEST:
            continue
        logs = np.log([np.sqrt((m.forces**2).mean()) for m in members if m.forces is not None])
        middle = float(np.median(logs))
        spread = float(np.median(np.abs(logs - middle)))
        if spread > _STEADY:
            continue
        for frame, size in zip(members, logs, strict=True):
            for name, unit in FORCE_UNITS.items():
                if abs(size + np.log(unit) - middle) < max(3 * spread, 0.3):
                    found.append(
                        Finding(
                            frame.frame_id,
                            "mixed units",
                            "warning",
                            f"forces are {np.exp(abs(size - middle)):.3g} times "
                            f"{'larger' if size > middle else 'smaller'} than in the rest of "
                            f"group {frame.group}: they would fit in {name}",
                        )
                    )
                    break
    return found
