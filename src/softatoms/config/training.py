"""Section ``training``: how a potential is trained on labelled frames."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from .base import FiniteFloat, Key, PositiveFloat, PositiveInt, Problem, Section, element_problem
from .potential import PotentialSection

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Loss(Section):
    """The loss: a weighted sum of mean penalties of errors, each divided by its scale."""

    kind: Literal["huber", "mse"] = Field(
        "huber", description="mse penalises x by x², huber linearly beyond huber_delta."
    )
    energy_weight: NotNegative = Field(
        1.0, description="Weight of the energy per atom; 0 ignores these labels."
    )
    forces_weight: NotNegative = Field(1.0, description="Weight of the force components.")
    stress_weight: NotNegative = Field(0.1, description="Weight of the stress components.")
    energy_scale: PositiveFloat = Field(0.01, description="Scale of energy errors in eV/atom.")
    forces_scale: PositiveFloat = Field(0.1, description="Scale of force errors in eV/Å.")
    stress_scale: PositiveFloat = Field(0.01, description="Scale of stress errors in eV/Å³.")
    huber_delta: PositiveFloat = Field(
        1.0, description="Scaled error from which on huber is linear."
    )


class LearningCurve(Section):
    """Trainings on parts of the training frames, whose errors say what more frames would gain."""

    fractions: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.1, 0.3, 1.0], min_length=1, description="Parts of the training frames."
    )
    seeds: PositiveInt = Field(
        1, description="Trainings per part, each with other frames and another network."
    )
    draw: Literal["frames", "groups"] = Field(
        "frames",
        description="What is drawn: single frames, which tells what more frames of the same kinds "
        "would gain, or whole groups, which tells what more kinds would.",
    )
    equal: Literal["steps", "epochs"] = Field(
        "steps",
        description="What all parts have as many of as the whole. Parts of equal epochs cost less, "
        "but small ones are trained less.",
    )

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        return [
            Problem((*key, "fractions", index), f"{value} is named twice")
            for index, value in enumerate(self.fractions)
            if value in self.fractions[:index]
        ]


class Training(Section):
    """A potential to start from, and how it is trained."""

    potential: PotentialSection = Field(description="Where to start: a network or a saved one.")
    frames: str | None = Field(
        None,
        description="Parquet file of labelled frames with splits; what the section dataset makes, "
        "if empty.",
    )
    size: PositiveInt = Field(
        1, description="Models of the ensemble; their seeds count up from that of the campaign."
    )
    epochs: PositiveInt = Field(100, description="Passes through the training frames.")
    dtype: Literal["float32", "float64"] = Field("float32", description="Precision of training.")
    loss: Loss = Field(default_factory=Loss, description="The loss.")
    optimiser: Literal["adam", "adamw"] = Field("adam", description="Optimiser.")
    learning_rate: PositiveFloat = Field(3e-3, description="Largest learning rate.")
    weight_decay: NotNegative = Field(0.0, description="Weight decay of the optimiser.")
    schedule: Literal["cosine", "plateau", "constant"] = Field(
        "cosine", description="How the learning rate falls."
    )
    warm_up: NotNegative = Field(1.0, description="Epochs over which the learning rate rises.")
    smallest_rate: Fraction = Field(
        0.01, description="Smallest learning rate as a fraction of the largest."
    )
    plateau_factor: Fraction = Field(0.5, description="Factor of the rate on a plateau.")
    plateau_epochs: PositiveInt = Field(10, description="Epochs without gain that make a plateau.")
    largest_gradient: PositiveFloat | None = Field(
        10.0, description="Norm to which gradients are cut; none if empty."
    )
    ema_decay: Fraction = Field(
        0.999, description="Decay per step of the running average of parameters."
    )
    atoms_per_batch: PositiveInt = Field(256, description="(Site, candidate) pairs of one step.")
    patience: PositiveInt | None = Field(
        None, description="Epochs without gain after which training ends; never if empty."
    )
    isolated_energies: Literal["fit", "refit", "keep"] | dict[str, FiniteFloat] = Field(
        "fit",
        description="Energies of isolated atoms: fit over compositions, refit of what a trained "
        "potential leaves over, keep, or energies in eV by element.",
    )
    energy_limit: PositiveFloat = Field(
        100.0, description="Largest distance of a label from its reference in eV/atom."
    )
    forces_limit: PositiveFloat = Field(1000.0, description="Largest force of a label in eV/Å.")
    stress_limit: PositiveFloat = Field(100.0, description="Largest stress of a label in eV/Å³.")
    group_weights: dict[str, PositiveFloat] = Field(
        default_factory=dict,
        description="Factor of the penalties of all frames of some groups, by name or pattern such "
        "as 'W_Elastic*'; the first that fits counts, 1 if none does.",
    )
    frozen: list[str] = Field(
        default_factory=list,
        description="Parameters that keep their values, by name or pattern such as 'layers.0.*'.",
    )
    ghosts: Annotated[int, Field(ge=0)] = Field(
        0, description="Sites of weight 0 put into each frame; they carry no information."
    )
    checkpoint_minutes: PositiveFloat = Field(5.0, description="Time between checkpoints in min.")
    learning_curve: LearningCurve | None = Field(
        None, description="Trainings on parts of the frames; none if empty."
    )

    def settings(self) -> dict[str, Any]:
        """Arguments of ``TrainingSettings``, the loss as those of ``LossSettings``."""
        return self.model_dump(exclude={"potential", "frames", "size", "learning_curve"})

    def names(self) -> list[str]:
        """Name of each model of the ensemble."""
        return ["model", *(f"model-{index:02d}" for index in range(1, self.size))]

    def problems(self, key: Key) -> list[Problem]:
        """What is wrong beyond types."""
        found = self.potential.problems((*key, "potential"))
        if isinstance(self.isolated_energies, dict):
            for symbol in self.isolated_energies:
                found += element_problem(symbol, (*key, "isolated_energies", symbol))
        if self.learning_curve is not None:
            found += self.learning_curve.problems((*key, "learning_curve"))
        loss = self.loss
        if loss.energy_weight == loss.forces_weight == loss.stress_weight == 0.0:
            found.append(Problem((*key, "loss"), "at least one weight must be positive"))
        return found
