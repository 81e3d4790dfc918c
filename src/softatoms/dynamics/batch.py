"""What a caller asks for: many trajectories at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..errors import OptionError
from ..evaluation import check_device, check_dtype, check_systems
from ..files import check_writable
from ..graph import check_coupling
from ..potentials.base import Potential
from ..potentials.options import check_finite, check_positive, check_whole
from ..runtime import keep_freed_memory
from ..structure import SoftAtoms
from .observers import Observer, check_observers
from .results import Outcome
from .run import Options, Run
from .settings import Settings, checked_settings

if TYPE_CHECKING:
    from ..progress import Progress


@torch.inference_mode(False)
def run_dynamics(
    potential: Potential,
    systems: Iterable[SoftAtoms],
    settings: Settings | Sequence[Settings],
    *,
    n_steps: int,
    observers: Observer | Sequence[Observer] = (),
    frames_every: int | None = None,
    folder: str | os.PathLike[str] | None = None,
    names: Sequence[str] | None = None,
    checkpoint_every: int | None = None,
    checkpoint_minutes: float | None = 10.0,
    wall_time: float | None = None,
    coupling: str = "mean_field",
    dtype: str = "float64",
    device: str = "cpu",
    skin: float = 0.5,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Move many soft structures in time, all in one batch.

    A system that is lost ends with a status and does not disturb the others. Given a folder, the
    run writes samples, frames and checkpoints there; called again with the same arguments it goes
    on where it was, and a run that is finished only gives back its outcomes. ``n_steps`` may be
    larger then: the run is continued.

    Args:
        potential: The energy function.
        systems: The structures, of any sizes. Those without velocities draw them at their
            temperature.
        settings: How each moves, or one entry for all.
        n_steps: Steps of every system.
        observers: What to sample and how often.
        frames_every: Steps between whole structures written as extended XYZ; None for none.
        folder: Folder of the run; None keeps samples in memory and has no checkpoints.
        names: Name of each system in tables and frames; its index if None.
        checkpoint_every: Steps between checkpoints, counted from 0; None to go by time alone.
        checkpoint_minutes: Minutes between checkpoints; None to go by steps alone.
        wall_time: Seconds after which the call has to have returned; it stops in time.
        coupling: ``mean_field`` or ``replica``, see ``graph.py``.
        dtype: Precision of the potential, ``float32`` or ``float64``. All else is float64.
        device: Where to compute, such as ``cpu`` or ``cuda``.
        skin: Margin of the neighbour lists in Å. It changes no number.
        progress: Counts steps of systems.

    Returns:
        One outcome per structure, in the same order; see
        :func:`softatoms.dynamics.results.exit_code` for what a job should end with.

    Raises:
        OptionError: If an option is unusable.
        CheckpointError: If the folder holds a damaged checkpoint, or one of another run.
    """
    if not isinstance(potential, Potential):
        raise OptionError(f"potential must come from load_potential, got {potential!r}")
    listed = check_systems(systems, for_one="[system]")
    labels = _names(names, len(listed))
    if not listed:
        return []
    where = [f"structure {name}" for name in labels]
    chosen = checked_settings(settings, listed, where)
    watching = check_observers(observers)
    _check_pressure(watching, listed, chosen, where)
    _check_heat_flux(watching, chosen, where)
    options = Options(
        n_steps=check_whole(n_steps, "n_steps", least=0),
        observers=watching,
        frames_every=_whole_or_none(frames_every, "frames_every"),
        folder=_folder(folder),
        names=labels,
        checkpoint_every=_whole_or_none(checkpoint_every, "checkpoint_every"),
        checkpoint_minutes=(
            None
            if checkpoint_minutes is None
            else check_positive(checkpoint_minutes, "checkpoint_minutes")
        ),
        wall_time=None if wall_time is None else check_positive(wall_time, "wall_time"),
        coupling=check_coupling(coupling),
        dtype=check_dtype(dtype),
        device=check_device(device),
        skin=check_finite(skin, "skin"),
        progress=progress,
    )
    if options.skin < 0.0:
        raise OptionError(f"skin must be a number of at least 0 Å, got {skin!r}")
    if options.folder is None and (frames_every is not None or checkpoint_every is not None):
        raise OptionError("frames_every and checkpoint_every need a folder to write to")
    if options.device.type == "cpu":
        keep_freed_memory()
    return Run(potential, listed, chosen, options).run()


def _names(given: Any, count: int) -> tuple[str, ...]:
    if given is None:
        return tuple(str(index) for index in range(count))
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise OptionError(f"names must be a list of texts, got {given!r}")
    for name in given:
        if (
            not isinstance(name, str)
            or not name.isprintable()
            or not name
            or set(name) & set(" \"'=")
        ):
            raise OptionError(f"names must be texts without spaces, quotes or '=', got {name!r}")
    if len(given) != count or len(set(given)) != count:
        raise OptionError(f"names must be {count} different ones, one per structure, got {given}")
    return tuple(given)


def _whole_or_none(value: Any, name: str) -> int | None:
    return None if value is None else check_whole(value, name, least=1)


def _folder(given: Any) -> Path | None:
    if given is None:
        return None
    if not isinstance(given, str | os.PathLike) or not str(given):
        raise OptionError(f"folder must be a path or None, got {given!r}")
    check_writable(Path(given), is_folder=True)
    return Path(given)


def _check_pressure(
    observers: Sequence[Observer],
    systems: Sequence[SoftAtoms],
    settings: Sequence[Settings],
    where: Sequence[str],
) -> None:
    """Raise if stresses are wanted of a cell without volume."""
    wanting = [f"observer '{o.name}'" for o in observers if "stress" in o.needs]
    if settings[0].cell != "fixed":
        wanting.append(f"cell='{settings[0].cell}'")
    for soft, name in zip(systems, where, strict=True):
        if wanting and abs(np.linalg.det(soft.cell)) < 1e-12:
            raise OptionError(
                f"{wanting[0]} needs stresses, but the cell of {name} has no volume: give it a "
                "lattice vector across the vacuum"
            )


def _check_heat_flux(
    observers: Sequence[Observer], settings: Sequence[Settings], where: Sequence[str]
) -> None:
    """Raise if a heat flux is wanted of systems that move by more than the potential.

    The flux is that of the potential as it is: springs and a scaled potential are not in it, and
    the sum would be the flux of other dynamics than those of the run.
    """
    wanting = [o.name for o in observers if "heat_flux" in o.needs]
    for own, name in zip(settings, where, strict=True):
        if wanting and own.is_biased:
            raise OptionError(
                f"observer '{wanting[0]}': heat_flux is that of the potential alone, but {name} "
                "has tethers or a scaled potential: sample it in a run without them"
            )
