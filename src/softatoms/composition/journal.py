"""What the potential has answered to a search, kept so that a killed search goes on where it was.

A search is determined by the answers of the potential. Run again, it asks the same questions in the
same order and takes the kept answers, down to the last digit, without any evaluation; from the
first question without an answer on it asks the potential. Every answer is a line of a file, written
as it comes: a kill costs one evaluation, or one relaxation, at most.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..relax import Relaxation, relax_batch

if TYPE_CHECKING:
    from ..potentials.base import Potential
    from ..structure import SoftAtoms

_FORMAT = 1

Answer = dict[str, Any]
"""Numbers, texts and lists of them: what JSON knows."""


class Journal:
    """Answers of the potential, in the order in which they were asked for.

    What belongs to another configuration, potential or code is dropped, and so is everything from
    a question on that is not the one asked, or from a line on that was not written to its end.

    Args:
        path: The file; None keeps nothing.
        identity: Everything that determines the numbers.

    Attributes:
        recalled: Answers that were taken from the file.
    """

    def __init__(self, path: Path | None = None, identity: Sequence[str] = ()) -> None:
        self._path = path
        self._known: list[tuple[str, Answer]] = []
        self._length = 0
        """Bytes of the file up to the last answer that was taken from it or added to it."""
        self._ends: list[int] = []
        self.recalled = 0
        if path is not None:
            self._open(path, hashlib.sha256("\n".join([str(_FORMAT), *identity]).encode()))

    def answer(
        self, kind: str, question: Sequence[np.ndarray], ask: Callable[[], Answer]
    ) -> Answer:
        """The kept answer to a question, or a new one.

        Args:
            kind: What is asked for.
            question: Everything that the answer depends on.
            ask: Finds the answer.
        """
        if self._path is None:
            return ask()
        digest = hashlib.sha256(kind.encode())
        for part in question:
            digest.update(np.ascontiguousarray(part).tobytes())
        asked = digest.hexdigest()[:32]
        if self.recalled < len(self._known):
            known, answer = self._known[self.recalled]
            if known == asked:
                self._length = self._ends[self.recalled]
                self.recalled += 1
                return answer
            del self._known[self.recalled :]
        answer = ask()
        self._add({"question": asked, "answer": answer})
        return answer

    def relaxed(
        self, potential: Potential, systems: Sequence[SoftAtoms], **options: Any
    ) -> list[Relaxation]:
        """Structures relaxed together; arguments as for :func:`softatoms.relax.relax_batch`."""
        question: list[np.ndarray] = [
            np.frombuffer(repr(sorted(options.items())).encode(), dtype=np.uint8)
        ]
        for soft in systems:
            question += [soft.site_number, soft.positions, soft.cell, soft.groups.theta]
        answer = self.answer(
            "relaxation",
            question,
            lambda: {"all": [_kept(one) for one in relax_batch(potential, systems, **options)]},
        )
        return [_given(soft, one) for soft, one in zip(systems, answer["all"], strict=True)]

    def _open(self, path: Path, identity: Any) -> None:
        header = json.dumps({"identity": identity.hexdigest()}).encode() + b"\n"
        self._length = len(header)
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        if not lines or lines[0] != header:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(header)
            return
        end = len(header)
        for line in lines[1:]:
            end += len(line)
            try:
                entry = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                entry = None
            if not isinstance(entry, dict) or {*entry} != {"question", "answer"}:
                return
            self._known.append((entry["question"], entry["answer"]))
            self._ends.append(end)

    def _add(self, entry: dict[str, Any]) -> None:
        assert self._path is not None
        line = json.dumps(entry).encode() + b"\n"
        with self._path.open("r+b") as file:
            file.truncate(self._length)
            file.seek(self._length)
            file.write(line)
        self._length += len(line)


def _kept(done: Relaxation) -> Answer:
    return {
        "positions": done.soft.positions.tolist(),
        "cell": done.soft.cell.tolist(),
        "forces": done.forces.tolist(),
        "stress": None if done.stress is None else done.stress.tolist(),
        **{name: getattr(done, name) for name in _NUMBERS},
    }


_NUMBERS = (
    *("energy", "enthalpy", "fmax", "smax"),
    *("steps", "evaluations", "status", "error"),
)


def _given(soft: SoftAtoms, kept: Answer) -> Relaxation:
    stress = kept["stress"]
    return Relaxation(
        soft=soft.with_positions(np.array(kept["positions"]), np.array(kept["cell"])),
        forces=np.array(kept["forces"]),
        stress=None if stress is None else np.array(stress),
        **{name: kept[name] for name in _NUMBERS},
    )
