"""Radial functions and layers shared by the trainable potentials."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .cutoffs import polynomial_switch


class RadialBasis(nn.Module):
    """Spherical Bessel functions sin(kπr/r_c)/r, switched off smoothly towards the cutoff.

    Args:
        n_radial: Number of functions.
        cutoff: Radius r_c in Å.
    """

    frequencies: Tensor

    def __init__(self, n_radial: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.register_buffer(
            "frequencies", torch.arange(1, n_radial + 1) * (math.pi / cutoff), persistent=False
        )
        self.norm = math.sqrt(2.0 / cutoff)

    def forward(self, distance: Tensor) -> Tensor:
        """Values of the functions.

        Args:
            distance: Distances in Å, shape (n,).

        Returns:
            Values, shape (n, n_radial).
        """
        envelope = polynomial_switch(distance, 0.0, self.cutoff) * (self.norm / distance)
        return torch.sin(distance.unsqueeze(1) * self.frequencies) * envelope.unsqueeze(1)


def perceptron(*widths: int) -> nn.Sequential:
    """Linear layers with SiLU between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(n_in, n_out), nn.SiLU()]
    return nn.Sequential(*layers[:-1])
