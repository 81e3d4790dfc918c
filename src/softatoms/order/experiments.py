"""Documented order of B cations in double perovskites.

Nothing heavy is imported here, because configuration files are checked against the table.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import OrderError

BUILT_IN = "double_perovskites"
"""Name of the table that comes with the package."""

OBSERVED = ("rocksalt", "layered", "columnar", "disordered", "disputed", "")
"""What an experiment may have found; nothing is a compound without an experiment."""

COLUMNS = ("formula", "b_charges", "observed", "source", "checked", "note")

_FORMULA = re.compile(r"([A-Z][a-z]?)2([A-Z][a-z]?)([A-Z][a-z]?)O6")
_CHARGES = re.compile(r"([1-7])/([1-7])")


@dataclass(frozen=True)
class Compound:
    """A double perovskite.

    Attributes:
        formula: Such as ``Sr2FeMoO6``.
        a_element: Element of the A site.
        b_elements: Elements of the B site.
        charges: Their oxidation numbers.
        observed: Order that experiments found, one of :data:`OBSERVED`.
        source: Where it is documented.
        checked: Whether the text of the source was read when the table was made.
        note: What else is to know.
    """

    formula: str
    a_element: str
    b_elements: tuple[str, str]
    charges: tuple[int, int]
    observed: str
    source: str
    checked: bool
    note: str

    @property
    def ions(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """The B cations with their charges."""
        (first, second), (one, two) = self.b_elements, self.charges
        return (first, one), (second, two)

    @property
    def is_ordered(self) -> bool | None:
        """Whether experiments found order; None if they disagree or there are none."""
        if self.observed in ("disputed", ""):
            return None
        return self.observed != "disordered"


def read_compounds(source: str) -> list[Compound]:
    """Compounds of the built-in table or of a CSV file with the same columns.

    Lines that begin with ``#`` are comments.

    Args:
        source: ``double_perovskites`` or a path.

    Raises:
        OrderError: Naming the file, the line and what would be right.
    """
    built_in = Path(__file__).parent / "data" / f"{BUILT_IN}.csv"
    path = built_in if source == BUILT_IN else Path(source)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise OrderError(
            f"'{source}' is neither '{BUILT_IN}' nor a text file that can be read"
        ) from None
    numbered = [(n, line) for n, line in enumerate(lines, 1) if line and not line.startswith("#")]
    rows = list(csv.reader([line for _, line in numbered], strict=True))
    if not rows or tuple(rows[0]) != COLUMNS:
        raise OrderError(f"{path}: the first line must be '{','.join(COLUMNS)}'")
    found: list[Compound] = []
    for (number, _), row in zip(numbered[1:], rows[1:], strict=True):
        compound = _compound(f"{path}: line {number}", row)
        if any(compound.formula == other.formula for other in found):
            raise OrderError(f"{path}: line {number}: {compound.formula} is named twice")
        found.append(compound)
    return found


def _compound(where: str, row: list[str]) -> Compound:
    if len(row) != len(COLUMNS):
        raise OrderError(f"{where}: needs {len(COLUMNS)} values, got {len(row)}")
    formula, charges, observed, source, checked, note = (value.strip() for value in row)
    elements = _FORMULA.fullmatch(formula)
    if elements is None or elements[2] == elements[3]:
        raise OrderError(f"{where}: '{formula}' is no formula such as Sr2FeMoO6")
    numbers = _CHARGES.fullmatch(charges)
    if numbers is None:
        raise OrderError(f"{where}: b_charges must be as in 3/5, got '{charges}'")
    total = int(numbers[1]) + int(numbers[2])
    if total not in (6, 8, 10):
        raise OrderError(f"{where}: the B cations of A2BB'O6 cannot have {total} charges together")
    if observed not in OBSERVED:
        known = ", ".join(name for name in OBSERVED if name)
        raise OrderError(f"{where}: observed must be one of {known} or empty, got '{observed}'")
    if checked not in ("yes", "no"):
        raise OrderError(f"{where}: checked must be yes or no, got '{checked}'")
    return Compound(
        formula=formula,
        a_element=elements[1],
        b_elements=(elements[2], elements[3]),
        charges=(int(numbers[1]), int(numbers[2])),
        observed=observed,
        source=source,
        checked=checked == "yes",
        note=note,
    )
