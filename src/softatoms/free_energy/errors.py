"""What goes wrong with a free energy."""

from __future__ import annotations

from typing import Literal

from ..errors import SoftatomsError


class FreeEnergyError(SoftatomsError):
    """A simulation that gives no free energy.

    Args:
        message: What is wrong.
        status: ``failed``, or ``interrupted`` if it will go on when it is called again.
    """

    def __init__(self, message: str, status: Literal["failed", "interrupted"] = "failed") -> None:
        super().__init__(message)
        self.status = status
