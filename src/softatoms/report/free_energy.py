"""What the page says of free energies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..config.figures import OF_FREE_ENERGIES
from ..figures.free_energies import fit_of
from ..units import BOLTZMANN_EV_PER_K
from .parts import Listing, Part

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..figures.data import CampaignTables
    from ..tables import Table

HEAD = (
    *("system", "quantity", "method", "temperature (K)", "value (eV)", "95 % interval"),
    *("dissipation (meV)", "overlap", "alchemical − Frenkel–Ladd (meV)", "doubts", "status"),
)

FIT_HEAD = ("system", "method", "enthalpy (eV)", "entropy (k)", "temperatures")

STABILITY_HEAD = (
    *("comparison", "temperature (K)", "before (meV/atom)", "after (meV/atom)", "crossing"),
    *("95 % interval", "probability", "status"),
)


def part(config: CampaignConfig, data: CampaignTables) -> Part | None:
    """What the page says of the stage; nothing if the campaign lacks it.

    Args:
        config: The campaign.
        data: Its tables.
    """
    if config.free_energies is None:
        return None
    listings = [Listing("free-energies", HEAD, value_rows(data.free_energy))]
    fits = list(fit_rows(data.free_energy))
    if fits:
        listings.append(Listing("vacancies", FIT_HEAD, fits, "Formation of vacancies"))
    if config.free_energies.stability:
        words = (
            "Free energy of the second minus the first polymorph: the first is stable where it is "
            "positive."
        )
        rows = stability_rows(data.phase_stability)
        listings.append(
            Listing("stability", STABILITY_HEAD, rows, "Stability of polymorphs", words)
        )
    return Part(
        "Free energies",
        "Vacancies: free energy of forming one. Changes of composition: per atom of the crystal. "
        "Works, dE/dλ and other estimators are in the tables; doubts are explained in "
        "docs/free-energies.md.",
        listings,
        OF_FREE_ENERGIES,
    )


def value_rows(table: Table) -> Iterator[tuple[str, ...]]:
    """One line per free energy.

    Args:
        table: The table ``free_energy``.
    """
    for row in table.rows():
        value, stderr, low = row["value_ev"], row["stderr_ev"], row["low_ev"]
        lost, closure = row["dissipation_ev"], row["closure_ev"]
        spread = "" if not stderr else f" ± {stderr:.4f}"
        yield (
            row["system"],
            row["quantity"].replace("_", " "),
            row["method"].replace("_", "–"),
            f"{row['temperature_k']:g}",
            "" if value is None else f"{value:.4f}{spread}",
            "" if low is None else f"{low:.4f} to {row['high_ev']:.4f}",
            "" if lost is None else f"{1e3 * lost:.1f}",
            "" if row["overlap"] is None else f"{row['overlap']:.2f}",
            ""
            if closure is None
            else f"{1e3 * closure:.2f} ± {1e3 * row['closure_stderr_ev']:.2f}",
            row["warnings"].replace("_", " "),
            row["status"] if not row["error"] else f"{row['status']}: {row['error']}",
        )


def fit_rows(table: Table) -> Iterator[tuple[str, ...]]:
    """Enthalpy and entropy of formation of each vacancy by each method.

    Args:
        table: The table ``free_energy``.
    """
    ok = (table.text("status") == "ok") & (table.text("quantity") == "vacancy")
    systems, methods = table.text("system"), table.text("method")
    for system, method in dict.fromkeys(zip(systems[ok], methods[ok], strict=True)):
        chosen = ok & (systems == system) & (methods == method)
        fit = fit_of(table, chosen)
        if fit is None:
            continue
        entropy_error = fit.entropy_stderr / BOLTZMANN_EV_PER_K
        yield (
            system,
            method.replace("_", "–"),
            f"{fit.enthalpy:.4f} ± {fit.enthalpy_stderr:.4f}",
            f"{fit.entropy_in_k:.2f} ± {entropy_error:.2f}",
            str(len(np.unique(table.real("temperature_k")[chosen]))),
        )


def stability_rows(table: Table) -> Iterator[tuple[str, ...]]:
    """One line per comparison and temperature.

    Args:
        table: The table ``phase_stability``.
    """
    for row in table.rows():
        end, crossing, low = row["end_ev"], row["crossing"], row["crossing_low"]
        probability = row["crossing_probability"]
        yield (
            row["comparison"],
            f"{row['temperature_k']:g}",
            f"{1e3 * row['start_ev']:.2f}",
            "" if end is None else f"{1e3 * end:.2f} ± {1e3 * row['end_stderr_ev']:.2f}",
            "" if crossing is None else f"{crossing:.3f}",
            "" if low is None else f"{low:.3f} to {row['crossing_high']:.3f}",
            "" if probability is None else f"{probability:.2f}",
            row["status"] if not row["error"] else f"{row['status']}: {row['error']}",
        )
