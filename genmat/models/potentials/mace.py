"""MACE models behind torch-sim's interface, from weights that were checked before."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
import torch_sim as ts
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

from genmat.errors import PotentialError
from genmat.models.potentials.neighbours import cpu_neighbours
from genmat.models.potentials.quiet import quiet
from genmat.models.potentials.weights import loads_stay_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch_sim.models.interface import ModelInterface

logger = logging.getLogger(__name__)

SAME_ENERGY, SAME_FORCE = 1e-4, 1e-3
"""Largest differences (eV/atom, eV/Å) between two implementations of one model."""


@contextlib.contextmanager
def _importing_mace() -> Iterator[None]:
    """Import mace without what it prints, and without what it leaves in the environment."""
    with quiet(), loads_stay_safe(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mace  # noqa: F401 - before e3nn, whose tables it makes loadable

        yield


def read_mace(data: bytes, *, name: str) -> Any:
    """Return the network in the bytes of a ``.model`` file; this runs the file as a program.

    Raises
    ------
    PotentialError
        If it is no MACE model.
    """
    with _importing_mace():
        from mace.calculators import mace_torchsim  # noqa: F401 - what the pickle names must be importable

        try:
            network = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
        except Exception as err:
            msg = f"weights of potential {name} cannot be loaded: {str(err).partition(chr(10))[0]}"
            raise PotentialError(msg) from err
    if not (isinstance(network, torch.nn.Module) and hasattr(network, "atomic_numbers") and hasattr(network, "r_max")):
        msg = f"weights of potential {name} hold a {type(network).__name__}, expected a MACE model"
        raise PotentialError(msg)
    return network


def load_mace(data: bytes, *, name: str, device: torch.device, head: str | None = None) -> ModelInterface:
    """Return the torch-sim model of some checked weights, in the precision that they were saved in.

    Parameters
    ----------
    data
        Content of a ``.model`` file whose SHA-256 was checked.
    name
        Name of the potential, for messages.
    device
        Where the model runs.
    head
        Which head of a model with several; without it such a model is refused.

    Notes
    -----
    cuEquivariance is used on a GPU where it is installed, works, and gives the same energy and forces for a probe
    crystal.

    Raises
    ------
    PotentialError
        If it is no MACE model, or ``head`` is wrong.
    """
    network = read_mace(data, name=name)
    _check_head(network, head, name)
    plain = _wrapped(network, device, head, fast=False)
    if device.type != "cuda" or find_spec("cuequivariance_torch") is None:
        return plain
    probe = _probe(int(network.atomic_numbers[0]))
    return faster(plain, lambda: _wrapped(read_mace(data, name=name), device, head, fast=True), probe, name=name)


def faster(
    plain: ModelInterface, build: Callable[[], ModelInterface], crystal: Structure, *, name: str
) -> ModelInterface:
    """Return what ``build`` makes if it is the same model as ``plain``, and ``plain`` otherwise.

    Parameters
    ----------
    plain
        The reference implementation.
    build
        Makes the model once more, by faster kernels; whatever it raises is logged.
    crystal
        What both are asked about.
    name
        Name of the potential, for messages.
    """
    try:
        fast = build()
        is_same = is_same_model(plain, fast, crystal)
    except Exception as err:  # noqa: BLE001 - a package that genmat does not bring: it may fail in any way
        logger.warning("cuEquivariance fails for potential %s, it is not used: %s", name, str(err).partition("\n")[0])
        return plain
    if is_same:
        return fast
    logger.warning("cuEquivariance gives other energies of potential %s: it is not used", name)
    return plain


def elements_of(data: bytes, *, name: str, head: str | None = None) -> frozenset[int]:
    """Return the elements of some checked weights; raises as :func:`load_mace`."""
    network = read_mace(data, name=name)
    _check_head(network, head, name)
    return frozenset(int(number) for number in network.atomic_numbers)


def _check_head(network: Any, head: str | None, name: str) -> None:
    heads = list(getattr(network, "heads", ["Default"]))
    if (head is None and len(heads) > 1) or (head is not None and head not in heads):
        msg = f"potential {name} has the heads {', '.join(heads)}: name one of them with --option head=NAME"
        raise PotentialError(msg)


def _wrapped(network: Any, device: torch.device, head: str | None, *, fast: bool) -> ModelInterface:
    with _importing_mace():
        from mace.calculators.mace_torchsim import MaceTorchSimModel

        wrapped: ModelInterface = MaceTorchSimModel(
            network,
            device=device,
            dtype=next(network.parameters()).dtype,
            neighbor_list_fn=cpu_neighbours if device.type == "cpu" else None,
            enable_cueq=fast,
            head=head,
        )
    return wrapped


def _probe(number: int) -> Structure:
    """Return a crystal of one element that is not at rest."""
    lattice = Lattice.from_parameters(3.1, 3.3, 3.6, 80, 95, 105)
    species = [Element.from_Z(number).symbol] * 2
    return Structure(lattice, species, [[0.0, 0.0, 0.0], [0.46, 0.55, 0.47]])


def is_same_model(left: ModelInterface, right: ModelInterface, crystal: Structure) -> bool:
    """Return whether two models give one energy and the same forces for a crystal."""
    found = [model(ts.initialize_state([crystal], model.device, model.dtype)) for model in (left, right)]
    energies, forces = ([result[key].double().cpu() for result in found] for key in ("energy", "forces"))
    same_energy = bool((energies[0] - energies[1]).abs().max() / len(crystal) < SAME_ENERGY)
    return same_energy and bool((forces[0] - forces[1]).abs().max() < SAME_FORCE)
