"""Converted MACE models with soft atoms: every condition on backends."""

from __future__ import annotations

from typing import ClassVar

from backend_suite import BackendSuite
from potentials.mace_package import small
from softatoms.potentials.base import Potential


class MaceSuite(BackendSuite):
    model: ClassVar[str]
    species = ("Cu", "O")
    lattice_constant = 3.7

    def make_potential(self) -> Potential:
        return small(self.model)


class TestDensityBlocksWithVectors(MaceSuite):
    model = "density"


class TestAgnosticBlocksOfScalars(MaceSuite):
    model = "agnostic"
