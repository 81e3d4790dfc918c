"""One line of what ``softatoms doctor`` finds."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One line of the examination.

    Attributes:
        level: ``ok``, ``info`` (absent, needed by nobody yet) or ``missing``.
        what: What was looked at.
        found: What was found.
        remedy: How to get what is missing.
    """

    level: str
    what: str
    found: str
    remedy: str = ""
