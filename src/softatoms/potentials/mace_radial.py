"""What MACE knows of an edge: radial functions, spherical harmonics and the short-range repulsion.

Every form has the parameters it was trained with; see mace-torch for where they come from. What
mace-torch trains are parameters here too; the functions of the distance, the harmonics and the
repulsion are given and stay so.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..gather import Edges, gather, unchanged

BASES = ("bessel", "gaussian", "chebyshev")
TRANSFORMS = ("none", "agnesi", "soft")
COULOMB = 14.3996
"""e²/(4πε0) in eV Å, as the models were trained."""
BOHR = 0.529
"""Bohr radius in Å, as the models were trained."""
SCREENING = (3.2, 0.9423, 0.4028, 0.2016)
"""Decay of the four terms of the universal screening function."""


def learned(*shape: int) -> nn.Parameter:
    """Numbers that training may change; they have no gradient before it says so."""
    return nn.Parameter(torch.zeros(shape, dtype=torch.float64), requires_grad=False)


def envelope(ratio: Tensor, power: int) -> Tensor:
    """Polynomial that goes from 1 at 0 to 0 at 1 with two derivatives, and stays there."""
    p = float(power)
    first, second, third = (p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2
    inside = (ratio < 1.0).to(ratio.dtype)
    return inside * (1.0 - ratio**power * (first - ratio * (second - third * ratio)))


@dataclass(frozen=True)
class PairSpecies:
    """Species at both ends of every edge.

    Attributes:
        receivers: Species of the receiver, shape (n_edges,), int64.
        senders: Species of the sender, shape (n_edges,), int64.
    """

    receivers: Tensor
    senders: Tensor

    @staticmethod
    def of(edges: Edges, species: Tensor) -> PairSpecies:
        """Look up the species of all edges."""
        return PairSpecies(edges.to_edges(species), species.index_select(0, edges.senders))

    def sum(self, of_species: Tensor) -> Tensor:
        """What belongs to both species added up, shape (n_edges,)."""
        return of_species.index_select(0, self.receivers) + of_species.index_select(0, self.senders)


class RadialFunctions(nn.Module):
    """Functions of the distance that a message starts from.

    Args:
        basis: ``bessel``, ``gaussian`` or ``chebyshev``.
        transform: ``none``, ``agnesi`` or ``soft``: how distances are distorted.
        n_functions: Number of functions.
        power: Power of the polynomial that switches off at the cutoff.
        cutoff: Radius in Å.
        n_species: Number of elements.
    """

    def __init__(
        self,
        *,
        basis: str,
        transform: str,
        n_functions: int,
        power: int,
        cutoff: float,
        n_species: int,
    ) -> None:
        super().__init__()
        self.basis, self.transform = basis, transform
        self.n_functions, self.power, self.cutoff = n_functions, power, cutoff
        self.nodes: Tensor
        self.scale: Tensor
        self.radii: Tensor
        self.shape: Tensor
        if basis != "chebyshev":
            # Frequencies and amplitude of Bessel functions, centres and decay of Gaussians.
            self.register_buffer("nodes", torch.zeros(n_functions).double())
            self.register_buffer("scale", torch.zeros(()).double())
        if transform != "none":
            self.register_buffer("radii", torch.zeros(n_species).double())
            self.register_buffer("shape", torch.zeros(3 if transform == "agnesi" else 1).double())

    def forward(self, distance: Tensor, species: PairSpecies | None) -> tuple[Tensor, Tensor]:
        """Values at every edge.

        Args:
            distance: Length of the edges in Å, shape (n_edges,).
            species: Species at both ends, where distances are distorted.

        Returns:
            Radial functions, shape (n_edges, n_functions), and envelope, shape (n_edges,).
        """
        fading = envelope(distance / self.cutoff, self.power)
        at = distance if species is None else self._distorted(distance, species)
        return self._functions(at.unsqueeze(1)), fading

    def _distorted(self, distance: Tensor, species: PairSpecies) -> Tensor:
        contact = species.sum(self.radii)
        if self.transform == "agnesi":
            a, q, p = self.shape
            ratio = 2.0 * distance / contact
            return 1.0 / (1.0 + a * ratio**q / (1.0 + ratio ** (q - p)))
        low, high = 0.75 * contact, 4.0 / 3.0 * contact
        step = torch.tanh(self.shape / (high - low) * (distance - 0.5 * (low + high)))
        return low + (distance - low) * 0.5 * (1.0 + step)

    def _functions(self, at: Tensor) -> Tensor:
        if self.basis == "bessel":
            return self.scale * torch.sin(self.nodes * at) / at
        if self.basis == "gaussian":
            return torch.exp(self.scale * (at - self.nodes) ** 2)
        polynomials = [torch.ones_like(at), at]
        for _ in range(self.n_functions - 1):
            polynomials.append(2.0 * at * polynomials[-1] - polynomials[-2])
        return torch.cat(polynomials[1:], dim=1)


class RadialNetwork(nn.Module):
    """A perceptron without biases, up to its last hidden layer.

    The last layer is linear and belongs to whoever uses it. What e3nn scales activations by is
    part of the weights.

    Args:
        widths: Number of inputs and of neurons per hidden layer.
    """

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.n_layers = len(widths) - 1
        for index, (before, after) in enumerate(itertools.pairwise(widths)):
            self.register_parameter(f"weight_{index}", learned(before, after))

    def forward(self, values: Tensor) -> Tensor:
        """Neurons of the last hidden layer, shape (n_edges, widths[-1])."""
        for index in range(self.n_layers):
            values = functional.silu(values @ self.get_parameter(f"weight_{index}"))
        return values


class Harmonics(nn.Module):
    """Real spherical harmonics, each degree from the one before it.

    Args:
        highest: Highest degree.
    """

    def __init__(self, highest: int) -> None:
        super().__init__()
        self.highest = highest
        for degree in range(1, highest + 1):
            table = torch.zeros(3 * (2 * degree - 1), 2 * degree + 1).double()
            self.register_buffer(f"rise_{degree}", table)

    def forward(self, direction: Tensor) -> list[Tensor]:
        """Harmonics of unit vectors (n_edges, 3): one tensor (n_edges, 2 l + 1) per degree l."""
        values = [direction.new_ones((len(direction), 1))]
        for degree in range(1, self.highest + 1):
            products = (values[-1].unsqueeze(2) * direction.unsqueeze(1)).flatten(1)
            values.append(products @ self.get_buffer(f"rise_{degree}"))
        return values


class PairRepulsion(nn.Module):
    """Screened Coulomb repulsion of Ziegler, Biersack and Littmark, up to the covalent distance.

    Args:
        power: Power of the polynomial that switches off.
        n_species: Number of elements.
    """

    def __init__(self, power: int, n_species: int) -> None:
        super().__init__()
        self.power = power
        self.radii: Tensor
        self.charges: Tensor
        self.reach: Tensor
        self.parts: Tensor
        self.register_buffer("radii", torch.zeros(n_species).double())
        self.register_buffer("charges", torch.zeros(n_species).double())
        # Power of the charge whose sum over both atoms divides the screening length, in 1/Å.
        self.register_buffer("reach", torch.zeros(n_species).double())
        self.register_buffer("parts", torch.zeros(len(SCREENING)).double())

    def forward(self, edges: Edges, of_nodes: Tensor) -> Tensor:
        """Repulsion of every node in eV, shape (n_nodes,).

        Args:
            edges: Edges between nodes.
            of_nodes: Species of each node, shape (n_nodes,), int64.
        """
        distance = edges.squared_lengths().sqrt()
        species = PairSpecies.of(edges, of_nodes)
        ratio = distance * species.sum(self.reach)
        screening = sum(
            part * torch.exp(-decay * ratio)
            for part, decay in zip(self.parts, SCREENING, strict=True)
        )
        charge = self.charges.index_select(0, species.receivers) * self.charges.index_select(
            0, species.senders
        )
        energy = 0.5 * COULOMB * charge / distance * screening
        fading = envelope(distance / species.sum(self.radii), self.power)
        return gather(edges, unchanged, edge=(energy * fading,), is_last=True)
