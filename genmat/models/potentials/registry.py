"""Which potentials exist, on which energy scale their energies lie, and how to load one."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genmat.energy import EnergyScale
from genmat.errors import EnergyScaleError, PotentialError, did_you_mean
from genmat.ids import stable_id
from genmat.models.potentials.weights import checked_weights

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure
    from torch_sim.models.interface import ModelInterface


class Family(StrEnum):
    """Which code evaluates a potential."""

    CHGNET = "chgnet"
    MACE = "mace"
    TORCHSIM = "torchsim"


@dataclass(frozen=True, slots=True)
class Potential:
    """A machine-learned potential with known weights.

    Parameters
    ----------
    name
        Name in campaigns, such as ``chgnet-0.3.0``.
    family
        Code that evaluates it.
    version
        How the family calls it: CHGNet's version, or ``module.Class`` of ``torch_sim.models``.
    weights
        Weights file, relative to the package ``chgnet`` or absolute; empty where there is none.
    sha256
        SHA-256 of the weights file, another file is refused before it is loaded; without a file, of what stands here.
    scale
        Energy scale of its energies.
    atomic_numbers
        Elements it was made for.
    licence
        Licence of the weights.
    options
        JSON object of what the family's constructor is told besides.
    labels
        Engine whose energies it was trained to predict, such as ``vasp``; empty where nobody states one, and then no
        energy of it is compared with labels.
    adds
        Correction that genmat adds to the raw energies of the model, ``MP2020``, so that they lie on ``scale``; empty
        where the model's own do. Made by :func:`corrected`.

    Raises
    ------
    EnergyScaleError
        If ``adds`` is a correction that ``scale`` does not contain.
    """

    name: str
    family: Family
    version: str
    weights: str
    sha256: str
    scale: EnergyScale
    atomic_numbers: frozenset[int]
    licence: str
    options: str = "{}"
    labels: str = ""
    adds: str = ""

    def __post_init__(self) -> None:
        """Check that what is added is part of the scale, and can be added."""
        if self.adds and (self.adds != MP2020 or replace(self.scale, correction="none", engine="") != RAW_MP):
            msg = f"potential {self.name} is to get the correction {self.adds!r} on the scale {self.scale}: {_EXPECTED}"
            raise EnergyScaleError(msg)
        if self.adds and self.scale.correction != self.adds:
            msg = f"potential {self.name} gets the correction {self.adds}, its scale {self.scale} has to contain it"
            raise EnergyScaleError(msg)

    @property
    def key(self) -> str:
        """What an energy is owed to: the weights, and the correction that is added to what they give."""
        return stable_id("corrected", self.sha256, self.adds) if self.adds else self.sha256

    def correction(self, structure: Structure) -> float:
        """Return what is added to the model's energy of a crystal, eV per cell; 0 where nothing is."""
        if not self.adds:
            return 0.0
        from genmat.models.potentials.correction import mp2020_correction

        return mp2020_correction(structure)

    @property
    def label_scale(self) -> EnergyScale | None:
        """Scale of the labels that its energies predict, or ``None`` where nobody states one."""
        return replace(self.scale, engine=self.labels) if self.labels else None

    @property
    def location(self) -> Path | None:
        """Path of the weights file, or ``None`` if the potential needs none.

        Raises
        ------
        PotentialError
            If the package is not installed, or there is no such file.
        """
        if not self.weights:
            return None
        path = Path(self.weights)
        if not path.is_absolute():
            spec = find_spec(self.family.value)
            if spec is None or spec.origin is None:
                package = self.family.value
                msg = (
                    f"potential {self.name} needs the package {package}, which is not installed: pip install {package}"
                )
                raise PotentialError(msg)
            path = Path(spec.origin).parent / path
            if not path.is_file():
                msg = f"weights of potential {self.name} are missing from the package {self.family}: reinstall it"
                raise PotentialError(msg)
        elif not path.is_file():
            msg = f"weights of potential {self.name} are missing: {path}; add them again with genmat models add"
            raise PotentialError(msg)
        return path

    def check_weights(self) -> None:
        """Raise :class:`PotentialError` unless the weights file is the known one."""
        self._read()

    def _read(self) -> bytes:
        path = self.location
        return b"" if path is None else checked_weights(path, name=self.name, sha256=self.sha256)

    def load(self, *, device: str = "cpu") -> ModelInterface:
        """Return the torch-sim model, its weights checked before they are loaded.

        Parameters
        ----------
        device
            ``cpu``, ``cuda``, ``cuda:1``, or ``auto`` for a GPU where there is one.

        Raises
        ------
        PotentialError
            If the weights are missing or altered, or are no model of the family; or there is no such device.
        """
        from genmat.models.potentials.devices import get_device

        place = get_device(device)
        data = self._read()
        options: dict[str, Any] = json.loads(self.options)
        if self.family is Family.CHGNET:
            from genmat.models.potentials.chgnet import load_chgnet

            return load_chgnet(data, version=self.version, device=place)
        if self.family is Family.MACE:
            from genmat.models.potentials.mace import load_mace

            return load_mace(data, name=self.name, device=place, **options)
        from genmat.models.potentials.torchsim import load_torchsim

        return load_torchsim(self.version, options, name=self.name, weights=self.location, device=place)


MP2020 = "MP2020"
RAW_MP = EnergyScale("", "PBE", "MP", "PBE", "none")
"""Scale of the Materials Project's raw energies, engine aside: what MP2020 was fitted to."""
_EXPECTED = f"expected raw energies of the Materials Project ({RAW_MP})"


def corrected(potential: Potential) -> Potential:
    """Return a potential of the Materials Project's raw energies with MP2020 added to them.

    Raises
    ------
    EnergyScaleError
        If its energies are others, or contain a correction already.
    """
    if replace(potential.scale, engine="") != RAW_MP:
        msg = f"MP2020 cannot be added to energies of {potential.name} on the scale {potential.scale}: {_EXPECTED}"
        raise EnergyScaleError(msg)
    return replace(potential, scale=replace(potential.scale, correction=MP2020), adds=MP2020)


MAX_CHGNET = 94
"""Heaviest element of CHGNet: plutonium; all lighter ones are supported."""
_PBE_MP2020 = ("PBE", "MP", "PBE", "MP2020")


def _chgnet(version: str, weights: str, sha256: str, scale: tuple[str, str, str, str] = _PBE_MP2020) -> Potential:
    return Potential(
        name=f"chgnet-{version}",
        family=Family.CHGNET,
        version=version,
        weights=f"pretrained/{version}/{weights}",
        sha256=sha256,
        scale=EnergyScale(f"chgnet-{version}", *scale),
        atomic_numbers=frozenset(range(1, MAX_CHGNET + 1)),
        licence="BSD-3-Clause",
        labels="vasp",
    )


def parametrised(
    name: str, version: str, options: dict[str, Any], *, scale: EnergyScale, atomic_numbers: frozenset[int]
) -> Potential:
    """Return a potential of ``torch_sim.models`` that has parameters and no weights file."""
    return Potential(
        name=name,
        family=Family.TORCHSIM,
        version=version,
        weights="",
        sha256=stable_id("potential", version, options),
        scale=scale,
        atomic_numbers=atomic_numbers,
        licence="none needed",
        options=json.dumps(options, sort_keys=True),
    )


EVERY_ELEMENT = frozenset(range(1, 119))


@cache
def known_potentials() -> dict[str, Potential]:
    """Return every potential that genmat comes with, by name."""
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
        _chgnet(
            "r2scan",
            "chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
            "8eba3db0f35a2788bb3ae22885ad340591e27996f213c6643af522a633b50dad",
            # MPScanRelaxSet: no Hubbard U, PAW PBE_54, energies as VASP gives them.
            ("r2SCAN", "none", "PBE_54", "none"),
        ),
        # Argon, for tests of everything that is no matter of chemistry.
        parametrised(
            "lennard-jones",
            "lennard_jones.LennardJonesModel",
            {"sigma": 3.405, "epsilon": 0.0104, "cutoff": 8.5, "compute_stress": True},
            scale=EnergyScale("lennard-jones-argon", "none", "none", "none", "none"),
            atomic_numbers=EVERY_ELEMENT,
        ),
    )
    return {potential.name: potential for potential in potentials}


def all_potentials() -> dict[str, Potential]:
    """Return every potential by name: those that genmat comes with and those on the user's allow-list."""
    from genmat.models.potentials.io import allowed_potentials

    return {**allowed_potentials(), **known_potentials()}


def get_potential(name: str) -> Potential:
    """Return the potential called ``name``.

    Raises
    ------
    PotentialError
        If there is none of that name; names the nearest one.
    """
    known = known_potentials()
    if name not in known:
        known = all_potentials()
    if name not in known:
        msg = (
            f"unknown potential {name!r}, known are {', '.join(sorted(known))}; a weights file is added with genmat "
            f"models add.{did_you_mean(name, known)}"
        )
        raise PotentialError(msg)
    return known[name]
