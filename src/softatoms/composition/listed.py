"""Lists of compositions that users bring: CSV or Parquet, read whole and checked line by line.

What stands in a line is kept as it is; :mod:`.placement` says which sublattice it means.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import SoftatomsError, suggest

FORMULA = "formula"
"""Column of formulas."""

PREFIX = "x_"
"""How columns of fractions begin."""

_PARQUET = (".parquet", ".pq")

_SEPARATORS = {";": "';'", "\t": "a tab", "|": "'|'", ",": "','"}


@dataclass(frozen=True)
class Entry:
    """One composition as it stands in the file.

    Attributes:
        place: Where, such as ``line 7``.
        formula: The formula, empty without such a column.
        fractions: Numbers of the columns ``x_…``, by what follows ``x_``; empty cells are 0.
        label: The user's own name, empty without such a column.
    """

    place: str
    formula: str
    fractions: dict[str, float]
    label: str


@dataclass(frozen=True)
class Listing:
    """All compositions of a file.

    Attributes:
        file: Its path.
        columns: What follows ``x_`` in the names of its columns of fractions.
        entries: The compositions, at least one.
    """

    file: str
    columns: tuple[str, ...]
    entries: tuple[Entry, ...]


@lru_cache(maxsize=16)
def read_list(file: str, digest: str, *, id_column: str | None, separator: str | None) -> Listing:
    """Read a list of compositions.

    Args:
        file: CSV, or Parquet by its ending.
        digest: Of its content, which makes a changed file another entry of the cache.
        id_column: Column of the user's own names; None for none.
        separator: Of a CSV file; None for that of its ending.

    Raises:
        SoftatomsError: Naming the file and the line of the first error, and how many follow.
    """
    path = Path(file)
    if not path.is_file() or not digest:
        raise SoftatomsError(f"there is no file {file}, or it cannot be read")
    if path.suffix.lower() in _PARQUET:
        if separator is not None:
            raise SoftatomsError(f"{file}: a Parquet file has no separator")
        header, lines = _parquet(path)
    else:
        given = separator or ("\t" if path.suffix.lower() == ".tsv" else ",")
        header, lines = _csv(path, given)
    return _checked(file, header, lines, id_column)


Line = tuple[str, Sequence[Any]]
"""Where a line stands, and its cells."""


def _csv(path: Path, separator: str) -> tuple[list[str], list[Line]]:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SoftatomsError(
            f"{path}, line {line}: is not UTF-8 (byte {content[error.start]:#x}): save the file as "
            "CSV in UTF-8"
        ) from None
    if "\0" in text:
        raise SoftatomsError(f"{path}: is no text: save the file as CSV in UTF-8")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    lines: list[Line] = []
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                lines.append((f"line {reader.line_num}", stripped))
    except csv.Error as error:
        raise SoftatomsError(f"{path}, line {reader.line_num}: is no CSV: {error}") from None
    if not lines:
        raise SoftatomsError(f"{path}: is empty: give a header, such as 'formula', and lines")
    header = [str(name) for name in lines[0][1]]
    if not any(_is_used(name) for name in header):
        others = [s for s in _SEPARATORS if s != separator and s in separator.join(header)]
        if others:
            raise SoftatomsError(
                f"{path}, {lines[0][0]}: columns seem to be separated by {_SEPARATORS[others[0]]}: "
                "give it as 'separator'"
            )
    for place, own in lines[1:]:
        if len(own) != len(header):
            raise SoftatomsError(
                f"{path}, {place}: has {len(own)} cells where the header has {len(header)}: "
                "is a separator missing, or a decimal comma in it?"
            )
    return header, lines[1:]


def _parquet(path: Path) -> tuple[list[str], list[Line]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise SoftatomsError(f"{path}: cannot be read as Parquet: {reason}") from None
    columns = [column.to_pylist() for column in table.columns]
    rows = zip(*columns, strict=True)
    return list(table.column_names), [(f"row {i}", row) for i, row in enumerate(rows, start=1)]


def _checked(
    file: str, header: Sequence[str], lines: Sequence[Line], id_column: str | None
) -> Listing:
    twice = [name for index, name in enumerate(header) if name in header[:index]]
    if twice:
        raise SoftatomsError(f"{file}: two columns are named '{twice[0]}'")
    if not any(_is_used(name) for name in header):
        raise SoftatomsError(
            f"{file}: has no column 'formula' and none of fractions, such as 'x_Ce', but only "
            f"{', '.join(repr(str(name)) for name in header)}"
        )
    if id_column is not None and id_column not in header:
        raise SoftatomsError(f"{file}: has no column '{id_column}': {suggest(id_column, header)}")
    if not lines:
        raise SoftatomsError(f"{file}: has a header, but no compositions below it")
    entries: list[Entry] = []
    errors: list[str] = []
    labels: dict[str, str] = {}
    for place, cells in lines:
        row = dict(zip(header, cells, strict=True))
        try:
            entry = _entry(place, row, id_column)
            if id_column is not None and entry.label in labels:
                first = labels[entry.label]
                raise SoftatomsError(f"'{entry.label}' in '{id_column}' stands in {first} too")
        except SoftatomsError as error:
            errors.append(f"{place}: {error}")
            continue
        labels[entry.label] = place
        entries.append(entry)
    refuse(file, errors)
    return Listing(
        file, tuple(n.removeprefix(PREFIX) for n in header if _is_fraction(n)), tuple(entries)
    )


def refuse(file: str, errors: Sequence[str]) -> None:
    """Raise with the first error, and how many there are more, if there are any.

    Args:
        file: The file they are in.
        errors: Each beginning with its line.

    Raises:
        SoftatomsError: If there are errors.
    """
    if errors:
        more = f" ({len(errors) - 1} more lines have errors)" if len(errors) > 1 else ""
        raise SoftatomsError(f"{file}, {errors[0]}{more}")


def _entry(place: str, row: Mapping[str, Any], id_column: str | None) -> Entry:
    formula = row.get(FORMULA, "")
    if FORMULA in row and (not isinstance(formula, str) or not formula.strip()):
        raise SoftatomsError("the formula is missing")
    label = ""
    if id_column is not None:
        value = row[id_column]
        label = "" if value is None else str(value).strip()
        if not label:
            raise SoftatomsError(f"'{id_column}' is empty")
    return Entry(place, formula.strip(), dict(_fractions(row)), label)


def _fractions(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, cell in row.items():
        if not _is_fraction(name):
            continue
        try:
            value = 0.0 if cell is None or cell == "" else float(cell)
        except (TypeError, ValueError):
            hint = ": write a decimal point" if "," in str(cell) else ""
            raise SoftatomsError(f"{name}: '{cell}' is no number{hint}") from None
        if not (math.isfinite(value) and 0.0 <= value <= 1.0):
            raise SoftatomsError(f"{name}: must lie between 0 and 1, got {value:g}")
        yield name.removeprefix(PREFIX), value


def _is_fraction(name: str) -> bool:
    return name.startswith(PREFIX)


def _is_used(name: str) -> bool:
    return name == FORMULA or _is_fraction(name)
