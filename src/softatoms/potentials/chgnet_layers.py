"""The parts that CHGNet is put together from: basis functions and gated messages."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from .radial import DRAWN_IN

CONSTANT_FUNCTION = float(torch.tensor(0.5, dtype=torch.float32).sqrt())
"""Value of the constant angular function: 1/√2 rounded to float32, as in the trained model."""


class Bessel(nn.Module):
    """Spherical Bessel functions sin(k r/c)/r that end smoothly at a cutoff.

    Args:
        n_radial: Number of functions.
        cutoff: Radius c in Å.
        power: Power p of the envelope 1 + a x^p + b x^(p+1) + c x^(p+2) of x = r/c, whose first two
            derivatives vanish at the cutoff.
    """

    def __init__(self, n_radial: int, cutoff: float, power: int) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.power = power
        self.frequencies = nn.Parameter(math.pi * torch.arange(1.0, n_radial + 1.0, dtype=DRAWN_IN))

    def forward(self, lengths: Tensor) -> Tensor:
        """Functions of each length, shape (n, n_radial); 0 beyond the cutoff."""
        x = lengths / self.cutoff
        p = self.power
        tail = 0.5 * (p + 1) * (p + 2) - p * (p + 2) * x + 0.5 * p * (p + 1) * x * x
        envelope = torch.where(x < 1.0, 1.0 - x**p * tail, torch.zeros_like(x))
        scale = math.sqrt(2.0 / self.cutoff) * envelope / lengths
        return scale.unsqueeze(1) * torch.sin(x.unsqueeze(1) * self.frequencies)


class Fourier(nn.Module):
    """A constant, sines and cosines of an angle.

    Args:
        n_angular: Number of functions, odd.
    """

    def __init__(self, n_angular: int) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(
            torch.arange(1.0, (n_angular - 1) // 2 + 1.0, dtype=DRAWN_IN)
        )

    def forward(self, angles: Tensor) -> Tensor:
        """Functions of each angle, shape (n, n_angular)."""
        phases = angles.unsqueeze(1) * self.frequencies
        constant = phases.new_full((len(angles), 1), CONSTANT_FUNCTION)
        return torch.cat([constant, torch.sin(phases), torch.cos(phases)], dim=1) / math.pi**0.5


class GatedMessage(nn.Module):
    """What several inputs say together: a value times how much of it passes.

    The first layer is linear in each input, so every input is multiplied with its block of the
    weights where it lives, per node or per bond, and only the sum is made per edge or per angle.

    Args:
        n_inputs: Number of inputs.
        n_features: Number of features of each input and of the message.
        n_hidden: Width of the hidden layer; 0 for none.
        has_norms: Whether value and gate are normalised.
    """

    def __init__(self, n_inputs: int, n_features: int, n_hidden: int, has_norms: bool) -> None:
        super().__init__()
        self.n_features = n_features
        self.width = n_hidden or n_features
        # Rows of the value first, then those of the gate.
        self.first = nn.Linear(n_inputs * n_features, 2 * self.width, dtype=DRAWN_IN)
        self.value = nn.Linear(n_hidden, n_features, dtype=DRAWN_IN) if n_hidden else None
        self.gate = nn.Linear(n_hidden, n_features, dtype=DRAWN_IN) if n_hidden else None
        self.value_norm = nn.LayerNorm(n_features, dtype=DRAWN_IN) if has_norms else nn.Identity()
        self.gate_norm = nn.LayerNorm(n_features, dtype=DRAWN_IN) if has_norms else nn.Identity()

    def block(self, index: int) -> Tensor:
        """Weights of one input, shape (2 × width, n_features)."""
        weight: Tensor = self.first.weight
        return weight[:, index * self.n_features : (index + 1) * self.n_features]

    def part(self, index: int, features: Tensor) -> Tensor:
        """Contribution of one input to the first layer, shape (n, 2 × width)."""
        return functional.linear(features, self.block(index))

    def forward(self, summed: Tensor) -> Tensor:
        """The message from the summed contributions, shape (n, n_features)."""
        if self.value is None or self.gate is None:
            value, gate = summed.split(self.width, dim=1)
        else:
            value, gate = functional.silu(summed).split(self.width, dim=1)
            value, gate = self.value(value), self.gate(gate)
        message: Tensor = functional.silu(self.value_norm(value)) * torch.sigmoid(
            self.gate_norm(gate)
        )
        return message


class Round(GatedMessage):
    """A gated message and the linear map of what was heard in all.

    Args:
        n_inputs: Number of inputs.
        n_features: Number of features of each input and of the message.
        n_hidden: Width of the hidden layer.
        has_norms: Whether value and gate are normalised.
        has_bias: Whether what was heard is shifted by a constant.
    """

    def __init__(
        self, n_inputs: int, n_features: int, n_hidden: int, has_norms: bool, has_bias: bool
    ) -> None:
        super().__init__(n_inputs, n_features, n_hidden, has_norms)
        self.out = nn.Linear(n_features, n_features, bias=has_bias, dtype=DRAWN_IN)
