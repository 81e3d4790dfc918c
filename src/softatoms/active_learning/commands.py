"""Commands of active learning: ``softatoms explore`` and ``softatoms active-learning``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from ..errors import SoftatomsError

Say = Callable[[str], None]

_NEEDED = {
    "merge": ("round", "frames", "selected", "labels"),
    "table": (
        *("frames", "models", "evaluations", "candidates", "explorations", "exploration_out"),
    ),
}


def add_explore_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``softatoms explore``."""
    option = parser.add_argument
    option("--round", required=True, type=int, help="number of the round, from 0")
    option("--frames", required=True, type=Path, help="frames of the round (Parquet)")
    option("--model", required=True, type=Path, help="directory of its first model")
    option("--candidates", required=True, type=Path, help="file of all candidates to write")
    option("--table", dest="table_out", required=True, type=Path, help="table to write")
    option(
        "--checkpoint", type=Path, help="folder for finished parts; a killed job goes on from there"
    )


def add_round_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``softatoms active-learning``."""
    option = parser.add_argument
    option("--step", choices=tuple(_NEEDED), required=True, help="what to do")
    option("--round", type=int, help="merge: round in which frames were selected, from 0")
    option("--frames", nargs="+", type=Path, help="merge: frames of the round; table: of all")
    option("--selected", type=Path, help="merge: frames that explore selected")
    option("--labels", nargs="*", type=Path, help="merge: what the label jobs wrote")
    option("--table", dest="table_out", type=Path, help="merge: table of all frames, if wanted")
    option("--models", nargs="+", type=Path, help="table: first model of each round")
    option("--evaluations", nargs="+", type=Path, help="table: tables evaluation of each round")
    option("--candidates", nargs="+", type=Path, help="table: candidates of rounds but the last")
    option("--explorations", nargs="+", type=Path, help="table: tables exploration likewise")
    option("--exploration-out", type=Path, help="table: the table exploration to write")


def explore(arguments: argparse.Namespace, say: Say) -> int:
    """Explore and select."""
    from ..config import load_config
    from .stage import explore_step

    explore_step(
        load_config(arguments.config),
        round_number=arguments.round,
        frames=arguments.frames,
        model=arguments.model,
        out=arguments.out,
        candidates=arguments.candidates,
        table=arguments.table_out,
        checkpoint=arguments.checkpoint,
        say=say,
    )
    return 0


def between_rounds(arguments: argparse.Namespace, say: Say) -> int:
    """Join labels with frames, or sum up all rounds."""
    for name in _NEEDED[arguments.step]:
        if getattr(arguments, name) is None:
            option = name.replace("_", "-")
            raise SoftatomsError(f"--{option}: is required for --step {arguments.step}")
    from ..config import load_config

    config = load_config(arguments.config)
    if arguments.step == "merge":
        if len(arguments.frames) != 1:
            raise SoftatomsError("--frames: --step merge takes the frames of one round")
        from .stage import merge_step

        merge_step(
            config,
            round_number=arguments.round,
            frames=arguments.frames[0],
            selected=arguments.selected,
            labels=arguments.labels,
            out=arguments.out,
            table=arguments.table_out,
            say=say,
        )
        return 0
    from .summary import summary_step

    summary_step(
        config,
        frames=arguments.frames,
        models=arguments.models,
        evaluations=arguments.evaluations,
        candidates=arguments.candidates,
        explorations=arguments.explorations,
        out=arguments.out,
        exploration_out=arguments.exploration_out,
        say=say,
    )
    return 0
