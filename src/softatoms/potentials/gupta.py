"""Second-moment tight-binding (Gupta) potential for fcc metals and their alloys.

Functional form and parameters: F. Cleri and V. Rosato, Phys. Rev. B 48, 22 (1993), with the
interaction ranging to the fifth neighbours of the fcc lattice as in that work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import OptionError, suggest
from ..gather import gather, unchanged
from ..graph import Graph
from .base import Potential
from .cutoffs import polynomial_switch
from .options import check_elements, check_pairs
from .species_pairs import arithmetic_mean, geometric_mean, pair_table


class GuptaParameters(NamedTuple):
    """Parameters of one pair of species.

    Attributes:
        a: Strength of the repulsion A in eV.
        xi: Hopping integral ξ in eV.
        p: Decay of the repulsion.
        q: Decay of the hopping.
        r0: Reference distance in Å.
    """

    a: float
    xi: float
    p: float
    q: float
    r0: float


def _fcc(a: float, xi: float, p: float, q: float, lattice_constant: float) -> GuptaParameters:
    return GuptaParameters(a, xi, p, q, lattice_constant / 2**0.5)


CLERI_ROSATO = {
    "Ni": _fcc(0.0376, 1.070, 16.999, 1.189, 3.523),
    "Cu": _fcc(0.0855, 1.224, 10.960, 2.278, 3.615),
    "Pd": _fcc(0.1746, 1.718, 10.867, 3.742, 3.887),
    "Ag": _fcc(0.1028, 1.178, 10.928, 3.139, 4.085),
    "Pt": _fcc(0.2975, 2.695, 10.612, 4.004, 3.924),
    "Au": _fcc(0.2061, 1.790, 10.229, 4.036, 4.079),
    "Al": _fcc(0.1221, 1.316, 8.612, 2.516, 4.050),
    "Pb": _fcc(0.0980, 0.914, 9.576, 3.648, 4.951),
}
"""Table of the eight metals; the last column of the helper is the lattice constant in Å."""

ONSET_IN_R0 = 2.28
"""The switch starts behind the fifth fcc neighbours (√5 = 2.236) ..."""

CUTOFF_IN_R0 = 2.44
"""... and ends before the sixth (√6 = 2.449), so the published fits stay what they are."""

SMALLEST_HOPPING = 0.05
"""Band energy in eV below which √ρ is replaced by a polynomial: the square root has no finite slope
at an atom whose only neighbours fade away."""


class Gupta(Potential):
    """E = Σ_i w_i [Σ_j w_j A e^{−p(r/r0−1)} − F(Σ_j w_j ξ² e^{−2q(r/r0−1)})], F(ρ) = √ρ.

    Unlike pairs take the geometric mean of A and ξ and the arithmetic mean of p, q and r0.

    Args:
        elements: Metals among Al, Ni, Cu, Pd, Ag, Pt, Au and Pb.
        pairs: Parameters of unlike pairs that shall not be mixed, such as ``{"Cu-Au": {"a": 0.15,
            "xi": 1.56, "p": 11.05, "q": 3.05, "r0": 2.72}}``.
        isolated_energies: Energy of an isolated atom of each element in eV; 0 if not given.
    """

    name = "gupta"
    n_layers = 1
    _a: Tensor
    _xi: Tensor
    _p: Tensor
    _q: Tensor
    _r0: Tensor

    def __init__(
        self,
        *,
        elements: Sequence[str],
        pairs: Mapping[str, Mapping[str, float]] | None = None,
        isolated_energies: Mapping[str, float] | None = None,
    ) -> None:
        species = check_elements(elements)
        for symbol in species:
            if symbol not in CLERI_ROSATO:
                raise OptionError(
                    f"gupta has no parameters for {symbol}: {suggest(symbol, CLERI_ROSATO)}"
                )
        overrides = check_pairs(pairs, GuptaParameters._fields)
        tables = {}
        for field in GuptaParameters._fields:
            tables[field] = pair_table(
                [getattr(CLERI_ROSATO[symbol], field) for symbol in species],
                species,
                mix=geometric_mean if field in ("a", "xi") else arithmetic_mean,
                overrides={pair: values[field] for pair, values in overrides.items()},
                option="pairs",
            )
        super().__init__(
            cutoff=CUTOFF_IN_R0 * float(tables["r0"].max()),
            species=species,
            isolated_energies=isolated_energies,
            options={"elements": list(species), "pairs": overrides},
        )
        for field, table in tables.items():
            self.register_buffer(f"_{field}", table)

    def interaction(self, graph: Graph) -> Tensor:
        """See :meth:`Potential.interaction`."""
        edges = graph.edges
        distance = edges.squared_lengths().sqrt()
        index = self.species_index(graph.numbers)
        pair = (edges.to_edges(index), index[edges.senders])
        r0 = self._r0[pair]
        stretch = distance / r0
        switch = polynomial_switch(stretch, ONSET_IN_R0, CUTOFF_IN_R0)
        repulsion = self._a[pair] * torch.exp(-self._p[pair] * (stretch - 1.0)) * switch
        hopping = self._xi[pair] ** 2 * torch.exp(-2.0 * self._q[pair] * (stretch - 1.0)) * switch
        terms = torch.stack([repulsion, hopping], dim=1)
        sums = gather(edges, unchanged, edge=(terms,), is_last=True)
        return sums[:, 0] - smooth_square_root(sums[:, 1], SMALLEST_HOPPING**2)


def smooth_square_root(x: Tensor, onset: float) -> Tensor:
    """√x above ``onset``; below, a cubic through 0 that joins it twice continuously differentiably.

    Args:
        x: Any shape.
        onset: Where the square root begins.
    """
    t = x / onset
    below = onset**0.5 * t * (15.0 + t * (3.0 * t - 10.0)) / 8.0
    # Both branches are differentiated, so the square root must not see 0.
    above = torch.sqrt(x.clamp_min(onset))
    return torch.where(x < onset, below, above)
