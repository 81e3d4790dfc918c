"""Masses of soft sites.

A site that exists by one half feels half the force. Which inertia it has is a choice that no
configurational average depends on:

===============  ==================================================================================
``conditional``  Σ w m / Σ w, the mean mass of what is there if something is. A ghost keeps the mass
                 of the atom it would be; as the force on it vanishes with its weight, it becomes
                 sluggish, never fast. The default.
``expected``     Σ w m, at least one tenth of the conditional mass. Accelerations of a fading site
                 stay those of an atom, but its thermal velocity grows up to √10 times: shorten the
                 time step.
``candidates``   Σ m / (number of candidates), whatever the weights: the same for both directions
                 of a switching run.
===============  ==================================================================================

A plain site has its own mass in all three.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

MassRule = Literal["conditional", "expected", "candidates"]

EXISTENCE_FLOOR = 1e-3
"""Existence below which the conditional mass goes over into the plain mean of the candidates: at 0
there is nothing to average over."""

LEAST_PART = 0.1
"""Least expected mass, as a part of the conditional one."""


class Masses:
    """Masses of the sites of a batch as a function of the weights of its nodes.

    Args:
        node_mass: Mass of each node in amu, shape (n_nodes,).
        node_site: Site of each node, shape (n_nodes,).
        n_sites: Number of sites.
        expected: Sites under the rule ``expected``, shape (n_sites,), bool.
        candidates: Sites under the rule ``candidates``, shape (n_sites,), bool.
    """

    def __init__(
        self,
        node_mass: Tensor,
        node_site: Tensor,
        n_sites: int,
        *,
        expected: Tensor,
        candidates: Tensor,
    ) -> None:
        self._node_mass, self._node_site = node_mass, node_site
        self._expected, self._candidates = expected, candidates
        self._zeros = torch.zeros(n_sites, dtype=torch.float64, device=node_mass.device)
        counts = self._sum(torch.ones_like(node_mass))
        self._mean = self._sum(node_mass) / counts
        self._is_single = counts == 1

    def __call__(self, node_weights: Tensor) -> Tensor:
        """Masses in amu, shape (n_sites,).

        Args:
            node_weights: Weight of every node, shape (n_nodes,).
        """
        # Finite differences and rounded occupancies may leave weights a little below 0.
        weights = node_weights.clamp(min=0.0)
        existence, weighted = self._sum(weights), self._sum(weights * self._node_mass)
        missing = (EXISTENCE_FLOOR - existence).clamp(min=0.0)
        conditional = (weighted + missing * self._mean) / existence.clamp(min=EXISTENCE_FLOOR)
        # With one candidate the quotient is its mass but for a rounding error.
        conditional = torch.where(self._is_single, self._mean, conditional)
        expected = torch.maximum(weighted, LEAST_PART * conditional)
        masses = torch.where(self._expected, expected, conditional)
        return torch.where(self._candidates, self._mean, masses)

    def _sum(self, of_nodes: Tensor) -> Tensor:
        return self._zeros.index_add(0, self._node_site, of_nodes)
