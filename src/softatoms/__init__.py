"""softatoms: atoms with continuous identity and continuous existence.

The public names are loaded on first use, so that importing a light part of the package (the
configuration models, say) does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

_HOME = {
    "SoftAtoms": "structure",
    "Evaluation": "batch_evaluator",
    "Potential": "potentials.base",
    "evaluate": "evaluation",
    "evaluate_batch": "evaluation",
    "SoftCalculator": "calculator",
    "Relaxation": "relax",
    "relax_batch": "relax",
    "run_dynamics": "dynamics",
    "load_potential": "potentials.registry",
    "save_potential": "potentials.registry",
    "SoftatomsError": "errors",
    "StructureError": "errors",
    "OptionError": "errors",
    "CheckpointError": "errors",
}

__all__ = [
    "CheckpointError",
    "Evaluation",
    "OptionError",
    "Potential",
    "Relaxation",
    "SoftAtoms",
    "SoftCalculator",
    "SoftatomsError",
    "StructureError",
    "__version__",
    "evaluate",
    "evaluate_batch",
    "load_potential",
    "relax_batch",
    "run_dynamics",
    "save_potential",
]

if TYPE_CHECKING:
    from .batch_evaluator import Evaluation
    from .calculator import SoftCalculator
    from .dynamics import run_dynamics
    from .errors import CheckpointError, OptionError, SoftatomsError, StructureError
    from .evaluation import evaluate, evaluate_batch
    from .potentials.base import Potential
    from .potentials.registry import load_potential, save_potential
    from .relax import Relaxation, relax_batch
    from .structure import SoftAtoms


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'softatoms' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
