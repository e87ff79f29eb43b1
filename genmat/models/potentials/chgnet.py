"""CHGNet as a torch-sim model.

The weights come from the ``chgnet`` wheel; the forward pass is ours and does the arithmetic of Deng et al. 2023
(doi:10.1038/s42256-023-00716-3, eqs. 1-10) with three savings that leave the result unchanged:

* energy, forces and stress need one backward pass (no graph of the gradient is kept);
* the first layer of every gated perceptron acts on a concatenation ``[a, b, c]``; we use
  ``W [a, b, c] = W_a a + W_b b + W_c c`` and multiply per atom and per bond instead of per edge and per angle;
* bond-graph quantities are computed for the short bonds only: the weights of all others vanish.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch_sim.models.interface import ModelInterface

from genmat.models.potentials.gated import GatedLayer
from genmat.models.potentials.graph import build_graph
from genmat.models.potentials.quiet import quiet

if TYPE_CHECKING:
    from chgnet.model.model import CHGNet
    from torch_sim.state import SimState

Tensor = torch.Tensor
ACOS_MARGIN = 1 - 1e-6
"""Factor on cosines before ``acos``, as in the published model."""


class CHGNetModel(ModelInterface):
    """CHGNet behind torch-sim's model interface.

    Parameters
    ----------
    network
        A loaded ``chgnet`` network; its weights are used, its forward pass is not.
    device
        Where tensors live.

    Notes
    -----
    Positions and cells are float64, the network's arithmetic is float32 as published. Energies are eV per system and
    already contain the MP2020 corrections that CHGNet was trained on; stress is in eV/Å³.
    """

    def __init__(self, network: CHGNet, *, device: torch.device) -> None:
        super().__init__()
        self._device = device
        self._dtype = torch.float64
        self._compute_forces = True
        self._compute_stress = True
        self._memory_scales_with = "n_edges"
        self.network = network.to(device).eval().requires_grad_(requires_grad=False)
        converter = network.graph_converter
        self.atom_cutoff, self.bond_cutoff = float(converter.atom_graph_cutoff), float(converter.bond_graph_cutoff)
        width = network.atom_fea_dim
        self.atom_layers = [GatedLayer(layer.twoBody_atom, (width,) * 3) for layer in network.atom_conv_layers]
        self.bond_layers = [GatedLayer(layer.twoBody_bond, (width,) * 4) for layer in network.bond_conv_layers]
        self.angle_layers = [GatedLayer(layer.twoBody_bond, (width,) * 4) for layer in network.angle_layers]
        with torch.no_grad():
            zero = torch.zeros((1, width), device=device)
            # What a bond without angles gets: nothing but a bias, which only version 0.2.0 has.
            layers: Any = network.bond_conv_layers
            self.bond_biases = [layer.mlp_out(zero) for layer in layers]
        self.has_bond_bias = any(bool((bias != 0).any()) for bias in self.bond_biases)

    def forward(self, state: SimState, **_: Any) -> dict[str, Tensor]:
        """Return energy (S,), forces (N, 3) and stress (S, 3, 3) of a batch of S systems with N atoms."""
        n_systems = state.n_systems
        system = state.system_idx
        cells = state.cell.transpose(1, 2).detach()  # rows a, b, c; (S, 3, 3)
        positions = state.positions.detach()
        counts = torch.bincount(system, minlength=n_systems)
        starts = np.concatenate([[0], np.cumsum(counts.cpu().numpy())])
        graph = build_graph(
            cells.cpu().numpy(),
            positions.cpu().numpy(),
            starts,
            atom_cutoff=self.atom_cutoff,
            bond_cutoff=self.bond_cutoff,
        )
        first, second = self._index(graph.first), self._index(graph.second)
        vectors = positions[first] - positions[second]
        vectors -= torch.einsum("bi,bij->bj", torch.from_numpy(graph.shift).to(self._device), cells[system[first]])
        vectors = vectors.float().requires_grad_()  # (n_bonds, 3), from second to first

        with torch.set_grad_enabled(self._compute_forces):
            site = self._site_energies(state.atomic_numbers, vectors, first, second, graph, system)
        composition: Any = self.network.composition_model
        reference = composition.fc.weight.view(-1)[state.atomic_numbers.long() - 1]
        energy = torch.zeros(n_systems, dtype=torch.float64, device=self._device)
        energy.index_add_(0, system, (site.detach().view(-1) + reference).double())
        if not self._compute_forces:
            return {"energy": energy}

        (gradient,) = torch.autograd.grad(site.sum(), vectors)  # dE/d(bond vector)
        gradient, vectors = gradient.double(), vectors.detach().double()
        forces = torch.zeros_like(positions)
        forces.index_add_(0, first, -gradient).index_add_(0, second, gradient)
        # Virial: W = sum over bonds of (bond vector) (x) dE/d(bond vector); stress = W / V.
        outer = (vectors[:, :, None] * gradient[:, None, :]).view(-1, 9)
        virial = torch.zeros((n_systems, 9), dtype=torch.float64, device=self._device)
        virial.index_add_(0, system[first], outer)
        stress = virial.view(-1, 3, 3) / torch.linalg.det(cells).abs()[:, None, None]
        return {"energy": energy, "forces": forces, "stress": 0.5 * (stress + stress.transpose(1, 2))}

    def energy_only(self) -> CHGNetModel:
        """Return a model with the same weights that computes energies alone, three times faster."""
        model = CHGNetModel(self.network, device=self._device)
        model._compute_forces = model._compute_stress = False
        return model

    def _index(self, array: Any) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def _site_energies(
        self, numbers: Tensor, vectors: Tensor, first: Tensor, second: Tensor, graph: Any, system: Tensor
    ) -> Tensor:
        """Return the energy of each atom without its element's reference, shape (N, 1), eV."""
        net: Any = self.network
        expansion = net.bond_basis_expansion
        lengths = vectors.norm(dim=1)
        radial = expansion.rbf_expansion_ag(lengths)
        atoms = net.atom_embedding.embedding(numbers.long() - 1)  # (N, 64)
        bonds = net.bond_embedding(radial)  # (B, 64)
        weights = net.bond_weights_ag(radial)  # (B, 64)

        short = self._index(graph.short)
        has_angles = len(graph.angle_centre) > 0
        if has_angles:
            n_short = len(graph.short)
            centre, left, right = (self._index(x) for x in (graph.angle_centre, graph.angle_left, graph.angle_right))
            unit = vectors.index_select(0, short) / lengths.index_select(0, short)[:, None]
            unit = torch.cat([unit, -unit])  # from neighbour to centre, for both directions
            cosine = (unit.index_select(0, left) * unit.index_select(0, right)).sum(dim=1) * ACOS_MARGIN
            angles = net.angle_embedding(net.angle_basis_expansion.fourier_expansion(torch.acos(cosine)))  # (A, 64)
            left, right = left % n_short, right % n_short  # directed edge -> short bond
            bond_weight = net.bond_weights_bg(expansion.rbf_expansion_bg(lengths[short]))
            pair_weight = bond_weight.index_select(0, left) * bond_weight.index_select(0, right)

        angular = self._is_angular(system, first, centre) if has_angles and self.has_bond_bias else None  # (B, 1)
        for layer in range(net.n_conv - 1):
            atoms = self._atom_convolution(layer, atoms, bonds, weights, first, second)
            if not has_angles:
                continue
            near = bonds.index_select(0, short)  # (B_short, 64)
            message = self._angle_message(self.bond_layers[layer], atoms, near, angles, centre, left, right)
            update = torch.zeros_like(near).index_add(0, left, message * pair_weight)
            conv = net.bond_conv_layers[layer]
            change = conv.mlp_out(update)
            if angular is None:
                near = near + change
                bonds = bonds.index_copy(0, short, near)
            else:
                near = near + change * angular.index_select(0, short)
                bonds = (bonds + self.bond_biases[layer] * angular).index_copy(0, short, near)
            angles = angles + self._angle_message(self.angle_layers[layer], atoms, near, angles, centre, left, right)
        atoms = self._atom_convolution(net.n_conv - 1, atoms, bonds, weights, first, second)
        if net.readout_norm is not None:
            atoms = net.readout_norm(atoms)
        return net.mlp(atoms)  # type: ignore[no-any-return]

    @staticmethod
    def _is_angular(system: Tensor, first: Tensor, centre: Tensor) -> Tensor:
        """Return 1 for the bonds of crystals that have angles and 0 for others, which have no bond graph, (B, 1)."""
        found = torch.zeros(int(system[-1]) + 1, device=system.device)
        found[system[centre]] = 1.0
        return found[system[first]][:, None]

    def _atom_convolution(
        self, layer: int, atoms: Tensor, bonds: Tensor, weights: Tensor, first: Tensor, second: Tensor
    ) -> Tensor:
        gated = self.atom_layers[layer]
        conv: Any = self.network.atom_conv_layers[layer]
        as_centre = atoms @ gated.weights[0] + gated.bias  # (N, 2 H)
        as_neighbour = atoms @ gated.weights[2]
        along = bonds @ gated.weights[1]  # (B, 2 H)
        hidden = torch.cat(
            [
                as_centre.index_select(0, first).add_(along).add_(as_neighbour.index_select(0, second)),
                as_centre.index_select(0, second).add_(along).add_(as_neighbour.index_select(0, first)),
            ]
        )
        message = gated(hidden) * torch.cat([weights, weights])
        total = torch.zeros_like(atoms).index_add(0, torch.cat([first, second]), message)
        return atoms + conv.mlp_out(total)  # type: ignore[no-any-return]

    @staticmethod
    def _angle_message(
        gated: GatedLayer, atoms: Tensor, near: Tensor, angles: Tensor, centre: Tensor, left: Tensor, right: Tensor
    ) -> Tensor:
        hidden = torch.addmm(gated.bias, angles, gated.weights[2])
        hidden = hidden + (near @ gated.weights[0]).index_select(0, left)
        hidden = hidden + (near @ gated.weights[1]).index_select(0, right)
        return gated(hidden + (atoms @ gated.weights[3]).index_select(0, centre))


def load_chgnet(data: bytes, *, version: str, device: torch.device) -> CHGNetModel:
    """Return the model in the checked bytes of a checkpoint of the ``chgnet`` wheel.

    Parameters
    ----------
    data
        Content of the checkpoint.
    version
        ``0.3.0``, ``0.2.0`` or ``r2scan``.
    device
        Where tensors live.
    """
    from chgnet.model.model import CHGNet

    saved = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    with quiet():  # it prints its number of parameters
        # Version 0.2.0 has biases where later ones have none, and the checkpoints do not say so.
        network = CHGNet.from_dict(saved["model"], mlp_out_bias=version == "0.2.0", version=version)
    return CHGNetModel(network, device=device)
