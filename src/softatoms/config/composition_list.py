"""Lists of compositions in files of a user's own."""

from __future__ import annotations

from pydantic import Field

from ..composition.listed import Listing, read_list
from ..errors import SoftatomsError
from ..files import content_digest
from .base import Key, PositiveFloat, Problem, Section


class CompositionList(Section):
    """A table of compositions: CSV with a header, or Parquet."""

    file: str = Field(
        description="CSV (UTF-8, with a header) or Parquet. A column 'formula', such as "
        "Ce0.8Zr0.2O2; or columns x_<El>, or x_<sublattice>_<El>. Other columns are left alone.",
        examples=["compositions.csv"],
    )
    id: str | None = Field(
        None,
        description="Column with a name of each composition, which goes to the column 'label' of "
        "the tables; none if empty.",
    )
    separator: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="What stands between the columns of a CSV file: a tab in files that end in "
        ".tsv, else a comma, if empty.",
    )
    tolerance: PositiveFloat = Field(
        1e-6,
        le=0.01,
        description="How far the fractions of a sublattice may be from 1 in sum; they are scaled.",
    )

    def read(self) -> Listing:
        """The file.

        Raises:
            SoftatomsError: Naming the file, and the line, if it cannot be used.
        """
        return read_list(
            self.file, content_digest(self.file), id_column=self.id, separator=self.separator
        )

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong with the file."""
        try:
            self.read()
        except SoftatomsError as error:
            return [Problem((*key, "file"), str(error))]
        return []
