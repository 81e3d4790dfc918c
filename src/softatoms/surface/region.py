"""Where atoms may come and go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError

Floats = NDArray[np.float64]


class Region(Protocol):
    """A part of space."""

    def sample(self, rng: np.random.Generator, count: int) -> Floats:
        """Points spread evenly at random in Å, shape (count, 3)."""

    def grid(self, rng: np.random.Generator, spacing: float) -> Floats:
        """Regular grid with a random origin, about ``spacing`` Å between points, shape (n, 3)."""

    def project(self, positions: Floats) -> Floats:
        """The nearest points of the region, shape (n, 3)."""

    @property
    def area(self) -> float:
        """Area in Å² that energies are referred to, nan if there is none."""


@dataclass(frozen=True)
class Ball:
    """All points within a radius.

    Attributes:
        radius: In Å.
        centre: In Å.
    """

    radius: float
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if not np.isfinite(self.radius) or self.radius <= 0.0:
            raise OptionError(f"radius of a region must be positive, got {self.radius!r} Å")

    def sample(self, rng: np.random.Generator, count: int) -> Floats:
        """See :meth:`Region.sample`."""
        directions = rng.normal(size=(count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        points: Floats = self.radius * rng.random((count, 1)) ** (1.0 / 3.0) * directions
        return points + np.asarray(self.centre)

    def grid(self, rng: np.random.Generator, spacing: float) -> Floats:
        """See :meth:`Region.grid`."""
        half = int(np.ceil(self.radius / spacing)) + 1
        steps = spacing * np.arange(-half, half + 1)
        points = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
        points = points + spacing * rng.random(3)
        return points[np.linalg.norm(points, axis=1) <= self.radius] + np.asarray(self.centre)

    def project(self, positions: Floats) -> Floats:
        """See :meth:`Region.project`."""
        away = positions - np.asarray(self.centre)
        lengths = np.linalg.norm(away, axis=1, keepdims=True)
        shorter = np.minimum(1.0, self.radius / np.maximum(lengths, 1e-300))
        return np.where(shorter < 1.0, np.asarray(self.centre) + shorter * away, positions)

    @property
    def area(self) -> float:
        """See :attr:`Region.area`."""
        return float("nan")


class Layer:
    """What lies between two heights above a face of a cell that repeats along that face.

    Args:
        cell: Lattice vectors as rows in Å, shape (3, 3); the first two span the face.
        low: Lower height in Å, along the normal of the face from the origin.
        high: Upper height in Å.
    """

    def __init__(self, cell: Floats, *, low: float, high: float) -> None:
        vectors = np.asarray(cell, dtype=np.float64)
        normal = np.cross(vectors[0], vectors[1]) if vectors.shape == (3, 3) else np.zeros(3)
        self._area = float(np.linalg.norm(normal))
        if not self._area > 1e-8:
            raise OptionError(
                "a layer needs a cell of shape (3, 3) whose first vectors span a face"
            )
        if not (np.isfinite([low, high]).all() and low < high):
            raise OptionError(f"a layer needs low < high in Å, got {low!r} and {high!r}")
        self.low, self.high = float(low), float(high)
        self._normal = normal / self._area
        if vectors[2] @ self._normal < 0.0:
            self._normal = -self._normal
        self._face = vectors[:2]

    def __repr__(self) -> str:
        return f"Layer(face={self._face.tolist()}, low={self.low!r}, high={self.high!r})"

    def sample(self, rng: np.random.Generator, count: int) -> Floats:
        """See :meth:`Region.sample`."""
        points: Floats = rng.random((count, 2)) @ self._face
        heights = self.low + (self.high - self.low) * rng.random(count)
        return points + heights[:, None] * self._normal

    def grid(self, rng: np.random.Generator, spacing: float) -> Floats:
        """See :meth:`Region.grid`."""
        counts = np.maximum(1, np.round(np.linalg.norm(self._face, axis=1) / spacing)).astype(int)
        levels = max(1, round((self.high - self.low) / spacing))
        u, v, h = np.meshgrid(
            np.arange(counts[0]) / counts[0],
            np.arange(counts[1]) / counts[1],
            (np.arange(levels) + 0.5) / levels,
            indexing="ij",
        )
        shift = rng.random(2) / counts
        across = np.stack([u.ravel() + shift[0], v.ravel() + shift[1]], axis=1)
        heights = self.low + (self.high - self.low) * h.ravel()
        points: Floats = across @ self._face + heights[:, None] * self._normal
        return points

    def project(self, positions: Floats) -> Floats:
        """See :meth:`Region.project`."""
        heights = positions @ self._normal
        inside = np.clip(heights, self.low, self.high)
        moved: Floats = positions + (inside - heights)[:, None] * self._normal
        return moved

    @property
    def area(self) -> float:
        """See :attr:`Region.area`."""
        return self._area
