"""What a table is declared by: columns with types, units, and when a value may be missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "whole", "real"]
Missing = Literal["never", "unless_ok", "always"]


@dataclass(frozen=True)
class Column:
    """One column, or one per element if its name contains ``{El}``.

    Attributes:
        name: Name, with the unit at its end where there is one.
        kind: Type: text is UTF-8, whole is int64, real is float64.
        unit: Unit; ``1`` for pure numbers, empty for texts.
        description: What it is.
        missing: Whether a value may be missing: never, only in rows whose status is not ``ok``,
            or always.
        choices: Values a text may have; any if empty.
        volatile: Whether it differs between two runs of the same campaign.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    missing: Missing = "never"
    choices: tuple[str, ...] = ()
    volatile: bool = False


@dataclass(frozen=True)
class TableSchema:
    """One kind of table.

    Attributes:
        name: Name of the table.
        version: Raised whenever the meaning of a column changes.
        key: Column that identifies a row.
        columns: The columns in order.
    """

    name: str
    version: int
    key: str
    columns: tuple[Column, ...]

    def expanded(self, elements: Sequence[str]) -> list[Column]:
        """The columns with one copy per element of those that are per element."""
        return [
            dataclasses.replace(column, name=column.name.replace("{El}", element))
            for column in self.columns
            for element in (elements if "{El}" in column.name else ("",))
        ]
