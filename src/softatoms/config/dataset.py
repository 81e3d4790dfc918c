"""Section ``dataset``: structures from files and generators, their labels and their division."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ..errors import suggest
from .base import Key, PositiveFloat, PositiveInt, Problem, Section
from .generators import Generator
from .potential import PotentialSection

CALCULATORS = ("softatoms", "emt", "lj", "gpaw", "espresso", "vasp", "dftb", "cp2k", "siesta")
"""What can compute labels; all but the first are calculators of ASE."""

FORBIDDEN_OPTIONS = ("command", "profile", "directory", "label", "restart", "txt", "outdir")
"""Options of calculators that name programs or places, which the program chooses itself."""

_COMMAND = re.compile(r"^[\w./+:,=@ -]+$")


def matching_files(pattern: str) -> list[str]:
    """Files that a path with ``*`` stands for, sorted."""
    path = Path(pattern)
    relative = path.relative_to(path.anchor).as_posix()
    return sorted(str(found) for found in Path(path.anchor or ".").glob(relative))


class Import(Section):
    """Labelled structures from files."""

    format: Literal["maml", "extxyz", "ase_db", "frames"] = Field(
        description="maml: JSON lists of pymatgen structures with outputs, gzipped or not; extxyz: "
        "extended XYZ; ase_db: ASE database; frames: Parquet written by this stage."
    )
    paths: list[str] = Field(
        min_length=1, description="Files, relative to the working directory; * stands for any name."
    )
    stress: Literal["detect", "fit", "vasp", "drop"] = Field(
        "detect",
        description="maml only. detect: order and sign are told from strained cells in the files; "
        "fit: so, and the pressure by which they differ from the slopes of the energies is added; "
        "vasp: as VASP prints them; drop: no stresses.",
    )
    labeller: str = Field("", description="What the labels come from; dft or what the file says.")
    blocks: PositiveInt = Field(
        1,
        description="Runs of consecutive frames that each group is cut into, for trajectories that "
        "a file does not tell apart; each run is a group of its own.",
    )
    keys: dict[str, str] = Field(
        default_factory=dict,
        description="extxyz only: other names of energy, forces and stress in the file.",
    )

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        quantities = ("energy", "forces", "stress")
        found = [
            Problem((*key, "keys", name), f"unknown label: {suggest(name, quantities)}")
            for name in self.keys
            if name not in quantities
        ]
        if self.keys and self.format != "extxyz":
            found.append(Problem((*key, "keys"), "goes with the format extxyz only"))
        if self.stress != "detect" and self.format != "maml":
            found.append(Problem((*key, "stress"), "goes with the format maml only"))
        return found


class Labels(Section):
    """How structures without labels get them."""

    calculator: Literal[
        "softatoms", "emt", "lj", "gpaw", "espresso", "vasp", "dftb", "cp2k", "siesta"
    ] = Field(
        "softatoms",
        description="softatoms: the potential below, many structures at a time; else a calculator "
        "of ASE, one structure at a time.",
    )
    potential: PotentialSection = Field(
        default_factory=lambda: PotentialSection(name="chgnet"),
        description="Potential of the calculator softatoms.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of a calculator of ASE, plain values only."
    )
    command: str | None = Field(
        None,
        description="Command line of an external code such as 'mpirun -n 8 vasp_std', without "
        "shell characters; what ASE's own configuration says, if empty.",
    )
    pseudopotentials: str | None = Field(
        None, description="Folder of pseudopotentials of espresso and siesta."
    )
    jobs: PositiveInt = Field(1, le=10_000, description="Jobs that share the frames.")
    batch: PositiveInt = Field(16, description="Structures evaluated together by softatoms.")

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        if self.calculator == "softatoms":
            found = self.potential.problems((*key, "potential"))
            for name in ("options", "command", "pseudopotentials"):
                if getattr(self, name):
                    message = "goes with calculators of ASE; softatoms takes 'potential'"
                    found.append(Problem((*key, name), message))
            return found
        found = [
            Problem((*key, "options", name), "is chosen by the program; see 'command'")
            for name in self.options
            if name.lower() in FORBIDDEN_OPTIONS
        ]
        if self.command is not None and not _COMMAND.match(self.command):
            message = "must be a program with plain arguments, without characters of the shell"
            found.append(Problem((*key, "command"), message))
        return found


class Split(Section):
    """Division by groups; the part of a group follows from its name and the seed."""

    train: float = Field(0.8, ge=0, le=1, description="Expected share of the groups.")
    validation: float = Field(0.1, ge=0, le=1, description="Expected share of the groups.")
    test: float = Field(0.1, ge=0, le=1, description="Expected share of the groups.")
    assigned: dict[str, Literal["train", "validation", "test"]] = Field(
        default_factory=dict,
        description="Part of some groups, by name or pattern such as 'W_AIMD/*'.",
    )

    def fractions(self) -> dict[str, float]:
        """Share of each part."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            return [Problem(key, f"train, validation and test must sum to 1, got {total:g}")]
        return []


class Checks(Section):
    """From where on a frame counts as broken."""

    required: list[Literal["energy", "forces", "stress"]] = Field(
        ["energy", "forces"], description="Labels that every labelled frame needs."
    )
    energy_ev_per_atom: PositiveFloat = Field(
        50.0, description="Largest distance from what the composition suggests, in eV/atom."
    )
    force_ev_per_ang: PositiveFloat = Field(100.0, description="Largest force in eV/Å.")
    stress_ev_per_ang3: PositiveFloat = Field(2.0, description="Largest stress in eV/Å³.")
    closest: PositiveFloat = Field(
        0.5, le=1, description="Shortest distance over the sum of covalent radii."
    )


class Dataset(Section):
    """Frames for training and testing potentials."""

    imports: list[Import] = Field([], description="Labelled structures from files.")
    generators: list[Generator] = Field([], description="Sources of new structures.")
    deduplicate: bool = Field(
        True, description="Leave out structures that are copies of others up to a motion."
    )
    select: PositiveInt | None = Field(
        None, description="Label only this many of the new structures, farthest from each other."
    )
    dynamics_potential: PotentialSection | None = Field(
        None, description="Potential of generators that run dynamics; that of the campaign if none."
    )
    labels: Labels = Field(default_factory=Labels, description="Labels of new structures.")
    split: Split = Field(default_factory=Split, description="Division by groups.")
    checks: Checks = Field(default_factory=Checks, description="Checks of labels and distances.")

    def saved_potentials(self) -> list[PotentialSection]:
        """Potentials that are read from directories."""
        return [p for p in (self.dynamics_potential, self.labels.potential) if p and p.is_saved]

    def files(self) -> list[str]:
        """Files that exist now and whose content the dataset depends on, sorted."""
        patterns = [pattern for entry in self.imports for pattern in entry.paths]
        patterns += [g.parent.file for g in self.generators if g.parent and g.parent.file]
        return sorted({path for pattern in patterns for path in matching_files(pattern)})

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        found: list[Problem] = []
        if not self.imports and not self.generators:
            found.append(Problem(key, "needs 'imports' or 'generators'"))
        names = [generator.name for generator in self.generators]
        for index, generator in enumerate(self.generators):
            if generator.name in names[:index]:
                message = f"'{generator.name}' is the name of another generator"
                found.append(Problem((*key, "generators", index, "name"), message))
            found += generator.problems((*key, "generators", index))
        for index, entry in enumerate(self.imports):
            found += entry.problems((*key, "imports", index))
        found += self.labels.problems((*key, "labels"))
        found += self.split.problems((*key, "split"))
        if self.dynamics_potential is not None:
            found += self.dynamics_potential.problems((*key, "dynamics_potential"))
        return found
