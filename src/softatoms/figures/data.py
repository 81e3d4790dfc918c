"""What the figures read from the tables."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..composition.tasks import parse_occupation
from ..errors import SoftatomsError
from ..tables import Table, read_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..config import CampaignConfig

PREFERRED_METHODS = ("mean_field", "sqs", "replica")
"""Of which method a figure shows one quantity that it has room for only once."""

_WHOLE = 1.0 - 1e-9


class CampaignTables:
    """The tables of one campaign, read when they are first asked for.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def composition(self) -> Table:
        """The table ``composition``."""
        return read_table(self.folder / "composition.parquet", "composition")

    @cached_property
    def runs(self) -> Table:
        """The table ``runs``."""
        return read_table(self.folder / "runs.parquet", "runs")

    @cached_property
    def ranking(self) -> Table:
        """The table ``ranking``."""
        return read_table(self.folder / "ranking.parquet", "ranking")

    @cached_property
    def evaluation(self) -> Table:
        """The table ``evaluation``."""
        return read_table(self.folder / "evaluation.parquet", "evaluation")

    @cached_property
    def training_history(self) -> Table:
        """The table ``training_history``."""
        return read_table(self.folder / "training_history.parquet", "training_history")

    @cached_property
    def prediction(self) -> Table:
        """The table ``prediction``."""
        return read_table(self.folder / "prediction.parquet", "prediction")

    @cached_property
    def active_learning(self) -> Table:
        """The table ``active_learning``."""
        return read_table(self.folder / "active_learning.parquet", "active_learning")

    @cached_property
    def force_prediction(self) -> Table:
        """The table ``force_prediction``."""
        return read_table(self.folder / "force_prediction.parquet", "force_prediction")

    @cached_property
    def physics_checks(self) -> Table:
        """The table ``physics_checks``."""
        return read_table(self.folder / "physics_checks.parquet", "physics_checks")

    @cached_property
    def optimisation(self) -> Table:
        """The table ``optimisation``."""
        return read_table(self.folder / "optimisation.parquet", "optimisation")

    @cached_property
    def optimisation_path(self) -> Table:
        """The table ``optimisation_path``."""
        return read_table(self.folder / "optimisation_path.parquet", "optimisation_path")

    @cached_property
    def order(self) -> Table:
        """The table ``order``."""
        return read_table(self.folder / "order.parquet", "order")

    @cached_property
    def order_summary(self) -> Table:
        """The table ``order_summary``."""
        return read_table(self.folder / "order_summary.parquet", "order_summary")

    @cached_property
    def order_roc(self) -> Table:
        """The table ``order_roc``."""
        return read_table(self.folder / "order_roc.parquet", "order_roc")

    @cached_property
    def free_energy(self) -> Table:
        """The table ``free_energy``."""
        return read_table(self.folder / "free_energy.parquet", "free_energy")

    @cached_property
    def works(self) -> Table:
        """The table ``works``."""
        return read_table(self.folder / "works.parquet", "works")

    @cached_property
    def switching_profile(self) -> Table:
        """The table ``switching_profile``."""
        return read_table(self.folder / "switching_profile.parquet", "switching_profile")

    @cached_property
    def phase_stability(self) -> Table:
        """The table ``phase_stability``."""
        return read_table(self.folder / "phase_stability.parquet", "phase_stability")

    @cached_property
    def transport(self) -> Table:
        """The table ``transport``."""
        return read_table(self.folder / "transport.parquet", "transport")

    @cached_property
    def transport_correlation(self) -> Table:
        """The table ``transport_correlation``."""
        path = self.folder / "transport_correlation.parquet"
        return read_table(path, "transport_correlation")

    @cached_property
    def transport_spectrum(self) -> Table:
        """The table ``transport_spectrum``."""
        return read_table(self.folder / "transport_spectrum.parquet", "transport_spectrum")

    @cached_property
    def calibration(self) -> Table:
        """The table ``calibration``."""
        return read_table(self.folder / "calibration.parquet", "calibration")

    @cached_property
    def learning_curve(self) -> Table:
        """The table ``learning_curve``."""
        return read_table(self.folder / "learning_curve.parquet", "learning_curve")


class Series(NamedTuple):
    """One quantity of one binary by one method, one point per occupation.

    Where a lattice has several sublattices, several points may have the same fraction.

    Attributes:
        x: Atomic fraction of the second element, ascending.
        y: Mean over replicates.
        low: Smallest value among replicates.
        high: Largest value among replicates.
        error: Standard error of the mean; nan without replicates.
        occupations: Column ``occupation`` of each point.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    error: NDArray[np.float64]
    occupations: tuple[str, ...]


class Binary(NamedTuple):
    """Two elements on one parent lattice.

    Attributes:
        prototype: The lattice.
        first: Element at x = 0.
        second: Element at x = 1.
        sublattice: Sublattice of a parent on which x counts; empty where it is the whole crystal.
        scans: Scans of that sublattice.
    """

    prototype: str
    first: str
    second: str
    sublattice: str = ""
    scans: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Heading of a panel."""
        return f"{self.first}–{self.second}, {self.prototype}"

    @property
    def axis(self) -> str:
        """Name of the axis of compositions."""
        if self.sublattice:
            return f"fraction of {self.second} on {self.sublattice}"
        return f"atomic fraction of {self.second}"

    def share(self, table: Table, method: str) -> float:
        """Part of the sites that the two elements share, as the ideal entropy of mixing tells."""
        entropy = self.series(table, method, "entropy_kb") if self.sublattice else None
        if entropy is None:
            return 1.0
        inside = (entropy.x > 0.0) & (entropy.x < 1.0)
        x = entropy.x[inside]
        ideal = -(x * np.log(x) + (1.0 - x) * np.log(1.0 - x))
        return float(entropy.y[inside].sum() / ideal.sum()) if len(x) else 1.0

    def _fractions(self, table: Table) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Fraction of the second element in each row, and which rows belong here."""
        if not self.sublattice:
            fraction = table.real(f"x_{self.second}")
            return fraction, fraction + table.real(f"x_{self.first}") > _WHOLE
        inside = np.isin(table.text("scan"), self.scans)
        fraction = np.zeros(len(inside))
        for row in np.flatnonzero(inside).tolist():
            weights = parse_occupation(str(table.text("occupation")[row]))[self.sublattice]
            fraction[row] = weights.get(self.second, 0.0)
        return fraction, inside

    def series(self, table: Table, method: str, column: str) -> Series | None:
        """A column of the table ``composition`` along the composition, or None without rows."""
        fraction, inside = self._fractions(table)
        values = table.real(column)
        chosen = inside & (table.text("status") == "ok") & np.isfinite(values)
        chosen &= (table.text("prototype") == self.prototype) & (table.text("method") == method)
        if not chosen.any():
            return None
        held: dict[tuple[float, str], list[float]] = {}
        rounded, occupation = np.round(fraction[chosen], 9), table.text("occupation")[chosen]
        for x, text, value in zip(rounded, occupation, values[chosen], strict=True):
            held.setdefault((float(x), str(text)), []).append(float(value))
        keys = sorted(held)
        groups = [np.array(held[key]) for key in keys]
        return Series(
            np.array([x for x, _ in keys]),
            np.array([group.mean() for group in groups]),
            np.array([group.min() for group in groups]),
            np.array([group.max() for group in groups]),
            np.array([standard_error(group) for group in groups]),
            tuple(text for _, text in keys),
        )


def composition_label(row: Mapping[str, Any]) -> str:
    """Formula of a row of a table, or its occupation where there are several sublattices."""
    occupation: str = row["occupation"]
    formula: str = row["formula"]
    return occupation if ";" in occupation else formula


def standard_error(values: NDArray[np.float64]) -> float:
    """Standard error of the mean, nan of a single value."""
    if len(values) < 2:
        return float("nan")
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def binaries(config: CampaignConfig) -> list[Binary]:
    """All pairs of elements that the configuration scans alone, one per parent lattice."""
    names = config.binary_scans()
    found: dict[tuple[str, ...], Binary] = {}
    for scan in config.composition.scans if config.composition else []:
        if scan.name in names and scan.parent is not None:
            ((sublattice, own),) = scan.sublattices.items()
            first, second = own.elements
            parent = scan.parent.label()
            place = (parent, sublattice, *sorted((first, second)))
            held = found.setdefault(place, Binary(parent, first, second, sublattice))
            found[place] = held._replace(scans=(*held.scans, scan.name))
        elif scan.name in names:
            first, second = scan.elements()
            for prototype in scan.prototypes:
                key = (prototype, *sorted((first, second)))
                found.setdefault(key, Binary(prototype, first, second))
    return list(found.values())


def left_out(table: Table) -> str:
    """A remark on rows that no figure shows, empty if there are none."""
    bad = int((table.text("status") != "ok").sum())
    return f"{bad} of {table.data.num_rows} rows are not ok and left out" if bad else ""


def require(found: bool, figure: str, needed: str) -> None:
    """Refuse to draw an empty figure."""
    if not found:
        raise SoftatomsError(f"figure '{figure}' has nothing to show: the tables hold no {needed}")
