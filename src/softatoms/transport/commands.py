"""The command ``softatoms transport``: one job, all of them, or what joins their tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SoftatomsError
from ..stopping import REQUEUE

if TYPE_CHECKING:
    import argparse

    from ..config import CampaignConfig

Say = Callable[[str], None]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--correlation-out", required=True, type=Path, help="table of correlations to write"
    )
    parser.add_argument(
        "--spectrum-out", required=True, type=Path, help="table of spectra to write"
    )
    parser.add_argument("--shard", type=int, help="number of the job, from 0; all if not given")
    parser.add_argument("--model", type=Path, help="the trained potential, if that is to be used")
    parser.add_argument(
        "--trajectories",
        type=Path,
        help="folder for samples and checkpoints; a killed job goes on from there; beside the "
        "table if not given",
    )
    parser.add_argument("--minutes", type=float, help="wall time after which to stop in good order")
    parser.add_argument(
        "--tables", nargs="+", type=Path, help="join these tables of all jobs instead of computing"
    )
    parser.add_argument(
        "--correlations", nargs="+", type=Path, help="with --tables: their correlations"
    )
    parser.add_argument("--spectra", nargs="+", type=Path, help="with --tables: their spectra")


def run(config: CampaignConfig, arguments: argparse.Namespace, say: Say) -> int:
    """Run the command.

    Args:
        config: The campaign.
        arguments: Of the command line.
        say: Is told one line per run and table.

    Raises:
        SoftatomsError: If there is no section ``transport``, options do not go together, or
            something that is named cannot be used.
    """
    if config.transport is None:
        message = "transport: is required to compute thermal conductivities"
        raise SoftatomsError(f"{arguments.config}: {message}")
    joined = (arguments.tables, arguments.correlations, arguments.spectra)
    if any(joined) and not all(joined):
        raise SoftatomsError("--tables, --correlations and --spectra go together")
    if arguments.tables is not None and arguments.shard is not None:
        raise SoftatomsError("--tables: goes without --shard: it joins what jobs wrote")
    if arguments.minutes is not None and not arguments.minutes > 0.0:
        raise SoftatomsError(f"--minutes: must be positive, got {arguments.minutes:g}")
    from .. import provenance
    from ..campaign_potential import campaign_potential
    from . import stage

    # Read now, and kept: the sources may change while the job runs.
    provenance.code_digest()
    provenance.git_revision()
    paths = dict(
        zip(
            stage.TABLES,
            (arguments.out, arguments.correlation_out, arguments.spectrum_out),
            strict=True,
        )
    )
    if arguments.tables is not None:
        merged = {
            name: stage.merge(config, tables, name)
            for name, tables in zip(stage.TABLES, joined, strict=True)
        }
        rows, sha256 = {name: one for name, (one, _) in merged.items()}, merged["transport"][1]
    else:
        potential = campaign_potential(
            config,
            model=arguments.model,
            source=arguments.config,
            own=config.transport.potential,
            own_key="transport.potential",
        )
        sha256 = potential.sha256()
        found = stage.run_job(
            config,
            potential,
            shard=arguments.shard,
            trajectories=arguments.trajectories or arguments.out.parent / "trajectories",
            wall_time=None if arguments.minutes is None else 60.0 * arguments.minutes,
            say=say,
        )
        if found is None:
            return REQUEUE
        rows = found
    stage.write_job(config, sha256, rows, paths)
    failed = sum(row["status"] != "ok" for row in rows["transport"])
    say(f"{arguments.out}: {len(rows['transport'])} numbers, {failed} of them without a value")
    return 0
