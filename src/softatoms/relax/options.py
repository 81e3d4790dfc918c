"""The options of a relaxation, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import OptionError, suggest
from ..evaluation import check_device, check_dtype
from ..external import External
from ..graph import Coupling, check_coupling
from ..potentials.options import check_finite, check_positive, check_whole
from ..structure import SoftAtoms
from .results import Progress

Optimiser = Literal["lbfgs", "fire"]

CELLS = ("fixed", "full", "isotropic")
"""Names for the strains that a cell may take."""

COMPONENTS = ("xx", "yy", "zz", "yz", "xz", "xy")
"""Components of a strain in Voigt order."""

_AXES = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True)
class Settings:
    """How to relax; see :func:`softatoms.relax.relax_batch`.

    Attributes:
        coupling: Coupling of soft sites.
        dtype: Precision of the potential.
        device: Where to evaluate it.
        strains: Orthonormal symmetric matrices that span the strains of the cell, shape (n, 3, 3).
        pressure: In eV/Å³.
        fmax: Tolerance of forces in eV/Å.
        smax: Tolerance of stress in eV/Å³; None for volume × stress per site below ``fmax``.
        max_steps: Most evaluations after the first.
        optimiser: Name of the optimiser.
        max_step_length: Longest way of a site in one step in Å.
        external: Energy of every atom by itself, added to that of the potential, or None.
        on_step: Called after every evaluation, or None.
    """

    coupling: Coupling
    dtype: torch.dtype
    device: torch.device
    strains: NDArray[np.float64]
    pressure: float
    fmax: float
    smax: float | None
    max_steps: int
    optimiser: Optimiser
    max_step_length: float
    external: External | None
    on_step: Callable[[Progress], None] | None


def checked_settings(
    *,
    coupling: str,
    dtype: str,
    device: str,
    cell: str | Sequence[bool],
    pressure: float,
    fmax: float,
    smax: float | None,
    max_steps: int,
    optimiser: str,
    max_step_length: float,
    external: External | None = None,
    on_step: Callable[[Progress], None] | None,
) -> Settings:
    """The options in checked form.

    Raises:
        OptionError: Naming the option and what would be right.
    """
    strains = strain_basis(cell)
    outside = check_finite(pressure, "pressure")
    if outside != 0.0 and len(strains) == 0:
        raise OptionError(
            "pressure does nothing to a fixed cell: choose cell='full' or 'isotropic', or leave "
            "pressure at 0"
        )
    if external is not None and len(strains):
        raise OptionError(
            "external belongs to places in space and not to a cell: use cell='fixed' with it"
        )
    if on_step is not None and not callable(on_step):
        raise OptionError(f"on_step must be a function of one Progress, got {on_step!r}")
    return Settings(
        coupling=check_coupling(coupling),
        dtype=check_dtype(dtype),
        device=check_device(device),
        strains=strains,
        pressure=outside,
        fmax=check_positive(fmax, "fmax"),
        smax=None if smax is None else check_positive(smax, "smax"),
        max_steps=check_whole(max_steps, "max_steps", least=0),
        optimiser=_check_optimiser(optimiser),
        max_step_length=check_positive(max_step_length, "max_step_length"),
        external=external,
        on_step=on_step,
    )


def _check_optimiser(name: Any) -> Optimiser:
    for known in get_args(Optimiser):
        if name == known:
            return known
    raise OptionError(f"unknown optimiser '{name}': {suggest(name, get_args(Optimiser))}")


def strain_basis(cell: Any) -> NDArray[np.float64]:
    """Orthonormal basis of the strains that ``cell`` allows, shape (n, 3, 3)."""
    if isinstance(cell, str):
        if cell not in CELLS:
            raise OptionError(
                f"unknown cell '{cell}': {suggest(cell, CELLS)}, or six booleans for the strains "
                f"{', '.join(COMPONENTS)}"
            )
        if cell == "isotropic":
            return np.eye(3)[None] / np.sqrt(3.0)
        return _unit_strains([cell == "full"] * 6)
    try:
        mask = list(cell)
    except TypeError:
        mask = []
    if len(mask) != 6 or not all(isinstance(entry, bool | np.bool_) for entry in mask):
        raise OptionError(
            f"cell must be one of {', '.join(CELLS)} or six booleans for the strains "
            f"{', '.join(COMPONENTS)}, got {cell!r}"
        )
    return _unit_strains([bool(entry) for entry in mask])


def _unit_strains(mask: Sequence[bool]) -> NDArray[np.float64]:
    strains = np.zeros((sum(mask), 3, 3))
    chosen = [axes for axes, wanted in zip(_AXES, mask, strict=True) if wanted]
    for strain, (row, column) in zip(strains, chosen, strict=True):
        strain[row, column] = strain[column, row] = 1.0 if row == column else np.sqrt(0.5)
    return strains


def check_periodic(systems: Sequence[SoftAtoms], strains: NDArray[np.float64]) -> None:
    """Raise if a cell is to be strained in a direction in which nothing repeats.

    Raises:
        OptionError: Naming the structure and the direction.
    """
    strained = np.abs(strains).sum(axis=(0, 1)) > 0.0
    if not strained.any():
        return
    for index, soft in enumerate(systems):
        repeats = soft.cell[soft.pbc]
        along = np.linalg.pinv(repeats) @ repeats if len(repeats) else np.zeros((3, 3))
        open_directions = strained & (np.abs(along - np.eye(3)).max(axis=0) > 1e-6)
        if open_directions.any():
            axis = int(np.flatnonzero(open_directions)[0])
            raise OptionError(
                f"cell: structure {index} cannot be strained along {'xyz'[axis]}, where it is not "
                f"periodic (pbc={''.join('FT'[int(p)] for p in soft.pbc)}): use cell='fixed', or "
                f"six booleans that leave out every strain with {'xyz'[axis]}"
            )
        if abs(np.linalg.det(soft.cell)) < 1e-12:
            raise OptionError(
                f"cell: structure {index} has a cell without volume, so no stress: give it a "
                "lattice vector across the vacuum, or use cell='fixed'"
            )


def mobile_sites(systems: Sequence[SoftAtoms], fixed_sites: Any) -> list[NDArray[np.bool_]]:
    """Which sites of each structure may move, each of shape (n_sites,).

    Args:
        systems: The structures.
        fixed_sites: One entry per structure, each None, a mask of all sites or indices; or None.

    Raises:
        OptionError: Naming the structure and the entry that is wrong.
    """
    if fixed_sites is None:
        return [np.ones(len(soft), dtype=bool) for soft in systems]
    if not isinstance(fixed_sites, Sequence | np.ndarray) or isinstance(fixed_sites, str):
        raise OptionError(f"fixed_sites must be a list, one entry per structure, not {fixed_sites}")
    if len(fixed_sites) != len(systems):
        raise OptionError(
            f"fixed_sites must have one entry per structure: {len(systems)}, got {len(fixed_sites)}"
        )
    return [
        ~_fixed(fixed, len(soft), index)
        for index, (soft, fixed) in enumerate(zip(systems, fixed_sites, strict=True))
    ]


def _fixed(given: Any, n_sites: int, index: int) -> NDArray[np.bool_]:
    fixed = np.zeros(n_sites, dtype=bool)
    if given is None:
        return fixed
    where = f"fixed_sites of structure {index}"
    try:
        values = np.asarray(given)
    except ValueError:
        raise OptionError(f"{where} must be indices or a mask, got {given!r}") from None
    if values.ndim == 1 and values.size == 0:
        return fixed
    if values.ndim == 1 and values.dtype == bool:
        if len(values) != n_sites:
            raise OptionError(f"{where}: a mask needs {n_sites} entries, got {len(values)}")
        return values.copy()
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
        raise OptionError(f"{where} must be whole numbers or a mask, got {given!r}")
    outside = values[(values < -n_sites) | (values >= n_sites)]
    if outside.size:
        raise OptionError(f"{where}: site {outside[0]} does not exist, there are {n_sites} sites")
    fixed[values] = True
    return fixed
