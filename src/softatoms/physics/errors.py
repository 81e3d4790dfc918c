"""What goes wrong with a crystal, and how badly."""

from __future__ import annotations

from typing import Literal

from ..errors import SoftatomsError


class PhysicsError(SoftatomsError):
    """A property that a potential does not have, or that could not be brought to convergence.

    Attributes:
        status: ``unconverged`` or ``failed``, for the row of a table.
    """

    def __init__(self, message: str, status: Literal["unconverged", "failed"] = "failed") -> None:
        super().__init__(message)
        self.status = status
