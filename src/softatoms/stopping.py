"""When a run has to stop before its end: SIGTERM, or the end of its time."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

REQUEUE = 75
"""Exit code of a job that stopped early and can go on from its checkpoint (EX_TEMPFAIL)."""


class Stopping:
    """Listens for SIGTERM and watches the clock, as a context manager.

    Args:
        listens: Whether to catch SIGTERM; only the main thread can.
        wall_time: Seconds after which the run has to have ended, or None.
    """

    def __init__(self, *, listens: bool, wall_time: float | None) -> None:
        self._listens = listens and threading.current_thread() is threading.main_thread()
        self._started = self._last = time.monotonic()
        self._wall_time = wall_time
        self._longest_step = self._longest_save = 0.0
        self._was_told = False
        self._former: Any = None

    def __enter__(self) -> Stopping:
        if self._listens:
            self._former = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A handler that was not installed from Python reads as None and cannot be put back.
        if self._listens and self._former is not None:
            signal.signal(signal.SIGTERM, self._former)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._was_told = True

    def ready(self) -> None:
        """Take times from now on: what was made ready before the first step is no step."""
        self._last = time.monotonic()

    def step_done(self) -> None:
        """Take the time of a step, and of nothing else."""
        now = time.monotonic()
        self._longest_step = max(self._longest_step, now - self._last)
        self._last = now

    def save_done(self) -> None:
        """Take the time of a checkpoint."""
        now = time.monotonic()
        self._longest_save = max(self._longest_save, now - self._last)
        self._last = now

    def reason(self) -> str:
        """Why the run has to stop now, empty if it need not."""
        if self._was_told:
            return "the run was told to stop (SIGTERM)"
        if self._wall_time is not None:
            # The next step and a checkpoint must fit in, with as much again in reserve.
            needed = 2.0 * (self._longest_step + self._longest_save)
            if time.monotonic() - self._started + needed > self._wall_time:
                return f"the wall time of {self._wall_time:g} s is used up"
        return ""
