"""Physical properties of crystals, to check one potential against another.

See ``docs/physics-checks.md``.
"""

from __future__ import annotations

from ..config.physics_quantities import CHECKS
from .compare import compare
from .crystals import Settings, crystal
from .elastic import CubicConstants, ElasticConstants, elastic_constants
from .eos import BirchMurnaghan, EquationOfState, equation_of_state, fit_birch_murnaghan
from .errors import PhysicsError
from .measure import Options
from .phonons import Phonons, phonons
from .surfaces import SurfaceEnergy, surface_energy
from .vacancy import Vacancy, vacancies

__all__ = [
    "CHECKS",
    "BirchMurnaghan",
    "CubicConstants",
    "ElasticConstants",
    "EquationOfState",
    "Options",
    "Phonons",
    "PhysicsError",
    "Settings",
    "SurfaceEnergy",
    "Vacancy",
    "compare",
    "crystal",
    "elastic_constants",
    "equation_of_state",
    "fit_birch_murnaghan",
    "phonons",
    "surface_energy",
    "vacancies",
]
