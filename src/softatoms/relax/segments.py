"""Vectors of different lengths laid end to end, one segment per structure.

Nothing is padded, so a large structure costs a small one nothing, and sums over one segment do not
depend on what else there is.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Values = TypeVar("Values", bound=NDArray[Any])


class Segments:
    """Where the segments are.

    Args:
        sizes: Length of each segment, at least 1, shape (n_segments,), int64.
    """

    def __init__(self, sizes: NDArray[np.int64]) -> None:
        self.sizes = sizes
        self.starts = np.cumsum(sizes) - sizes

    def keep(self, chosen: Bools) -> Segments:
        """Only some segments, shape of ``chosen`` (n_segments,)."""
        return Segments(self.sizes[chosen])

    def spread(self, values: Values) -> Values:
        """Repeat what belongs to a segment, shape (n_segments, ...), for all its entries."""
        return np.repeat(values, self.sizes, axis=0)  # type: ignore[return-value]

    def split(self, values: Floats) -> list[Floats]:
        """The segments of an array of shape (n_entries, ...)."""
        return np.split(values, self.starts[1:]) if len(self.sizes) else []

    def dot(self, a: Floats, b: Floats) -> Floats:
        """Inner product of each segment, shape (n_segments,)."""
        return np.add.reduceat(a * b, self.starts) if len(self.sizes) else np.zeros(0)

    def largest(self, values: Floats) -> Floats:
        """Largest entry of each segment, shape (n_segments,)."""
        return np.maximum.reduceat(values, self.starts) if len(self.sizes) else np.zeros(0)
