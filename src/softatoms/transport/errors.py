"""What goes wrong with heat transport."""

from __future__ import annotations

from ..errors import SoftatomsError


class TransportError(SoftatomsError):
    """A series or structure from which no thermal conductivity can be had."""
