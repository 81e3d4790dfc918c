"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write a file under another name in the same folder and rename it at the end.

    Args:
        path: The file that shall appear. Missing folders are made.

    Yields:
        Where to write. It becomes ``path`` if the block ends well and is removed if not; what a
        killed process leaves behind is overwritten by the next one.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays, because some writers choose their format by it.
    partial = target.with_name(f".{target.stem}.partial{target.suffix}")
    try:
        yield partial
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
