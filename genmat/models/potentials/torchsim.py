"""Any model of ``torch_sim.models`` by the name of its class."""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from typing import TYPE_CHECKING, Any

from torch_sim.models.interface import ModelInterface

from genmat.errors import PotentialError
from genmat.models.potentials.neighbours import cpu_neighbours
from genmat.models.potentials.weights import loads_stay_safe

if TYPE_CHECKING:
    from pathlib import Path

    import torch

WEIGHTS_ARGUMENT = "weights_argument"
"""Option that names the constructor's argument for the weights file; ``model`` by default."""


def load_torchsim(
    version: str, options: dict[str, Any], *, name: str, weights: Path | None, device: torch.device
) -> ModelInterface:
    """Return a model of torch-sim.

    Parameters
    ----------
    version
        ``module.Class`` inside ``torch_sim.models``, such as ``lennard_jones.LennardJonesModel``.
    options
        Further arguments of the constructor.
    name
        Name of the potential, for messages.
    weights
        Checked weights file, or ``None``.
    device
        Where the model runs.

    Raises
    ------
    PotentialError
        If there is no such model, its package is not installed, or it gives no forces and stresses.
    """
    arguments = dict(options)
    weights_argument = arguments.pop(WEIGHTS_ARGUMENT, "model")
    if weights is not None:
        arguments[weights_argument] = str(weights)
    with loads_stay_safe():
        return _made(_class(version, name), arguments, version, name=name, device=device)


def _made(make: Any, arguments: dict[str, Any], version: str, *, name: str, device: torch.device) -> ModelInterface:
    if device.type == "cpu" and "neighbor_list_fn" in inspect.signature(make).parameters:
        arguments.setdefault("neighbor_list_fn", cpu_neighbours)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a package calls deprecated
            model = make(**arguments, device=device)
    except Exception as err:  # packages that genmat does not bring, reading a file that may be anything
        reason = str(err).partition("\n")[0] or type(err).__name__
        msg = f"potential {name}: torch_sim.models.{version} cannot be made of {sorted(arguments)}: {reason}"
        raise PotentialError(msg) from err
    if not (isinstance(model, ModelInterface) and model.compute_forces and model.compute_stress):
        msg = f"potential {name}: torch_sim.models.{version} gives no forces and stresses, which relaxation needs"
        raise PotentialError(msg)
    return model


def _class(version: str, name: str) -> Any:
    if not re.fullmatch(r"[a-z][a-z0-9_]*\.[A-Za-z][A-Za-z0-9]*", version):
        msg = f"potential {name}: {version!r} is no model of torch-sim, expected module.Class such as orb.OrbModel"
        raise PotentialError(msg)
    module, _, class_name = version.partition(".")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a module whose package is absent warns with a traceback
            made = getattr(importlib.import_module(f"torch_sim.models.{module}"), class_name)
    except (ImportError, AttributeError) as err:
        msg = f"potential {name}: torch_sim.models has no {version}: {err}"
        raise PotentialError(msg) from err
    return made
