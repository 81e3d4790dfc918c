"""From the modules of mace-torch to the options and matrices of :class:`Mace`.

Nothing here evaluates energies. It reads weights and shapes off a float64 copy of the original,
folds every normalisation into the matrices, and refuses what it does not know.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from ase.data import chemical_symbols
from torch import Tensor

from ..errors import CheckpointError, OptionError, suggest
from .mace import Mace
from .mace_contraction import HIGHEST_DEGREE, ProductLayout, component_parities
from .mace_layers import ACTIVATIONS
from .mace_radial import BOHR

MODELS = ("MACE", "ScaleShiftMACE")
INTERACTIONS = (
    "RealAgnosticInteractionBlock",
    "RealAgnosticResidualInteractionBlock",
    "RealAgnosticDensityInteractionBlock",
    "RealAgnosticDensityResidualInteractionBlock",
)
READOUTS = ("LinearReadoutBlock", "NonLinearReadoutBlock", "NonLinearBiasReadoutBlock")
BASES = {"BesselBasis": "bessel", "GaussianBasis": "gaussian", "ChebychevBasis": "chebyshev"}
TRANSFORMS = {"AgnesiTransform": "agnesi", "SoftTransform": "soft"}

State = dict[str, Tensor]


def convert(model: Any, head: str | None, source: dict[str, str]) -> Mace:
    """Convert a float64 model.

    Args:
        model: The original, in float64 on the CPU.
        head: Which head to take; None for the only one.
        source: Where the model came from.

    Raises:
        CheckpointError: If it holds something that cannot be represented.
        OptionError: For an unknown head.
    """
    _known(model, MODELS, "model")
    for part in ("joint_embedding", "embedding_readout"):
        if hasattr(model, part):
            raise _unsupported(part, "models of elements and positions alone")
    heads = list(getattr(model, "heads", None) or ["Default"])
    chosen = _head_index(heads, head)
    state: State = {}
    symbols = [chemical_symbols[int(number)] for number in model.atomic_numbers]
    scale, shift = 1.0, 0.0
    if type(model).__name__ == "ScaleShiftMACE":
        scale = float(torch.atleast_1d(model.scale_shift.scale)[chosen])
        shift = float(torch.atleast_1d(model.scale_shift.shift)[chosen])
    embedding = _linear_blocks(model.node_embedding.linear, "node_embedding")
    state["embedding"] = embedding[0, 0]
    n_channels = state["embedding"].shape[1]
    radial = _radial(model.radial_embedding, model.atomic_numbers, state)
    _harmonics(int(model.spherical_harmonics._lmax), state)
    layers = []
    before = [(n_channels, 0, 1)]
    for index, (block, product) in enumerate(zip(model.interactions, model.products, strict=True)):
        where = f"layers.{index}"
        layers.append(_layer(block, product, before, n_channels, len(symbols), where, state))
        before = [(n_channels, degree, parity) for degree, parity in layers[-1]["features"]]
    repulsion = _repulsion(model, scale, state)
    readouts = [
        _readout(block, chosen, len(heads), scale, f"readouts.{index}", state)
        for index, block in enumerate(model.readouts)
    ]
    for index, readout in enumerate(readouts):
        readout["layer"] = len(layers) - 1 if len(readouts) == 1 else index
    potential = Mace(
        elements=symbols,
        cutoff=float(model.r_max),
        n_channels=n_channels,
        radial=radial,
        layers=layers,
        readouts=readouts,
        repulsion_power=repulsion,
        source={**source, "kind": type(model).__name__, "head": heads[chosen]},
    )
    state["isolated_energies"] = torch.zeros(len(symbols), dtype=torch.float64)
    potential.load_state_dict({key: value.detach().clone() for key, value in state.items()})
    atomic = torch.atleast_2d(model.atomic_energies_fn.atomic_energies).double()
    own = atomic[chosen if len(atomic) > 1 else 0]
    potential.isolated_energies = own.detach() + shift + potential.isolated_readouts()
    return potential


def _unsupported(found: str, supported: str) -> CheckpointError:
    return CheckpointError(f"the model holds {found}; softatoms converts {supported}")


def _known(module: Any, names: Sequence[str], what: str) -> str:
    name = type(module).__name__
    if name not in names:
        raise _unsupported(f"the {what} {name}", ", ".join(names))
    return name


def _head_index(heads: list[str], head: str | None) -> int:
    if head is None:
        if len(heads) > 1:
            raise OptionError(f"the model has several heads, choose one: head={' | '.join(heads)}")
        return 0
    if head not in heads:
        raise OptionError(f"the model has no head '{head}': {suggest(head, heads)}")
    return heads.index(head)


def _irreps(irreps: Any) -> list[tuple[int, int, int]]:
    """Channels, degree and parity of every entry."""
    return [(int(mul), int(ir.l), int(ir.p)) for mul, ir in irreps]


def _linear_blocks(linear: Any, where: str) -> dict[tuple[int, int], Tensor]:
    """Matrices of an e3nn linear map by entry of the input and of the output."""
    if type(linear).__name__ != "Linear" or not hasattr(linear, "weight_view_for_instruction"):
        raise _unsupported(
            f"{type(linear).__module__}.{type(linear).__name__} as {where}", "e3nn's"
        )
    if linear.bias_numel:
        raise _unsupported(f"a bias in {where}", "linear maps without one")
    return {
        (rule.i_in, rule.i_out): linear.weight_view_for_instruction(index) * rule.path_weight
        for index, rule in enumerate(linear.instructions)
    }


def _radial(embedding: Any, numbers: Tensor, state: State) -> dict[str, Any]:
    basis = BASES[_known(embedding.bessel_fn, tuple(BASES), "radial basis")]
    functions = embedding.bessel_fn
    if basis == "bessel":
        state["radial.nodes"], state["radial.scale"] = functions.bessel_weights, functions.prefactor
        count = len(functions.bessel_weights)
    elif basis == "gaussian":
        state["radial.nodes"] = functions.gaussian_weights
        state["radial.scale"] = torch.tensor(float(functions.coeff)).double()
        count = len(functions.gaussian_weights)
    else:
        count = functions.num_basis
    transform = "none"
    if hasattr(embedding, "distance_transform"):
        distorted = embedding.distance_transform
        transform = TRANSFORMS[_known(distorted, tuple(TRANSFORMS), "distance transform")]
        state["radial.radii"] = distorted.covalent_radii[numbers]
        names = ("a", "q", "p") if transform == "agnesi" else ("alpha",)
        state["radial.shape"] = torch.stack([getattr(distorted, key).double() for key in names])
    _known(embedding.cutoff_fn, ("PolynomialCutoff",), "cutoff")
    return {
        "basis": basis,
        "transform": transform,
        "n_functions": count,
        "power": int(embedding.cutoff_fn.p),
        "fades_basis": bool(getattr(embedding, "apply_cutoff", True)),
    }


def _harmonics(highest: int, state: State) -> None:
    """Tables that lead from one degree to the next in e3nn's convention and normalisation."""
    from e3nn import o3

    points = torch.randn(64, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = points / points.norm(dim=1, keepdim=True)

    def values(degree: int) -> Tensor:
        found: Tensor = o3.spherical_harmonics(
            degree, points, normalize=False, normalization="component"
        )
        return found

    for degree in range(1, highest + 1):
        products = (values(degree - 1).unsqueeze(2) * points.unsqueeze(1)).flatten(1)
        if degree == 1:
            coupling = torch.eye(3, dtype=torch.float64)
        else:
            coupling = o3.wigner_3j(degree - 1, 1, degree, dtype=torch.float64).flatten(0, 1)
        raised, expected = products @ coupling, values(degree)
        factor = (raised * expected).sum() / (raised * raised).sum()
        if not torch.allclose(factor * raised, expected, rtol=0.0, atol=1e-10):
            raise CheckpointError("the spherical harmonics of the installed e3nn are not the usual")
        state[f"harmonics.rise_{degree}"] = factor * coupling


def _layer(
    block: Any,
    product: Any,
    before: list[tuple[int, int, int]],
    n_channels: int,
    n_species: int,
    where: str,
    state: State,
) -> dict[str, Any]:
    name = _known(block, INTERACTIONS, "interaction block")
    if hasattr(block, "conv_fusion"):
        raise _unsupported("a fused convolution", "models as mace-torch trains them")
    if _irreps(block.node_feats_irreps) != before:
        raise _unsupported(f"features {block.node_feats_irreps}", "features with equal channels")
    has_density = "Density" in name
    messages = _irreps(block.target_irreps)
    features = _irreps(product.linear.irreps_out)
    for found in (messages, features):
        kinds = [(degree, parity) for _, degree, parity in found]
        if {channels for channels, *_ in found} != {n_channels} or len(set(kinds)) < len(kinds):
            raise _unsupported(f"irreps {found}", f"{n_channels} channels of each irrep")
    senders, paths = _messages(block, before, has_density, where, state)
    keeps = "Residual" in name and bool(product.use_sc)
    if "Residual" in name:
        if keeps:
            _by_species(block.skip_tp, n_species, f"{where}.keep", state)
    else:
        _by_species(block.skip_tp, n_species, f"{where}.mix", state)
    degree, counts = _products(product, messages, features, n_species, where, state)
    for (i_in, i_out), matrix in _linear_blocks(product.linear, f"{where}.after").items():
        if i_in == i_out:
            state[f"{where}.after.weight_{i_out}"] = matrix
    return {
        "senders": [list(sender) for sender in senders],
        "paths": paths,
        "messages": [[degree, parity] for _, degree, parity in messages],
        "features": [[degree, parity] for _, degree, parity in features],
        "hidden": [int(width) for width in block.conv_tp_weights.hs[1:-1]],
        "has_density": has_density,
        "mixes_by_species": "Residual" not in name,
        "keeps_features": keeps,
        "degree": degree,
        "products": counts,
    }


def _messages(
    block: Any,
    before: list[tuple[int, int, int]],
    has_density: bool,
    where: str,
    state: State,
) -> tuple[list[tuple[int, int, int]], list[list[int]]]:
    """Senders and paths; paths from irreps that the features lack are dropped."""
    up = _linear_blocks(block.linear_up, f"{where}.up")
    sent = {i_out for _, i_out in up}
    all_senders = _irreps(block.linear_up.irreps_out)
    number = {old: new for new, old in enumerate(sorted(sent))}
    for (_, i_out), matrix in up.items():
        state[f"{where}.up.{number[i_out]}.weight_0"] = matrix
    last, basis_width = _radial_network(block.conv_tp_weights, f"{where}.messages.radial", state)
    if has_density:
        density, _ = _radial_network(block.density_fn, "", state)
        state[f"{where}.messages.density"] = density.squeeze(1)
        if len(density) != basis_width:
            raise _unsupported("a density of other inputs", "densities of the radial functions")
    mix = _linear_blocks(block.linear, f"{where}.mix")
    scale = 1.0 if has_density else 1.0 / float(block.avg_num_neighbors)
    if type(block.conv_tp).__name__ != "TensorProduct":
        raise _unsupported(f"{type(block.conv_tp).__name__} for messages", "e3nn's TensorProduct")
    degrees = [degree for _, degree, _ in _irreps(block.conv_tp.irreps_in2)]
    results = [degree for _, degree, _ in _irreps(block.conv_tp.irreps_out)]
    paths: list[list[int]] = []
    blocks: dict[tuple[int, int], list[Tensor]] = {}
    offset = 0
    for rule in block.conv_tp.instructions:
        if rule.connection_mode != "uvu" or not rule.has_weight or rule.path_shape[1] != 1:
            raise _unsupported(f"messages by {rule}", "channel-wise products")
        channels, degree, _ = all_senders[rule.i_in1]
        columns = last[:, offset : offset + channels]
        offset += channels
        targets = [(i_out, matrix) for (i_in, i_out), matrix in mix.items() if i_in == rule.i_out]
        if rule.i_in1 not in sent or not targets:
            continue
        ((target, matrix),) = targets
        coupling = _clebsch_gordan(block.conv_tp, degree, degrees[rule.i_in2], results[rule.i_out])
        # From (sender, harmonic, result) to (result, harmonic × sender).
        coupling = (rule.path_weight * coupling).permute(2, 1, 0).flatten(1)
        factor = scale
        if degree and degrees[rule.i_in2]:
            state[f"{where}.messages.coupling_{len(paths)}"] = coupling
        else:
            # A product with a scalar changes no component.
            factor = scale * float(coupling[0, 0])
        state[f"{where}.messages.mix_{len(paths)}"] = matrix * factor
        key = (number[rule.i_in1], degrees[rule.i_in2])
        blocks.setdefault(key, []).append(columns)
        paths.append([*key, target])
    for index, parts in enumerate(blocks.values()):
        state[f"{where}.messages.last_{index}"] = torch.cat(parts, dim=1)
    return [all_senders[old] for old in sorted(sent)], paths


def _clebsch_gordan(product: Any, first: int, second: int, result: int) -> Tensor:
    """Coefficients as the original uses them, rounded as they were when it was made."""
    from e3nn import o3

    for key, value in product.named_buffers():
        if first and second and key.endswith(f"._w3j_{first}_{second}_{result}"):
            return value.double()
    exact: Tensor = o3.wigner_3j(first, second, result, dtype=torch.float64)
    return exact


def _radial_network(network: Any, where: str, state: State) -> tuple[Tensor, int]:
    """Put the hidden layers into ``state``; return the last layer and the number of inputs."""
    _known(network, ("FullyConnectedNet",), "radial network")
    gain = 1.0
    layers = list(network)
    for index, layer in enumerate(layers):
        scaled = gain * layer.weight / math.sqrt(layer.h_in * layer.var_in)
        if index == len(layers) - 1:
            if layer.act is not None:
                raise _unsupported("an activation after the radial network", "linear last layers")
            return scaled * math.sqrt(layer.var_out), len(layers[0].weight)
        name, gain = _activation(layer.act)
        if name != "silu":
            raise _unsupported(f"the activation {name} in a radial network", "silu")
        gain *= math.sqrt(layer.var_out)
        state[f"{where}.weight_{index}"] = scaled
    raise _unsupported("an empty radial network", "networks with at least one layer")


def _activation(act: Any) -> tuple[str, float]:
    """Name of an activation, and the factor by which e3nn scales it."""
    if act is None:
        return "identity", 1.0
    function, factor = getattr(act, "f", act), float(getattr(act, "cst", 1.0))
    if getattr(act, "_is_id", False):
        factor = 1.0
    name = getattr(function, "__name__", type(function).__name__).lower()
    if name not in ACTIVATIONS:
        raise _unsupported(f"the activation {name}", ", ".join(ACTIVATIONS))
    return name, factor


def _by_species(product: Any, n_species: int, where: str, state: State) -> None:
    """A product with one-hot vectors of elements is a matrix per element."""
    if type(product).__name__ != "FullyConnectedTensorProduct":
        raise _unsupported(f"{type(product).__name__} as {where}", "one linear map per element")
    degrees = [degree for _, degree, _ in _irreps(product.irreps_out)]
    for index, rule in enumerate(product.instructions):
        if rule.connection_mode != "uvw" or rule.path_shape[1] != n_species:
            raise _unsupported(f"{rule} as {where}", "one linear map per element")
        weight = product.weight_view_for_instruction(index) * rule.path_weight
        # The Clebsch–Gordan coefficient of a product with a scalar.
        weight = weight / math.sqrt(2 * degrees[rule.i_out] + 1)
        state[f"{where}.weight_{rule.i_out}"] = weight.transpose(0, 1)


def _products(
    product: Any,
    messages: list[tuple[int, int, int]],
    features: list[tuple[int, int, int]],
    n_species: int,
    where: str,
    state: State,
) -> tuple[int, list[int]]:
    """Degree of the products, and number of coefficients per irrep of the features."""
    contractions = product.symmetric_contractions
    _known(contractions, ("SymmetricContraction",), "product")
    irreps = [(degree, parity) for _, degree, parity in messages]
    parities = component_parities(irreps)
    degrees = {int(contraction.correlation) for contraction in contractions.contractions}
    highest = max(degrees)
    if highest > HIGHEST_DEGREE:
        raise _unsupported(f"products of {highest} factors", f"up to {HIGHEST_DEGREE}")
    layout = ProductLayout(parities, highest)
    counts = []
    for index, contraction in enumerate(contractions.contractions):
        _, rank, parity = features[index]
        tables, coefficients = [], []
        for degree in range(1, int(contraction.correlation) + 1):
            coupling = contraction.U_tensors(degree)
            count = coupling.shape[-1]
            coupling = coupling.reshape(2 * rank + 1, *[len(parities)] * degree, count)
            tables.append(_product_table(coupling, layout, parity))
            is_highest = degree == int(contraction.correlation)
            weight = (
                contraction.weights_max
                if is_highest
                else contraction.weights[int(contraction.correlation) - 1 - degree]
            )
            coefficients.append(weight.transpose(1, 2))
        state[f"{where}.products.products_{index}"] = torch.cat(tables)
        joined = torch.cat(coefficients, dim=2)
        if len(joined) == 1 < n_species:
            joined = joined.expand(n_species, -1, -1)
        state[f"{where}.products.coefficients_{index}"] = joined
        counts.append(joined.shape[2])
    return highest, counts


def _product_table(coupling: Tensor, layout: ProductLayout, parity: int) -> Tensor:
    """Coefficients of products, each collected at its one place.

    Args:
        coupling: Shape (n_results, n_components, ..., n_coefficients).
        layout: Where products stand.
        parity: Parity of the result.

    Returns:
        Shape (n_coefficients, n_results × n_singles × n_pairs).
    """
    n_results, n_components, count = coupling.shape[0], coupling.shape[1], coupling.shape[-1]
    degree = coupling.dim() - 2
    singles, pairs = len(layout.singles[parity]), len(layout.pairs)
    table = torch.zeros(singles * pairs, n_results, count, dtype=torch.float64)
    flat = coupling.double().movedim(0, -2).reshape(-1, n_results, count)
    used = (flat != 0).any(-1).any(-1).nonzero().squeeze(1)
    targets = []
    for position in used.tolist():
        factors = []
        for _ in range(degree):
            position, factor = divmod(position, n_components)
            factors.append(factor)
        column, row = layout.place(factors, parity)
        targets.append(column * pairs + row)
    index = torch.tensor(targets, dtype=torch.int64)
    table.index_add_(0, index, flat.index_select(0, used))
    return table.permute(2, 1, 0).reshape(count, -1)


def _repulsion(model: Any, scale: float, state: State) -> int | None:
    if not hasattr(model, "pair_repulsion_fn"):
        return None
    zbl = model.pair_repulsion_fn
    _known(zbl, ("ZBLBasis",), "pair repulsion")
    charges = model.atomic_numbers.double()
    state["repulsion.radii"] = zbl.covalent_radii[model.atomic_numbers]
    state["repulsion.charges"] = charges
    reach = torch.pow(model.atomic_numbers, zbl.a_exp.double()).double()
    state["repulsion.reach"] = reach / (zbl.a_prefactor.double() * BOHR)
    state["repulsion.parts"] = zbl.c * scale
    return int(zbl.p)


def _readout(
    block: Any, head: int, n_heads: int, scale: float, where: str, state: State
) -> dict[str, Any]:
    name = _known(block, READOUTS, "readout")
    if name == "LinearReadoutBlock":
        (matrix,) = _scalar_map(block.linear, where)
        state[f"{where}.weight_0"] = scale * matrix[:, [head]]
        return {"hidden": [], "activation": "identity", "biases": [False]}
    acts = list(block.non_linearity.acts)
    kinds = Counter(_activation(act) for act in acts)
    if len(kinds) != 1:
        raise _unsupported(f"a readout with {len(acts)} activations", "readouts with one")
    ((activation, gain),) = kinds
    linears = [block.linear_1, block.linear_2]
    if name == "NonLinearBiasReadoutBlock":
        linears.insert(1, block.linear_mid)
    biases = []
    # The hidden layers of several heads stand side by side; those of others are masked.
    hidden = linears[0].irreps_out.dim
    masked = n_heads > 1 and int(getattr(block, "num_heads", 1)) > 1
    own = slice(0, hidden)
    if masked:
        size = hidden // n_heads
        own = slice(head * size, (head + 1) * size)
    for index, linear in enumerate(linears):
        is_last = index == len(linears) - 1
        (matrix,) = _scalar_map(linear, where)
        columns = slice(head, head + 1) if is_last else own
        factor = scale if is_last else 1.0
        matrix = matrix[:, columns] if index == 0 else gain * matrix[own, columns]
        state[f"{where}.weight_{index}"] = factor * matrix
        biases.append(bool(linear.bias_numel))
        if biases[-1]:
            state[f"{where}.bias_{index}"] = factor * linear.bias[columns]
    widths = [own.stop - own.start] * (len(linears) - 1)
    return {"hidden": widths, "activation": activation, "biases": biases}


def _scalar_map(linear: Any, where: str) -> list[Tensor]:
    """The matrix between scalars of a linear map to nothing but scalars."""
    if type(linear).__name__ != "Linear" or not hasattr(linear, "weight_view_for_instruction"):
        raise _unsupported(
            f"{type(linear).__module__}.{type(linear).__name__} as {where}", "e3nn's"
        )
    if any((degree, parity) != (0, 1) for _, degree, parity in _irreps(linear.irreps_out)):
        raise _unsupported(f"a readout to {linear.irreps_out}", "readouts of energies")
    rules = [rule for rule in linear.instructions if rule.i_in != -1]
    if len(rules) != 1 or len(linear.irreps_out) != 1:
        raise _unsupported(f"a readout from {linear.irreps_in}", "readouts of one set of scalars")
    return [linear.weight_view_for_instruction(0) * rules[0].path_weight]
