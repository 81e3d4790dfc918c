"""What checks of a dataset found, frame by frame."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .frames import Frame

Severity = Literal["error", "warning"]


class Finding(NamedTuple):
    """Something remarkable about one frame.

    Attributes:
        frame_id: Name of the frame.
        check: Name of the check.
        severity: Whether the frame must not be used (``error``) or deserves a look.
        message: What is wrong.
    """

    frame_id: str
    check: str
    severity: Severity
    message: str


@dataclass(frozen=True)
class Report:
    """All findings of one dataset.

    Attributes:
        n_frames: Frames that were checked.
        findings: In the order of the frames.
    """

    n_frames: int
    findings: tuple[Finding, ...]

    def errors(self) -> dict[str, str]:
        """What makes frames unusable, by name."""
        found: dict[str, str] = {}
        for finding in self.findings:
            if finding.severity == "error":
                before = found.get(finding.frame_id)
                found[finding.frame_id] = (
                    finding.message if before is None else f"{before}; {finding.message}"
                )
        return found

    def summary(self) -> list[str]:
        """One line per kind of finding, with how often it occurs and the first frame."""
        counts = Counter((finding.check, finding.severity) for finding in self.findings)
        lines = []
        for (check, severity), count in sorted(counts.items()):
            first = next(f for f in self.findings if (f.check, f.severity) == (check, severity))
            lines.append(
                f"{severity} {check}: {count} of {self.n_frames} frames, first {first.frame_id}: "
                f"{first.message}"
            )
        return lines


def mark_failed(frames: Sequence[Frame], report: Report) -> list[Frame]:
    """The frames, those with errors marked as failed; none is left out."""
    errors = report.errors()
    return [
        dataclasses.replace(
            frame,
            status="failed",
            error="; ".join(filter(None, [frame.error, errors[frame.frame_id]])),
        )
        if frame.frame_id in errors
        else frame
        for frame in frames
    ]
