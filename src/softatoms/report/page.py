"""Puts the page together."""

from __future__ import annotations

import base64
import html
import importlib
import importlib.resources
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import yaml

from ..config.figures import OF_OPTIMISATION, OF_ORDER, OF_PHYSICS, OF_TRAINING
from ..errors import SoftatomsError
from ..figures.data import CampaignTables, composition_label
from ..files import write_text
from . import optimisation, order, physics
from .numbers import key_numbers
from .training import (
    CALIBRATION_HEAD,
    ELEMENT_HEAD,
    HEAD,
    calibration_rows,
    element_rows,
    error_rows,
    labellers,
)

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
    parts = {
        "title": html.escape(title),
        "style": _resource("style.css"),
        "summary": _summary(config, data),
        "numbers": _numbers(config, data),
        "ranking": _ranking(config, data),
        "training": _training(config, data, figures),
        "physics": _physics(config, data, figures),
        "optimisation": _optimisation(config, data, figures),
        "order": _order(config, data, figures),
        "figures": _other_figures(config, figures),
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


def _html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _numbers(config: CampaignConfig, data: CampaignTables) -> str:
    found = key_numbers(config, data)
    if not found:
        return ""
    return "<h2>Key numbers</h2>\n" + _html_table(("system", "quantity", "value", "spread"), found)


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
    return f"<h2>Ranking</h2>\n<p>First {len(rows)} {html.escape(rule)}.</p>\n" + _html_table(
        head, rows
    )


def _training(config: CampaignConfig, data: CampaignTables, figures: Path) -> str:
    if config.training is None:
        return ""
    name = html.escape(config.training.potential.name)
    labels = labellers(config)
    source = f", which come from <code>{html.escape(labels)}</code>" if labels else ""
    named = [figure for figure in config.figure_names() if figure in OF_TRAINING]
    return "\n".join(
        [
            "<h2>Trained potential</h2>",
            f"<p>Predictions of <code>{name}</code> minus labels{source}. The training saw frames "
            "of the part train, chose its epoch by the part validation, and did not look at the "
            "part test; no group stands in two parts.</p>",
            f'<div class="wide" id="errors">{_html_table(HEAD, error_rows(data.evaluation))}</div>',
            *_more_errors(config, data),
            _figures(figures, named),
        ]
    )


def _physics(config: CampaignConfig, data: CampaignTables, figures: Path) -> str:
    if config.physics is None:
        return ""
    rows = list(physics.check_rows(data.physics_checks))
    named = [figure for figure in config.figure_names() if figure in OF_PHYSICS]
    return "\n".join(
        [
            "<h2>Physics checks</h2>",
            "<p>Properties of crystals, each at rest in its own potential. Errors are model minus "
            "reference over the size of the reference. What has no value is listed too, with the "
            "reason; all numbers are in <code>tables/physics_checks.parquet</code>.</p>",
            f'<div class="wide" id="checks">{_html_table(physics.HEAD, rows)}</div>',
            _figures(figures, named),
        ]
    )


def _optimisation(config: CampaignConfig, data: CampaignTables, figures: Path) -> str:
    if config.optimisation is None:
        return ""
    rows = list(optimisation.search_rows(data.optimisation))
    named = [figure for figure in config.figure_names() if figure in OF_OPTIMISATION]
    return "\n".join(
        [
            "<h2>Optimised compositions</h2>",
            "<p>The best start of each search, and supercells with one element on every site at "
            "the nearest composition that fits (mean and standard error). All starts are in "
            "<code>tables/optimisation.parquet</code>.</p>",
            f'<div class="wide" id="searches">{_html_table(optimisation.HEAD, rows)}</div>',
            _figures(figures, named),
        ]
    )


def _order(config: CampaignConfig, data: CampaignTables, figures: Path) -> str:
    if config.order is None:
        return ""
    rows = list(order.summary_rows(data.order_summary))
    named = [figure for figure in config.figure_names() if figure in OF_ORDER]
    areas = []
    if config.order.is_compared():
        table = _html_table(order.ROC_HEAD, order.roc_rows(data.order_roc))
        areas = [f'<div class="wide" id="order-roc">{table}</div>']
    return "\n".join(
        [
            "<h2>Order and disorder</h2>",
            "<p>Ordering energies are those of the disordered reference above the best ordered "
            "structure, per mixed site. Temperatures divide them by the ideal entropy of mixing. "
            "Compounds without a result are listed with the reason.</p>",
            f'<div class="wide" id="order">{_html_table(order.HEAD, rows)}</div>',
            *areas,
            _figures(figures, named),
        ]
    )


def _other_figures(config: CampaignConfig, folder: Path) -> str:
    elsewhere = (*OF_TRAINING, *OF_PHYSICS, *OF_OPTIMISATION, *OF_ORDER)
    names = [name for name in config.figure_names() if name not in elsewhere]
    return "<h2>Figures</h2>\n" + _figures(folder, names) if names else ""


def _more_errors(config: CampaignConfig, data: CampaignTables) -> list[str]:
    """Errors of forces by element, and of an ensemble what its spread is worth."""
    lists = []
    elements = list(element_rows(data.evaluation))
    if elements:
        table = _html_table(ELEMENT_HEAD, elements)
        lists.append(
            "<h3>Forces by element, test part</h3>\n"
            f'<div class="wide" id="errors-by-element">{table}</div>'
        )
    if config.training is not None and config.training.size > 1:
        table = _html_table(CALIBRATION_HEAD, calibration_rows(data.calibration))
        lists.append(
            "<h3>Spread of the ensemble</h3>\n<p>Errors are those of the mean of the models. The "
            "factor between spread and error is fitted to the validation part. Intervals of 68 % "
            "and 95 % should hold as many of the errors of the test part.</p>\n"
            f'<div class="wide" id="calibration">{table}</div>'
        )
    return lists


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
    if config.composition is not None:
        return data.composition
    if config.training is not None:
        return data.evaluation
    if config.physics is not None:
        return data.physics_checks
    return data.optimisation if config.optimisation is not None else data.order_summary


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
    return _html_table(("what", "value"), lines)


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
