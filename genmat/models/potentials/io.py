"""The user's allow-list of weights: records and files in the data folder, and published files to fetch.

``potentials/NAME.json`` says what a potential is, ``potentials/NAME.model`` holds its weights; only their owner can
read them. What is not on the list is not loaded.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import urllib.error
import urllib.request
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, NamedTuple

from genmat.energy import EnergyScale
from genmat.errors import PotentialError, StorageError
from genmat.models.potentials.registry import Family, Potential, known_potentials
from genmat.models.potentials.weights import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "potentials"
NAME_PATTERN = r"[a-z0-9][a-z0-9._-]{0,63}"
LARGEST_DOWNLOAD = 2_000_000_000
TIMEOUT = 60.0
"""How long a server may stay silent, s."""


class Published(NamedTuple):
    """A checkpoint that its authors publish: where, and the scale of its energies (engine aside)."""

    url: str
    functional: str
    hubbard: str
    pseudopotentials: str
    correction: str
    licence: str


_RELEASES = "https://github.com/ACEsuit/mace-mp/releases/download"
PUBLISHED = {
    "mace-mpa-0": Published(f"{_RELEASES}/mace_mpa_0/mace-mpa-0-medium.model", "PBE", "MP", "PBE", "none", "MIT"),
    "mace-mp-0b3": Published(f"{_RELEASES}/mace_mp_0b3/mace-mp-0b3-medium.model", "PBE", "MP", "PBE", "none", "MIT"),
    "mace-mp-0": Published(
        f"{_RELEASES}/mace_mp_0/2023-12-03-mace-128-L1_epoch-199.model", "PBE", "MP", "PBE", "none", "MIT"
    ),
}
"""Models of the Materials Project's raw energies. Their SHA-256 is asked of the user: none is published with them."""


def potentials_folder() -> Path:
    """Return the folder of the allow-list, whether or not it exists."""
    from genmat.settings import Settings

    return Settings.load().data_folder / FOLDER


def allowed_potentials(folder: Path | None = None) -> dict[str, Potential]:
    """Return the potentials on the allow-list, by name.

    Raises
    ------
    PotentialError
        If a record is damaged, or others can write it.
    """
    found = {}
    for path in sorted((folder or potentials_folder()).glob("*.json")):
        potential = _read_record(path)
        found[potential.name] = potential
    return found


def _read_record(path: Path) -> Potential:
    if stat.S_IMODE(path.stat().st_mode) & 0o022:
        msg = f"{path} can be written by others, who could allow any file: chmod go-w it after looking into it"
        raise PotentialError(msg)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record |= {
            "family": Family(record["family"]),
            "scale": EnergyScale.from_dict(record["scale"]),
            "atomic_numbers": frozenset(int(number) for number in record["atomic_numbers"]),
        }
        potential = Potential(**record)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as err:
        msg = f"{path} is no record of a potential ({err}): add its weights again with genmat models add"
        raise PotentialError(msg) from err
    weights = str(path.parent / potential.weights) if potential.weights else ""
    return replace(potential, weights=weights)


def allow(potential: Potential, data: bytes, *, folder: Path | None = None) -> Potential:
    """Put a potential on the allow-list, its weights beside it; return it as it will be found.

    Parameters
    ----------
    potential
        What is known of it; its ``weights`` are replaced.
    data
        Content of its weights file; empty if it needs none.
    folder
        Folder of the list; default: in the data folder of the settings.

    Raises
    ------
    PotentialError
        If the name is wrong, or taken by other weights.
    StorageError
        If the folder cannot be written.
    """
    folder = folder or potentials_folder()
    check_new_name(potential.name, sha256=potential.sha256, folder=folder)
    present = allowed_potentials(folder).get(potential.name)
    if present is not None and present.key != potential.key:
        # Campaigns that have begun would go on with other energies.
        scales = f"is there on the scale {present.scale}, got {potential.scale}"
        msg = f"potential {potential.name} {scales}: choose another name"
        raise PotentialError(msg)
    file = f"{potential.name}.model" if data else ""
    record = asdict(replace(potential, weights=file)) | {"atomic_numbers": sorted(potential.atomic_numbers)}
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if data:
            _write(folder / file, data)
        _write(folder / f"{potential.name}.json", json.dumps(record, indent=1).encode())
    except OSError as err:
        msg = f"potential {potential.name} cannot be kept in {folder}: {err.strerror or err}"
        raise StorageError(msg) from err
    return allowed_potentials(folder)[potential.name]


def check_new_name(name: str, *, sha256: str, folder: Path | None = None) -> None:
    """Raise :class:`PotentialError` unless a name may be given to weights."""
    if not re.fullmatch(NAME_PATTERN, name):
        msg = f"potential name {name!r}: expected small letters, digits, '.', '_' and '-', a letter or digit first"
        raise PotentialError(msg)
    if name in known_potentials():
        msg = f"potential {name} comes with genmat: choose another name"
        raise PotentialError(msg)
    present = allowed_potentials(folder).get(name)
    if present is not None and present.sha256 != sha256:
        msg = f"potential {name} is taken by weights {present.sha256[:12]}…, got {sha256[:12]}…: choose another name"
        raise PotentialError(msg)


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def check_expected(data: bytes, *, what: str, sha256: str | None, trust: bool) -> str:
    """Return the SHA-256 of a weights file that is to be allowed.

    Parameters
    ----------
    data
        Its content.
    what
        Its name, for messages.
    sha256
        What its authors say; compared.
    trust
        Whether the user vouches for the file instead.

    Raises
    ------
    PotentialError
        If the hash is another one, or neither is given.
    """
    digest = sha256_of(data)
    if sha256 is not None:
        wanted = sha256.strip().lower()
        if not re.fullmatch(r"[0-9a-f]{64}", wanted):
            msg = f"--sha256 {sha256!r} is no SHA-256: expected 64 hexadecimal digits"
            raise PotentialError(msg)
        if wanted != digest:
            msg = f"{what} has SHA-256 {digest}, expected {wanted}: refused, get the file again"
            raise PotentialError(msg)
    elif not trust:
        msg = (
            f"{what} is a pickle: loading it runs whatever program is in it. Its SHA-256 is {digest}; give the one "
            f"that its authors publish as --sha256, or --trust if you made the file yourself"
        )
        raise PotentialError(msg)
    return digest


def download(url: str) -> bytes:
    """Return the content of a published file.

    Raises
    ------
    PotentialError
        If it cannot be fetched, in one line that says what to do offline.
    """
    where = url.split("/")[2]
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310 - the addresses are ours
            data: bytes = answer.read(LARGEST_DOWNLOAD)
    except (urllib.error.URLError, OSError, ValueError) as err:
        reason = getattr(err, "reason", None) or err
        msg = f"{where} cannot be reached ({reason}): fetch {url} on another machine, then genmat models add NAME FILE"
        raise PotentialError(msg) from err
    return data
