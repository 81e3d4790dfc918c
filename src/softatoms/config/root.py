"""The whole configuration of a campaign."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from pydantic import Field

from ..errors import SoftatomsError
from ..files import content_digest
from .active_learning import FEWEST_MODELS, ActiveLearning
from .base import Key, Problem, Section
from .campaign import Campaign
from .composition import Composition
from .compute import Compute
from .dataset import Dataset
from .figure_needs import unmet
from .figures import Figures
from .free_energies import FreeEnergies
from .optimisation import Optimisation
from .order import Order
from .physics import Physics
from .potential import PotentialSection
from .screening import Screening
from .training import Training
from .transport import Transport

DEPENDS_ON: dict[str, tuple[str, ...]] = {
    "potential": (),
    "composition": ("potential",),
    "screening": ("composition",),
    "optimisation": ("potential",),
    "dataset": ("potential",),
    "training": ("dataset",),
    "active_learning": ("training",),
    "physics": ("potential", "training", "active_learning"),
    "order": ("potential",),
    "free_energies": ("potential",),
    "transport": ("potential",),
    "learning_curve": ("training",),
    "figures": (
        *("composition", "screening", "training"),
        *("learning_curve", "active_learning", "physics", "optimisation", "order"),
        *("free_energies", "transport"),
    ),
    "report": ("figures",),
}
"""Which sections the result of a stage depends on besides its own."""


UNSEEN_IF_ABSENT = (
    *("active_learning", "physics", "optimisation", "order", "free_energies", "transport"),
)
"""Sections without which fingerprints are what they were before there were such sections."""

BY_POTENTIAL = ("composition", "optimisation", "order", "free_energies", "transport")
"""Sections that use the potential of the campaign, which may be a trained one."""


STANDING_ALONE = (
    *("dataset", "training", "physics", "optimisation", "order", "free_energies", "transport"),
)
"""Sections of which one is enough for a campaign without scans."""


class CampaignConfig(Section):
    """Everything a campaign is made from."""

    campaign: Campaign = Field(description="Name and seed.")
    compute: Compute = Field(default_factory=Compute, description="Device and precision.")
    potential: PotentialSection = Field(description="The energy function.")
    composition: Composition | None = Field(
        None, description="Scans of solid solutions; none if empty."
    )
    screening: Screening | None = Field(None, description="Filters and ranking; none if empty.")
    optimisation: Optimisation | None = Field(
        None, description="Compositions sought by gradients; none if empty."
    )
    dataset: Dataset | None = Field(None, description="Labelled structures; none if empty.")
    training: Training | None = Field(None, description="Training of a potential; none if empty.")
    active_learning: ActiveLearning | None = Field(
        None, description="Rounds of exploration, labels and training; none if empty."
    )
    physics: Physics | None = Field(
        None, description="Properties of crystals to compare; none if empty."
    )
    order: Order | None = Field(
        None, description="Order against disorder on mixed sublattices; none if empty."
    )
    free_energies: FreeEnergies | None = Field(
        None, description="Vacancies and changes of composition at temperatures; none if empty."
    )
    transport: Transport | None = Field(None, description="Thermal conductivities; none if empty.")
    figures: Figures = Field(default_factory=Figures, description="Figures.")

    def n_tasks(self) -> int:
        """Number of composition tasks, without listing them."""
        return 0 if self.composition is None else self.composition.count()

    def n_shards(self) -> int:
        """Number of jobs that the composition tasks are split into."""
        if self.composition is None:
            return 0
        return math.ceil(self.n_tasks() / self.composition.shard_size)

    def scanned(self) -> Composition:
        """The section ``composition``, for what cannot do without.

        Raises:
            SoftatomsError: If there is none.
        """
        if self.composition is None:
            raise SoftatomsError("composition: is required to scan")
        return self.composition

    def figure_names(self) -> list[str]:
        """Names of the figures, each of which becomes ``<name>.png`` and ``<name>.pdf``.

        Where the campaign names none, those of the default that its scans allow.
        """
        names: list[str] = list(self.figures.names)
        if self.figures.are_chosen():
            return names
        return [name for name in names if not unmet(self, name, is_sound=True)]

    def elements(self) -> tuple[str, ...]:
        """All elements of the campaign, sorted; files of parents are read for theirs."""
        if self.composition is None:
            return ()
        named = self.composition.elements()
        if not self.composition.files():
            return named
        from ..composition.parents import file_elements

        found = [e for file in self.composition.files() for e in file_elements(file)]
        return tuple(sorted({*named, *found}))

    def binary_scans(self) -> list[str]:
        """Names of the scans with two elements on a single sublattice."""
        return [
            scan.name
            for scan in (self.composition.scans if self.composition else [])
            if scan.is_binary()
        ]

    def ternary_scans(self) -> list[str]:
        """Names of the scans with three elements on a single sublattice."""
        scans = self.composition.scans if self.composition else []
        shared = {
            scan.name: [len(own.elements) for own in scan.sublattices.values()] for scan in scans
        }
        return [name for name, counts in shared.items() if counts == [3]]

    def energy_function(self) -> PotentialSection:
        """What the trained potential starts from if scans use it, else the potential itself."""
        if self.potential.is_trained and self.training is not None:
            return self.training.potential
        return self.potential

    def trained_by(self) -> list[str]:
        """The last section that changes the trained potential."""
        return ["training" if self.active_learning is None else "active_learning"]

    def section_digest(self, section: str) -> str:
        """Fingerprint of the values on which the result of one stage depends.

        Comments, order and layout of the file do not matter, nor do values left at their default
        or written out, nor how many threads compute.

        Args:
            section: ``potential``, ``composition``, ``screening``, ``optimisation``, ``dataset``,
                ``training``, ``learning_curve``, ``active_learning``, ``physics``, ``order``,
                ``transport``, ``figures`` or ``report``.

        Returns:
            64 hexadecimal digits.
        """
        wanted: list[str] = []
        waiting = [section]
        while waiting:
            name = waiting.pop()
            if name not in wanted:
                wanted.append(name)
                waiting += DEPENDS_ON[name]
                if name in BY_POTENTIAL and self.potential.is_trained:
                    waiting += self.trained_by()
        values = {
            name: self._values(name)
            for name in sorted(wanted)
            if name not in UNSEEN_IF_ABSENT or getattr(self, name) is not None
        }
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def _values(self, section: str) -> Any:
        if section == "report":
            return [self.campaign.name, self.campaign.title]
        if section == "learning_curve":
            curve = None if self.training is None else self.training.learning_curve
            return None if curve is None else curve.model_dump(mode="json")
        part: Section | None = getattr(self, section)
        values: Any = None if part is None else part.model_dump(mode="json")
        if section == "potential" and self.potential.is_saved:
            values["sha256"] = self.potential.description().get("sha256")
        if section == "training" and self.training is not None:
            start = self.training.potential
            sha256 = start.description().get("sha256") if start.is_saved else None
            # Asking for a learning curve trains no model anew.
            values = self.training.model_dump(mode="json", exclude={"learning_curve"})
            return [values, sha256, self.campaign.seed, self.compute.device]
        if section == "dataset" and self.dataset is not None:
            saved = [p.description().get("sha256") for p in self.dataset.saved_potentials()]
            return [values, saved, self.campaign.seed, self.compute.device, self.compute.dtype]
        if section == "physics" and self.physics is not None:
            against = self.physics_against()
            is_saved = against is not None and against.is_saved
            sha256 = against.description().get("sha256") if against and is_saved else None
            return [values, sha256, self.compute.device]
        if section == "active_learning" and self.active_learning is not None:
            compute = self.compute
            values = self.active_learning.values()
            return [values, self.campaign.seed, compute.device, compute.dtype]
        if section == "optimisation" and self.optimisation is not None:
            return [values, self.campaign.seed, self.compute.device, self.compute.dtype]
        common = [self.campaign.seed, self.compute.device, self.compute.dtype]
        if section == "order" and self.order is not None:
            return [self.order.fingerprint(), *common]
        if section == "free_energies" and self.free_energies is not None:
            own = [self.free_energies.values(), *map(content_digest, self.free_energies.files())]
            return [own, *common]
        if section == "transport" and self.transport is not None:
            return [self.transport.fingerprint(), *common]
        if section == "composition":
            compute = self.compute
            files = self.composition.sources() if self.composition else ()
            return [
                values,
                self.campaign.seed,
                compute.device,
                compute.dtype,
                compute.edges_per_batch,
                *(content_digest(file) for file in files),
            ]
        return values

    def problems(self) -> list[Problem]:
        """Everything that is wrong beyond types, with the key of each."""
        found = self._problems_of_potential()
        if self.composition is not None:
            found += self.composition.problems(("composition",))
        elif not any(getattr(self, name) for name in STANDING_ALONE):
            names = ", ".join(f"'{name}'" for name in STANDING_ALONE[:-1])
            message = f"is required without a section {names} or '{STANDING_ALONE[-1]}'"
            found.append(Problem(("composition",), message))
        if self.screening is not None and self.composition is None:
            found.append(Problem(("screening",), "needs the section 'composition'"))
        elif self.screening is not None and self.composition is not None:
            found += self.screening.problems(("screening",), self.composition)
        if self.optimisation is not None:
            found += self.optimisation.problems(("optimisation",))
        if self.dataset is not None:
            found += self.dataset.problems(("dataset",))
        if self.training is not None:
            found += self.training.problems(("training",))
            if self.training.frames is None and self.dataset is None:
                message = "is required without the section 'dataset'"
                found.append(Problem(("training", "frames"), message))
        if self.active_learning is not None:
            found += self._problems_of_rounds(self.active_learning)
        if self.physics is not None:
            found += self.physics.problems(("physics",))
            found += [] if found else self._problems_of_physics(self.physics)
        if self.order is not None:
            key_of_order: Key = ("order",)
            own = self.order.problems(key_of_order)
            found += own
            if not own and not found:
                found += self.order.uncovered(self.energy_function().elements(), key_of_order)
        if self.free_energies is not None:
            key_of_free: Key = ("free_energies",)
            own = self.free_energies.problems(key_of_free)
            found += own
            if not own and not found:
                covered = self.energy_function().elements()
                found += self.free_energies.uncovered(covered, key_of_free)
        if self.transport is not None:
            key_of_transport: Key = ("transport",)
            own = self.transport.problems(key_of_transport)
            own = own or self.transport.uncovered(
                () if found else self.energy_function().elements(), key_of_transport
            )
            found += own
        found += self.figures.problems(("figures",))
        for index, name in enumerate(self.figures.names if self.figures.are_chosen() else []):
            message = unmet(self, name, is_sound=not found)
            found += [Problem(("figures", "names", index), message)] if message else []
        if not found:
            found += self._uncovered_elements()
        return found

    def _problems_of_rounds(self, section: ActiveLearning) -> list[Problem]:
        """What active learning needs of other sections."""
        key: Key = ("active_learning",)
        found = section.problems(key)
        if self.dataset is None:
            found.append(Problem(key, "needs the section 'dataset', which labels what is found"))
        if self.training is None:
            found.append(Problem(key, "needs the section 'training'"))
            return found
        if self.training.size < FEWEST_MODELS:
            message = (
                f"must be at least {FEWEST_MODELS} for 'active_learning', whose uncertainty is the "
                f"spread of an ensemble, got {self.training.size}"
            )
            found.append(Problem(("training", "size"), message))
        if self.training.frames is not None:
            message = "must be empty for 'active_learning', which adds to frames of 'dataset'"
            found.append(Problem(("training", "frames"), message))
        return found

    def physics_against(self) -> PotentialSection | None:
        """The potential that the physics checks compare with, if there is one."""
        if self.physics is not None and self.physics.against is not None:
            return self.physics.against
        dataset = self.dataset
        if dataset is None or dataset.labels.calculator != "softatoms":
            return None
        # Imported frames bring their labels along; nothing else is labelled then.
        is_used = bool(dataset.generators) or self.active_learning is not None
        return dataset.labels.potential if is_used else None

    def _problems_of_physics(self, section: Physics) -> list[Problem]:
        """What the physics checks need of other sections."""
        key: Key = ("physics", "against")
        against = self.physics_against()
        if against is None and not section.given:
            message = "is required without 'given' numbers: there is nothing to compare with"
            return [Problem(key, message)]
        if self.training is None and against == self.potential:
            return [Problem(key, "is the potential of the campaign itself, and none is trained")]
        model = self.potential if self.training is None else self.training.potential
        covered = model.elements()
        return [
            Problem(
                ("physics", "crystals", name, "elements", index),
                f"{element} is not covered by the model, which has {', '.join(covered)}",
            )
            for name, crystal in section.crystals.items()
            for index, element in enumerate(crystal.elements)
            if covered and element not in covered
        ]

    def _problems_of_potential(self) -> list[Problem]:
        key: Key = ("potential", "name")
        if self.potential.is_trained and self.training is None:
            return [Problem(key, "'trained' needs the section 'training'")]
        found = self.potential.problems(("potential",), may_be_trained=True)
        dataset = self.dataset
        if (
            self.potential.is_trained
            and dataset is not None
            and dataset.dynamics_potential is None
            and any(generator.dynamics for generator in dataset.generators)
        ):
            message = "is required, as the potential of the campaign is trained on this dataset"
            found.append(Problem(("dataset", "dynamics_potential"), message))
        return found

    def _uncovered_elements(self) -> list[Problem]:
        covered = self.energy_function().elements()
        if not covered:
            return []
        found = []
        if self.optimisation is not None:
            found = self.optimisation.uncovered(("optimisation",), covered)
        return (
            found
            + [
                Problem(
                    ("composition", "scans", i, "sublattices", name, "elements", j),
                    f"{element} is not covered by the potential, which has {', '.join(covered)}",
                )
                for i, scan in enumerate(self.composition.scans if self.composition else [])
                for name, sublattice in scan.sublattices.items()
                for j, element in enumerate(sublattice.elements)
                if element not in covered
            ]
            + [
                Problem(
                    ("composition", "scans", i, "parent", "species", j),
                    f"{element} is not covered by the potential, which has {', '.join(covered)}",
                )
                for i, scan in enumerate(self.composition.scans if self.composition else [])
                for j, element in enumerate(scan.parent.species if scan.parent else [])
                if element not in covered
            ]
        )
