"""The command ``softatoms free-energy``: one job, all of them, or what joins their tables."""

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
        "--works-out", required=True, type=Path, help="table of switching runs to write"
    )
    parser.add_argument(
        "--profile-out", required=True, type=Path, help="table of dE/dλ along them to write"
    )
    parser.add_argument(
        "--stability-out", type=Path, help="table of polymorphs, if wanted; not for one job"
    )
    parser.add_argument("--shard", type=int, help="number of the job, from 0; all if not given")
    parser.add_argument("--model", type=Path, help="the trained potential, if that is to be used")
    parser.add_argument(
        "--checkpoint", type=Path, help="folder for checkpoints; a killed job goes on from there"
    )
    parser.add_argument(
        "--minutes", type=float, help="wall time after which to stop and go on later"
    )
    parser.add_argument(
        "--tables", nargs="+", type=Path, help="join these tables of all jobs instead of computing"
    )
    parser.add_argument("--works", nargs="+", type=Path, help="with --tables: those of works")
    parser.add_argument("--profiles", nargs="+", type=Path, help="with --tables: those of dE/dλ")


def run(config: CampaignConfig, arguments: argparse.Namespace, say: Say) -> int:
    """Run the command.

    Args:
        config: The campaign.
        arguments: Of the command line.
        say: Is told one line per free energy.

    Returns:
        0, or ``REQUEUE`` if the job was stopped: nothing is written then.

    Raises:
        SoftatomsError: If there is no section ``free_energies``, options do not go together, or
            something that is named cannot be used.
    """
    if config.free_energies is None:
        message = "free_energies: is required to compute free energies"
        raise SoftatomsError(f"{arguments.config}: {message}")
    joined = [arguments.tables, arguments.works, arguments.profiles]
    if any(paths is None for paths in joined) and any(paths is not None for paths in joined):
        raise SoftatomsError("--tables, --works and --profiles go together")
    if arguments.tables is not None and arguments.shard is not None:
        raise SoftatomsError("--shard: goes without --tables, which joins what jobs wrote")
    if arguments.shard is not None and arguments.stability_out is not None:
        raise SoftatomsError("--stability-out: needs all runs, so it goes without --shard")
    from .. import provenance
    from ..campaign_potential import campaign_potential
    from ..tables import write_table
    from . import stage

    # Read now, and kept: the sources may change while the job runs.
    provenance.code_digest()
    provenance.git_revision()
    if arguments.tables is not None:
        rows, sha256 = stage.merge(config, dict(zip(stage.TABLES, joined, strict=True)))
    else:
        potential = campaign_potential(config, model=arguments.model, source=arguments.config)
        sha256 = potential.sha256()
        minutes = arguments.minutes
        try:
            rows = stage.run_job(
                config,
                potential,
                shard=arguments.shard,
                checkpoint=arguments.checkpoint,
                wall_time=None if minutes is None else 60.0 * minutes,
                say=say,
            )
        except SoftatomsError as error:
            if not stage.is_interrupted(error):
                raise
            say(f"stopped: {error}; the same command goes on from there")
            return REQUEUE
    outs = (arguments.out, arguments.works_out, arguments.profile_out)
    stage.write_job(config, sha256, rows, dict(zip(stage.TABLES, outs, strict=True)))
    failed = sum(row["status"] != "ok" for row in rows["free_energy"])
    say(f"{arguments.out}: {len(rows['free_energy'])} free energies, {failed} without a result")
    if arguments.stability_out is not None:
        found = stage.stability_rows(config, rows["free_energy"])
        origin = provenance.collect(config, "free_energies", sha256)
        write_table(arguments.stability_out, "phase_stability", found, origin)
    return 0
