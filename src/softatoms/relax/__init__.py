"""Relaxation of sites and cells of many structures at once.

In every step one evaluation serves all structures that are not relaxed yet. See
``docs/relaxation.md``.
"""

from __future__ import annotations

from .batch import relax, relax_batch
from .results import Progress, Relaxation

__all__ = ["Progress", "Relaxation", "relax", "relax_batch"]
