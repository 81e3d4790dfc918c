"""Section ``figures``: which figures are drawn."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Key, PositiveFloat, PositiveInt, Problem, Section, repeated

FigureName = Literal[
    "lattice",
    "mixing",
    "free_energy",
    "bulk_modulus",
    "ternary",
    "pair_map",
    "ranking",
    "pareto",
    "parity",
    "training",
    "active_learning",
    "physics_checks",
    "optimisation",
    "uncertainty",
    "learning_curve",
    "order_energies",
    "order_roc",
    "switching",
    "work_histograms",
    "free_energies",
    "transport",
    "transport_spectrum",
]

OF_SCREENING = ("ranking", "pareto")
"""Figures drawn from the ranking ..."""

OF_OBJECTIVES = ("pareto",)
"""... and of these, that need objectives."""

OF_TRAINING = ("parity", "training", "uncertainty", "learning_curve")
"""Figures drawn from the tables of the training ..."""

OF_ENSEMBLES = ("uncertainty",)
"""... of which these need several models ..."""

OF_LEARNING_CURVES = ("learning_curve",)
"""... and these trainings on parts of the frames."""

OF_ACTIVE_LEARNING = ("active_learning",)
"""Figures drawn from the tables of active learning."""

OF_PHYSICS = ("physics_checks",)
"""Figures drawn from the table of physics checks."""

OF_OPTIMISATION = ("optimisation",)
"""Figures drawn from the tables of optimisations."""

OF_ORDER = ("order_energies", "order_roc")
"""Figures drawn from the tables of order and disorder ..."""

OF_COMPARED_ORDER = ("order_roc",)
"""... and of these, that need compounds with and without order by experiment."""

OF_FREE_ENERGIES = ("switching", "work_histograms", "free_energies")
"""Figures drawn from the tables of free energies ..."""

OF_SWITCHING = ("switching", "work_histograms")
"""... and of these, that need switching runs."""

OF_TRANSPORT = ("transport", "transport_spectrum")
"""Figures drawn from the tables of heat transport."""

OF_BINARIES = ("lattice", "mixing", "free_energy", "bulk_modulus")
"""Figures with one panel per scan of two elements on one sublattice."""

OF_TERNARIES = ("ternary",)
"""Figures of scans of three elements on one sublattice."""

OF_CURVES = ("free_energy",)
"""Figures of smooth curves through the points of such a scan ..."""

FEWEST_POINTS = 4
"""... which takes at least so many compositions."""


class Figures(Section):
    """Figures of the campaign, each as PNG and PDF."""

    names: list[FigureName] = Field(
        ["lattice", "mixing", "free_energy", "bulk_modulus", "ternary"],
        description="By default those of these five that the scans allow. lattice, mixing, "
        "free_energy, bulk_modulus: one panel per scan of two elements on one sublattice; "
        "ternary: maps over the compositions of three elements on one sublattice, with "
        "gradients; pair_map: extreme mixing energy of every pair of elements; ranking: "
        "the best of a screening; pareto: its objectives over each other; parity: "
        "predictions of the trained potential over labels; training: its errors over "
        "epochs; active_learning: errors and uncertainty over rounds; physics_checks: "
        "properties of crystals by the model over those it is compared with; "
        "optimisation: paths of searches; uncertainty: errors of an ensemble over its "
        "spread; learning_curve: errors over the number of training frames; "
        "order_energies: ordering energies of compounds, with what experiments found; "
        "order_roc: how well they tell ordered compounds; switching: dE/dλ of switching "
        "runs in both directions; work_histograms: their works; free_energies: free "
        "energies over temperature, vacancies with their concentration; transport: "
        "correlations of the heat flux and running conductivities; transport_spectrum: "
        "spectra of the heat flux and densities of states.",
    )
    control: str | None = Field(
        None,
        description="Table active_learning of another campaign, such as one that chooses at "
        "random, drawn beside that of this one; none if empty.",
    )
    temperatures_k: list[PositiveFloat] = Field(
        [300.0, 600.0, 900.0],
        min_length=1,
        max_length=6,
        description="Temperatures of the figure free_energy, in K.",
    )
    dots_per_inch: PositiveInt = Field(150, le=600, description="Resolution of the PNG files.")

    def are_chosen(self) -> bool:
        """Whether the campaign names its figures; if not, those are drawn that it allows."""
        return "names" in self.model_fields_set

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        found = repeated(list(self.names), (*key, "names"))
        if self.control is not None and "active_learning" not in self.names:
            found.append(Problem((*key, "control"), "goes with the figure 'active_learning' only"))
        return found
