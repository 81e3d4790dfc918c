"""What a caller chooses about training, checked where it is written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from ..errors import OptionError, suggest
from ..graph import Coupling
from ..potentials.options import check_finite, check_mapping, check_positive, check_whole

Kind = Literal["huber", "mse"]
Optimiser = Literal["adam", "adamw"]
Schedule = Literal["cosine", "plateau", "constant"]
Precision = Literal["float32", "float64"]
References = Literal["fit", "refit", "keep"]


@dataclass(frozen=True)
class LossSettings:
    """The loss: a weighted sum of mean penalties of energy, forces and stress.

    An error is divided by its scale before it is penalised, so weights are pure numbers: with the
    defaults an error of 10 meV/atom costs as much as 0.1 eV/Å and as 10 meV/Å³.

    Attributes:
        kind: ``mse`` penalises x by x², ``huber`` by x² up to ``huber_delta`` and linearly beyond.
        energy_weight: Weight of the energy per atom; 0 ignores this label, as for the others.
        forces_weight: Weight of the force components.
        stress_weight: Weight of the six stress components.
        energy_scale: In eV/atom.
        forces_scale: In eV/Å.
        stress_scale: In eV/Å³.
        huber_delta: Scaled error from which on the penalty is linear.
    """

    kind: Kind = "huber"
    energy_weight: float = 1.0
    forces_weight: float = 1.0
    stress_weight: float = 0.1
    energy_scale: float = 0.01
    forces_scale: float = 0.1
    stress_scale: float = 0.01
    huber_delta: float = 1.0

    def __post_init__(self) -> None:
        _check_choice("loss: kind", self.kind, get_args(Kind))
        for name in ("energy_scale", "forces_scale", "stress_scale", "huber_delta"):
            check_positive(getattr(self, name), f"loss: {name}")
        weights = [
            _check_not_negative(getattr(self, name), f"loss: {name}")
            for name in ("energy_weight", "forces_weight", "stress_weight")
        ]
        if not any(weights):
            raise OptionError("loss: at least one weight must be positive")


@dataclass(frozen=True)
class TrainingSettings:
    """How a potential is trained.

    Attributes:
        epochs: Passes through the training frames.
        seed: Seed of the order of frames and of augmentation.
        dtype: Precision of the potential; energies and losses are summed in float64 anyway.
        device: Where to compute.
        coupling: Coupling of soft sites.
        loss: The loss.
        optimiser: ``adam`` or ``adamw``.
        learning_rate: Largest learning rate.
        weight_decay: Of the optimiser.
        schedule: ``cosine`` towards the smallest rate at the end, ``plateau`` multiplies the rate
            by ``plateau_factor`` after ``plateau_epochs`` without a better validation loss.
        warm_up: Epochs, or a part of one, over which the rate rises linearly.
        smallest_rate: Smallest learning rate, as a fraction of the largest.
        plateau_factor: See ``schedule``.
        plateau_epochs: See ``schedule``.
        largest_gradient: Norm to which the gradient is cut; None never cuts.
        ema_decay: Decay per step of the running average of the parameters, which is what is
            validated and saved; 0 takes the parameters as they are.
        atoms_per_batch: Nodes, that is (site, candidate) pairs, of the frames of one step.
        patience: Epochs without a better validation loss after which training ends; None never.
        isolated_energies: ``fit`` regresses them over the compositions of the training frames,
            ``refit`` regresses what the potential as it is leaves over (for one that has learned
            something already), ``keep`` leaves them alone; or energies in eV by chemical symbol.
        energy_limit: Energy per atom in eV, measured from the reference energies, beyond which a
            label is refused as absurd.
        forces_limit: The same for a force component in eV/Å.
        stress_limit: The same for a stress component in eV/Å³.
        group_weights: Factor of the penalties of all frames of some groups, by name or pattern such
            as ``W_Elastic*``; the first pattern that fits counts, and 1 if none does.
        frozen: Names of parameters that keep their values, or patterns such as ``layers.0.*``.
        ghosts: Sites of weight 0 to put into each training frame at random places, anew in every
            epoch; see ``augmentation.py``.
        checkpoint_minutes: Longest time between checkpoints; one is written after every epoch too.
    """

    epochs: int = 100
    seed: int = 0
    dtype: Precision = "float32"
    device: str = "cpu"
    coupling: Coupling = "mean_field"
    loss: LossSettings = field(default_factory=LossSettings)
    optimiser: Optimiser = "adam"
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    schedule: Schedule = "cosine"
    warm_up: float = 1.0
    smallest_rate: float = 0.01
    plateau_factor: float = 0.5
    plateau_epochs: int = 10
    largest_gradient: float | None = 10.0
    ema_decay: float = 0.999
    atoms_per_batch: int = 256
    patience: int | None = None
    isolated_energies: References | Mapping[str, float] = "fit"
    energy_limit: float = 100.0
    forces_limit: float = 1000.0
    stress_limit: float = 100.0
    group_weights: Mapping[str, float] = field(default_factory=dict)
    frozen: Sequence[str] = field(default_factory=list)
    ghosts: int = 0
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        for pattern, factor in check_mapping(self.group_weights, "group_weights").items():
            check_positive(factor, f"group_weights of '{pattern}'")
        if isinstance(self.frozen, str) or not all(isinstance(name, str) for name in self.frozen):
            raise OptionError(f"frozen must be a list of names, got {self.frozen!r}")
        for name in ("epochs", "plateau_epochs", "atoms_per_batch"):
            check_whole(getattr(self, name), name, least=1)
        for name in ("seed", "ghosts"):
            check_whole(getattr(self, name), name, least=0)
        if self.patience is not None:
            check_whole(self.patience, "patience", least=1)
        positive = ("learning_rate", "energy_limit", "forces_limit", "stress_limit")
        for name in (*positive, "checkpoint_minutes"):
            check_positive(getattr(self, name), name)
        if self.largest_gradient is not None:
            check_positive(self.largest_gradient, "largest_gradient")
        for name in ("weight_decay", "warm_up"):
            _check_not_negative(getattr(self, name), name)
        for name in ("smallest_rate", "plateau_factor", "ema_decay"):
            if _check_not_negative(getattr(self, name), name) >= 1.0:
                raise OptionError(f"{name} must be below 1, got {getattr(self, name)!r}")
        for name, known in (
            ("dtype", Precision),
            ("optimiser", Optimiser),
            ("schedule", Schedule),
            ("coupling", Coupling),
        ):
            _check_choice(name, getattr(self, name), get_args(known))
        if isinstance(self.isolated_energies, str):
            _check_choice("isolated_energies", self.isolated_energies, get_args(References))
        else:
            given = check_mapping(self.isolated_energies, "isolated_energies")
            for symbol, energy in given.items():
                check_finite(energy, f"isolated_energies of {symbol}")


def _check_not_negative(value: float, name: str) -> float:
    if check_finite(value, name) < 0.0:
        raise OptionError(f"{name} must not be negative, got {value!r}")
    return float(value)


def _check_choice(name: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise OptionError(f"unknown {name} '{given}': {suggest(given, known)}")
