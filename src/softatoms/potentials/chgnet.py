"""CHGNet: a pretrained universal potential with messages between atoms, bonds and angles.

The network of Deng et al. (Nature Machine Intelligence 5, 1031, 2023) for soft atoms. Atoms hear
their neighbours along all edges; bonds, which are short edges, hear the other bonds of both their
ends through angles. The edge factor of a neighbour multiplies its message to an atom; the factor of
the third atom multiplies what an angle contributes to a bond.

A bond of the original has no direction. Here it is kept once per direction, at the node that
receives: what it hears is the sum over the angles at its own node plus what its partner heard at
the other end. The two copies stay equal, and every vector is read where it is received.

Some trained versions shift all that bonds have heard by a constant, but only if the structure has
an angle at all, so their energy jumps where the first angle opens. That is kept for plain atoms;
where weights decide whether there is an angle, the shift is blended in smoothly.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..gather import Edges, gather, unchanged
from ..graph import Graph
from .base import Potential
from .bonds import Bonds
from .chgnet_layers import Bessel, Fourier, GatedMessage, Round
from .options import check_elements, check_positive, check_whole
from .radial import DRAWN_IN, seed_cpu

COLLINEAR = 1.0 - 1e-6
"""Cosines are shrunk by this before the angle is taken, as in the trained model."""

RECEIVER, EDGE, SENDER = range(3)
"""Inputs of a message between atoms."""

BOND, OTHER_BOND, ANGLE, NODE = range(4)
"""Inputs of a message between bonds."""


class CHGNet(Potential):
    """Energy of nodes by message passing between atoms, bonds and angles.

    Args:
        elements: Chemical symbols the network knows, in the order of its embedding.
        cutoff: Radius in Å of the messages between atoms.
        bond_cutoff: Length in Å below which an edge is a bond, at most ``cutoff``.
        envelope_power: Power of the polynomial that switches off at the cutoffs.
        n_rounds: Number of rounds of messages between atoms.
        n_radial: Number of radial functions.
        n_angular: Number of angular functions, odd.
        n_features: Number of features of atoms, bonds and angles.
        n_hidden: Width of the hidden layer of messages.
        readout: Widths of the hidden layers of the readout.
        has_norms: Whether features are normalised inside messages.
        has_readout_norm: Whether features are normalised before the readout.
        has_biases: Whether what was heard is shifted by constants.
        isolated_energies: Energy of an isolated atom of each element in eV; 0 if not given.
        seed: Seed of the parameters before they are loaded or trained.
    """

    name = "chgnet"

    def __init__(
        self,
        *,
        elements: Sequence[str],
        cutoff: float = 6.0,
        bond_cutoff: float = 3.0,
        envelope_power: int = 8,
        n_rounds: int = 4,
        n_radial: int = 31,
        n_angular: int = 31,
        n_features: int = 64,
        n_hidden: int = 64,
        readout: Sequence[int] = (64, 64, 64),
        has_norms: bool = True,
        has_readout_norm: bool = True,
        has_biases: bool = False,
        isolated_energies: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        species = check_elements(elements)
        counts = {"envelope_power": envelope_power, "n_radial": n_radial, "n_angular": n_angular}
        counts |= {"n_features": n_features, "n_hidden": n_hidden}
        for option, value in counts.items():
            check_whole(value, option, least=1)
        check_whole(seed, "seed", least=0)
        options: dict[str, Any] = {
            "elements": list(species),
            "cutoff": check_positive(cutoff, "cutoff"),
            "bond_cutoff": check_positive(bond_cutoff, "bond_cutoff"),
            "n_rounds": check_whole(n_rounds, "n_rounds", least=2),
            **counts,
            "readout": list(readout),
            "has_norms": has_norms,
            "has_readout_norm": has_readout_norm,
            "has_biases": has_biases,
            "seed": seed,
        }
        super().__init__(
            cutoff=cutoff, species=species, isolated_energies=isolated_energies, options=options
        )
        # Between two rounds of atoms, a bond hears from its other end.
        self.n_layers = 2 * n_rounds - 1
        self.bond_cutoff = float(bond_cutoff)
        self.has_biases = has_biases
        with torch.random.fork_rng(devices=[]):
            seed_cpu(seed)
            self.embedding = nn.Embedding(len(species), n_features, dtype=DRAWN_IN)
            self.radial = Bessel(n_radial, self.cutoff, envelope_power)
            self.bond_radial = Bessel(n_radial, self.bond_cutoff, envelope_power)
            self.angular = Fourier(n_angular)
            self.bond_embedding = nn.Linear(n_radial, n_features, bias=False, dtype=DRAWN_IN)
            self.edge_weights = nn.Linear(n_radial, n_features, bias=False, dtype=DRAWN_IN)
            self.bond_weights = nn.Linear(n_radial, n_features, bias=False, dtype=DRAWN_IN)
            self.angle_embedding = nn.Linear(n_angular, n_features, bias=False, dtype=DRAWN_IN)
            self.atom_rounds = nn.ModuleList(
                Round(3, n_features, n_hidden, has_norms, has_biases) for _ in range(n_rounds)
            )
            self.bond_rounds = nn.ModuleList(
                Round(4, n_features, n_hidden, has_norms, has_biases) for _ in range(n_rounds - 1)
            )
            # What angles would learn after the last round of bonds, nobody hears.
            self.angle_rounds = nn.ModuleList(
                GatedMessage(4, n_features, 0, has_norms) for _ in range(n_rounds - 2)
            )
            self.readout_norm = (
                nn.LayerNorm(n_features, dtype=DRAWN_IN) if has_readout_norm else nn.Identity()
            )
            widths = [n_features, *readout]
            steps: list[nn.Module] = []
            for before, after in itertools.pairwise(widths):
                steps += [nn.Linear(before, after, dtype=DRAWN_IN), nn.SiLU()]
            self.readout = nn.Sequential(*steps, nn.Linear(widths[-1], 1, dtype=DRAWN_IN))

    def interaction(self, graph: Graph) -> Tensor:
        """See :meth:`Potential.interaction`."""
        index = self.species_index(graph.numbers)
        energies = self._readout(self._atoms_after_all_rounds(graph, index))
        return energies - self.lone_readout().index_select(0, index)

    def lone_readout(self) -> Tensor:
        """What the network says of an isolated atom of each element in eV, (n_elements,)."""
        atoms: Tensor = self.embedding.weight
        for atom_round in cast(Sequence[Round], self.atom_rounds):
            if atom_round.out.bias is not None:
                atoms = atoms + atom_round.out.bias
        return self._readout(atoms)

    def _readout(self, atoms: Tensor) -> Tensor:
        energies: Tensor = self.readout(self.readout_norm(atoms))
        return energies.squeeze(1)

    def _atoms_after_all_rounds(self, graph: Graph, index: Tensor) -> Tensor:
        """Features of every node after all messages, shape (n_nodes, n_features)."""
        edges = graph.listed_edges()
        lengths = edges.squared_lengths().sqrt()
        around = Surroundings(self, graph, edges, lengths)
        atom_rounds = cast(Sequence[Round], self.atom_rounds)
        angle_rounds = cast(Sequence[GatedMessage], self.angle_rounds)
        atoms: Tensor = self.embedding(index)
        heard = torch.zeros_like(around.bonds_at_first)
        shift = torch.zeros_like(atoms)
        angles = around.angles_at_first
        for layer, bond_round in enumerate(cast(Sequence[Round], self.bond_rounds)):
            atoms = atoms + around.atoms_hear(atom_rounds[layer], atoms, heard, shift)
            features = around.bond_features(heard, shift)
            heard = heard + around.bonds_hear(bond_round, atoms, features, angles)
            if around.openness is not None:
                shift = shift + around.openness.unsqueeze(1) * bond_round.out.bias
            if layer < len(angle_rounds):
                features = around.bond_features(heard, shift)
                angles = angles + around.angles_turn(angle_rounds[layer], atoms, features, angles)
        return atoms + around.atoms_hear(atom_rounds[-1], atoms, heard, shift, is_last=True)


class Surroundings:
    """Everything in which messages run: edges, bonds, angles and their functions.

    What a bond has heard is kept apart from what it is embedded as. Bonds that are no bonds, longer
    than the bond cutoff, hear nothing; a shift common to all bonds of a system is kept per node.

    Args:
        model: The network.
        graph: The graph.
        edges: Its edges as a list.
        lengths: Their lengths in Å, shape (n_edges,).
    """

    def __init__(self, model: CHGNet, graph: Graph, edges: Edges, lengths: Tensor) -> None:
        self.edges = edges
        self.bonds = Bonds.of(graph, edges, lengths, model.bond_cutoff)
        self.basis = model.radial(lengths)
        self.edge_weights = model.edge_weights(self.basis)
        self.embedding: Tensor = model.bond_embedding.weight
        bond_lengths = lengths.index_select(0, self.bonds.edges)
        self.bond_weights: Tensor = model.bond_weights(model.bond_radial(bond_lengths))
        self.bonds_at_first: Tensor = model.bond_embedding(
            self.basis.index_select(0, self.bonds.edges)
        )
        directions = edges.vectors.index_select(0, self.bonds.edges) / bond_lengths.unsqueeze(1)
        self.angles_at_first: Tensor = model.angle_embedding(
            model.angular(_angles(directions, self.bonds.angles))
        )
        self.openness = _openness(graph, self.bonds).to(lengths.dtype) if model.has_biases else None

    def bond_features(self, heard: Tensor, shift: Tensor) -> Tensor:
        """Features of bonds: embedded, heard and shifted, shape (n_bonds, n_features)."""
        features = self.bonds_at_first + heard
        if self.openness is not None:
            features = features + shift.index_select(0, self.bonds.nodes)
        return features

    def atoms_hear(
        self, step: Round, atoms: Tensor, heard: Tensor, shift: Tensor, *, is_last: bool = False
    ) -> Tensor:
        """What every node hears from its neighbours, shape (n_nodes, n_features)."""
        here = step.part(RECEIVER, atoms) + step.first.bias
        if self.openness is not None:
            here = here + step.part(EDGE, shift)
        # Embedding and first layer are both linear: one matrix does both.
        along = functional.linear(self.basis, step.block(EDGE) @ self.embedding)
        along = along.index_add(0, self.bonds.edges, step.part(EDGE, heard))

        def message(there: Tensor, along: Tensor, weight: Tensor) -> Tensor:
            return step(there + along) * weight

        received = gather(
            self.edges,
            message,
            sender=(step.part(SENDER, atoms),),
            edge=(self.edges.to_edges(here) + along, self.edge_weights),
            is_last=is_last,
        )
        return functional.linear(received, step.out.weight, step.out.bias)

    def bonds_hear(self, step: Round, atoms: Tensor, features: Tensor, angles: Tensor) -> Tensor:
        """What every bond hears through the angles at both its ends, (n_bonds, n_features)."""

        def message(other: Tensor, weight: Tensor, own: Tensor) -> Tensor:
            return step(other + own) * weight

        at_node = gather(
            self.bonds.angles,
            message,
            sender=(step.part(OTHER_BOND, features), self.bond_weights),
            edge=(self._of_angles(step, atoms, features, angles),),
        )
        at_node = at_node * self.bond_weights
        at_both = at_node + gather(self.bonds.turns, unchanged, sender=(at_node,))
        return functional.linear(at_both, step.out.weight)

    def angles_turn(
        self, step: GatedMessage, atoms: Tensor, features: Tensor, angles: Tensor
    ) -> Tensor:
        """Change of every angle, shape (n_angles, n_features).

        An angle knows both its bonds at the node where they meet; nothing is summed, so no factor
        applies here.
        """
        other = step.part(OTHER_BOND, features).index_select(0, self.bonds.angles.senders)
        change: Tensor = step(other + self._of_angles(step, atoms, features, angles))
        return change

    def _of_angles(
        self, step: GatedMessage, atoms: Tensor, features: Tensor, angles: Tensor
    ) -> Tensor:
        """First layer of what an angle says, but for the other bond, (n_angles, 2 × width)."""
        of_nodes = (step.part(NODE, atoms) + step.first.bias).index_select(0, self.bonds.nodes)
        of_bonds = step.part(BOND, features) + of_nodes
        return self.bonds.angles.to_edges(of_bonds) + step.part(ANGLE, angles)


def _angles(directions: Tensor, relation: Edges) -> Tensor:
    """Angle between the two bonds of every angle, shape (n_angles,)."""
    cosines = relation.to_edges(directions) * directions.index_select(0, relation.senders)
    return torch.acos(COLLINEAR * cosines.mv(cosines.new_ones(3)))


def _openness(graph: Graph, bonds: Bonds) -> Tensor:
    """How far the angles of every node's system exist, from 0 to 1, shape (n_nodes,).

    It is 1 if all sites in angles exist for sure, and 0 if every angle lacks one. In between it is
    the mean existence of angles, weighted by their existence, smoothed so that its slopes vanish
    at both ends. As a mean it is the same in a supercell; as angles count by their existence, those
    of absent atoms do not count.
    """
    systems = graph.edges.receiver_system
    existence = torch.zeros_like(graph.weights).index_add(0, graph.sites, graph.weights)
    existence = existence.index_select(0, graph.sites)
    # With a slope of 0 at 1, as weights may add up to slightly more.
    existence = torch.where(existence < 1.0, existence * (2.0 - existence), 1.0)
    hearing, heard = bonds.angles.receivers, bonds.angles.senders
    assert hearing is not None, "angles are a list"
    far = bonds.nodes.index_select(0, bonds.turns.senders)
    corners = (bonds.nodes[hearing], far[hearing], far[heard])
    weight = torch.ones_like(hearing, dtype=graph.weights.dtype)
    share = torch.ones_like(weight)
    for corner in corners:
        weight = weight * graph.weights.index_select(0, corner)
        share = share * existence.index_select(0, corner)
    n_systems = int(systems.max()) + 1
    of_angles = systems.index_select(0, corners[0])
    empty = weight.new_zeros(n_systems)
    total = empty.index_add(0, of_angles, weight)
    mean = empty.index_add(0, of_angles, weight * share) / total.masked_fill(total == 0.0, 1.0)
    blended = mean * mean * (3.0 - 2.0 * mean)
    return blended.index_select(0, systems)
