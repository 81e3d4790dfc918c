"""The exceptions a user of softatoms meets, and the hint they carry."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SoftatomsError(ValueError):
    """Base of every error raised for bad input."""


class StructureError(SoftatomsError):
    """A structure, or a request to change one, makes no physical or formal sense."""


class OptionError(SoftatomsError):
    """An option, a property or a name that does not exist or has an unusable value."""


class CheckpointError(SoftatomsError):
    """A saved potential that is missing, damaged or of another format."""


def suggest(given: object, known: Iterable[str]) -> str:
    """Say which names exist and, when one is close to ``given``, which was probably meant."""
    names = sorted(known)
    folded = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(str(given).casefold(), folded, n=1, cutoff=0.6)
    hint = f"did you mean '{folded[close[0]]}'? " if close else ""
    return f"{hint}known: {', '.join(names)}"
