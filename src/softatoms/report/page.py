"""Puts the page together."""

from __future__ import annotations

import base64
import html
import importlib
import importlib.resources
import json
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import yaml

from ..errors import SoftatomsError
from ..figures.data import CampaignTables, composition_label
from ..files import write_text
from . import free_energy, optimisation, order, physics, screening, training, transport
from .numbers import key_numbers
from .parts import Part, html_table

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..tables import Table

_DIGITS = {
    "x_": 4,
    "a_ang": 5,
    "volume_": 4,
    "energy_": 6,
    "mixing_": 6,
    "bulk_": 2,
    "pressure_": 5,
}
_LEADING = (
    "formula",
    "prototype",
    "method",
    "replicate",
    "a_ang",
    "volume_ang3_per_atom",
    "energy_ev_per_atom",
    "mixing_ev_per_atom",
    "bulk_modulus_gpa",
    "pressure_gpa",
)
_TRAILING = ("occupation", "scan", "composition_id", "status", "error")
"""Columns of the page before and behind the fractions; the Parquet file has more."""

_RANKS_SHOWN = 25

_STAGES = (screening, training, physics, optimisation, order, free_energy, transport)
"""What the page has a part for, in the order of the parts."""

_ORIGINS = (
    ("composition", "composition"),
    ("training", "evaluation"),
    ("physics", "physics_checks"),
    ("optimisation", "optimisation"),
    ("order", "order_summary"),
    ("free_energies", "free_energy"),
    ("transport", "transport"),
)
"""Sections of a campaign, and a table that each one has."""


def write_report(config: CampaignConfig, tables: Path, figures: Path, out: Path) -> None:
    """Write the page.

    Args:
        config: The campaign.
        tables: Folder of its tables.
        figures: Folder of its figures.
        out: The HTML file; it appears whole or not at all.

    Raises:
        SoftatomsError: If a table or a figure is missing.
    """
    data = CampaignTables(tables)
    title = config.campaign.title or config.campaign.name
    found = [stage.part(config, data) for stage in _STAGES]
    stages = [part for part in found if part is not None]
    parts = {
        "title": html.escape(title),
        "style": _resource("style.css"),
        "summary": _summary(config, data),
        "numbers": _numbers(config, data),
        "ranking": _ranking(config, data),
        "figures": _other_figures(config, figures, stages),
        "stages": "\n".join(_stage(config, part, figures) for part in stages),
        "provenance": _provenance(config, data),
        "config": html.escape(_as_yaml(config)),
        "compositions": "",
        "scripts": "",
    }
    if config.composition is not None:
        parts["compositions"] = _resource("compositions.html")
        parts["scripts"] = Template(_resource("scripts.html")).substitute(
            rows=_rows_as_json(data.composition), script=_resource("table.js")
        )
    write_text(out, Template(_resource("page.html")).substitute(parts))


def _resource(name: str) -> str:
    return (importlib.resources.files(__package__) / name).read_text(encoding="utf-8")


def _as_yaml(config: CampaignConfig) -> str:
    values = config.model_dump(mode="json")
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=None)
    return text


def _summary(config: CampaignConfig, data: CampaignTables) -> str:
    name = f"Campaign <code>{html.escape(config.campaign.name)}</code>"
    if config.composition is None:
        return f"{name}: no compositions are scanned."
    statuses = data.composition.text("status")
    total, bad = len(statuses), int((statuses != "ok").sum())
    jobs = data.runs.data.num_rows
    remark = (
        f'<strong class="bad">{bad} of them not ok</strong> (see the table below)'
        if bad
        else "all of them ok"
    )
    return (
        f"{name}, potential <code>{html.escape(config.potential.name)}</code>: {total} "
        f"compositions in {jobs} jobs, {remark}."
    )


def _numbers(config: CampaignConfig, data: CampaignTables) -> str:
    found = key_numbers(config, data)
    if not found:
        return ""
    return "<h2>Key numbers</h2>\n" + html_table(("system", "quantity", "value", "spread"), found)


def _ranking(config: CampaignConfig, data: CampaignTables) -> str:
    if config.screening is None:
        return ""
    columns = {
        "n_elements": ("elements", 1.0, 0),
        "mixing_free_energy_ev_per_atom": ("free energy of mixing (meV/atom)", 1e3, 1),
        "formation_ev_per_atom": ("energy of formation (meV/atom)", 1e3, 1),
        "a_ang": ("a (Å)", 1.0, 4),
        "bulk_modulus_gpa": ("bulk modulus (GPa)", 1.0, 1),
    }
    rows = [
        [str(row["rank"]), composition_label(row), row["prototype"]]
        + [
            "" if row[name] is None else f"{scale * row[name]:.{digits}f}"
            for name, (_, scale, digits) in columns.items()
        ]
        for row in data.ranking.rows()[:_RANKS_SHOWN]
    ]
    head = ["rank", "formula", "prototype", *(label for label, _, _ in columns.values())]
    rule = f"by {config.screening.rank_by}, {config.screening.order}"
    return f"<h2>Ranking</h2>\n<p>First {len(rows)} {html.escape(rule)}.</p>\n" + html_table(
        head, rows
    )


def _stage(config: CampaignConfig, part: Part, figures: Path) -> str:
    names = [name for name in config.figure_names() if name in part.figures]
    return "\n".join(
        [
            f"<h2>{html.escape(part.title)}</h2>",
            f"<p>{part.words}</p>",
            *(listing.html() for listing in part.listings),
            _figures(figures, names),
        ]
    )


def _other_figures(config: CampaignConfig, folder: Path, stages: Sequence[Part]) -> str:
    elsewhere = {name for part in stages for name in part.figures}
    names = [name for name in config.figure_names() if name not in elsewhere]
    return "<h2>Figures</h2>\n" + _figures(folder, names) if names else ""


def _figures(folder: Path, names: Sequence[str]) -> str:
    inside = "\n".join(_figure(folder, name) for name in names)
    return f'<div class="figures">\n{inside}\n</div>'


def _figure(folder: Path, name: str) -> str:
    path = folder / f"{name}.png"
    if not path.is_file():
        raise SoftatomsError(f"{path}: no such figure; draw the figures first")
    image = base64.b64encode(path.read_bytes()).decode()
    module = importlib.import_module(f"softatoms.figures.{name}")
    caption = html.escape(module.CAPTION)
    return (
        f'<figure id="{name}"><img alt="{caption}" src="data:image/png;base64,{image}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _first_table(config: CampaignConfig, data: CampaignTables) -> Table:
    """The table whose provenance stands for the campaign."""
    found: Table = next(
        getattr(data, table) for section, table in _ORIGINS if getattr(config, section) is not None
    )
    return found


def _provenance(config: CampaignConfig, data: CampaignTables) -> str:
    table = _first_table(config, data)
    origin = table.provenance
    packages = ", ".join(f"{name} {version}" for name, version in sorted(origin.packages.items()))
    lines = [
        ("revision", origin.git_revision),
        ("configuration", origin.config_hash),
        ("potential", origin.model_sha256),
        ("table content", table.content_hash()),
        ("seed", str(origin.seed)),
        ("precision and device", f"{origin.dtype}, {origin.device}"),
        ("packages", packages),
        ("tables written", f"{origin.created_utc}"),
    ]
    if config.composition is not None:
        runs = data.runs
        lines += [
            ("jobs", f"{runs.data.num_rows}, {runs.real('wall_s').sum():.1f} s in all"),
            ("energy evaluations", f"{int(runs.real('evaluations').sum())}"),
        ]
    return html_table(("what", "value"), lines)


def _rows_as_json(table: Table) -> str:
    """The rows for the script of the page, rounded to what a reader can use."""
    held = table.data.column_names
    fractions = [name for name in held if name.startswith("x_")]
    names = [*_LEADING, *fractions, *_TRAILING]
    places = [
        next((digits for start, digits in _DIGITS.items() if name.startswith(start)), None)
        for name in names
    ]

    def cell(value: Any, digits: int | None) -> Any:
        if value is None or digits is None:
            return value
        return round(value, digits) + 0.0  # no negative zero

    rows = [
        [cell(row[name], digits) for name, digits in zip(names, places, strict=True)]
        for row in table.rows()
    ]
    content = {"columns": names, "places": places, "rows": rows}
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    # A closing tag inside a text would end the script element.
    return text.replace("</", "<\\/")
