"""Section ``compute``: where and how precisely energies are computed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import PositiveInt, Section


class Compute(Section):
    """Device and precision."""

    device: Literal["cpu", "cuda"] = Field("cpu", description="Where energies are computed.")
    dtype: Literal["float64", "float32"] = Field(
        "float64", description="Precision of the potential; sums of energies are always float64."
    )
    threads: PositiveInt = Field(1, le=1024, description="CPU threads of one job.")
    edges_per_batch: PositiveInt = Field(
        250_000,
        description="Structures are evaluated together up to about this many pairs of atoms; "
        "lower it if a job runs out of memory.",
    )
