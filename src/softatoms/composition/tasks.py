"""From scans to a flat list of tasks, split into jobs of equal cost."""

from __future__ import annotations

import hashlib
import heapq
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

from ..config.composition import SUPERCELLS
from ..errors import SoftatomsError
from .grid import simplex
from .placement import Layout, place_all
from .prototypes import PROTOTYPES, Prototype

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..config.composition import Scan, Sublattice

Occupation = dict[str, dict[str, float]]
"""Weight of each candidate on each sublattice."""

_NOTHING = 1e-12
"""Weights up to this are no occupation."""

_FITS = 1e-4
"""How far a number of atoms may be from a whole one."""

VEGARD_COST = 0.01
"""A straight line costs next to nothing, but not nothing: every job gets a task."""


@dataclass(frozen=True)
class Task:
    """One composition on one parent lattice, treated by one method.

    Attributes:
        identifier: Name that follows from all that is computed.
        scan: Name of the scan.
        prototype: Name of the parent lattice.
        method: How the solid solution is represented.
        replicate: Index among independent supercells.
        occupation: Weights on each sublattice, in the order of the prototype.
        cost: Rough cost, 1 for one site of an ordinary crystal.
        fractions: Overall atomic fraction of each element that is present; those of the prototype
            if not given.
        label: The user's own name of the composition, empty without one.
    """

    identifier: str
    scan: str
    prototype: str
    method: str
    replicate: int
    occupation: Occupation
    cost: float
    fractions: dict[str, float] = field(default_factory=dict)
    label: str = ""

    def __post_init__(self) -> None:
        if not self.fractions:
            fractions = overall_fractions(PROTOTYPES[self.prototype], self.occupation)
            object.__setattr__(self, "fractions", fractions)

    def row(self, shard: int, elements: tuple[str, ...]) -> dict[str, Any]:
        """The task as a row of the manifest."""
        fractions = self.fractions
        return {
            "composition_id": self.identifier,
            "shard": shard,
            "scan": self.scan,
            "prototype": self.prototype,
            "formula": formula(fractions),
            "method": self.method,
            "replicate": self.replicate,
            **{f"x_{element}": fractions.get(element, 0.0) for element in elements},
            "occupation": json.dumps(self.occupation),
            "cost": self.cost,
            "label": self.label,
        }

    @staticmethod
    def from_row(row: Mapping[str, Any]) -> Task:
        """The task of a row of the manifest."""
        return Task(
            identifier=row["composition_id"],
            scan=row["scan"],
            prototype=row["prototype"],
            method=row["method"],
            replicate=row["replicate"],
            occupation=json.loads(row["occupation"]),
            fractions={name[2:]: x for name, x in row.items() if name.startswith("x_") and x > 0},
            cost=row["cost"],
            label=row["label"],
        )


def overall_fractions(prototype: Prototype, occupation: Occupation) -> dict[str, float]:
    """Atomic fraction of each element that is present, over all sublattices."""
    totals: dict[str, float] = {}
    for name, sites in prototype.sublattices.items():
        for element, weight in occupation[name].items():
            totals[element] = totals.get(element, 0.0) + sites * weight
    return {element: n / len(prototype.sites) for element, n in totals.items() if n > 0}


def ideal_entropy(fractions: Mapping[str, float]) -> float:
    """Entropy of ideal mixing on one lattice in units of kB per site."""
    return -math.fsum(x * math.log(x) for x in fractions.values() if x > 0)


def prototype_entropy(prototype: Prototype, occupation: Occupation) -> float:
    """Entropy of ideal mixing on each sublattice for itself, in units of kB per site."""
    return math.fsum(
        sites / len(prototype.sites) * ideal_entropy(occupation[name])
        for name, sites in prototype.sublattices.items()
    )


def occupation_text(occupation: Occupation) -> str:
    """The one text for an occupation, such as ``corner:Cu=1;face:Au=0.75,Cu=0.25``.

    Sublattices come in the order of the prototype, elements by name; those of no weight are left
    out.
    """
    return ";".join(
        f"{name}:"
        + ",".join(f"{element}={x:.10g}" for element, x in sorted(weights.items()) if x > _NOTHING)
        for name, weights in occupation.items()
    )


def parse_occupation(text: str) -> Occupation:
    """What :func:`occupation_text` has written, to ten digits."""
    occupation: Occupation = {}
    for part in text.split(";"):
        name, _, weights = part.partition(":")
        pairs = (weight.split("=") for weight in weights.split(","))
        occupation[name] = {element: float(x) for element, x in pairs}
    return occupation


def formula(fractions: Mapping[str, float]) -> str:
    """Composition per atom such as ``Au0.25Cu0.75``; pure elements stand alone."""
    present = {element: x for element, x in sorted(fractions.items()) if x > 0}
    if len(present) == 1:
        return next(iter(present))
    return "".join(f"{element}{x:.4g}" for element, x in present.items())


def list_tasks(config: CampaignConfig) -> list[Task]:
    """All tasks of a campaign, in the order of its configuration.

    Raises:
        SoftatomsError: If a parent cannot be built, or a composition does not fit its supercell.
    """
    tasks: list[Task] = []
    for scan in config.scanned().scans:
        if scan.parent is not None:
            # Reads structures, for which scans of prototypes need not wait.
            from .parent_tasks import list_parent_tasks

            tasks += list_parent_tasks(config, scan)
            continue
        for prototype_name, method in product(scan.prototypes, scan.methods):
            replicates = config.scanned().replicates(method)
            for occupation, label in _occupations(config, scan, PROTOTYPES[prototype_name]):
                tasks += [
                    _task(config, scan.name, prototype_name, method, replicate, occupation, label)
                    for replicate in range(replicates)
                ]
    return tasks


def assign_shards(tasks: list[Task], n_shards: int) -> list[int]:
    """Give every task a job so that all jobs cost about the same.

    The most expensive task goes first, always to the job with the least to do.

    Args:
        tasks: The tasks.
        n_shards: Number of jobs, at most the number of tasks.

    Returns:
        Job of each task, counted from 0. No job is empty.
    """
    loads = [(0.0, shard) for shard in range(n_shards)]
    assigned = [0] * len(tasks)
    for index in sorted(range(len(tasks)), key=lambda i: -tasks[i].cost):
        load, shard = heapq.heappop(loads)
        assigned[index] = shard
        heapq.heappush(loads, (load + tasks[index].cost, shard))
    return assigned


def manifest_rows(config: CampaignConfig) -> list[dict[str, Any]]:
    """Rows of the manifest: every task with its job."""
    tasks = list_tasks(config)
    shards = assign_shards(tasks, config.n_shards())
    elements = config.elements()
    return [task.row(shard, elements) for task, shard in zip(tasks, shards, strict=True)]


def _occupations(
    config: CampaignConfig, scan: Scan, prototype: Prototype
) -> list[tuple[Occupation, str]]:
    """What is scanned on a prototype, with the user's own names."""
    if scan.compositions is None:
        return [(occupation, "") for occupation in grid(scan)]
    found = listed(scan, Layout(prototype.sublattices, scan_elements(scan, prototype.sublattices)))
    if set(SUPERCELLS) & set(scan.methods):
        cells = prototype.sites_per_cube // len(prototype.sites)
        cells *= math.prod(config.scanned().sqs.supercell)
        sites = {name: n * cells for name, n in prototype.sublattices.items()}
        for occupation, _ in found:
            check_supercell(occupation, sites, f"composition.scans '{scan.name}'")
    return found


def scan_elements(scan: Scan, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Elements that the sublattices with these names may hold."""
    return {name: tuple(scan.sublattices[name].elements) for name in names}


def listed(scan: Scan, layout: Layout) -> list[tuple[Occupation, str]]:
    """Occupations that a scan's file lists, with the user's own names.

    Args:
        scan: A scan with a file of compositions.
        layout: What its parent lattice offers.

    Raises:
        SoftatomsError: Naming the scan, the file and the line of what cannot be placed.
    """
    assert scan.compositions is not None
    try:
        return place_all(scan.compositions.read(), layout, scan.compositions.tolerance)
    except SoftatomsError as error:
        raise SoftatomsError(f"composition.scans '{scan.name}': compositions: {error}") from None


def check_supercell(occupation: Occupation, sites: Mapping[str, int], where: str) -> None:
    """Refuse a composition that needs a part of an atom in a supercell.

    Args:
        occupation: The composition.
        sites: Sites of each sublattice in the supercell.
        where: Whose composition it is.

    Raises:
        SoftatomsError: If a number of atoms is not whole.
    """
    for name, weights in occupation.items():
        for symbol, weight in weights.items():
            if abs(sites[name] * weight - round(sites[name] * weight)) > _FITS:
                raise SoftatomsError(
                    f"{where}: sublattices.{name}: {symbol} = {weight:g} does not fit the "
                    f"{sites[name]} sites that the sublattice has in the supercell"
                )


def grid(scan: Scan) -> Iterator[Occupation]:
    """Every combination of the compositions of a scan's sublattices."""
    names = list(scan.sublattices)
    for weights in product(*(list(grid_weights(scan.sublattices[name])) for name in names)):
        yield dict(zip(names, weights, strict=True))


def grid_weights(sublattice: Sublattice) -> Iterator[dict[str, float]]:
    """All compositions of one sublattice, in order."""
    elements = sublattice.elements
    if sublattice.compositions is not None:
        for composition in sublattice.compositions:
            total = sum(composition.values())
            yield {element: composition.get(element, 0.0) / total for element in elements}
        return
    divisions = sublattice.divisions or 1
    most = sublattice.max_elements
    for point in simplex(len(elements), divisions, most or len(elements)):
        yield {
            element: part / divisions
            for element, part in zip(elements, point, strict=True)
            if part or most is None
        }


def _task(
    config: CampaignConfig,
    scan: str,
    prototype_name: str,
    method: str,
    replicate: int,
    occupation: Occupation,
    label: str,
) -> Task:
    prototype = PROTOTYPES[prototype_name]
    content: list[Any] = [scan, prototype_name, method, replicate, occupation]
    if method in SUPERCELLS:
        content += [config.campaign.seed, config.scanned().sqs.model_dump()]
    fractions = overall_fractions(prototype, occupation)
    return Task(
        identifier=identifier(prototype_name, fractions, method, content),
        scan=scan,
        prototype=prototype_name,
        method=method,
        replicate=replicate,
        occupation=occupation,
        fractions=fractions,
        cost=_cost(config, prototype, method, occupation),
        label=label,
    )


def identifier(parent: str, fractions: Mapping[str, float], method: str, content: list[Any]) -> str:
    """Name of a task that follows from all that is computed.

    Args:
        parent: Name of the parent lattice.
        fractions: Overall composition.
        method: How the solid solution is represented.
        content: Everything that tells the task from others, as JSON has it.
    """
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{parent}-{formula(fractions)}-{method}-{digest[:10]}"


def _cost(
    config: CampaignConfig, prototype: Prototype, method: str, occupation: Occupation
) -> float:
    if method == "vegard":
        return VEGARD_COST
    if method in SUPERCELLS:
        a, b, c = config.scanned().sqs.supercell
        return float(prototype.sites_per_cube * a * b * c)
    sites = len(prototype.sites)
    nodes = sum(n * len(occupation[name]) for name, n in prototype.sublattices.items())
    # Candidates see all candidates of a neighbour in the mean field, their own kind in a replica.
    return float(nodes * nodes / sites if method == "mean_field" else nodes)
