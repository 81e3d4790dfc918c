"""Compositions and cells that meet targets, found by gradients through the relaxation."""

from ..surface import Surface
from .discretise import Explicit, realisable, supercells, verify
from .problem import Outcome, Problem, Step, optimise
from .simplex import Domain
from .targets import Target

__all__ = [
    "Domain",
    "Explicit",
    "Outcome",
    "Problem",
    "Step",
    "Surface",
    "Target",
    "optimise",
    "realisable",
    "supercells",
    "verify",
]
