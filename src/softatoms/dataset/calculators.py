"""Calculators of ASE by name: a list of what may be imported, and plain values as options.

A configuration file names a calculator and its options; it cannot name modules, and the command
of an external code is a program with plain arguments.
"""

from __future__ import annotations

import importlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OptionError, suggest

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

KNOWN = {
    "emt": "ase.calculators.emt:EMT",
    "lj": "ase.calculators.lj:LennardJones",
    "gpaw": "gpaw:GPAW",
    "espresso": "ase.calculators.espresso:Espresso",
    "vasp": "ase.calculators.vasp:Vasp",
    "dftb": "ase.calculators.dftb:Dftb",
    "cp2k": "ase.calculators.cp2k:CP2K",
    "siesta": "ase.calculators.siesta:Siesta",
}
"""Class of each calculator."""

IN_FOLDER = ("espresso", "vasp", "dftb", "cp2k", "siesta")
"""Calculators that write files and run a program."""

_PROFILES = {
    "espresso": ("ase.calculators.espresso:EspressoProfile", "pseudo_dir"),
    # This one feeds the input file to the program without a shell.
    "siesta": ("ase.calculators.calculator:StandardProfile", None),
}
"""How a command is handed over, and the word for pseudopotentials if they go along."""


def make_calculator(
    name: str,
    options: dict[str, Any],
    *,
    command: str | None = None,
    pseudopotentials: str | None = None,
    folder: Path | None = None,
) -> Calculator:
    """A fresh calculator.

    Args:
        name: One of :data:`KNOWN`.
        options: Options of its class.
        command: Command line of an external code.
        pseudopotentials: Folder of pseudopotentials of codes that need to be told.
        folder: Where an external code may write.

    Raises:
        OptionError: If it is unknown, not installed, or refuses its options.
    """
    if name not in KNOWN:
        raise OptionError(f"unknown calculator '{name}': {suggest(name, KNOWN)}")
    given = dict(options)
    if name in IN_FOLDER:
        given["directory"] = str(folder or ".")
        if name in _PROFILES:
            profile, word = _PROFILES[name]
            words = {} if command is None else {"command": command}
            if pseudopotentials is not None and word is not None:
                words[word] = pseudopotentials
            elif pseudopotentials is not None:
                given["pseudo_path"] = pseudopotentials
            if words:
                given["profile"] = _load(name, profile)(**words)
        elif command is not None:
            given["command"] = " ".join(shlex.quote(word) for word in shlex.split(command))
    try:
        calculator: Calculator = _load(name, KNOWN[name])(**given)
    except OptionError:
        raise
    except Exception as error:  # every calculator refuses in its own way
        raise OptionError(f"calculator '{name}' cannot be made: {error}") from None
    return calculator


def _load(name: str, place: str) -> Any:
    module, _, attribute = place.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        raise OptionError(f"calculator '{name}' needs {module}, which is not installed") from None
