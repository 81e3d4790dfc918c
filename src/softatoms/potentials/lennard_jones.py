"""Lennard-Jones potential for any number of species, smoothly switched off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import OptionError
from ..gather import gather, unchanged
from ..graph import Graph
from .base import Potential
from .cutoffs import squared_switch
from .options import check_elements, check_pairs, check_positive
from .species_pairs import arithmetic_mean, geometric_mean, pair_table


class LennardJones(Potential):
    """E = ½ Σ_ij w_i w_j S(r_ij) 4ε [(σ/r_ij)¹² − (σ/r_ij)⁶].

    S is the switch of ASE's ``LennardJones(smooth=True)``: 1 below ``onset``, 0 beyond ``cutoff``.

    Args:
        epsilon: Well depth in eV: one number for all elements alike, or one per element.
        sigma: Zero crossing in Å, given like ``epsilon``.
        cutoff: Radius in Å; 3 × the largest σ if None.
        onset: Where the switch starts, in Å; 0.66 × cutoff if None.
        pairs: Parameters of unlike pairs that shall not follow the Lorentz–Berthelot rules, such as
            ``{"Ar-Kr": {"epsilon": 0.012, "sigma": 3.5}}``.
        isolated_energies: Energy of an isolated atom of each element in eV; 0 if not given.
    """

    name = "lj"
    n_layers = 1
    _epsilon: Tensor
    _sigma: Tensor

    def __init__(
        self,
        *,
        epsilon: float | Mapping[str, float],
        sigma: float | Mapping[str, float],
        cutoff: float | None = None,
        onset: float | None = None,
        pairs: Mapping[str, Mapping[str, float]] | None = None,
        isolated_energies: Mapping[str, float] | None = None,
    ) -> None:
        species, depths = _per_species(epsilon, "epsilon")
        same, widths = _per_species(sigma, "sigma")
        if set(species) != set(same):
            raise OptionError(
                f"epsilon and sigma must name the same elements, got {sorted(species)} and "
                f"{sorted(same)}"
            )
        widths = [widths[same.index(symbol)] for symbol in species] if species else widths
        radius = 3.0 * max(widths) if cutoff is None else check_positive(cutoff, "cutoff")
        self_onset = 0.66 * radius if onset is None else check_positive(onset, "onset")
        if self_onset >= radius:
            raise OptionError(f"onset ({self_onset:g} Å) must be below cutoff ({radius:g} Å)")
        given_pairs = check_pairs(pairs, ("epsilon", "sigma"))
        options: dict[str, Any] = {
            "epsilon": epsilon if not isinstance(epsilon, Mapping) else dict(epsilon),
            "sigma": sigma if not isinstance(sigma, Mapping) else dict(sigma),
            "cutoff": radius,
            "onset": self_onset,
            "pairs": given_pairs,
        }
        super().__init__(
            cutoff=radius, species=species, isolated_energies=isolated_energies, options=options
        )
        self.onset = self_onset
        table: dict[str, Tensor] = {}
        for key, own, mix in (
            ("epsilon", depths, geometric_mean),
            ("sigma", widths, arithmetic_mean),
        ):
            overrides = {pair: values[key] for pair, values in given_pairs.items()}
            table[key] = pair_table(own, species, mix=mix, overrides=overrides, option="pairs")
        self.register_buffer("_epsilon", table["epsilon"])
        self.register_buffer("_sigma", table["sigma"])

    def interaction(self, graph: Graph) -> Tensor:
        """See :meth:`Potential.interaction`."""
        edges = graph.edges
        r2 = edges.squared_lengths()
        if len(self._epsilon) == 1:
            depth, width = self._epsilon[0, 0], self._sigma[0, 0]
        else:
            index = self.species_index(graph.numbers)
            pair = (edges.to_edges(index), index[edges.senders])
            depth, width = self._epsilon[pair], self._sigma[pair]
        attraction = (width * width / r2) ** 3
        energy = (attraction * attraction - attraction) * (2.0 * depth)
        switched = energy * squared_switch(r2, self.onset, self.cutoff)
        return gather(edges, unchanged, edge=(switched,), is_last=True)


def _per_species(
    value: float | Mapping[str, float], option: str
) -> tuple[tuple[str, ...], list[float]]:
    if isinstance(value, Mapping):
        species = check_elements(list(value))
        return species, [
            check_positive(value[symbol], f"{option} of {symbol}") for symbol in species
        ]
    return (), [check_positive(value, option)]
