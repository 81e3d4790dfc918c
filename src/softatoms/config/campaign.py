"""Section ``campaign``: what the whole run is called and its seed."""

from __future__ import annotations

from pydantic import Field

from .base import Identifier, Section


class Campaign(Section):
    """Name and seed of a campaign."""

    name: Identifier = Field(description="Name of the folder below results/.")
    title: str = Field("", description="Heading of the report; the name if empty.", max_length=200)
    seed: int = Field(
        0,
        ge=0,
        lt=2**32,
        description="All random numbers follow from it; 0 is a seed like any other.",
    )
