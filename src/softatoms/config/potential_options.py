"""Options of the potentials that come with the package, checked without importing them.

The checks repeat those of the potentials, so that a mistake is found before any job starts.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

from pydantic import Field, ValidationError

from ..errors import suggest
from .base import (
    FiniteFloat,
    Key,
    PositiveFloat,
    Problem,
    Section,
    element_problem,
    repeated,
)
from .messages import problems_of, shown

GUPTA_ELEMENTS = ("Ni", "Cu", "Pd", "Ag", "Pt", "Au", "Al", "Pb")
"""Elements that the potential ``gupta`` has parameters for."""


class _Options(Section):
    """Options of a potential."""

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        return []


class _FreshOptions(_Options):
    """What all potentials take that do not come with their parameters from elsewhere."""

    isolated_energies: dict[str, FiniteFloat] | None = Field(
        None, description="Energy of an isolated atom of each element in eV; 0 if not given."
    )

    @abstractmethod
    def species(self) -> tuple[str, ...]:
        """Elements that the potential covers; none if it treats all alike."""

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        covered = self.species()
        return [
            Problem(
                (*key, "isolated_energies", symbol),
                f"the potential covers {', '.join(covered) or 'all elements alike'}",
            )
            for symbol in self.isolated_energies or {}
            if symbol not in covered
        ]


class _OfElements(_FreshOptions):
    """Options of a potential that names its elements."""

    elements: list[str] = Field(min_length=1, description="Elements it shall cover.")

    def species(self) -> tuple[str, ...]:
        """See :meth:`_FreshOptions.species`."""
        return tuple(self.elements)

    def problems(self, key: Key) -> list[Problem]:
        """See :meth:`_Options.problems`."""
        here = (*key, "elements")
        found = repeated(self.elements, here)
        for index, symbol in enumerate(self.elements):
            found += element_problem(symbol, (*here, index))
        return found or super().problems(key)


class GuptaPair(Section):
    """Parameters of a pair of elements."""

    a: PositiveFloat = Field(description="Strength of the repulsion in eV.")
    xi: PositiveFloat = Field(description="Hopping integral in eV.")
    p: PositiveFloat = Field(description="Decay of the repulsion.")
    q: PositiveFloat = Field(description="Decay of the hopping.")
    r0: PositiveFloat = Field(description="Reference distance in Å.")


class GuptaOptions(_OfElements):
    """Options of the potential gupta, for Ni, Cu, Pd, Ag, Pt, Au, Al and Pb."""

    pairs: dict[str, GuptaPair] | None = Field(
        None, description="Unlike pairs, such as Cu-Au, that shall not be mixed."
    )

    def problems(self, key: Key) -> list[Problem]:
        """See :meth:`_Options.problems`."""
        found = super().problems(key)
        if found:
            return found
        for index, symbol in enumerate(self.elements):
            if symbol not in GUPTA_ELEMENTS:
                message = f"gupta has no parameters for {symbol}: {suggest(symbol, GUPTA_ELEMENTS)}"
                found.append(Problem((*key, "elements", index), message))
        return found or _pair_problems(self.pairs, self.species(), (*key, "pairs"))


class LennardJonesPair(Section):
    """Parameters of a pair of elements."""

    epsilon: PositiveFloat = Field(description="Well depth in eV.")
    sigma: PositiveFloat = Field(description="Zero crossing in Å.")


class LennardJonesOptions(_FreshOptions):
    """Options of the potential lj."""

    epsilon: Any = Field(description="Well depth in eV.")
    sigma: Any = Field(description="Zero crossing in Å.")
    cutoff: PositiveFloat | None = Field(
        None, description="Radius in Å; 3 × the largest sigma if empty."
    )
    onset: PositiveFloat | None = Field(
        None, description="Where the switch starts, in Å; 0.66 × cutoff if empty."
    )
    pairs: dict[str, LennardJonesPair] | None = Field(
        None, description="Unlike pairs, such as Cu-Au, that shall not be mixed."
    )

    def species(self) -> tuple[str, ...]:
        """See :meth:`_FreshOptions.species`."""
        return tuple(self.epsilon) if isinstance(self.epsilon, dict) else ()

    def problems(self, key: Key) -> list[Problem]:
        """See :meth:`_Options.problems`."""
        found = _per_element(self.epsilon, (*key, "epsilon"))
        found += _per_element(self.sigma, (*key, "sigma"))
        if found:
            return found
        named = set(self.sigma) if isinstance(self.sigma, dict) else set()
        if named != set(self.species()):
            return [Problem((*key, "sigma"), "must name the same elements as epsilon")]
        widest = max(self.sigma.values()) if isinstance(self.sigma, dict) else self.sigma
        cutoff = 3.0 * widest if self.cutoff is None else self.cutoff
        if self.onset is not None and self.onset >= cutoff:
            message = f"must be below the cutoff ({cutoff:g} Å), got {self.onset:g}"
            found.append(Problem((*key, "onset"), message))
        found += _pair_problems(self.pairs, self.species(), (*key, "pairs"))
        return found + super().problems(key)


class HarmonicOptions(_FreshOptions):
    """Options of the potential harmonic."""

    lattice: Literal["sc", "fcc", "bcc"] = Field(description="Lattice of the springs.")
    a: PositiveFloat = Field(description="Lattice constant in Å.")
    stiffness: Any = Field(description="Spring constant in eV/Å².")
    pairs: dict[str, PositiveFloat] | None = Field(
        None, description="Unlike pairs, such as Cu-Au, that shall not be mixed."
    )

    def species(self) -> tuple[str, ...]:
        """See :meth:`_FreshOptions.species`."""
        return tuple(self.stiffness) if isinstance(self.stiffness, dict) else ()

    def problems(self, key: Key) -> list[Problem]:
        """See :meth:`_Options.problems`."""
        found = _per_element(self.stiffness, (*key, "stiffness"))
        if found:
            return found
        found = _pair_problems(self.pairs, self.species(), (*key, "pairs"))
        return found + super().problems(key)


class NetworkOptions(_OfElements):
    """Options of the potentials schnet and, with one more, painn."""

    cutoff: PositiveFloat = Field(5.0, description="Radius in Å.")
    n_features: int = Field(32, ge=1, le=8192, description="Number of features per node.")
    n_layers: int = Field(3, ge=1, le=64, description="Number of message-passing layers.")
    n_radial: int = Field(8, ge=1, le=1024, description="Number of radial functions.")
    typical_neighbours: PositiveFloat = Field(
        30.0, description="Number of neighbours for which messages are scaled to order 1."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the initial parameters.")


class PaiNNOptions(NetworkOptions):
    """Options of the potential painn."""

    max_order: int = Field(
        1,
        ge=1,
        le=2,
        description="1: scalar and vector features, as published; 2: tensors too, without which "
        "crystals of inversion-symmetric sites have no angles.",
    )


CHGNET_MODELS = ("0.3.0", "r2scan", "0.2.0")
"""Trained models that the package chgnet carries."""


class CHGNetOptions(_Options):
    """Options of the potential chgnet."""

    model: str | None = Field(
        None,
        description=f"Trained model: {', '.join(CHGNET_MODELS)}; {CHGNET_MODELS[0]} if empty.",
    )
    path: str | None = Field(None, description="File of a fine-tuned model instead.")

    def problems(self, key: Key) -> list[Problem]:
        """See :meth:`_Options.problems`."""
        if self.model is not None and self.path is not None:
            return [Problem((*key, "path"), "give either model or path")]
        if self.model is not None and self.model not in CHGNET_MODELS:
            message = f"is no model of chgnet: {suggest(self.model, CHGNET_MODELS)}"
            return [Problem((*key, "model"), message)]
        return super().problems(key)


class MaceOptions(_Options):
    """Options of the potential mace. A model saved by softatoms itself needs none of them."""

    path: str | None = Field(None, description="File of an energy model of mace-torch.")
    model: str | None = Field(
        None, description="Name of a published MACE-MP model, such as small, instead."
    )
    head: str | None = Field(None, description="Head to take of a model with several.")
    trust: bool = Field(
        False,
        description="Must be true: the file is a pickled object, which can run any code when it "
        "is read.",
    )
    sha256: str | None = Field(
        None,
        pattern="^[0-9a-fA-F]{64}$",
        description="SHA-256 of the file; another one is refused unread. Needed in a "
        "configuration.",
    )

    def problems(self, key: Key) -> list[Problem]:
        """See :meth:`_Options.problems`."""
        if (self.path is None) == (self.model is None):
            return [Problem((*key, "path"), "give either path or model")]
        if not self.trust:
            return [Problem((*key, "trust"), "must be true: reading the file can run any code")]
        if self.sha256 is None:
            message = (
                "must name the file that is trusted, so that no other can take its place "
                "('softatoms doctor FILE' prints it)"
            )
            return [Problem((*key, "sha256"), message)]
        return super().problems(key)


OPTIONS: dict[str, type[_Options]] = {
    "lj": LennardJonesOptions,
    "gupta": GuptaOptions,
    "harmonic": HarmonicOptions,
    "schnet": NetworkOptions,
    "painn": PaiNNOptions,
    "chgnet": CHGNetOptions,
    "mace": MaceOptions,
}
"""Options of every potential."""


def option_problems(name: str, options: dict[str, Any], key: Key) -> list[Problem]:
    """What is wrong with the options of a potential.

    Args:
        name: Name of the potential.
        options: What was given.
        key: Where the options stand in the file.
    """
    model = OPTIONS[name]
    try:
        return model.model_validate(options).problems(key)
    except ValidationError as error:
        return problems_of(error, model, key)


def _per_element(value: Any, key: Key) -> list[Problem]:
    """Problems of a positive number, or one per element."""
    if not isinstance(value, dict):
        return _positive(value, key)
    if not value:
        return [Problem(key, "must name at least one element")]
    if not all(isinstance(symbol, str) for symbol in value):
        return [Problem(key, "keys must be texts")]
    found = []
    for symbol, number in value.items():
        here = (*key, symbol)
        found += element_problem(symbol, here) or _positive(number, here)
    return found


def _positive(value: Any, key: Key) -> list[Problem]:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and 0 < value < float("inf"):
        return []
    return [Problem(key, f"must be a positive number, got {shown(value)}")]


def _pair_problems(
    pairs: dict[str, Any] | None, species: tuple[str, ...], key: Key
) -> list[Problem]:
    found = []
    given: list[frozenset[str]] = []
    for pair in pairs or {}:
        parts = pair.split("-")
        if len(parts) != 2 or any(part not in species for part in parts):
            names = [f"{a}-{b}" for i, a in enumerate(species) for b in species[i:]]
            hint = suggest(pair, names) if names else "no elements are named"
            found.append(Problem((*key, pair), f"is no pair of the elements: {hint}"))
        elif frozenset(parts) in given:
            found.append(Problem((*key, pair), "is named twice"))
        given.append(frozenset(parts))
    return found
