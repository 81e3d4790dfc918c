"""The table ``active_learning``: what each round cost and what it brought."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .. import provenance
from ..dataset.frames import Frame
from ..errors import SoftatomsError
from ..evaluation import check_device
from ..tables import Table, TableError, read_table, write_table
from .jury import load_jury
from .stage import read_round, section_of

if TYPE_CHECKING:
    from ..config import CampaignConfig

QUANTITIES = (
    ("energy", "energy", "ev_per_atom"),
    ("force", "forces", "ev_per_ang"),
    ("stress", "stress", "ev_per_ang3"),
)
"""Quantity in the table ``evaluation``, name and unit in columns of the table."""


def summary_step(
    config: CampaignConfig,
    *,
    frames: Sequence[Path],
    models: Sequence[Path],
    evaluations: Sequence[Path],
    candidates: Sequence[Path],
    explorations: Sequence[Path],
    out: Path,
    exploration_out: Path,
    say: Callable[[str], None],
) -> None:
    """Write one row per round, and the trajectories of all rounds in one table.

    Args:
        config: The campaign.
        frames: Frames of all rounds, the last one included.
        models: First model of all rounds.
        evaluations: Tables ``evaluation`` of all rounds.
        candidates: Candidates of all rounds but the last.
        explorations: Tables ``exploration`` of all rounds but the last.
        out: Table ``active_learning`` to write.
        exploration_out: Table ``exploration`` to write.
        say: Takes one line for the user.

    Raises:
        SoftatomsError: If files are missing or belong to something else.
    """
    rounds = 0 if config.active_learning is None else config.active_learning.rounds
    wanted = section_of(config, rounds, last=rounds)
    _check_counts(rounds, frames, models, evaluations, candidates, explorations)
    torch.set_num_threads(config.compute.threads)
    check_device(config.compute.device)
    own = [read_round(config, path, number) for number, path in enumerate(frames)]
    walks = [_trajectories(config, path) for path in explorations]
    errors = [
        errors_on_test(read_table(path, "evaluation"), models[-1].name) for path in evaluations
    ]
    spreads = _spreads(config, models, [read_round(config, path, None) for path in candidates])
    rows = []
    for number in range(rounds + 1):
        is_last = number == rounds
        rows.append(
            {
                "round": number,
                **_frame_counts(own[number]),
                **_labels(own[number], own[number if is_last else number + 1]),
                **_walk_counts([] if is_last else walks[number].rows()),
                **(_NO_SPREADS if is_last else spreads[number]),
                "uncertainty_unit": wanted.uncertainty.unit,
                **errors[number],
            }
        )
    origin = provenance.collect(
        config, "active_learning", load_jury(config, models[-1]).models[0].sha256()
    )
    write_table(out, "active_learning", rows, origin)
    write_table(exploration_out, "exploration", [r for t in walks for r in t.rows()], origin)
    for row in rows:
        say(_line(row))


def errors_on_test(table: Table, model: str) -> dict[str, float | None]:
    """Mean errors of the test part; missing where it has none.

    Args:
        table: The table ``evaluation`` of a round.
        model: Name of the model that counts.
    """
    found: dict[str, Mapping[str, Any]] = {
        row["quantity"]: row
        for row in table.rows()
        if (row["model"], row["split"], row["group"], row["element"])
        == (model, "test", "all", "all")
    }
    return {
        f"test_{name}_{kind}_{unit}": found[quantity][kind] if quantity in found else None
        for quantity, name, unit in QUANTITIES
        for kind in ("mae", "rmse")
    }


def _check_counts(rounds: int, *files: Sequence[Path]) -> None:
    frames, models, evaluations, candidates, explorations = files
    for name, given, needed in (
        ("frames", frames, rounds + 1),
        ("models", models, rounds + 1),
        ("evaluations", evaluations, rounds + 1),
        ("candidates", candidates, rounds),
        ("explorations", explorations, rounds),
    ):
        if len(given) != needed:
            raise SoftatomsError(
                f"--{name}: {rounds} rounds take {needed} of them, got {len(given)}"
            )


def _trajectories(config: CampaignConfig, path: Path) -> Table:
    table = read_table(path, "exploration")
    if table.provenance.config_hash != config.section_digest("active_learning"):
        raise TableError(f"{path}: belongs to another configuration; run the step before again")
    return table


_NO_SPREADS: dict[str, float | None] = {
    f"{kind}_uncertainty_{when}": None for when in ("before", "after") for kind in ("mean", "max")
}


def _spreads(
    config: CampaignConfig, models: Sequence[Path], candidates: Sequence[Sequence[Frame]]
) -> list[dict[str, float | None]]:
    """Uncertainty of the candidates of each round, for its models and those of the next one."""
    found = []
    before = load_jury(config, models[0])
    for own, later in zip(candidates, models[1:], strict=True):
        after = load_jury(config, later)
        row = dict(_NO_SPREADS)
        if own:
            for when, jury in (("before", before), ("after", after)):
                values = np.array(jury.spreads([frame.soft for frame in own]))
                # Training may leave a model without a number somewhere far out.
                if np.isfinite(values).all():
                    row[f"mean_uncertainty_{when}"] = float(values.mean())
                    row[f"max_uncertainty_{when}"] = float(values.max())
        found.append(row)
        before = after
    return found


def _frame_counts(frames: Sequence[Frame]) -> dict[str, int]:
    sound = [frame for frame in frames if frame.status == "ok"]
    counts = {"frames": len(sound)}
    for part in ("train", "validation", "test"):
        counts[f"{part}_frames"] = sum(frame.split == part for frame in sound)
    return counts


def _labels(before: Sequence[Frame], after: Sequence[Frame]) -> dict[str, int]:
    known = {frame.frame_id for frame in before}
    fresh = [frame for frame in after if frame.frame_id not in known]
    failed = sum(frame.status == "failed" for frame in fresh)
    return {"labelled": len(fresh) - failed, "labels_failed": failed}


def _walk_counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {
        "trajectories": len(rows),
        "trajectories_stopped": sum(row["status"] == "stopped" for row in rows),
        "trajectories_lost": sum(row["status"] == "lost" for row in rows),
        "visited": sum(row["visited"] for row in rows),
        "candidates": sum(row["candidates"] for row in rows),
    }


def _line(row: Mapping[str, Any]) -> str:
    """One line about a round."""
    energy, force = row["test_energy_mae_ev_per_atom"], row["test_forces_mae_ev_per_ang"]
    parts = [f"round {row['round']}: {row['frames']} frames"]
    if energy is not None:
        parts.append(f"test MAE {1e3 * energy:.3g} meV/atom")
    if force is not None:
        parts.append(f"{force:.3g} eV/Å")
    if row["mean_uncertainty_before"] is not None:
        parts.append(
            f"mean uncertainty of {row['candidates']} candidates "
            f"{row['mean_uncertainty_before']:.3g} {row['uncertainty_unit']}"
        )
    return ", ".join(parts)
