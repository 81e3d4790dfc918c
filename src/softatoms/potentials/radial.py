"""Radial functions and layers shared by the trainable potentials."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .cutoffs import polynomial_switch

DRAWN_IN = torch.float32
"""Type in which random parameters are drawn, whatever torch's default is: rounding a fresh network
to float32 then changes nothing."""

SILU_GAIN = 1.68
"""What SiLU takes from the spread of a standard normal input, put back."""


def seed_cpu(seed: int) -> None:
    """Seed the generator of parameters, and no other: ``torch.manual_seed`` reaches every GPU's."""
    torch.default_generator.manual_seed(seed)


class RadialBasis(nn.Module):
    """Spherical Bessel functions sin(kπr/r_c)/r, switched off smoothly towards the cutoff.

    They are scaled to order 1 at bond lengths, so that a fresh network is neither mute nor wild.

    Args:
        n_radial: Number of functions.
        cutoff: Radius r_c in Å.
    """

    frequencies: Tensor

    def __init__(self, n_radial: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.register_buffer(
            "frequencies",
            torch.arange(1, n_radial + 1, dtype=torch.float64) * (math.pi / cutoff),
            persistent=False,
        )
        self.norm = math.sqrt(2.0 * cutoff)

    def forward(self, distance: Tensor) -> Tensor:
        """Values of the functions.

        Args:
            distance: Distances in Å, shape (n,).

        Returns:
            Values, shape (n, n_radial).
        """
        envelope = polynomial_switch(distance, 0.0, self.cutoff) * (self.norm / distance)
        return torch.sin(distance.unsqueeze(1) * self.frequencies) * envelope.unsqueeze(1)


def linear(n_in: int, n_out: int, *, bias: bool = True, gain: float = 1.0) -> nn.Linear:
    """Linear layer that turns inputs of order 1 into outputs of order ``gain``."""
    layer = nn.Linear(n_in, n_out, bias=bias, dtype=DRAWN_IN)
    nn.init.normal_(layer.weight, std=gain * n_in**-0.5)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def perceptron(
    n_in: int, n_hidden: int, n_out: int, *, bias: bool = True, gain: float = 1.0
) -> nn.Sequential:
    """Two linear layers with SiLU between them; outputs start out of order ``gain``."""
    return nn.Sequential(
        linear(n_in, n_hidden, bias=bias),
        nn.SiLU(),
        linear(n_hidden, n_out, bias=bias, gain=gain * SILU_GAIN),
    )
