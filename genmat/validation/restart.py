"""Where an unfinished relaxation got to, so that the next attempt goes on from there."""

from __future__ import annotations

import gzip
import warnings
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pymatgen.core.structure import Structure

CLOSEST = 0.5
"""Shortest distance of a geometry worth going on from, Å: a relaxation that collapsed starts again."""


def earlier_attempts(folder: Path) -> list[Path]:
    """Return the folders of the attempts at a calculation before the one of a folder, the latest first."""
    attempts = sorted(folder.parent.glob("attempt-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [path for path in attempts if path != folder]


def last_geometry(folder: Path, structure: Structure) -> Structure | None:
    """Return the last geometry of the crystal that an earlier run wrote, or ``None`` if it left none.

    VASP writes CONTCAR after every ionic step, so that a killed run loses one step at most.

    Parameters
    ----------
    folder
        Files of the run, at any depth.
    structure
        The crystal that it started from.
    """
    found = [path for name in ("CONTCAR", "CONTCAR.gz") for path in folder.rglob(name) if path.is_file()]
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        geometry = _read(path)
        if geometry is not None and geometry.composition == structure.composition and geometry.is_valid(CLOSEST):
            return geometry
    return None


def _read(path: Path) -> Structure | None:
    from pymatgen.core.structure import Structure as Crystal

    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Crystal.from_str(content.decode("utf-8"), fmt="poscar")
    except (OSError, EOFError, zlib.error, ValueError, IndexError, KeyError):
        return None  # cut while it was written: the geometry before it is as good
