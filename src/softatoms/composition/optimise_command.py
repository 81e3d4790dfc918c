"""The command ``softatoms optimize``; nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

Say = Callable[[str], None]


def register(command: Callable[..., argparse.ArgumentParser], say: Say) -> None:
    """Add the command with its options.

    Args:
        command: Adds a command of this name, function and help, and returns its parser.
        say: Is told one line per result.
    """
    option = command(
        "optimize",
        functools.partial(optimise, say=say),
        "look for compositions and cells that meet targets",
        out="table to write (Parquet)",
    ).add_argument
    option("--search", help="one search by name; all if not given")
    option("--model", type=Path, help="the trained potential, if the campaign trains one")
    option("--path-out", type=Path, help="table of all compositions that were looked at, if wanted")
    option(
        "--checkpoint",
        type=Path,
        help="folder that keeps what was computed: a killed search goes on from there",
    )
    option("--merge", nargs="+", type=Path, help="only join these tables, one per search")
    option("--merge-paths", nargs="+", type=Path, help="with --merge: their tables of paths")


def optimise(arguments: argparse.Namespace, *, say: Say) -> int:
    """Run the searches of a campaign, or join their tables."""
    from ..config import load_config
    from .optimise.stage import run

    return run(load_config(arguments.config), arguments, say)
