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
from .examples import frames_digest
from .loop import Trained
from .metrics import ALL
from .settings import TrainingSettings

MODEL_FOLDER = "model"
CARD_JSON, CARD_TEXT = "card.json", "card.md"


def save_trained(
    trained: Trained,
    folder: str | Path,
    *,
    frames: Sequence[Frame],
    settings: TrainingSettings,
    metrics: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write the potential to ``model/`` and its card to ``card.json`` and ``card.md``.

    Args:
        trained: What came out of the training.
        folder: Where to write.
        frames: All frames the training was given.
        settings: Its settings.
        metrics: Rows of the table ``evaluation``.

    Returns:
        The directory for :func:`softatoms.load_potential`.
    """
    home = Path(folder)
    save_potential(trained.potential, home / MODEL_FOLDER)
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
    write_text(home / CARD_JSON, json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    write_text(home / CARD_TEXT, _text(card))
    return home / MODEL_FOLDER


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
    return "\n".join(lines)
