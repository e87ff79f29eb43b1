"""Which potentials exist, on which energy scale their energies lie, and how to load one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from genmat.energy import EnergyScale
from genmat.errors import PotentialError, did_you_mean

if TYPE_CHECKING:
    from torch_sim.models.interface import ModelInterface


@dataclass(frozen=True, slots=True)
class Potential:
    """A machine-learned potential with known weights.

    Parameters
    ----------
    name
        Name in campaigns, such as ``chgnet-0.3.0``.
    version
        Version by which its own package calls it.
    weights
        Weights file relative to its package.
    sha256
        SHA-256 of the weights file; another file is refused before it is loaded.
    scale
        Energy scale of its energies.
    max_atomic_number
        Heaviest element it was made for; all lighter ones are supported.
    licence
        Licence of the weights.
    """

    name: str
    version: str
    weights: str
    sha256: str
    scale: EnergyScale
    max_atomic_number: int
    licence: str

    @property
    def location(self) -> Path:
        """Path of the weights file.

        Raises
        ------
        PotentialError
            If the package is not installed or has no such file.
        """
        spec = find_spec("chgnet")
        if spec is None or spec.origin is None:
            msg = f"potential {self.name} needs the package chgnet, which is not installed: pip install chgnet"
            raise PotentialError(msg)
        path = Path(spec.origin).parent / self.weights
        if not path.is_file():
            msg = f"weights of potential {self.name} are missing from the package chgnet: reinstall it"
            raise PotentialError(msg)
        return path

    def check_weights(self) -> None:
        """Raise :class:`PotentialError` unless the weights file is the known one."""
        digest = hashlib.sha256(self.location.read_bytes()).hexdigest()
        if digest != self.sha256:
            msg = f"weights of potential {self.name} have SHA-256 {digest[:12]}…, expected {self.sha256[:12]}…: refused"
            raise PotentialError(msg)

    def load(self, *, device: str = "cpu") -> ModelInterface:
        """Return the torch-sim model, its weights checked."""
        import torch

        from genmat.models.potentials.chgnet import load_chgnet

        self.check_weights()
        return load_chgnet(self.version, device=torch.device(device))


def _chgnet(version: str, weights: str, sha256: str) -> Potential:
    scale = EnergyScale(
        engine=f"chgnet-{version}", functional="PBE", hubbard="MP", pseudopotentials="PBE", correction="MP2020"
    )
    return Potential(
        name=f"chgnet-{version}",
        version=version,
        weights=f"pretrained/{version}/{weights}",
        sha256=sha256,
        scale=scale,
        max_atomic_number=94,
        licence="BSD-3-Clause",
    )


@cache
def known_potentials() -> dict[str, Potential]:
    """Return every potential by name."""
    potentials = (
        _chgnet(
            "0.3.0",
            "chgnet_0.3.0_e29f68s314m37.pth.tar",
            "d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1",
        ),
        _chgnet(
            "0.2.0",
            "chgnet_0.2.0_e30f77s348m32.pth.tar",
            "ef624f78b6db9d315b4ef256f1bb3207449924191b91720dc17d3f60c5df980e",
        ),
    )
    return {potential.name: potential for potential in potentials}


def get_potential(name: str) -> Potential:
    """Return the potential called ``name``.

    Raises
    ------
    PotentialError
        If there is none of that name; names the nearest one.
    """
    known = known_potentials()
    if name not in known:
        msg = f"unknown potential {name!r}, known are {', '.join(sorted(known))}.{did_you_mean(name, known)}"
        raise PotentialError(msg)
    return known[name]
