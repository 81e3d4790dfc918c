"""Command line: ``softatoms <stage> --config FILE --out PATH``.

Exit codes: 0 done, 2 bad input with one line per problem on standard error, 1 anything else.
"""

from __future__ import annotations

import argparse
import errno
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__, training_commands
from .active_learning import commands as active_learning
from .composition import optimise_command
from .errors import SoftatomsError
from .files import check_writable
from .free_energy import commands as free_energy_commands
from .order import commands as order_commands
from .transport import commands as transport_commands

if TYPE_CHECKING:
    from .config import CampaignConfig

Command = Callable[[argparse.Namespace], int]

BAD_INPUT = 2
"""Exit code when a file or an option is wrong."""

_WRITTEN = (
    *("out", "runs_out", "reference", "table_out", "extxyz", "exploration_out"),
    *("summary_out", "roc_out", "path_out", "works_out", "profile_out", "stability_out"),
)
"""Options that name a file to write."""

_OF_ARGUMENTS = (
    *(errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EACCES, errno.EPERM),
    *(errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP),
)
"""Errors of the system that another path would avoid; a full disk is none of them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    parsed = _parser().parse_args(arguments)
    run: Command = parsed.run
    try:
        for name in _WRITTEN:
            check_writable(getattr(parsed, name, None), is_folder=run in (_figures, _train))
        check_writable(getattr(parsed, "checkpoint", None), is_folder=True)
        return run(parsed)
    except SoftatomsError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_INPUT
    except OSError as error:
        named = error.filename2 or error.filename
        where = "" if named is None else f"{named}: "
        what = error.strerror or str(error) or type(error).__name__
        sys.stderr.write(f"{where}{' '.join(what.split())}\n")
        return BAD_INPUT if error.errno in _OF_ARGUMENTS else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="softatoms", description="Stages of a campaign, one command each."
    )
    parser.add_argument("--version", action="version", version=f"softatoms {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Command, text: str, *, out: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        if name not in ("schema", "doctor"):
            sub.add_argument(
                "--config", required=True, type=Path, help="configuration of the campaign (YAML)"
            )
        if out:
            sub.add_argument("--out", required=True, type=Path, help=out)
        sub.set_defaults(run=run)
        return sub

    command(
        "manifest",
        _manifest,
        "list all composition tasks and the jobs that run them",
        out="table to write (Parquet)",
    )
    scan = command("scan", _scan, "relax the solid solutions of one job", out="table to write")
    scan.add_argument(
        "--manifest", type=Path, help="table of all tasks; made on the spot if not given"
    )
    scan.add_argument("--shard", type=int, help="number of the job, from 0; all jobs if not given")
    scan.add_argument("--model", type=Path, help="the trained potential, if that is what scans use")
    scan.add_argument("--runs-out", type=Path, help="table about the job itself, if wanted")
    scan.add_argument(
        "--checkpoint", type=Path, help="folder for finished parts; a killed job goes on from there"
    )
    dataset = command(
        "dataset",
        _dataset,
        "generate, import, label, check and divide the frames of a dataset",
        out="frames to write (Parquet)",
    )
    dataset.add_argument(
        "--step", choices=("generate", "label", "merge"), help="one step only; all if not given"
    )
    dataset.add_argument("--frames", type=Path, help="label, merge: frames that generate wrote")
    dataset.add_argument(
        "--skipped", type=Path, help="generate, merge: table of what was left out of the frames"
    )
    dataset.add_argument("--shard", type=int, help="label: number of the job, from 0")
    dataset.add_argument(
        "--round", type=int, help="label: round of active learning that the frames come from"
    )
    dataset.add_argument("--labels", nargs="*", type=Path, help="merge: what the label jobs wrote")
    dataset.add_argument(
        "--table", dest="table_out", type=Path, help="table with one row per frame, if wanted"
    )
    dataset.add_argument(
        "--extxyz", type=Path, help="sound frames for other programs (extended XYZ), if wanted"
    )
    dataset.add_argument(
        "--checkpoint", type=Path, help="folder for labels; a killed job goes on from there"
    )
    train = command(
        "train",
        _train,
        "train a potential, or an ensemble, on labelled frames",
        out="directory of the model; further ones of an ensemble get a number behind its name",
    )
    training_commands.add_train_options(train)
    explore = command(
        "explore",
        _explore,
        "look for structures that the models of a round do not know, and select some for labels",
        out="frames to label (Parquet)",
    )
    active_learning.add_explore_options(explore)
    between = command(
        "active-learning",
        _active_learning,
        "join what a round labelled with the frames there were, or sum up all rounds",
        out="frames of the next round (merge), or table (table)",
    )
    active_learning.add_round_options(between)
    physics = command(
        "physics",
        _physics,
        "properties of crystals by the model of the campaign, and what they are compared with",
        out="table to write (Parquet)",
    )
    physics.add_argument(
        "--model", type=Path, help="directory of the trained model, if the campaign trains one"
    )
    optimise_command.register(command, _say)
    order = command("order", _order, "compare order and disorder", out="table of states to write")
    order_commands.add_options(order)
    free = command(
        "free-energy",
        _free_energy,
        "free energies of vacancies and of changes of composition",
        out="table to write",
    )
    free_energy_commands.add_options(free)
    transport = command(
        "transport",
        _transport,
        "thermal conductivities from fluctuations of the heat flux",
        out="table of conductivities to write",
    )
    transport_commands.add_options(transport)
    curve = command(
        "learning-curve",
        _learning_curve,
        "train on parts of the frames and list the errors over their number",
        out="table to write",
    )
    training_commands.add_curve_options(curve)
    collect = command(
        "collect",
        _collect,
        "join the tables of all jobs and check that nothing is missing",
        out="table to write",
    )
    collect.add_argument("--manifest", required=True, type=Path, help="table of all tasks")
    collect.add_argument(
        "--table", required=True, choices=("composition", "runs"), help="kind of table"
    )
    collect.add_argument("--tables", required=True, nargs="+", type=Path, help="tables of the jobs")
    rank = command("rank", _rank, "filter and rank compositions", out="table to write")
    rank.add_argument("--table", required=True, type=Path, help="the composition table")
    figures = command("figures", _figures, "draw the figures of the campaign", out="folder")
    figures.add_argument("--tables", required=True, type=Path, help="folder of the tables")
    report = command("report", _report, "write the report, one HTML page", out="page to write")
    report.add_argument("--tables", required=True, type=Path, help="folder of the tables")
    report.add_argument("--figures", required=True, type=Path, help="folder of the figures")
    schema = command("schema", _schema, "write the JSON schema of configuration files", out="")
    schema.add_argument("--out", type=Path, help="JSON schema to write")
    schema.add_argument("--reference", type=Path, help="page about all configuration keys to write")
    schema.add_argument("--tables", type=Path, help="page about all tables to write")
    doctor = command(
        "doctor", _doctor, "say what is installed, what is missing and how to get it", out=""
    )
    doctor.add_argument(
        "models", nargs="*", type=Path, help="saved potentials and files of models to look at too"
    )
    return parser


def _manifest(arguments: argparse.Namespace) -> int:
    config = _load_scans(arguments)
    from . import provenance
    from .composition.tasks import manifest_rows
    from .tables import write_table

    rows = manifest_rows(config)
    origin = provenance.collect(config, "composition")
    write_table(arguments.out, "manifest", rows, origin, config.elements())
    _say(f"{arguments.out}: {len(rows)} tasks in {config.n_shards()} jobs")
    return 0


def _scan(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    config = _load_scans(arguments)
    from . import provenance

    # Read now, and kept: the sources may change while the job runs.
    provenance.code_digest()
    provenance.git_revision()
    from .composition.tasks import Task, manifest_rows

    if arguments.manifest is None:
        rows = manifest_rows(config)
    else:
        rows = _manifest_rows(config, arguments.manifest)
    chosen = [row for row in rows if arguments.shard in (None, row["shard"])]
    if not chosen:
        raise SoftatomsError(
            f"--shard: there is no job {arguments.shard}; "
            f"the jobs are numbered 0 to {config.n_shards() - 1}"
        )
    tasks = [Task.from_row(row) for row in chosen]
    import torch

    from .campaign_potential import campaign_potential
    from .composition.scan import run_shard
    from .progress import Progress
    from .tables import write_table

    torch.set_num_threads(config.compute.threads)
    potential = campaign_potential(config, model=arguments.model, source=arguments.config)
    job = "scan" if arguments.shard is None else _job_name(arguments.shard)
    with Progress(len(tasks), label=job, unit="compositions") as progress:
        outcome = run_shard(
            config, potential, tasks, checkpoint=arguments.checkpoint, progress=progress
        )
    origin = provenance.collect(config, "composition", potential.sha256())
    write_table(arguments.out, "composition", outcome.rows, origin, config.elements())
    run = {
        "job_id": job,
        "rule": "scan",
        "git_revision": origin.git_revision,
        "config_hash": origin.config_hash,
        "seed": origin.seed,
        "device": origin.device,
        "dtype": origin.dtype,
        "wall_s": time.monotonic() - started,
        "evaluations": outcome.evaluations,
        "rows": len(outcome.rows),
        "rows_not_ok": sum(row["status"] != "ok" for row in outcome.rows),
        "status": "ok",
    }
    if arguments.runs_out is not None:
        write_table(arguments.runs_out, "runs", [run], origin)
    return 0


def _dataset(arguments: argparse.Namespace) -> int:
    config = _load(arguments)
    if config.dataset is None:
        raise SoftatomsError(f"{arguments.config}: dataset: is required to make a dataset")
    needed = {
        "generate": ("skipped",),
        "label": ("frames", "shard"),
        "merge": ("frames", "skipped", "labels"),
    }.get(arguments.step, ())
    for name in needed:
        if getattr(arguments, name) is None:
            raise SoftatomsError(f"--{name}: is required for --step {arguments.step}")
    from .dataset import stage

    given = {name: getattr(arguments, name) for name in ("out", *needed)}
    written = {"table": arguments.table_out, "extxyz": arguments.extxyz, "say": _say}
    if arguments.step == "generate":
        stage.generate_step(config, **given, say=_say)
    elif arguments.step == "label":
        stage.label_step(
            config, **given, checkpoint=arguments.checkpoint, round_number=arguments.round
        )
    elif arguments.step == "merge":
        stage.merge_step(config, **given, **written)
    else:
        stage.whole_stage(config, **given, **written, checkpoint=arguments.checkpoint)
    return 0


def _train(arguments: argparse.Namespace) -> int:
    return training_commands.train(arguments, _say)


def _learning_curve(arguments: argparse.Namespace) -> int:
    return training_commands.learning_curve(arguments, _say)


def _explore(arguments: argparse.Namespace) -> int:
    return active_learning.explore(arguments, _say)


def _active_learning(arguments: argparse.Namespace) -> int:
    return active_learning.between_rounds(arguments, _say)


def _physics(arguments: argparse.Namespace) -> int:
    config = _load(arguments)
    if config.physics is None:
        raise SoftatomsError(f"{arguments.config}: physics: is required for physics checks")
    from .physics.stage import run_stage

    run_stage(config, model=arguments.model, out=arguments.out, say=_say)
    return 0


def _order(arguments: argparse.Namespace) -> int:
    return order_commands.run(_load(arguments), arguments, _say)


def _free_energy(arguments: argparse.Namespace) -> int:
    return free_energy_commands.run(_load(arguments), arguments, _say)


def _transport(arguments: argparse.Namespace) -> int:
    return transport_commands.run(_load(arguments), arguments, _say)


def _collect(arguments: argparse.Namespace) -> int:
    config = _load(arguments)
    from . import provenance
    from .tables import merge_tables, read_table, write_table

    tasks = _manifest_rows(config, arguments.manifest)
    expected = [row["composition_id"] for row in tasks]
    if arguments.table == "runs":
        expected = [_job_name(shard) for shard in range(config.n_shards())]
    digest = config.section_digest("composition")
    rows = merge_tables(arguments.tables, arguments.table, expected, digest)
    made = read_table(arguments.tables[0], arguments.table).provenance
    # What computed the rows stays their origin: the program that joins them may be a later one.
    origin = replace(
        provenance.collect(config, "composition", made.model_sha256),
        git_revision=made.git_revision,
        code_sha256=made.code_sha256,
        packages=made.packages,
    )
    elements = config.elements() if arguments.table == "composition" else ()
    write_table(arguments.out, arguments.table, rows, origin, elements)
    bad = sum(row["status"] != "ok" for row in rows)
    _say(f"{arguments.out}: {len(rows)} rows, {bad} of them not ok")
    return 0


def _rank(arguments: argparse.Namespace) -> int:
    config = _load(arguments)
    from . import provenance
    from .screening.ranking import rank
    from .tables import read_table, write_table

    if config.screening is None:
        raise SoftatomsError(f"{arguments.config}: screening: is required for a ranking")
    table = read_table(arguments.table, "composition")
    rows = rank(table.rows(), config.screening, table.elements)
    origin = provenance.collect(config, "screening", table.provenance.model_sha256)
    write_table(arguments.out, "ranking", rows, origin, table.elements)
    _say(f"{arguments.out}: {len(rows)} of {table.data.num_rows} compositions pass")
    return 0


def _figures(arguments: argparse.Namespace) -> int:
    config = _load(arguments)
    from .figures import draw_all

    for path in draw_all(config, arguments.tables, arguments.out):
        _say(str(path))
    return 0


def _report(arguments: argparse.Namespace) -> int:
    config = _load(arguments)
    from .report import write_report

    write_report(config, arguments.tables, arguments.figures, arguments.out)
    _say(str(arguments.out))
    return 0


def _schema(arguments: argparse.Namespace) -> int:
    from . import table_reference
    from .config import reference
    from .files import write_text

    pages = (
        (arguments.out, reference.json_schema),
        (arguments.reference, reference.markdown_reference),
        (arguments.tables, table_reference.markdown_reference),
    )
    if all(path is None for path, _ in pages):
        raise SoftatomsError("schema: give at least one of --out, --reference and --tables")
    for path, make in pages:
        if path is not None:
            write_text(path, make())
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from .doctor import examine

    return examine(sys.stdout, arguments.models)


def _load(arguments: argparse.Namespace) -> CampaignConfig:
    from .config import load_config

    return load_config(arguments.config)


def _load_scans(arguments: argparse.Namespace) -> CampaignConfig:
    config = _load(arguments)
    if config.composition is None:
        raise SoftatomsError(f"{arguments.config}: composition: is required to scan")
    return config


def _manifest_rows(config: CampaignConfig, path: Path) -> list[dict[str, Any]]:
    """Rows of the manifest, if it belongs to this configuration."""
    from .tables import TableError, read_table

    table = read_table(path, "manifest")
    if table.provenance.config_hash != config.section_digest("composition"):
        raise TableError(
            f"{path}: belongs to another configuration; run 'softatoms manifest' again"
        )
    return table.rows()


def _job_name(shard: int) -> str:
    return f"scan-{shard:05d}"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    # A log is read while the job still runs.
    sys.stdout.flush()
