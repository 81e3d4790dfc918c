"""What the page says of objectives that pull in different directions."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from ..config.screening import FRONT
from ..figures.data import composition_label
from ..figures.ranking import axis_label
from .parts import Listing, Part

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..config.screening import Screening
    from ..figures.data import CampaignTables
    from ..tables import Table

MOST_SHOWN = 50
"""Members of the first front on the page; the table has all."""


def part(config: CampaignConfig, data: CampaignTables) -> Part | None:
    """What the page says of the fronts; nothing if the campaign has no objectives.

    Args:
        config: The campaign.
        data: Its tables.
    """
    section = config.screening
    if section is None or not section.objectives:
        return None
    listing = Listing("front", front_head(section), front_rows(data.ranking, section))
    words = html.escape(front_text(data.ranking, section))
    return Part("Pareto front", words, [listing], ("pareto",))


def front_text(table: Table, screening: Screening) -> str:
    """What the first front is the best of, and how many compositions stand on it."""
    fronts = [row[FRONT] for row in table.rows()]
    on_first = sum(front == 1 for front in fronts)
    goals = []
    for objective in screening.objectives:
        name = axis_label(objective.column)[0].rpartition(" (")[0] or objective.column
        near = isinstance(objective.target, dict)
        goal = "near the target of its prototype" if near else f"near {objective.target}"
        words = {"minimise": "small", "maximise": "large", "target": goal}
        goals.append(f"{name} {words[objective.goal]}")
    without = sum(front is None for front in fronts)
    text = (
        f"Objectives: {'; '.join(goals)}. No composition that passes the filters is better in all "
        f"of them than one of the first front, which holds {on_first}"
    )
    text += f", {MOST_SHOWN} of them shown" if on_first > MOST_SHOWN else ""
    if without:
        text += f"; {without} lack one of the values and stand on no front"
    return f"{text}."


def front_head(screening: Screening) -> list[str]:
    """Head of the table of the first front."""
    return [
        *("rank", "formula", "prototype"),
        *(axis_label(objective.column)[0] for objective in screening.objectives),
        *(["distance from target (%)"] if screening.has_targets() else []),
    ]


def front_rows(table: Table, screening: Screening) -> list[list[str]]:
    """Members of the first front, in the order of the first objective."""
    first = screening.objectives[0]
    members = [row for row in table.rows() if row[FRONT] == 1]
    members.sort(key=lambda row: (first.loss(row[first.column], row["prototype"]), row["rank"]))
    lines = []
    for row in members[:MOST_SHOWN]:
        line = [str(row["rank"]), composition_label(row), row["prototype"]]
        line += [
            f"{axis_label(objective.column)[1] * row[objective.column]:.5g}"
            for objective in screening.objectives
        ]
        if screening.has_targets():
            line.append(f"{100.0 * row['target_distance']:.3f}")
        lines.append(line)
    return lines
