"""What figures need of the campaign that they are drawn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .figures import (
    FEWEST_POINTS,
    OF_ACTIVE_LEARNING,
    OF_BINARIES,
    OF_COMPARED_ORDER,
    OF_CURVES,
    OF_ENSEMBLES,
    OF_FREE_ENERGIES,
    OF_LEARNING_CURVES,
    OF_OBJECTIVES,
    OF_OPTIMISATION,
    OF_ORDER,
    OF_PHYSICS,
    OF_SCREENING,
    OF_SWITCHING,
    OF_TERNARIES,
    OF_TRAINING,
    OF_TRANSPORT,
)

if TYPE_CHECKING:
    from .root import CampaignConfig

_SECTIONS = {
    "screening": OF_SCREENING,
    "training": OF_TRAINING,
    "active_learning": OF_ACTIVE_LEARNING,
    "optimisation": OF_OPTIMISATION,
    "order": OF_ORDER,
    "free_energies": OF_FREE_ENERGIES,
    "transport": OF_TRANSPORT,
    "physics": OF_PHYSICS,
}
"""Figures by the section whose tables they are drawn from."""


def unmet(config: CampaignConfig, name: str, *, is_sound: bool) -> str:
    """What a figure lacks, empty if nothing.

    Args:
        config: The campaign.
        name: Name of the figure.
        is_sound: Whether the rest of the campaign is known to be in order, so that its scans can be
            looked at.
    """
    for section, names in _SECTIONS.items():
        if name in names and getattr(config, section) is None:
            return f"'{name}' needs the section '{section}'"
    return _of_stages(config, name) or (_of_scans(config, name) if is_sound else "")


def _of_stages(config: CampaignConfig, name: str) -> str:
    screening, training, order = config.screening, config.training, config.order
    if name in OF_OBJECTIVES and screening and not screening.objectives:
        return f"'{name}' needs 'screening.objectives'"
    if name in OF_ENSEMBLES and training and training.size < 2:
        return f"'{name}' needs an ensemble: training.size of at least 2"
    if name in OF_LEARNING_CURVES and training and not training.learning_curve:
        return f"'{name}' needs the section 'training.learning_curve'"
    if name in OF_COMPARED_ORDER and order and not order.problems(()) and not order.is_compared():
        return f"'{name}' needs compounds with and without order by experiment in 'order'"
    free = config.free_energies
    if name in OF_SWITCHING and free and not free.is_sampled():
        return f"'{name}' needs 'alchemical' or 'frenkel_ladd' among methods"
    return ""


def _of_scans(config: CampaignConfig, name: str) -> str:
    binaries = config.binary_scans()
    if name in OF_BINARIES and not binaries:
        return f"'{name}' needs a scan of two elements on one sublattice"
    if name in OF_TERNARIES and not config.ternary_scans():
        return f"'{name}' needs a scan of three elements on one sublattice"
    if name in OF_CURVES:
        scans = config.composition.scans if config.composition else []
        points = max((scan.points() for scan in scans if scan.name in binaries), default=0)
        if points < FEWEST_POINTS:
            return (
                f"'{name}' needs a scan of two elements with at least {FEWEST_POINTS} "
                f"compositions, got {points}"
            )
    return ""
