"""Devices by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from genmat.errors import PotentialError, did_you_mean

if TYPE_CHECKING:
    import torch

NAMES = ("auto", "cpu", "cuda")


def get_device(name: str) -> torch.device:
    """Return a device.

    Parameters
    ----------
    name
        ``cpu``, ``cuda``, ``cuda:1`` and so on, or ``auto`` for a GPU where there is one.

    Raises
    ------
    PotentialError
        If there is no such device here.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name):
        msg = f"unknown device {name!r}, known are auto, cpu, cuda and cuda:N.{did_you_mean(name, NAMES)}"
        raise PotentialError(msg)
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        msg = (
            f"device {name!r} is not there: this machine has {torch.cuda.device_count()} CUDA devices; take cpu or auto"
        )
        raise PotentialError(msg)
    return device
