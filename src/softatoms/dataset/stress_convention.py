"""Order and sign of stresses in a dataset, told from its strained cells.

When a cell is deformed by F = exp(L) without moving the atoms inside, its energy changes by
∫ V σ : L dt along the path, whatever the material. Two cells with the same fractional coordinates
therefore say which of the possible orders and signs of the six numbers is right: only with that one
do the stresses give back the energy differences. A constant pressure between stress and energy, as
an incomplete plane-wave basis leaves it (Pulay stress), is fitted alongside and reported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..errors import SoftatomsError
from ..units import GPA_PER_EV_ANG3

EV_ANG3_PER_KBAR = 0.1 / GPA_PER_EV_ANG3
"""One kbar, a tenth of a GPa, in eV/Å³."""

ORDERS = {
    "xx yy zz xy yz zx": (0, 3, 5, 3, 1, 4, 5, 4, 2),
    "xx yy zz yz xz xy": (0, 5, 4, 5, 1, 3, 4, 3, 2),
    "xx yy zz xy xz yz": (0, 3, 4, 3, 1, 5, 4, 5, 2),
}
"""Where the nine components of the matrix stand among six numbers: VASP, Voigt, LAMMPS."""

LARGEST_STRAIN = 0.04
"""Pairs of cells that differ by more than this say little: the midpoint rule no longer holds."""

SMALLEST_STRAIN = 1e-3
"""Pairs that differ by less have energy differences that are rounding."""

NEIGHBOURS = 12
"""Pairs per cell; those that differ least are taken."""

FEWEST_PAIRS = 10
MOST_RESIDUAL = 0.1
"""Share of the energy differences that the right convention may leave unexplained."""

CLEARLY = 2.0
"""How many times more the next best convention must leave unexplained."""

NOTABLE_OFFSET_KBAR = 5.0
"""A constant difference between stresses and energies that a user should know of."""

SAME_FRACTIONAL = 1e-3
"""How far fractional coordinates may differ in two deformations of one structure."""


class StressConventionError(SoftatomsError):
    """The data do not say in which order and with which sign stresses are given."""


@dataclass(frozen=True)
class StressConvention:
    """How six numbers become a stress.

    Attributes:
        order: Key of :data:`ORDERS`.
        sign: 1 if the numbers have ASE's sign (dE/dε / V), -1 if positive means compressed.
        residual: Share of the energy differences left unexplained; 0 if not determined from data.
        runner_up: The same for the best of the other conventions.
        slope: Energy differences over those predicted, 1 if the unit is right.
        offset_kbar: What to add to the diagonal of the stresses, counted positive in tension, so
            that they fit the energies.
        n_pairs: Pairs of cells behind it.
        adds_offset: Whether it is added.
    """

    order: str
    sign: int
    residual: float = 0.0
    runner_up: float = float("inf")
    slope: float = 1.0
    offset_kbar: float = 0.0
    n_pairs: int = 0
    adds_offset: bool = False

    @property
    def description(self) -> str:
        """The convention and how well it fits, in words."""
        words = f"stresses are {_words(self)}"
        if self.n_pairs:
            words += (
                f", told from {self.n_pairs} pairs of strained cells: {self.residual:.1%} of their "
                f"energies unexplained, {self.runner_up:.1%} by the next best convention"
            )
        if self.adds_offset:
            words += f"; {self.offset_kbar:+.1f} kbar are added, so that they fit the energies"
        elif abs(self.offset_kbar) > NOTABLE_OFFSET_KBAR:
            words += (
                f"; they differ from the energies by a constant {self.offset_kbar:.1f} kbar, as an "
                "incomplete basis set leaves it: do not train on both"
            )
        return words

    def matrix(self, kbar: NDArray[np.float64]) -> NDArray[np.float64]:
        """Stress in eV/Å³ with ASE's sign, shape (..., 3, 3), of six numbers in kbar."""
        components = kbar[..., list(ORDERS[self.order])]
        found = self.sign * EV_ANG3_PER_KBAR * components.reshape(*kbar.shape[:-1], 3, 3)
        if self.adds_offset:
            found = found + self.offset_kbar * EV_ANG3_PER_KBAR * np.eye(3)
        return found


VASP = StressConvention("xx yy zz xy yz zx", -1)
"""As VASP prints stresses ("in kB"): positive means compressed."""


@dataclass(frozen=True)
class StrainedCell:
    """One labelled cell.

    Attributes:
        numbers: Atomic numbers, shape (n_atoms,).
        fractional: Fractional coordinates, shape (n_atoms, 3).
        cell: Lattice vectors as rows in Å, shape (3, 3).
        energy: In eV.
        kbar: The six numbers of the stress in kbar.
    """

    numbers: NDArray[np.int64]
    fractional: NDArray[np.float64]
    cell: NDArray[np.float64]
    energy: float
    kbar: NDArray[np.float64]


def detect_stress_convention(cells: Sequence[StrainedCell]) -> StressConvention:
    """Find the order and sign with which stresses explain the energies of strained cells.

    Args:
        cells: Labelled cells, strained and other ones.

    Raises:
        StressConventionError: If the data contain too few deformations of one structure, if no
            convention explains them, or if several do so equally well.
    """
    first, second = _pairs(cells)
    if len(first) < FEWEST_PAIRS:
        raise StressConventionError(
            f"order and sign of the stresses cannot be told: only {len(first)} pairs of cells are "
            f"small deformations of each other, {FEWEST_PAIRS} are needed; name the convention"
        )
    box = np.stack([cell.cell for cell in cells])
    energies = np.array([cell.energy for cell in cells])
    # Rows of a cell are vectors, so F stands on the right and its logarithm is transposed.
    deformation = np.linalg.solve(box[first], box[second]).astype(np.float64)
    gradient = logarithm(deformation.transpose(0, 2, 1))
    volumes = np.abs(np.linalg.det(box))
    measured = energies[second] - energies[first]
    dilation = EV_ANG3_PER_KBAR * (volumes[second] - volumes[first])
    six = np.stack([cell.kbar for cell in cells])
    fits: list[StressConvention] = []
    for order, sign in product(ORDERS, (1, -1)):
        convention = StressConvention(order, sign)
        tension = volumes[:, None, None] * convention.matrix(six)
        predicted = 0.5 * np.einsum("pij,pij->p", tension[first] + tension[second], gradient)
        basis = np.stack([predicted, dilation], axis=1)
        slope = np.linalg.lstsq(basis, measured, rcond=None)[0][0]
        offset = _through_origin(dilation, measured - predicted)
        left = measured - predicted - offset * dilation
        fits.append(
            StressConvention(
                order,
                sign,
                residual=float(np.linalg.norm(left) / np.linalg.norm(measured)),
                slope=float(slope),
                offset_kbar=offset,
                n_pairs=len(first),
            )
        )
    fits.sort(key=lambda fit: fit.residual)
    best, other = fits[:2]
    if best.residual > MOST_RESIDUAL:
        raise StressConventionError(
            f"no order and sign of the stresses explains the energies of {len(first)} pairs of "
            f"strained cells: the best one ({_words(best)}) leaves {best.residual:.0%} of them; "
            f"energies over predictions are {best.slope:.3g}, is the unit kbar?"
        )
    if other.residual < CLEARLY * best.residual:
        raise StressConventionError(
            f"order and sign of the stresses cannot be told: '{_words(best)}' leaves "
            f"{best.residual:.1%} of the energies of strained cells unexplained, '{_words(other)}' "
            f"{other.residual:.1%}; give cells with shear, or name the convention"
        )
    return dataclasses.replace(best, runner_up=other.residual)


def logarithm(deformation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of deformations near 1, shape (n, 3, 3), to third order in the strain."""
    one = np.eye(3)
    half = np.linalg.solve(deformation + one, deformation - one)
    return 2.0 * half.astype(np.float64)


def _through_origin(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    square = float(x @ x)
    return float(x @ y) / square if square else 0.0


def _pairs(cells: Sequence[StrainedCell]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cells that are small deformations of each other, each pair once."""
    alike: dict[bytes, list[int]] = {}
    for index, cell in enumerate(cells):
        if np.isfinite(cell.energy) and np.isfinite(cell.kbar).all():
            alike.setdefault(cell.numbers.tobytes(), []).append(index)
    found: set[tuple[int, int]] = set()
    for members in alike.values():
        fractional = np.stack([cells[index].fractional for index in members])
        box = np.stack([cells[index].cell for index in members])
        for row, index in enumerate(members):
            away = fractional - fractional[row]
            same = np.abs(away - np.round(away)).max(axis=(1, 2)) < SAME_FRACTIONAL
            change = np.linalg.solve(box[row], box) - np.eye(3)
            size = np.linalg.norm(change, axis=(1, 2))
            near = np.flatnonzero(same & (size > SMALLEST_STRAIN) & (size < LARGEST_STRAIN))
            for other in near[np.argsort(size[near], kind="stable")[:NEIGHBOURS]].tolist():
                pair = sorted((index, members[other]))
                found.add((pair[0], pair[1]))
    pairs = np.array(sorted(found), dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _words(convention: StressConvention) -> str:
    return f"{convention.order}, positive is {'tensile' if convention.sign > 0 else 'compressive'}"
