"""Training of potentials: losses, the loop, metrics, ensembles."""

from .loop import Trained, TrainingError, train
from .settings import LossSettings, TrainingSettings

__all__ = ["LossSettings", "Trained", "TrainingError", "TrainingSettings", "train"]
