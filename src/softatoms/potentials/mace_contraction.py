"""Products of equivariant features: the many-body step of MACE.

The features A of a node, channel by channel, enter a polynomial of degree up to three whose
coefficients depend on the element (Batatia et al., NeurIPS 2022, equations 10 and 11). With a
constant 1 appended to A the polynomial is homogeneous, and it is evaluated as

    B_M = Σ_s A_s Σ_q T_{M s q} (A_i A_j)_q

over singles s and pairs q = (i, j): per channel one matrix product of the table T with all pairs.
Parity thins it out. Factors that are odd under inversion come in even number in an even result, so
the pairs need never be odd ones, and the single has the parity of the result.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .mace_radial import learned

HIGHEST_DEGREE = 3
"""Degree of the polynomials that pairs times singles can hold."""


def component_parities(irreps: Sequence[tuple[int, int]]) -> list[int]:
    """Parity of every component of features that are laid out irrep after irrep."""
    return [parity for degree, parity in irreps for _ in range(2 * degree + 1)]


class ProductLayout:
    """Which pairs and singles a product of features needs.

    Args:
        parities: Parity, 1 or -1, of every component.
        degree: Highest number of factors, 1 to 3.
    """

    def __init__(self, parities: Sequence[int], degree: int) -> None:
        one = len(parities)
        signs = [*parities, 1]
        even = [index for index, sign in enumerate(signs) if sign == 1]
        self.pairs = [(one, one)]
        if degree > 1:
            self.pairs = [
                (i, j) for i in range(one + 1) for j in range(i, one + 1) if signs[i] == signs[j]
            ]
        odd = [index for index, sign in enumerate(signs) if sign == -1]
        self.singles = {1: even if degree != 2 else [one], -1: odd}
        self._signs = signs
        self._row = {pair: row for row, pair in enumerate(self.pairs)}
        self._column = {
            parity: {index: column for column, index in enumerate(singles)}
            for parity, singles in self.singles.items()
        }

    def place(self, factors: Sequence[int], parity: int) -> tuple[int, int]:
        """Column of the single and row of the pair that a product of components has.

        Args:
            factors: The components, at most ``degree`` of them.
            parity: Parity of the result.
        """
        one = len(self._signs) - 1
        padded = sorted([*factors, *[one] * (HIGHEST_DEGREE - len(factors))])
        columns = self._column[parity]
        for position in reversed(range(HIGHEST_DEGREE)):
            rest = padded[:position] + padded[position + 1 :]
            row = self._row.get((rest[0], rest[1]))
            if padded[position] in columns and row is not None:
                return columns[padded[position]], row
        raise AssertionError(f"a product of {list(factors)} has no place")


class Contraction(nn.Module):
    """Products of the features of a node, summed with coefficients of its element.

    Args:
        irreps: Degree and parity of the features, in their order.
        results: Degree and parity of the results.
        n_channels: Number of channels.
        degree: Highest number of factors.
        n_coefficients: Number of independent products of each result.
        n_species: Number of elements.
    """

    def __init__(
        self,
        irreps: Sequence[tuple[int, int]],
        results: Sequence[tuple[int, int]],
        *,
        n_channels: int,
        degree: int,
        n_coefficients: Sequence[int],
        n_species: int,
    ) -> None:
        super().__init__()
        layout = ProductLayout(component_parities(irreps), degree)
        self.results = list(results)
        left, right = zip(*layout.pairs, strict=True)
        self.register_buffer("_left", torch.tensor(left), persistent=False)
        self.register_buffer("_right", torch.tensor(right), persistent=False)
        self._left: Tensor
        self._right: Tensor
        for index, ((rank, parity), count) in enumerate(zip(results, n_coefficients, strict=True)):
            singles = torch.tensor(layout.singles[parity], dtype=torch.int64)
            self.register_buffer(f"_singles_{index}", singles, persistent=False)
            size = (2 * rank + 1) * len(singles) * len(layout.pairs)
            self.register_buffer(f"products_{index}", torch.zeros(count, size).double())
            self.register_parameter(f"coefficients_{index}", learned(n_species, n_channels, count))

    def forward(self, features: Tensor, species: int) -> list[Tensor]:
        """Results at nodes of one element.

        Args:
            features: Features, shape (n_nodes, n_components, n_channels).
            species: The element.

        Returns:
            One tensor per result, shape (n_nodes, 2 × degree + 1, n_channels).
        """
        # Nodes go last: pairs are then made of long rows, and a channel is a matrix.
        own = features.permute(1, 2, 0)
        own = torch.cat([own, own.new_ones((1, *own.shape[1:]))])
        pairs = own.index_select(0, self._left) * own.index_select(0, self._right)
        by_channel = pairs.transpose(0, 1)
        results = []
        for index, (rank, _) in enumerate(self.results):
            singles = own.index_select(0, self.get_buffer(f"_singles_{index}"))
            coefficients = self.get_parameter(f"coefficients_{index}")[species]
            table = coefficients @ self.get_buffer(f"products_{index}")
            summed = torch.bmm(table.unflatten(1, (-1, len(pairs))), by_channel)
            summed = summed.reshape(table.shape[0], 2 * rank + 1, len(singles), len(features))
            weighted = (summed * singles.transpose(0, 1).unsqueeze(1)).sum(2)
            results.append(weighted.permute(2, 1, 0))
        return results
