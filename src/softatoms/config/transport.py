"""Section ``transport``: crystals and liquids whose thermal conductivity is computed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from .base import Identifier, Key, PositiveFloat, PositiveInt, Problem, Section
from .physics import Crystal
from .potential import PotentialSection

Vector = Annotated[list[int], Field(min_length=3, max_length=3)]
Natural = Annotated[float, Field(ge=0, allow_inf_nan=False)]

FEWEST_SAMPLES = 100


class TransportSystem(Crystal):
    """A structure, its supercell and its temperatures."""

    supercell: Annotated[list[Vector], Field(min_length=3, max_length=3)] = Field(
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        description="Vectors of the supercell in units of the cell that is given (of the primitive "
        "cell for a prototype).",
    )
    temperatures_k: list[PositiveFloat] = Field(min_length=1, description="Temperatures in K.")
    is_isotropic: bool = Field(
        True,
        description="Whether x, y and z are equivalent, as in cubic crystals and liquids. Their "
        "spectra are then averaged, which gives smaller errors.",
    )
    melt_k: PositiveFloat | None = Field(
        None,
        description="Temperature in K at which the crystal is molten first, for a liquid; none if "
        "empty.",
    )

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        found = super().problems(key)
        (a, b, c), (d, e, f), (g, h, i) = self.supercell
        if a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) == 0:
            found.append(Problem((*key, "supercell"), "vectors must span a volume"))
        if len(set(self.temperatures_k)) < len(self.temperatures_k):
            found.append(Problem((*key, "temperatures_k"), "holds a temperature twice"))
        if self.file is not None and not Path(self.file).is_file():
            found.append(Problem((*key, "file"), f"'{self.file}' is no file"))
        return found


class TransportRun(Section):
    """How the heat flux is sampled."""

    timestep_fs: PositiveFloat = Field(1.0, description="Time step in fs.")
    replicas: Annotated[int, Field(ge=2)] = Field(
        8, description="Trajectories of every system and temperature, moved in one batch."
    )
    cell_ps: Natural = Field(
        0.0, description="Time at constant pressure, in ps; 0 keeps the cell that is given."
    )
    cell: Literal["isotropic", "anisotropic", "full"] = Field(
        "isotropic", description="How the cell may strain in that time."
    )
    pressure_gpa: float = Field(0.0, allow_inf_nan=False, description="Pressure in GPa.")
    compressibility_per_gpa: PositiveFloat = Field(
        0.03,
        description="Estimate in 1/GPa (copper 0.007, solid argon 0.5). It sets the pace of the "
        "cell and no average.",
    )
    equilibration_ps: PositiveFloat = Field(10.0, description="Time at constant temperature, ps.")
    friction_per_ps: PositiveFloat = Field(10.0, description="Friction of the thermostat, 1/ps.")
    production_ps: PositiveFloat = Field(
        100.0, description="Time of every replica at constant energy, in ps."
    )
    flux_every_fs: PositiveFloat = Field(5.0, description="Time between samples of the flux, fs.")
    vibrations_ps: Natural = Field(
        0.0, description="Time in ps in which velocities are kept for a density of states; 0: none."
    )
    vibrations_every_fs: PositiveFloat = Field(5.0, description="Time between them in fs.")


class TransportAnalysis(Section):
    """What is made of the samples."""

    correlation_ps: PositiveFloat | None = Field(
        None, description="Longest lag of correlations in ps; a quarter of a block if empty."
    )
    smoothing_fs: Natural = Field(
        0.0, description="Moving average over correlations before the first dip is looked for, fs."
    )
    cutoff_thz: PositiveFloat | None = Field(
        None,
        description="Largest frequency of the cepstral analysis in THz; chosen by the data if "
        "empty.",
    )
    fixes_gauge: bool = Field(
        False,
        description="Whether what oscillates without carrying heat is taken off the flux of a "
        "crystal, by mean virials of its sites. Keeps all velocities: 24 bytes per site and "
        "sample.",
    )
    gauge_structures: PositiveInt = Field(
        50, description="Structures that these virials are averaged over."
    )


class Transport(Section):
    """Thermal conductivities from fluctuations of the heat flux."""

    systems: dict[Identifier, TransportSystem] = Field(
        min_length=1, description="Crystals and liquids by name."
    )
    potential: PotentialSection | None = Field(
        None, description="Energy function of these runs; that of the campaign if empty."
    )
    coupling: Literal["mean_field", "replica"] = Field(
        "mean_field", description="Coupling of soft sites, of files with partial occupancies."
    )
    run: TransportRun = Field(default_factory=TransportRun, description="Sampling.")
    analysis: TransportAnalysis = Field(default_factory=TransportAnalysis, description="Analysis.")

    def runs(self) -> list[tuple[str, float]]:
        """Name and temperature of all runs; each is a job."""
        return [
            (name, temperature)
            for name, system in self.systems.items()
            for temperature in system.temperatures_k
        ]

    def files(self) -> list[str]:
        """Files that the section reads, sorted."""
        return sorted({one.file for one in self.systems.values() if one.file is not None})

    def fingerprint(self) -> list[Any]:
        """Everything in it that results depend on."""
        contents = [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in self.files()]
        own = self.potential
        saved = own.description().get("sha256") if own is not None and own.is_saved else None
        return [self.model_dump(mode="json"), contents, saved]

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        found: list[Problem] = []
        if self.potential is not None:
            found += self.potential.problems((*key, "potential"))
        for name, system in self.systems.items():
            found += system.problems((*key, "systems", name))
        for name, every in (
            ("flux_every_fs", self.run.flux_every_fs),
            ("vibrations_every_fs", self.run.vibrations_every_fs),
        ):
            steps = every / self.run.timestep_fs
            if abs(steps - round(steps)) > 1e-6 or round(steps) < 1:
                message = f"must be a multiple of timestep_fs = {self.run.timestep_fs:g}"
                found.append(Problem((*key, "run", name), f"{message}, got {every:g}"))
        least = FEWEST_SAMPLES * self.run.flux_every_fs / 1000.0
        if self.run.production_ps < least:
            message = f"must hold {FEWEST_SAMPLES} samples of the flux, at least {least:g}"
            found.append(Problem((*key, "run", "production_ps"), message))
        return found

    def uncovered(self, covered: tuple[str, ...], key: Key) -> list[Problem]:
        """A problem for every element that the potential does not cover.

        Args:
            covered: Elements of the potential of the campaign.
            key: Where the section stands.
        """
        if self.potential is not None:
            covered = self.potential.elements()
        return [
            Problem(
                (*key, "systems", name, "elements", index),
                f"{element} is not covered by the potential, which has {', '.join(covered)}",
            )
            for name, system in self.systems.items()
            for index, element in enumerate(system.elements)
            if covered and element not in covered
        ]
