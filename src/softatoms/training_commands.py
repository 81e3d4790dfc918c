"""Commands of training: ``softatoms train`` and ``softatoms learning-curve``.

They stand beside the package ``training``, which needs torch as soon as it is imported.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from .errors import SoftatomsError

Say = Callable[[str], None]


def add_train_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``softatoms train``."""
    option = parser.add_argument
    option("--frames", required=True, type=Path, help="labelled frames with splits (Parquet)")
    option(
        "--tables", type=Path, help="folder for the tables about errors and the course of training"
    )
    option(
        "--checkpoint", type=Path, help="folder for checkpoints; a killed job goes on from there"
    )
    option(
        "--round", type=int, help="round of active learning, from 0; its settings count from 1 on"
    )
    option(
        "--start",
        nargs="*",
        default=[],
        type=Path,
        help="first model of the round before, to go on from; the others lie beside it",
    )
    option("--minutes", type=float, help="wall time after which to stop and go on later")


def add_curve_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``softatoms learning-curve``."""
    option = parser.add_argument
    option("--frames", required=True, type=Path, help="labelled frames with splits (Parquet)")
    option(
        "--checkpoint", type=Path, help="folder for checkpoints; a killed job goes on from there"
    )
    option("--minutes", type=float, help="wall time after which to stop and go on later")


def train(arguments: argparse.Namespace, say: Say) -> int:
    """Train the models of a campaign."""
    from .config import load_config

    config = load_config(arguments.config)
    if config.training is None:
        raise SoftatomsError(f"{arguments.config}: training: is required to train")
    from .training.stage import run_stage

    return run_stage(
        config,
        frames=arguments.frames,
        out=arguments.out,
        tables=arguments.tables,
        checkpoint=arguments.checkpoint,
        minutes=arguments.minutes,
        round_number=arguments.round,
        start=arguments.start[0] if arguments.start else None,
        say=say,
    )


def learning_curve(arguments: argparse.Namespace, say: Say) -> int:
    """Train on parts of the frames."""
    from .config import load_config

    config = load_config(arguments.config)
    if config.training is None or config.training.learning_curve is None:
        message = "training.learning_curve: is required for a learning curve"
        raise SoftatomsError(f"{arguments.config}: {message}")
    from .training.learning_curve import run_learning_curve

    return run_learning_curve(
        config,
        frames=arguments.frames,
        out=arguments.out,
        checkpoint=arguments.checkpoint,
        minutes=arguments.minutes,
        say=say,
    )
