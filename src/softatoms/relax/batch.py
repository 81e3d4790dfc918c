"""What a caller asks for: one structure relaxed, or many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike

from ..errors import OptionError
from ..evaluation import check_systems
from ..external import External
from ..potentials.base import Potential
from ..runtime import keep_freed_memory
from ..structure import SoftAtoms
from .options import check_periodic, checked_settings, mobile_sites
from .results import Progress, Relaxation
from .run import Run


@torch.inference_mode(False)
def relax_batch(
    potential: Potential,
    systems: Iterable[SoftAtoms],
    *,
    coupling: str = "mean_field",
    dtype: str = "float64",
    device: str = "cpu",
    cell: str | Sequence[bool] = "fixed",
    fixed_sites: Sequence[ArrayLike | None] | None = None,
    pressure: float = 0.0,
    fmax: float = 0.01,
    smax: float | None = 1e-4,
    max_steps: int = 500,
    optimiser: str = "lbfgs",
    max_step_length: float = 0.2,
    external: External | None = None,
    on_step: Callable[[Progress], None] | None = None,
) -> list[Relaxation]:
    """Bring many soft structures to where no force and no stress is left, at fixed weights.

    A structure that cannot be relaxed does not disturb the others.

    Args:
        potential: The energy function.
        systems: The structures, of any sizes.
        coupling: ``mean_field`` or ``replica``, see ``graph.py``.
        dtype: Precision of the potential, ``float32`` or ``float64``. Sums are always float64.
        device: Where to compute, such as ``cpu`` or ``cuda``.
        cell: Which strains the cells may take: ``fixed`` (none), ``full`` (any), ``isotropic``, or
            six booleans for xx, yy, zz, yz, xz, xy. Strains are logarithmic and symmetric: no cell
            rotates.
        fixed_sites: Sites that must not move, one entry per structure: None, indices, or a mask of
            shape (n_sites,). They keep their fractional coordinates if the cell changes.
        pressure: Pressure from outside in eV/Å³; the enthalpy is minimised.
        fmax: A structure is relaxed when no force on a mobile site is larger, in eV/Å, ...
        smax: ... and no component of stress + pressure along a free strain, in eV/Å³. None takes
            ASE's rule for both: volume × stress per site, in eV, is compared with ``fmax``.
        max_steps: Most evaluations of a structure after its first.
        optimiser: ``lbfgs`` or ``fire``.
        max_step_length: Longest way of a site in one step in Å. A strain counts as 4 Å times it.
        external: Energy of every atom by itself, such as a
            :class:`~softatoms.external.HarmonicTrap`; added times the existence of a site to the
            energy of the potential. The cell must be fixed then.
        on_step: Called with a :class:`Progress` after every evaluation.

    Returns:
        One result per structure, in the same order.

    Raises:
        OptionError: If an option is unusable.
    """
    if not isinstance(potential, Potential):
        raise OptionError(f"potential must come from load_potential, got {potential!r}")
    listed = check_systems(systems, for_one="relax")
    settings = checked_settings(
        coupling=coupling,
        dtype=dtype,
        device=device,
        cell=cell,
        pressure=pressure,
        fmax=fmax,
        smax=smax,
        max_steps=max_steps,
        optimiser=optimiser,
        max_step_length=max_step_length,
        external=external,
        on_step=on_step,
    )
    mobile = mobile_sites(listed, fixed_sites)
    check_periodic(listed, settings.strains)
    if not listed:
        return []
    if settings.device.type == "cpu":
        keep_freed_memory()
    return Run(potential, listed, mobile, settings).relax()


def relax(
    potential: Potential,
    soft: SoftAtoms,
    *,
    fixed_sites: ArrayLike | None = None,
    **options: Any,
) -> Relaxation:
    """Relax one soft structure; see :func:`relax_batch`.

    Args:
        potential: The energy function.
        soft: The structure.
        fixed_sites: Sites that must not move, as indices or a mask of shape (n_sites,).
        **options: All other options of :func:`relax_batch`.

    Returns:
        The relaxed structure and its properties.
    """
    if not isinstance(soft, SoftAtoms):
        raise OptionError(
            f"soft must be a SoftAtoms, got {type(soft).__name__}: for a list of them use "
            "relax_batch"
        )
    fixed = None if fixed_sites is None else [fixed_sites]
    return relax_batch(potential, [soft], fixed_sites=fixed, **options)[0]
