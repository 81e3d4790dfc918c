"""Finished parts of a job, kept so that a killed job goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import write_text

if TYPE_CHECKING:
    from .tasks import Task

_FORMAT = 1


class Checkpoint:
    """Rows of finished batches in a folder.

    What does not belong to exactly this configuration, potential, code and batch is ignored and
    made again. JSON keeps every digit of a float, so a resumed job ends with the same numbers.

    Args:
        folder: Where to keep them; None keeps nothing.
        identity: Everything that determines the numbers.
    """

    def __init__(self, folder: Path | None, identity: Sequence[str]) -> None:
        self._folder = folder
        self._identity = list(identity)

    def load(self, tasks: Sequence[Task]) -> dict[str, Any] | None:
        """What was saved for this batch, or None."""
        if self._folder is None:
            return None
        try:
            saved = json.loads(self._path(tasks).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(saved, dict) or saved.get("key") != self._key(tasks):
            return None
        return saved

    def save(self, tasks: Sequence[Task], content: dict[str, Any]) -> None:
        """Keep the result of one batch."""
        if self._folder is not None:
            text = json.dumps({**content, "key": self._key(tasks)})
            write_text(self._path(tasks), text)

    def _key(self, tasks: Sequence[Task]) -> str:
        parts = [str(_FORMAT), *self._identity, *(task.identifier for task in tasks)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _path(self, tasks: Sequence[Task]) -> Path:
        return Path(self._folder or ".") / f"{self._key(tasks)[:16]}.json"
