"""What goes wrong with ordered and disordered structures."""

from __future__ import annotations

from ..errors import SoftatomsError


class OrderError(SoftatomsError):
    """A parent, composition or table from which no ordering energy can be made."""
