"""Weights files: what is known of one before anything of it is loaded.

A ``.model`` file is a pickle, and a pickle is a program. It is therefore read as bytes, its SHA-256 compared, and its
archive and the names that it asks Python for looked at; the same bytes, and only they, are loaded afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickletools
import zipfile
from typing import TYPE_CHECKING

from genmat.errors import PotentialError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGES = frozenset({"torch", "mace", "e3nn"})
"""Packages whose names a model may ask for."""
NAMES = frozenset(
    {
        "builtins set",
        "builtins slice",
        "builtins int",
        "builtins float",
        "builtins complex",
        "__builtin__ set",
        "__builtin__ slice",
        "__builtin__ int",
        "__builtin__ float",
        "__builtin__ complex",
        "_codecs encode",
        "collections OrderedDict",
        "collections defaultdict",
        "numpy dtype",
        "numpy ndarray",
        "numpy.core.multiarray _reconstruct",
        "numpy.core.multiarray scalar",
        "numpy._core.multiarray _reconstruct",
        "numpy._core.multiarray scalar",
    }
)
"""Further names that a model may ask for."""


UNSAFE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
"""Variable that mace sets at import; with it every later ``torch.load`` of the process runs pickles unasked."""


@contextlib.contextmanager
def loads_stay_safe() -> Iterator[None]:
    """Undo what packages imported here leave in the environment."""
    before = os.environ.get(UNSAFE)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(UNSAFE, None)


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def read_file(path: Path) -> bytes:
    """Return the bytes of a weights file.

    Raises
    ------
    PotentialError
        If it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as err:
        msg = f"weights file {path} cannot be read: {err.strerror or err}"
        raise PotentialError(msg) from err


def checked_weights(path: Path, *, name: str, sha256: str) -> bytes:
    """Return the bytes of a weights file.

    Raises
    ------
    PotentialError
        If the file cannot be read or has another SHA-256.
    """
    data = read_file(path)
    digest = sha256_of(data)
    if digest != sha256:
        msg = f"weights of potential {name} have SHA-256 {digest[:12]}…, expected {sha256[:12]}…: refused"
        raise PotentialError(msg)
    return data


def check_model_archive(data: bytes, *, what: str, package: str) -> None:
    """Check that some bytes are a whole archive of torch that holds a model and asks for nothing else.

    Parameters
    ----------
    data
        Content of a weights file.
    what
        Its name, for the message.
    package
        Package whose classes the model is made of.

    Raises
    ------
    PotentialError
        If it is truncated, no archive of torch, or asks for other names; nothing of it was loaded.

    Notes
    -----
    This finds mistakes and crude attacks early. What makes a file safe to load is its SHA-256 alone.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            broken = archive.testzip()
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            texts = [archive.read(name) for name in pickles] if broken is None else []
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as err:
        msg = f"{what} is no archive of torch, or was cut off: {len(data)} bytes, {err}; refused"
        raise PotentialError(msg) from err
    if broken is not None or len(texts) != 1:
        why = f"its part {broken!r} is damaged" if broken is not None else "it holds no model"
        msg = f"{what} is no model file: {why}; refused"
        raise PotentialError(msg)
    wanted = pickle_names(texts[0], what=what)
    foreign = sorted(name for name in wanted if name not in NAMES and name.split(".")[0].split(" ")[0] not in PACKAGES)
    if foreign:
        asked = ", ".join(name.replace(" ", ".") for name in foreign[:3])
        msg = f"{what} asks Python for {asked}, which no model needs: it may be a program in disguise; refused"
        raise PotentialError(msg)
    if not any(name.startswith(f"{package}.") for name in wanted):
        msg = f"{what} holds no model of {package}; refused"
        raise PotentialError(msg)


def pickle_names(text: bytes, *, what: str) -> set[str]:
    """Return the names that a pickle asks for, as ``module name``, without running it.

    Raises
    ------
    PotentialError
        If it is no pickle of the protocol that torch writes.
    """
    names = set()
    try:
        for opcode, argument, _ in pickletools.genops(text):
            if opcode.name == "GLOBAL":
                names.add(str(argument))
            elif opcode.name in {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}:
                msg = f"{what} is a pickle that torch did not write ({opcode.name}); refused"
                raise PotentialError(msg)
    except (ValueError, IndexError, UnicodeDecodeError) as err:
        msg = f"{what} is no pickle: {err}; refused"
        raise PotentialError(msg) from err
    return names
