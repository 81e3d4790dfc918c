"""The command ``softatoms order``: one job, all of them, or what joins their tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SoftatomsError

if TYPE_CHECKING:
    import argparse

    from ..config import CampaignConfig

Say = Callable[[str], None]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--summary-out", required=True, type=Path, help="table with one row per compound to write"
    )
    parser.add_argument(
        "--roc-out", type=Path, help="table of areas under ROC curves, if wanted; not for one job"
    )
    parser.add_argument("--shard", type=int, help="number of the job, from 0; all if not given")
    parser.add_argument("--model", type=Path, help="the trained potential, if that is to be used")
    parser.add_argument(
        "--checkpoint", type=Path, help="folder for finished parts; a killed job goes on from there"
    )
    parser.add_argument(
        "--tables", nargs="+", type=Path, help="join these tables of all jobs instead of computing"
    )
    parser.add_argument(
        "--summaries", nargs="+", type=Path, help="with --tables: their tables of compounds"
    )


def run(config: CampaignConfig, arguments: argparse.Namespace, say: Say) -> int:
    """Run the command.

    Args:
        config: The campaign.
        arguments: Of the command line.
        say: Is told one line per compound and table.

    Raises:
        SoftatomsError: If there is no section ``order``, options do not go together, or something
            that is named cannot be used.
    """
    if config.order is None:
        message = "order: is required to compare order and disorder"
        raise SoftatomsError(f"{arguments.config}: {message}")
    if (arguments.tables is None) != (arguments.summaries is None):
        raise SoftatomsError("--tables and --summaries go together")
    if arguments.tables is not None and arguments.shard is not None:
        raise SoftatomsError("--shard: goes without --tables, which joins what jobs wrote")
    if arguments.shard is not None and arguments.roc_out is not None:
        raise SoftatomsError("--roc-out: needs all compounds, so it goes without --shard")
    from .. import provenance
    from ..campaign_potential import campaign_potential
    from ..tables import write_table
    from . import stage

    # Read now, and kept: the sources may change while the job runs.
    provenance.code_digest()
    provenance.git_revision()
    if arguments.tables is not None:
        rows, sha256 = stage.merge(config, arguments.tables, "order")
        summaries, _ = stage.merge(config, arguments.summaries, "order_summary")
    else:
        potential = campaign_potential(config, model=arguments.model, source=arguments.config)
        sha256 = potential.sha256()
        rows, summaries = stage.run_job(
            config, potential, shard=arguments.shard, checkpoint=arguments.checkpoint, say=say
        )
    stage.write_job(
        config, sha256, rows, summaries, out=arguments.out, summary_out=arguments.summary_out
    )
    failed = sum(summary["status"] != "ok" for summary in summaries)
    say(f"{arguments.summary_out}: {len(summaries)} compounds, {failed} without a result")
    if arguments.roc_out is not None:
        areas = stage.roc_rows(config, summaries)
        write_table(
            arguments.roc_out, "order_roc", areas, provenance.collect(config, "order", sha256)
        )
        for row in areas:
            interval = f"{row['area_low']:.3f} to {row['area_high']:.3f}"
            say(
                f"{row['score']}: area {row['area']:.3f} ({interval}), {row['n_ordered']} ordered, "
                f"{row['n_disordered']} disordered"
            )
    return 0
