"""What a stage has to say on the page: a heading, some words, lists and figures."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Listing:
    """A table of the page.

    Attributes:
        name: Its identifier on the page.
        head: Titles of the columns.
        rows: Cells as text, one sequence per row.
        title: Heading above it, if it needs one of its own.
        words: HTML between heading and table.
    """

    name: str
    head: Sequence[str]
    rows: Iterable[Sequence[str]]
    title: str = ""
    words: str = ""

    def html(self) -> str:
        """The table in HTML, with what stands above it."""
        heading = f"<h3>{html.escape(self.title)}</h3>\n" if self.title else ""
        words = f"<p>{self.words}</p>\n" if self.words else ""
        table = html_table(self.head, self.rows)
        return f'{heading}{words}<div class="wide" id="{self.name}">{table}</div>'


@dataclass(frozen=True)
class Part:
    """What the page says of one stage.

    Attributes:
        title: Its heading.
        words: HTML below the heading.
        listings: Its tables.
        figures: Names of all figures that belong to the stage, drawn or not.
    """

    title: str
    words: str
    listings: Sequence[Listing]
    figures: Sequence[str]


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in HTML.

    Args:
        head: Titles of the columns.
        rows: Cells as text.
    """
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table>"
