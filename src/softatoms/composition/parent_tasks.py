"""Tasks of scans over the sublattices of a parent structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..config.composition import MOST_SITES, SUPERCELLS
from ..config.scan_parents import determinant, supercell_rows
from ..errors import SoftatomsError
from ..files import content_digest
from .parents import Parent, build_parent
from .placement import Layout
from .tasks import (
    VEGARD_COST,
    Occupation,
    Task,
    check_supercell,
    grid,
    identifier,
    listed,
    scan_elements,
)

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..config.composition import Scan

_EVALUATIONS = 40.0
"""Typical evaluations of a relaxation, to compare with those of second derivatives."""

_PRODUCT = 1.3
"""Time of a product with second derivatives in units of an evaluation."""


def list_parent_tasks(config: CampaignConfig, scan: Scan) -> list[Task]:
    """All tasks of one scan.

    Raises:
        SoftatomsError: If the parent cannot be built, or a composition does not fit its supercell.
    """
    parent = build_parent(scan)
    found = occupations(scan, parent)
    if set(SUPERCELLS) & set(scan.methods):
        _check_supercell(config, scan, parent, [occupation for occupation, _ in found])
    return [
        _task(config, scan, parent, method, replicate, occupation, label)
        for method in scan.methods
        for occupation, label in found
        for replicate in range(config.scanned().replicates(method))
    ]


def occupations(scan: Scan, parent: Parent) -> list[tuple[Occupation, str]]:
    """What is scanned, those occupations that the file fixes included, with the user's own names.

    Without a list of compositions it is every combination of those of the sublattices.

    Raises:
        SoftatomsError: If a composition that a file lists does not fit the parent.
    """
    if scan.compositions is None:
        return [({**occupation, **parent.given}, "") for occupation in grid(scan)]
    names = {name: len(parent.sublattices[name]) for name in scan.sublattices}
    layout = Layout(names, scan_elements(scan, names), _fixed(parent))
    return [({**occupation, **parent.given}, label) for occupation, label in listed(scan, layout)]


def _fixed(parent: Parent) -> dict[str, float]:
    """Atoms of each element outside the sublattices that a scan names."""
    nothing: Occupation = {name: {} for name in parent.sublattices}
    atoms = parent.fractions({**nothing, **parent.given})
    return {symbol: x * len(parent.start) for symbol, x in atoms.items()}


def scan_supercell(config: CampaignConfig, scan: Scan) -> list[list[int]]:
    """Vectors of a scan's supercells in terms of those of the parent's cell."""
    return supercell_rows(scan.supercell or config.scanned().sqs.supercell)


def _check_supercell(
    config: CampaignConfig, scan: Scan, parent: Parent, found: Sequence[Occupation]
) -> None:
    where = f"composition.scans '{scan.name}'"
    cells = determinant(scan_supercell(config, scan))
    if len(parent.start) * cells > MOST_SITES:
        raise SoftatomsError(
            f"{where}: supercell: has {len(parent.start) * cells} sites, more than {MOST_SITES}"
        )
    sites = {name: len(own) * cells for name, own in parent.sublattices.items()}
    for occupation in found:
        check_supercell(occupation, sites, where)


def _task(
    config: CampaignConfig,
    scan: Scan,
    parent: Parent,
    method: str,
    replicate: int,
    occupation: Occupation,
    label: str,
) -> Task:
    assert scan.parent is not None
    file = scan.parent.file
    content: list[Any] = [
        *(scan.name, parent.name, method, replicate, occupation),
        scan.parent.model_dump(mode="json"),
        "" if file is None else content_digest(file),
        {name: sites.tolist() for name, sites in parent.sublattices.items()},
        scan.cell,
    ]
    if method in SUPERCELLS:
        sqs = config.scanned().sqs.model_dump()
        content += [config.campaign.seed, sqs, scan_supercell(config, scan)]
    fractions = parent.fractions(occupation)
    return Task(
        identifier=identifier(parent.name, fractions, method, content),
        scan=scan.name,
        prototype=parent.name,
        method=method,
        replicate=replicate,
        occupation=occupation,
        fractions=fractions,
        cost=_cost(config, scan, parent, method, occupation),
        label=label,
    )


def _cost(
    config: CampaignConfig, scan: Scan, parent: Parent, method: str, occupation: Occupation
) -> float:
    if method == "vegard":
        return VEGARD_COST
    sites = len(parent.start)
    more = _PRODUCT * (3 * sites + 6) / _EVALUATIONS if scan.second_derivatives else 0.0
    pairs = _nodes_squared(parent, scan_supercell(config, scan), method, occupation)
    return pairs if method in SUPERCELLS else (1.0 + more) * pairs


def pairs_of_nodes(parent: Parent, rows: list[list[int]], task: Task) -> float:
    """Pairs of nodes of a structure in units of the neighbours of a site."""
    return _nodes_squared(parent, rows, task.method, task.occupation)


def _nodes_squared(
    parent: Parent, rows: list[list[int]], method: str, occupation: Occupation
) -> float:
    sites = len(parent.start)
    if method in SUPERCELLS:
        return float(sites * determinant(rows))
    nodes = sites + sum(
        len(parent.sublattices[name]) * (len(weights) - 1) for name, weights in occupation.items()
    )
    # Candidates see all candidates of a neighbour in the mean field, their own kind in a replica.
    return nodes * nodes / sites if method == "mean_field" else float(nodes)
