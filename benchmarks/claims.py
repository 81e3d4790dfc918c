"""What the benchmarks share: ratios with limits, and a stopwatch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch


@dataclass
class Claim:
    """A ratio and the limit it has to keep."""

    name: str
    value: float
    limit: float
    at_most: bool = True

    @property
    def holds(self) -> bool:
        """Whether the ratio keeps its limit."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit


class Stopwatch:
    """Median wall time of a call on one device.

    Args:
        device: Where the work runs; a GPU is waited for.
        seconds: How long to repeat a call.
    """

    def __init__(self, device: str, seconds: float) -> None:
        self.device = torch.device(device)
        self.seconds = seconds

    def __call__(self, call: Callable[[], object]) -> float:
        """Seconds that ``call`` takes."""
        for _ in range(2):
            self._timed(call)
        times: list[float] = []
        while sum(times) < self.seconds or len(times) < 5:
            times.append(self._timed(call))
        return statistics.median(times)

    def _timed(self, call: Callable[[], object]) -> float:
        start = time.perf_counter()
        call()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - start

    def pair(
        self, first: Callable[[], object], second: Callable[[], object]
    ) -> tuple[float, float]:
        """Seconds that each of two calls takes, measured in turns."""
        for call in (first, second):
            self._timed(call)
        times: list[tuple[float, float]] = []
        while sum(map(sum, times)) < 2 * self.seconds or len(times) < 5:
            times.append((self._timed(first), self._timed(second)))
        before, after = zip(*times, strict=True)
        return statistics.median(before), statistics.median(after)


def verdict(claims: Sequence[Claim]) -> int:
    """Print all claims; 0 if every limit is kept, else 1."""
    print()
    for claim in claims:
        sign = "≤" if claim.at_most else "≥"
        answer = "ok" if claim.holds else "MISSED"
        print(f"{claim.name:55s} {claim.value:7.3f}   {sign} {claim.limit:<5g} {answer}")
    return 0 if all(claim.holds for claim in claims) else 1
