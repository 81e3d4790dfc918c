"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STALE_AFTER_S = 86_400.0
"""Age after which the unfinished file of a process on another machine is taken for left behind."""


def content_digest(path: str | Path) -> str:
    """SHA-256 of a file as hexadecimal digits, empty if it cannot be read."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return ""


def check_writable(path: str | Path | None, *, is_folder: bool = False) -> None:
    """Raise if a file or folder cannot be made, without making anything.

    Args:
        path: The file or folder; None for none.
        is_folder: Whether it is a folder.

    Raises:
        OSError: Saying why, with the path that is to blame.
    """
    if path is None:
        return
    place = Path(path)
    if not is_folder:
        if place.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        place = place.parent
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))
    if not os.access(place, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "cannot be written to", str(place))


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write a file under another name in the same folder and rename it at the end.

    Every process has a name of its own to write under, so that two of them may make the same file;
    the last one to finish wins, whole. What killed processes left behind is removed.

    Args:
        path: The file that shall appear. Missing folders are made.

    Yields:
        Where to write. It becomes ``path`` if the block ends well and is removed if not.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(target)
    # The ending stays, because some writers choose their format by it.
    owner = f"{socket.gethostname()}-{os.getpid()}"
    partial = target.with_name(f".{target.stem}.{owner}.partial{target.suffix}")
    try:
        yield partial
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        partial.replace(target)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(partial), partial):
            # Nobody knows the name under which it was written.
            error.filename = str(target)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _remove_stale(target: Path) -> None:
    here = f"{socket.gethostname()}-"
    prefix, suffix = f".{target.stem}.", f".partial{target.suffix}"
    for left in target.parent.glob(f"{prefix}*{suffix}"):
        owner = left.name.removeprefix(prefix).removesuffix(suffix)
        pid = owner.removeprefix(here)
        if owner.startswith(here) and pid.isdecimal():
            stale = int(pid) != os.getpid() and not _is_running(int(pid))
        else:
            try:
                stale = time.time() - left.stat().st_mtime > STALE_AFTER_S
            except FileNotFoundError:
                continue
        if stale:
            left.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
