"""Progress of long work: a bar on a terminal, one plain line per minute elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import NoReturn, TextIO

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 60.0


class Progress:
    """Counts what is done and says so, as a context manager.

    Args:
        total: Number of items.
        label: What is being done.
        unit: What one item is.
        stream: Where to write; standard error if None.
    """

    def __init__(
        self, total: int, *, label: str, unit: str = "", stream: TextIO | None = None
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._total, self._label, self._unit = total, label, unit
        self._done = 0
        self._started = self._spoken = time.monotonic()
        self._bar: tqdm[NoReturn] | None = None
        if self._stream.isatty():
            self._bar = tqdm(
                total=total, desc=label, unit=f" {unit}", file=self._stream, dynamic_ncols=True
            )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif kind is None:
            self._say()

    def advance(self, count: int) -> None:
        """Count some items as done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() - self._spoken >= SECONDS_BETWEEN_LINES:
            self._say()

    def _say(self) -> None:
        self._spoken = time.monotonic()
        spent = self._spoken - self._started
        done = f"{self._done}/{self._total} {self._unit}".rstrip()
        self._stream.write(f"{self._label}: {done} in {spent:.1f} s\n")
        self._stream.flush()
