"""What a caller chooses for each system, checked where it is written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError, suggest
from ..potentials.options import check_finite, check_positive, check_whole
from ..structure import SoftAtoms
from .masses import MassRule
from .schedules import Schedule
from .tethers import Tethers

Thermostat = Literal["none", "langevin", "csvr"]
Cell = Literal["fixed", "isotropic", "anisotropic", "full"]

SHARED = ("thermostat", "cell", "barostat_interval", "masses_follow")
"""Options that all systems of one run must agree in."""


@dataclass(frozen=True)
class Limits:
    """Where a system counts as lost; it then ends, and the others go on.

    Attributes:
        temperature: Highest kinetic temperature in K.
        displacement: Longest way of a site in one step in Å.
        escape: How far a site may leave the range of its start along a direction that is not
            periodic, in Å.
        cell_factor: Largest factor by which the volume, or a height of the cell, may have changed.
    """

    temperature: float = 20_000.0
    displacement: float = 1.0
    escape: float = 50.0
    cell_factor: float = 3.0

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = check_positive(getattr(self, entry.name), f"limits: {entry.name}")
            object.__setattr__(self, entry.name, value)
        if self.cell_factor <= 1.0:
            raise OptionError(f"limits: cell_factor must be above 1, got {self.cell_factor!r}")


@dataclass(frozen=True)
class Settings:
    """How one system moves.

    Attributes:
        timestep: In fs.
        temperature: In K: of the thermostat, and of velocities that have to be drawn.
        thermostat: ``none``, ``langevin`` (BAOAB) or ``csvr`` (stochastic velocity rescaling).
        friction: Of the Langevin thermostat in 1/fs.
        relaxation_time: Of the kinetic energy under ``csvr``, in fs.
        cell: ``fixed``, or how the barostat may strain it: ``isotropic``, ``anisotropic`` (along x,
            y and z) or ``full`` (any strain, no rotation).
        pressure: Pressure from outside in eV/Å³.
        barostat_time: Relaxation time of the volume in fs.
        compressibility: Estimate of the isothermal compressibility in Å³/eV. It sets the pace
            together with ``barostat_time``, and no average.
        barostat_interval: Steps from one change of the cell to the next.
        seed: Seed of the system, 0 to 2⁶⁴ − 1.
        schedule: How the weights change; None if they do not.
        masses: Rule for the masses of soft sites, see ``masses.py``.
        masses_follow: Whether masses follow weights that change, or stay what they were at first.
        fixed_sites: Indices of sites that never move.
        fix_com: Whether the centre of mass is at rest and carries no degree of freedom; None for
            yes unless sites are fixed.
        limits: Where the system counts as lost.
        tethers: Springs from sites to points; None for none.
    """

    timestep: float = 1.0
    temperature: float | None = None
    thermostat: Thermostat = "none"
    friction: float = 0.01
    relaxation_time: float = 100.0
    cell: Cell = "fixed"
    pressure: float = 0.0
    barostat_time: float = 1000.0
    compressibility: float = 5.0
    barostat_interval: int = 10
    seed: int = 0
    schedule: Schedule | None = None
    masses: MassRule = "conditional"
    masses_follow: bool = False
    fixed_sites: tuple[int, ...] = ()
    fix_com: bool | None = None
    limits: Limits = field(default_factory=Limits)
    tethers: Tethers | None = None

    def __post_init__(self) -> None:
        for name in (
            "timestep",
            "friction",
            "relaxation_time",
            "barostat_time",
            "compressibility",
        ):
            object.__setattr__(self, name, check_positive(getattr(self, name), name))
        # Plain numbers: a run recognises its settings by how they print.
        object.__setattr__(self, "pressure", check_finite(self.pressure, "pressure"))
        for name, least in (("barostat_interval", 1), ("seed", 0)):
            object.__setattr__(self, name, check_whole(getattr(self, name), name, least=least))
        for name, known in (("thermostat", Thermostat), ("cell", Cell), ("masses", MassRule)):
            given = getattr(self, name)
            if given not in get_args(known):
                raise OptionError(f"unknown {name} '{given}': {suggest(given, get_args(known))}")
        if self.temperature is not None:
            object.__setattr__(self, "temperature", check_positive(self.temperature, "temperature"))
        elif self.thermostat != "none":
            raise OptionError(f"thermostat '{self.thermostat}' needs a temperature (K)")
        if self.cell != "fixed" and self.thermostat == "none":
            raise OptionError(
                f"cell='{self.cell}' samples constant pressure and needs a thermostat: 'langevin' "
                "or 'csvr'"
            )
        if self.cell == "fixed" and self.pressure != 0.0:
            raise OptionError(
                "pressure does nothing to a fixed cell: choose cell='isotropic', 'anisotropic' or "
                "'full', or leave pressure at 0"
            )
        if self.schedule is not None and not isinstance(self.schedule, Schedule):
            raise OptionError(f"schedule must be a Schedule or None, got {self.schedule!r}")
        if not isinstance(self.limits, Limits):
            raise OptionError(f"limits must be Limits(...), got {self.limits!r}")
        self._check_tethers()
        if not isinstance(self.masses_follow, bool):
            raise OptionError(f"masses_follow must be True or False, got {self.masses_follow!r}")
        if self.fix_com is not None and not isinstance(self.fix_com, bool):
            raise OptionError(f"fix_com must be True, False or None, got {self.fix_com!r}")
        object.__setattr__(self, "fixed_sites", _indices(self.fixed_sites))
        if self.fix_com and self.fixed_sites:
            raise OptionError(
                "fix_com: sites are fixed, so the centre of mass cannot be kept at rest as well: "
                "leave one of the two out"
            )
        if self.cell != "fixed" and self.fixed_sites:
            raise OptionError(f"fixed_sites do not go with cell='{self.cell}', which moves them")

    def _check_tethers(self) -> None:
        if self.tethers is None:
            return
        if not isinstance(self.tethers, Tethers):
            raise OptionError(f"tethers must be Tethers or None, got {self.tethers!r}")
        if self.cell != "fixed":
            raise OptionError(
                f"tethers hold sites in space: they do not go with cell='{self.cell}'"
            )
        if self.masses_follow and self.holds_com:
            raise OptionError(
                "tethers pull at a centre of mass at rest, which must not change with the masses: "
                "use masses_follow=False"
            )

    @property
    def holds_com(self) -> bool:
        """Whether the centre of mass carries no degree of freedom."""
        return not self.fixed_sites if self.fix_com is None else self.fix_com

    def check_fits(self, soft: SoftAtoms, where: str) -> None:
        """Raise if a structure cannot be moved so.

        Args:
            soft: The structure.
            where: What to call it.

        Raises:
            OptionError: Naming the option.
        """
        outside = [site for site in self.fixed_sites if site >= len(soft)]
        if outside:
            raise OptionError(
                f"fixed_sites of {where}: site {outside[0]} does not exist, there are {len(soft)} "
                "sites"
            )
        if self.degrees_of_freedom(soft) < 1:
            raise OptionError(
                f"{where} has no degree of freedom: {len(soft)} sites, "
                f"{len(set(self.fixed_sites))} of them fixed, fix_com={self.holds_com}"
            )
        if self.schedule is not None:
            self.schedule.check_fits(soft, where)
        if self.tethers is not None:
            self.tethers.check_fits(soft, where)
        if self.cell != "fixed" and not soft.pbc.all():
            pbc = "".join("FT"[int(periodic)] for periodic in soft.pbc)
            raise OptionError(
                f"cell: {where} is not periodic in all directions (pbc={pbc}): use cell='fixed'"
            )

    @property
    def is_biased(self) -> bool:
        """Whether a system has tethers or a scaled potential."""
        scaled = self.schedule is not None and self.schedule.scale != (1.0, 1.0)
        return scaled or self.tethers is not None

    def mobile(self, soft: SoftAtoms) -> NDArray[np.bool_]:
        """Which sites of a structure move, shape (n_sites,)."""
        mobile = np.ones(len(soft), dtype=bool)
        mobile[list(self.fixed_sites)] = False
        return mobile

    def degrees_of_freedom(self, soft: SoftAtoms) -> int:
        """How many velocities of a structure are free; ghosts count like atoms."""
        return 3 * int(self.mobile(soft).sum()) - 3 * self.holds_com


def checked_settings(
    given: Any, systems: Sequence[SoftAtoms], names: Sequence[str]
) -> list[Settings]:
    """One entry of settings per system.

    Raises:
        OptionError: If they are not settings, do not fit, or differ where they must agree.
    """
    settings = [given] * len(systems) if isinstance(given, Settings) else given
    if not isinstance(settings, Sequence) or not all(isinstance(s, Settings) for s in settings):
        raise OptionError(f"settings must be Settings(...) or a list of them, got {given!r}")
    if len(settings) != len(systems):
        raise OptionError(
            f"settings must have one entry per structure: {len(systems)}, got {len(settings)}"
        )
    for entry, soft, name in zip(settings, systems, names, strict=True):
        entry.check_fits(soft, name)
        for option in SHARED:
            first, other = getattr(settings[0], option), getattr(entry, option)
            if first != other:
                raise OptionError(
                    f"{option} must be the same for all systems of a run: {first!r} for "
                    f"{names[0]}, {other!r} for {name}; start a run of its own for each"
                )
    return list(settings)


def _indices(given: Any) -> tuple[int, ...]:
    values = np.asarray(given)
    if values.size == 0:
        return ()
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer) or values.min() < 0:
        raise OptionError(f"fixed_sites must be a list of indices from 0, got {given!r}")
    return tuple(sorted(set(values.tolist())))
