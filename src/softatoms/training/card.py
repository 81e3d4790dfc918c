"""A trained model on disk: the potential, and a card that says what it is made from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..dataset.frames import Frame
from ..files import write_text
from ..potentials.registry import save_potential
from ..provenance import git_revision, versions
from .examples import ALL, frames_digest
from .loop import Trained
from .settings import TrainingSettings


def save_trained(
    trained: Trained,
    directory: str | Path,
    *,
    frames: Sequence[Frame],
    settings: TrainingSettings,
    metrics: Sequence[Mapping[str, Any]] = (),
    ensemble: Mapping[str, Any] | None = None,
) -> None:
    """Write the potential to a directory, and its card beside it.

    A directory ``model`` gets the cards ``model.json``, with everything, and ``model.md``, to read.

    Args:
        trained: What came out of the training.
        directory: Directory for :func:`softatoms.load_potential`.
        frames: All frames the training was given.
        settings: Its settings.
        metrics: Rows of the table ``evaluation``.
        ensemble: For the first model of an ensemble: fingerprints of all ``models`` by name, and
            their ``calibration``; see :func:`softatoms.training.ensemble.load_ensemble`.
    """
    home = Path(directory)
    save_potential(trained.potential, home)
    potential = trained.potential
    energies = potential.isolated_energies.cpu().tolist()
    card = {
        "potential": potential.name,
        "options": potential.options,
        "sha256": potential.sha256(),
        "parameters": sum(parameter.numel() for parameter in potential.parameters()),
        "isolated_energies_ev": dict(zip(potential.species, energies, strict=False)),
        "settings": asdict(settings),
        "status": trained.status,
        "epochs": len(trained.history),
        "best_epoch": trained.best_epoch,
        "steps": trained.steps,
        "frames": dict(Counter(frame.split or "train" for frame in frames)),
        "frames_sha256": frames_digest(frames),
        "labellers": sorted({frame.labeller for frame in frames}),
        "git_revision": git_revision(),
        "packages": versions(),
        "metrics": [dict(row) for row in metrics if row["group"] == ALL and row["element"] == ALL],
    }
    if ensemble is not None:
        card["ensemble"] = dict(ensemble)
    write_text(
        home.with_name(f"{home.name}.json"), json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    )
    write_text(home.with_name(f"{home.name}.md"), _text(card))


def _text(card: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count} {split}" for split, count in sorted(card["frames"].items()))
    lines = [
        f"# {card['potential']}, {card['parameters']} parameters",
        "",
        f"- elements: {', '.join(card['isolated_energies_ev'])}",
        f"- frames: {counts} (sha256 `{card['frames_sha256'][:16]}`)",
        f"- seed {card['settings']['seed']}, {card['epochs']} epochs, best {card['best_epoch']}, "
        f"{card['steps']} steps, {card['status']}",
        f"- model sha256 `{card['sha256'][:16]}`, revision `{card['git_revision']}`",
        "",
    ]
    if card["metrics"]:
        lines += ["| split | quantity | MAE | RMSE | unit | n |", "|---|---|---|---|---|---|"]
        lines += [
            f"| {row['split'] or 'all'} | {row['quantity']} | {row['mae']:.4g} | {row['rmse']:.4g} "
            f"| {row['unit']} | {row['n']} |"
            for row in card["metrics"]
        ]
        lines.append("")
    if "ensemble" in card:
        names = ", ".join(f"`{name}`" for name in card["ensemble"]["models"])
        lines += [f"First of an ensemble: {names}.", ""]
        lines += [
            f"Spread of the {name} between models × {scale['factor']:.3g} is the scale of its "
            f"error: t distribution of {scale['degrees']} degrees of freedom, fitted to "
            f"{scale['n']} errors of {scale['n_groups']} groups of the validation part."
            for name, scale in card["ensemble"]["calibration"].items()
        ]
        lines.append("")
    return "\n".join(lines)
