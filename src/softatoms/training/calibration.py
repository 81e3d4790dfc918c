"""How far the spread of an ensemble is from its error, and intervals that take it into account.

If the models of an ensemble and the truth were draws from one normal distribution, whatever its
width in each structure, then the error of the mean over the sample standard deviation s of n models
would be t-distributed with n − 1 degrees of freedom, times √(1 + 1/n). Real errors are larger by
another factor, which is fitted: error = factor · s · t. The t distribution and not the normal one,
because s of few models is itself uncertain: with three models the variance of error/s is infinite,
and its root mean square, which a normal distribution would take as factor, depends on the one frame
whose models happen to agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm, spearmanr, t

from .examples import ALL
from .metrics import Prediction

LEVELS = {"68": 0.6827, "95": 0.9545}
"""Probabilities of the intervals in the table, those of one and two standard deviations."""

NOISE = {"energy": 1e-6, "force": 1e-5}
"""Errors in eV/atom and eV/Å below which both error and spread are rounding: forces that symmetry
makes zero say nothing about the spread."""

_FEWEST = 5
"""Fewest errors to fit a factor to."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Errors:
    """Errors of the mean of an ensemble, and its spread at the same places.

    Attributes:
        errors: Mean of the models minus label, shape (n, k): k components share a spread.
        spreads: Standard deviation between models of one component, shape (n,).
        groups: Group of the frame of each row, shape (n,).
        models: Number of models.
    """

    errors: Values
    spreads: Values
    groups: NDArray[np.object_]
    models: int

    @property
    def degrees(self) -> int:
        """Degrees of freedom of each spread."""
        return self.errors.shape[1] * (self.models - 1)

    def ratios(self) -> Values:
        """Absolute error of each component over the spread, shape (n, k)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.abs(self.errors) / self.spreads[:, None]

    def of(self, inside: NDArray[np.bool_] | NDArray[np.intp]) -> Errors:
        """Only some of the rows, by a mask or their numbers."""
        return Errors(self.errors[inside], self.spreads[inside], self.groups[inside], self.models)


@dataclass(frozen=True)
class Scale:
    """What the spread of one quantity has to be multiplied by.

    Attributes:
        factor: The factor, as in error = factor · spread · t.
        degrees: Degrees of freedom of t.
        n: Errors that it was fitted to.
        n_groups: Groups that they come from.
        standard_error: Of ``factor``, from leaving out one group at a time, because frames of one
            group are no independent draws; None for a single group.
    """

    factor: float
    degrees: int
    n: int
    n_groups: int
    standard_error: float | None

    def half_width(self, level: float = LEVELS["68"]) -> float:
        """Half the width of an interval over the spread of the component.

        Args:
            level: Probability that the error is inside.
        """
        return self.factor * float(t.ppf(0.5 + 0.5 * level, self.degrees))


@dataclass(frozen=True)
class Calibration:
    """Factors of an ensemble by quantity: ``energy``, ``force`` or both.

    Attributes:
        scales: The factors.
    """

    scales: Mapping[str, Scale] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """What :meth:`from_json` reads."""
        return {name: asdict(scale) for name, scale in self.scales.items()}

    @staticmethod
    def from_json(values: Mapping[str, Mapping[str, Any]]) -> Calibration:
        """A calibration as :meth:`as_json` wrote it."""
        return Calibration({name: Scale(**entries) for name, entries in values.items()})


def errors_of(
    mean: Sequence[Prediction],
    energy_spread: Sequence[float],
    force_spread: Sequence[Values],
    *,
    models: int,
) -> dict[str, Errors]:
    """Errors of the mean of an ensemble, wherever there are labels and more than rounding.

    Args:
        mean: What the mean of the models says of frames.
        energy_spread: Standard deviation of each energy in eV.
        force_spread: Root of the summed variances of the components of each force in eV/Å, arrays
            of shape (n_sites,).
        models: Number of models.

    Returns:
        ``energy`` in eV/atom with one component and ``force`` in eV/Å with three, whose variances
        are pooled: rotation would mix them.
    """
    energies = np.array([[item.energy_error()] for item in mean]).reshape(-1, 1)
    spreads = np.array(
        [s / item.atoms for s, item in zip(energy_spread, mean, strict=True)], dtype=np.float64
    )
    forces = [item.force_errors() for item in mean]
    sites = np.repeat(
        np.array([item.frame.group for item in mean], dtype=object), [len(f) for f in forces]
    )
    everything = {
        "energy": Errors(
            energies,
            spreads,
            np.array([item.frame.group for item in mean], dtype=object),
            models,
        ),
        "force": Errors(
            np.concatenate([np.zeros((0, 3)), *forces]),
            np.concatenate([np.zeros(0), *force_spread]) / np.sqrt(3.0),
            sites,
            models,
        ),
    }
    return {name: above_noise(part, name) for name, part in everything.items()}


def above_noise(part: Errors, quantity: str) -> Errors:
    """Only what has a label, and an error or a spread that is more than rounding."""
    largest = np.maximum(np.abs(part.errors).max(axis=1, initial=0.0), part.spreads)
    # A comparison with nan, where there is no label, is false.
    return part.of(largest > NOISE[quantity])


def fit_scale(part: Errors) -> Scale | None:
    """The factor of greatest likelihood, or None if there are too few errors for one."""
    if len(part.errors) < _FEWEST:
        return None
    factor = _most_likely(part)
    if factor is None:
        return None
    names = sorted(set(part.groups.tolist()))
    others = [_most_likely(part.of(part.groups != name)) for name in names]
    error = None
    if len(names) > 1 and all(other is not None for other in others):
        logs = np.log(np.array(others, dtype=np.float64))
        jackknife = (len(names) - 1) / len(names) * ((logs - logs.mean()) ** 2).sum()
        error = factor * float(np.sqrt(jackknife))
    return Scale(factor, part.degrees, int(part.errors.size), len(names), error)


def calibrate(validation: Mapping[str, Errors]) -> Calibration:
    """Factors of all quantities that have enough errors.

    Args:
        validation: Errors on frames that were not trained on.
    """
    scales = {name: fit_scale(part) for name, part in validation.items()}
    return Calibration({name: scale for name, scale in scales.items() if scale is not None})


def coverage(part: Errors, level: float, scale: Scale | None = None) -> float:
    """Fraction of errors inside an interval.

    Args:
        part: Errors and spreads.
        level: Probability that the interval stands for.
        scale: Factor of the spread. None takes the spread as the standard deviation of a normal
            distribution.
    """
    width = float(norm.ppf(0.5 + 0.5 * level)) if scale is None else scale.half_width(level)
    return float((np.abs(part.errors) <= width * part.spreads[:, None]).mean())


def rank_correlation(part: Errors) -> float | None:
    """Spearman's correlation of the lengths of errors with spreads, None if it has none."""
    lengths = np.linalg.norm(part.errors, axis=1)
    if len(lengths) < 3 or not (np.ptp(lengths) and np.ptp(part.spreads)):
        return None
    return float(spearmanr(lengths, part.spreads).statistic)


def calibration_rows(
    model: str, split: str, found: Mapping[str, Errors], calibration: Calibration
) -> list[dict[str, Any]]:
    """Rows of the table ``calibration``: one part of the dataset, as a whole and by group.

    Args:
        model: Name of the ensemble.
        split: The part.
        found: Its errors.
        calibration: The factors.
    """
    rows = []
    for quantity, whole in found.items():
        scale = calibration.scales.get(quantity)
        names = sorted(set(whole.groups.tolist()))
        for group in [ALL, *(name for name in names if name != ALL)]:
            part = whole if group == ALL else whole.of(whole.groups == group)
            if not part.errors.size:
                continue
            row = {
                "calibration_id": "/".join((model, split or "-", group, quantity)),
                "model": model,
                "n_models": part.models,
                "split": split,
                "group": group,
                "quantity": quantity,
                "unit": {"energy": "eV/atom", "force": "eV/Å"}[quantity],
                "n": int(part.errors.size),
                "n_groups": len(names) if group == ALL else 1,
                "rmse": float(np.sqrt((part.errors**2).mean())),
                "rms_spread": float(np.sqrt((part.spreads**2).mean())),
                "rank_correlation": rank_correlation(part),
                "factor": None if scale is None else scale.factor,
                "factor_error": None if scale is None else scale.standard_error,
                "degrees": part.degrees,
            }
            for name, level in LEVELS.items():
                row[f"coverage_{name}_raw"] = coverage(part, level)
                row[f"coverage_{name}"] = None if scale is None else coverage(part, level, scale)
            rows.append(row)
    return rows


def _most_likely(part: Errors) -> float | None:
    """Root of the derivative of the likelihood of t-distributed errors by the factor.

    Where symmetry makes components zero, or spreads are zero, ratios are 0 or infinite: the sum
    below stays finite, so neither decides alone. None if most ratios are zero or infinite.
    """
    ratios, degrees = part.ratios().ravel(), part.degrees

    def excess(log_factor: float) -> float:
        with np.errstate(divide="ignore", over="ignore"):
            inverse = np.exp(2.0 * log_factor) * degrees / ratios**2
        return float(((degrees + 1.0) / (1.0 + inverse)).mean() - 1.0)

    inside = ratios[(ratios > 0.0) & np.isfinite(ratios)]
    if not inside.size:
        return None
    low, high = np.log(inside.min()) - 20.0, np.log(inside.max()) + 20.0
    if excess(low) <= 0.0 or excess(high) >= 0.0:
        return None
    return float(np.exp(brentq(excess, low, high, xtol=1e-10)))
