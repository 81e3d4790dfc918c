"""MACE: equivariant messages and many-body products (Batatia et al., NeurIPS 2022).

A model trained with mace-torch is converted once, see ``mace_import.py``. What is here evaluates
the converted matrices and needs neither mace-torch nor e3nn.

Messages are made of the sender's features, a spherical harmonic and a learned function of the
distance, and every one passes through ``gather``; so does whatever counts neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..errors import OptionError
from ..graph import Graph
from .base import Potential
from .mace_contraction import HIGHEST_DEGREE, Contraction
from .mace_layers import (
    ACTIVATIONS,
    BySpecies,
    Irrep,
    Linear,
    Messages,
    Path,
    Readout,
    Speakers,
    Surroundings,
    slices,
)
from .mace_radial import (
    BASES,
    TRANSFORMS,
    Harmonics,
    PairRepulsion,
    PairSpecies,
    RadialFunctions,
    learned,
)
from .options import check_elements, check_whole

SCALAR: Irrep = (0, 1)


@dataclass(frozen=True)
class RadialForm:
    """Functions of the distance.

    Attributes:
        basis: ``bessel``, ``gaussian`` or ``chebyshev``.
        transform: ``none``, ``agnesi`` or ``soft``.
        n_functions: Number of functions.
        power: Power of the polynomial that switches off at the cutoff.
        fades_basis: Whether that polynomial multiplies the functions; it multiplies the messages
            otherwise.
    """

    basis: str
    transform: str
    n_functions: int
    power: int
    fades_basis: bool

    def __post_init__(self) -> None:
        for name, known in (("basis", BASES), ("transform", TRANSFORMS)):
            if getattr(self, name) not in known:
                raise OptionError(f"{name} must be one of {', '.join(known)}")
        check_whole(self.n_functions, "n_functions", least=1)
        check_whole(self.power, "power", least=1)


@dataclass(frozen=True)
class LayerForm:
    """Shape of one layer. Irreps are pairs of degree and parity.

    Attributes:
        senders: Channels, degree and parity of what neighbours send.
        paths: Ways in which messages are made: sender's irrep, degree of the harmonic, irrep of
            the message.
        messages: Irreps of the message.
        features: Irreps of the features after the layer.
        hidden: Neurons of the radial network, layer by layer.
        has_density: Whether messages are divided by 1 + a learned count of neighbours.
        mixes_by_species: Whether messages are mixed by matrices of the receiver's element.
        keeps_features: Whether the features before the layer are added to those after it.
        degree: Highest number of messages in a product.
        products: Number of independent products per irrep of the features.
    """

    senders: list[list[int]]
    paths: list[list[int]]
    messages: list[list[int]]
    features: list[list[int]]
    hidden: list[int]
    has_density: bool
    mixes_by_species: bool
    keeps_features: bool
    degree: int
    products: list[int]

    def __post_init__(self) -> None:
        check_whole(self.degree, "degree", least=1)
        if self.degree > HIGHEST_DEGREE:
            raise OptionError(f"degree must be at most {HIGHEST_DEGREE}, got {self.degree}")


@dataclass(frozen=True)
class ReadoutForm:
    """Shape of one readout.

    Attributes:
        layer: The layer after which it reads.
        hidden: Neurons of its hidden layers.
        activation: Activation of hidden layers.
        biases: Which of its layers have a bias.
    """

    layer: int
    hidden: list[int]
    activation: str
    biases: list[bool]

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise OptionError(f"activation must be one of {', '.join(ACTIVATIONS)}")


class Mace(Potential):
    """A converted MACE model.

    Args:
        elements: Chemical symbols it covers, in the order of the model.
        cutoff: Radius in Å.
        n_channels: Channels of all features.
        radial: Fields of :class:`RadialForm`.
        layers: Fields of one :class:`LayerForm` per layer.
        readouts: Fields of :class:`ReadoutForm`.
        repulsion_power: Power of the polynomial that ends the pair repulsion; None without it.
        source: Where the model came from: name and SHA-256 of the file, kind, head.
        isolated_energies: Energy of an isolated atom of each element in eV; 0 if not given.
    """

    name = "mace"
    has_relative_steps = True
    remarks = frozenset({"source"})

    def __init__(
        self,
        *,
        elements: Sequence[str],
        cutoff: float,
        n_channels: int,
        radial: Mapping[str, Any],
        layers: Sequence[Mapping[str, Any]],
        readouts: Sequence[Mapping[str, Any]],
        repulsion_power: int | None = None,
        source: Mapping[str, str] | None = None,
        isolated_energies: Mapping[str, float] | None = None,
    ) -> None:
        species = check_elements(elements)
        check_whole(n_channels, "n_channels", least=1)
        radial_form = RadialForm(**radial)
        layer_forms = [LayerForm(**layer) for layer in layers]
        readout_forms = [ReadoutForm(**readout) for readout in readouts]
        if not layer_forms:
            raise OptionError("layers must name at least one layer")
        options: dict[str, Any] = {
            "elements": list(species),
            "cutoff": cutoff,
            "n_channels": n_channels,
            "radial": asdict(radial_form),
            "layers": [asdict(form) for form in layer_forms],
            "readouts": [asdict(form) for form in readout_forms],
            "repulsion_power": repulsion_power,
            "source": dict(source or {}),
        }
        super().__init__(
            cutoff=cutoff, species=species, isolated_energies=isolated_energies, options=options
        )
        self.n_layers = len(layer_forms)
        n_species = len(species)
        self.fades_basis = radial_form.fades_basis
        self.radial = RadialFunctions(
            basis=radial_form.basis,
            transform=radial_form.transform,
            n_functions=radial_form.n_functions,
            power=radial_form.power,
            cutoff=self.cutoff,
            n_species=n_species,
        )
        self.harmonics = Harmonics(max(path[1] for form in layer_forms for path in form.paths))
        self.repulsion = (
            None if repulsion_power is None else PairRepulsion(repulsion_power, n_species)
        )
        self.embedding = learned(n_species, n_channels)
        before: list[Irrep] = [SCALAR]
        blocks = []
        for form in layer_forms:
            try:
                blocks.append(_Layer(form, before, radial_form.n_functions, n_channels, n_species))
            except (IndexError, KeyError, ValueError, RuntimeError) as error:
                raise OptionError(f"the parts of a layer do not fit together: {error}") from error
            before = blocks[-1].features
        self.layers = nn.ModuleList(blocks)
        self.read_after = [form.layer for form in readout_forms]
        self.readouts = nn.ModuleList(
            Readout(
                widths=[n_channels, *form.hidden, 1],
                activation=form.activation,
                biases=form.biases,
            )
            for form in readout_forms
        )

    def interaction(self, graph: Graph) -> Tensor:
        """See :meth:`Potential.interaction`."""
        species = self.species_index(graph.numbers)
        nodes = BySpecies.of(species)
        is_distorted = self.radial.transform != "none"
        speakers = Speakers.of(graph, may_be_sites=not is_distorted)
        edges = speakers.edges
        distance = edges.squared_lengths().sqrt()
        pairs = PairSpecies.of(edges, species) if is_distorted else None
        basis, fading = self.radial(distance, pairs)
        fading = fading.unsqueeze(1)
        around = Surroundings(
            speakers,
            basis * fading if self.fades_basis else basis,
            None if self.fades_basis else fading,
            # MACE looks from the sender to the receiver.
            self.harmonics(edges.vectors / -distance.unsqueeze(1)),
        )
        table = self.embedding.index_select(0, nodes.kinds)
        features, alone = table.unsqueeze(1), table
        energies = basis.new_zeros(len(species))
        for number, layer in enumerate(self._layers()):
            is_last = number == self.n_layers - 1
            step = layer.first if number == 0 else layer
            features = step(around, features, nodes, is_last=is_last)
            alone = layer.alone(alone, nodes.kinds)
            for readout in self._readouts_after(number):
                own = readout(features[:, layer.scalar])
                energies = energies + own - readout(alone).index_select(0, nodes.position)
        if self.repulsion is not None:
            energies = energies + self.repulsion(graph.edges, species)
        return energies

    def isolated_readouts(self) -> Tensor:
        """What the readouts give for an isolated atom of each species in eV, (n_species,)."""
        kinds = torch.arange(len(self.species), device=self.embedding.device)
        alone: Tensor = self.embedding
        energies = alone.new_zeros(len(kinds))
        for number, layer in enumerate(self._layers()):
            alone = layer.alone(alone, kinds)
            for readout in self._readouts_after(number):
                energies = energies + readout(alone)
        return energies

    def _layers(self) -> list[_Layer]:
        return cast(list[_Layer], list(self.layers))

    def _readouts_after(self, number: int) -> list[Readout]:
        pairs = zip(self.readouts, self.read_after, strict=True)
        return [cast(Readout, readout) for readout, after in pairs if after == number]


class _Layer(nn.Module):
    """Messages, their products, and what is kept of the features before.

    Args:
        form: Shape of the layer.
        before: Irreps of the features before the layer.
        n_functions: Number of radial functions.
        n_channels: Channels of all features.
        n_species: Number of elements.
    """

    def __init__(
        self,
        form: LayerForm,
        before: Sequence[Irrep],
        n_functions: int,
        n_channels: int,
        n_species: int,
    ) -> None:
        super().__init__()
        senders = [(channels, degree, parity) for channels, degree, parity in form.senders]
        messages: list[Irrep] = [(degree, parity) for degree, parity in form.messages]
        self.features: list[Irrep] = [(degree, parity) for degree, parity in form.features]
        self.scalar = slices(self.features)[self.features.index(SCALAR)].start
        self.up = nn.ModuleList(
            Linear(before, [(degree, parity)], n_in=n_channels, n_out=channels)
            for channels, degree, parity in senders
        )
        self.messages = Messages(
            senders=senders,
            results=messages,
            paths=[Path(sender, degree, result) for sender, degree, result in form.paths],
            n_channels=n_channels,
            widths=[n_functions, *form.hidden],
            has_density=form.has_density,
        )
        each = {"n_in": n_channels, "n_out": n_channels}
        self.mix = (
            Linear(messages, messages, **each, n_species=n_species)
            if form.mixes_by_species
            else None
        )
        self.keep = (
            Linear(before, self.features, **each, n_species=n_species)
            if form.keeps_features
            else None
        )
        self.products = Contraction(
            messages,
            self.features,
            n_channels=n_channels,
            degree=form.degree,
            n_coefficients=form.products,
            n_species=n_species,
        )
        self.after = Linear(self.features, self.features, **each)

    def first(
        self, around: Surroundings, table: Tensor, nodes: BySpecies, *, is_last: bool
    ) -> Tensor:
        """Features of all nodes from scalars that depend on the species alone.

        Args:
            around: The edges.
            table: Scalars of each species that is present, shape (n_present, 1, n_channels).
            nodes: Nodes by species.
            is_last: Whether this is the last layer.

        Returns:
            Features, shape (n_nodes, n_components, n_channels).
        """
        sent = self.up[0](table).squeeze(1)
        messages = self.messages.of_species(around, sent, nodes, is_last=is_last)
        features = self._products(messages, nodes)
        if self.keep is None:
            return features
        kept = [
            self.keep(row.unsqueeze(0), species)
            for row, species in zip(table, nodes.present, strict=True)
        ]
        return features + torch.cat(kept).index_select(0, nodes.position)

    def forward(
        self, around: Surroundings, before: Tensor, nodes: BySpecies, *, is_last: bool
    ) -> Tensor:
        """Features of all nodes, shape (n_nodes, n_components, n_channels)."""
        sent = [up(before) for up in self.up]
        messages = self.messages(around, sent, is_last=is_last)
        features = self._products(messages, nodes)
        return features if self.keep is None else features + nodes.map(self.keep, before)

    def alone(self, scalars: Tensor, kinds: Tensor) -> Tensor:
        """Scalars of isolated atoms after the layer, shape (n_kinds, n_channels).

        Without neighbours there are no messages, and products of nothing are nothing.

        Args:
            scalars: Scalars before the layer.
            kinds: Species of each row, shape (n_kinds,), int64.
        """
        if self.keep is None:
            return torch.zeros_like(scalars)
        weight = self.keep.get_parameter(f"weight_{self.features.index(SCALAR)}")
        return torch.bmm(scalars.unsqueeze(1), weight.index_select(0, kinds)).squeeze(1)

    def _products(self, messages: Tensor, nodes: BySpecies) -> Tensor:
        def of_one_species(own: Tensor, species: int) -> Tensor:
            if self.mix is not None:
                own = self.mix(own, species)
            return torch.cat(self.products(own, species), dim=1)

        return self.after(nodes.map(of_one_species, messages))
