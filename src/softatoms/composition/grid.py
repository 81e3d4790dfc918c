"""Regular grids of compositions, counted without being listed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from math import comb


def count_simplex(components: int, divisions: int, most: int) -> int:
    """Number of points that :func:`simplex` yields.

    Args:
        components: Number of components.
        divisions: Number of equal parts of the whole.
        most: Largest number of components that may differ from zero.
    """
    return sum(
        comb(components, present) * comb(divisions - 1, present - 1)
        for present in range(1, min(most, components, divisions) + 1)
    )


def simplex(components: int, divisions: int, most: int) -> Iterator[tuple[int, ...]]:
    """All ways to share ``divisions`` equal parts among components, each exactly once.

    Args:
        components: Number of components.
        divisions: Number of equal parts of the whole.
        most: Largest number of components that may differ from zero.

    Yields:
        Number of parts of each component; pure components come first, then pairs, and so on.
    """
    for present in range(1, min(most, components, divisions) + 1):
        for chosen in combinations(range(components), present):
            for parts in _positive_parts(present, divisions):
                point = [0] * components
                for component, part in zip(chosen, parts, strict=True):
                    point[component] = part
                yield tuple(point)


def _positive_parts(count: int, total: int) -> Iterator[tuple[int, ...]]:
    """Ordered ways to write ``total`` as a sum of ``count`` positive whole numbers."""
    for bars in combinations(range(1, total), count - 1):
        edges = (0, *bars, total)
        yield tuple(right - left for left, right in pairwise(edges))[::-1]
