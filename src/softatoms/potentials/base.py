"""The contract that every potential fulfils.

A potential turns a graph of weighted nodes into one energy per node. It must

- collect everything about neighbours through :func:`softatoms.gather.gather`;
- be smooth where an edge appears at the cutoff and where a factor goes to 0;
- carry the edge factors into whatever else counts neighbours, such as a normalisation.

Weights of nodes, gradients, batches and the heat flux are then taken care of outside.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeVar

import torch
from ase.data import chemical_symbols
from torch import Tensor, nn

from ..errors import OptionError
from ..graph import Graph
from ..weight_groups import atomic_number
from .options import check_finite, check_mapping, check_positive

N_ELEMENTS = len(chemical_symbols)


class Potential(nn.Module, ABC):
    """An energy per node of a graph.

    Attributes:
        name: Name in the registry.
        cutoff: Radius in Å beyond which sites do not see each other.
        n_layers: Number of gathers one after the other: information travels n_layers × cutoff at
            most.
        species: Chemical symbols it covers; empty if it treats all elements alike.
        isolated_energies: Energy of an isolated atom of each species in eV, always float64, shape
            (len(species),) or (1,).
        has_forward_mode: Whether all its operations support forward-mode differentiation; the
            heat flux takes a slower route if not.
        has_relative_steps: Whether training moves each tensor of parameters in proportion to the
            size it starts with, because constant factors are part of the parameters.
        options: The options it was built with, enough to build it again.
        remarks: Names of options that do not change any energy.
    """

    name: str
    cutoff: float
    n_layers: int
    has_forward_mode: bool = True
    has_relative_steps: bool = False
    remarks: frozenset[str] = frozenset()
    isolated_energies: Tensor
    _species_of_number: Tensor

    def __init__(
        self,
        *,
        cutoff: float,
        species: Sequence[str] = (),
        isolated_energies: Mapping[str, float] | None = None,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.cutoff = check_positive(cutoff, "cutoff")
        self.species = tuple(species)
        self.options = dict(options)
        lookup = torch.full((N_ELEMENTS,), -1 if self.species else 0, dtype=torch.int64)
        for index, symbol in enumerate(self.species):
            number = atomic_number(symbol)
            if lookup[number] != -1:
                raise OptionError(f"element {symbol} is named twice")
            lookup[number] = index
        self.register_buffer("_species_of_number", lookup, persistent=False)
        energies = torch.zeros(max(1, len(self.species)), dtype=torch.float64)
        for symbol, energy in check_mapping(isolated_energies or {}, "isolated_energies").items():
            if symbol not in self.species:
                raise OptionError(
                    f"isolated_energies names {symbol}, but the potential covers "
                    f"{', '.join(self.species) or 'all elements alike'}"
                )
            energies[self.species.index(symbol)] = check_finite(
                energy, f"isolated_energies of {symbol}"
            )
        self.register_buffer("isolated_energies", energies)

    @abstractmethod
    def interaction(self, graph: Graph) -> Tensor:
        """Energy of every node beyond that of the isolated atom, shape (n_nodes,), in eV.

        It must vanish for a node without edges.
        """

    def forward(self, graph: Graph) -> Tensor:
        """Energy of every node in eV, shape (n_nodes,), float64."""
        isolated = self.isolated_energies.index_select(0, self.species_index(graph.numbers))
        return isolated + self.interaction(graph).to(torch.float64)

    def species_index(self, numbers: Tensor) -> Tensor:
        """Position in :attr:`species` of each atomic number."""
        return self._species_of_number.index_select(0, numbers)

    def check_covers(self, numbers: Tensor) -> None:
        """Raise if some element is unknown to the potential.

        Raises:
            OptionError: Naming the elements.
        """
        index = self.species_index(numbers)
        if bool((index < 0).any()):
            missing = sorted({chemical_symbols[int(number)] for number in numbers[index < 0]})
            raise OptionError(
                f"the {self.name} potential does not cover {', '.join(missing)}; "
                f"it covers {', '.join(self.species)}"
            )

    def cast(self, dtype: torch.dtype, device: torch.device) -> Self:
        """This potential in another precision or on another device.

        Returns:
            The potential itself if nothing has to change, a copy as it is now otherwise.
        """
        if all(tensor.device == device for tensor in self.buffers()) and all(
            tensor.dtype == dtype
            for tensor in (*self.parameters(), *self.buffers())
            if tensor.is_floating_point() and tensor is not self.isolated_energies
        ):
            return self
        converted = _converted(self, dtype, device)
        converted.isolated_energies = self.isolated_energies.to(device)
        return converted

    def sha256(self) -> str:
        """Fingerprint of everything that determines the energies."""
        options = {key: value for key, value in self.options.items() if key not in self.remarks}
        digest = hashlib.sha256(repr((self.name, sorted(options.items()))).encode())
        for key, tensor in sorted(self.state_dict().items()):
            digest.update(key.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Potential:
        # Isolated-atom energies are large; rounding them to float32 would cost meV per atom.
        exact = self.isolated_energies
        super()._apply(fn, recurse)
        self.isolated_energies = exact.to(self.isolated_energies.device)
        return self


ModuleType = TypeVar("ModuleType", bound=nn.Module)


def _converted(module: ModuleType, dtype: torch.dtype, device: torch.device) -> ModuleType:
    """A module with converted tensors that shares everything else with the original.

    A deep copy followed by a conversion gives the same and takes several times longer, which
    counts where every call on a small system makes one.
    """

    def convert(tensor: Tensor) -> Tensor:
        kind = dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.detach().to(device=device, dtype=kind)

    twin = module.__class__.__new__(module.__class__)
    state = dict(module.__dict__)
    state["_parameters"] = {
        name: parameter
        if parameter is None
        else nn.Parameter(convert(parameter), requires_grad=False)
        for name, parameter in module._parameters.items()
    }
    state["_buffers"] = {
        name: buffer if buffer is None else convert(buffer)
        for name, buffer in module._buffers.items()
    }
    state["_modules"] = {
        name: child if child is None else _converted(child, dtype, device)
        for name, child in module._modules.items()
    }
    twin.__dict__.update(state)
    return twin
