"""The one file format of trained models: a ``.safetensors`` file whose header carries a JSON text, no pickle.

The header's metadata holds, under :data:`HEADER_KEY`, ::

    {"kind": "property-heads", "version": 1, "code_version": "0.1.0", "sha256": "…",
     "config": {…}, "metadata": {"data_id": "…", "seed": 1, "metrics": {…}, …}}

``sha256`` covers kind, version, config and every tensor with its name, type, shape and bytes. What was said about the
model (``metadata``) is outside it: adding a metric does not make another model.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

import genmat
from genmat.errors import ModelError, StorageError
from genmat.ids import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

HEADER_KEY = "genmat"
"""Key of the JSON text in the metadata of the safetensors header."""

MAX_HALF = 60000.0
"""Largest magnitude stored as float16, whose own largest number is 65504; a tensor beyond stays float32."""

_LENGTH = struct.Struct("<Q")
_MAX_HEADER = 100_000_000

type Updater = Callable[[Checkpoint], Checkpoint]


class Checkpoint(NamedTuple):
    """What a file holds.

    Parameters
    ----------
    config
        What the network is built from; plain JSON values.
    tensors
        Arrays by name; never float16, which is a way to store float32.
    metadata
        What is known about the training: data, seed, metrics; read from a file also ``sha256`` and ``code_version``.
    """

    config: dict[str, Any]
    tensors: dict[str, NDArray[Any]]
    metadata: dict[str, Any]


UPDATERS: dict[tuple[str, int], Updater] = {}
"""Functions by kind and version: each makes the content of a checkpoint of that version one of the next."""


def write_checkpoint(
    path: Path,
    *,
    kind: str,
    version: int,
    config: Mapping[str, Any],
    tensors: Mapping[str, Any],
    metadata: Mapping[str, Any],
    half: bool = False,
) -> str:
    """Write one file; an existing one is replaced only once the other is complete and on disk.

    Parameters
    ----------
    path
        The file, ``.safetensors``; its folder is made if absent.
    kind
        What it is, such as ``property-heads``.
    version
        Version of the layout of ``config`` and ``tensors`` of this kind.
    config
        Plain JSON values, finite numbers only.
    tensors
        NumPy arrays or torch tensors (on any device) by name.
    metadata
        Training data, seed, metrics and such; plain JSON values, finite numbers only.
    half
        Store float32 tensors as float16 (11 significant bits); they are read back as float32.

    Returns
    -------
    str
        SHA-256 of the content.

    Raises
    ------
    ModelError
        If ``config`` or ``metadata`` is no JSON, or a tensor has a type that the file format lacks.
    StorageError
        If the file cannot be written.
    """
    arrays = {name: _array(name, tensor) for name, tensor in tensors.items()}
    if half:
        arrays = {name: array.astype(np.float16) if _fits_half(array) else array for name, array in arrays.items()}
    try:
        digest = content_sha256(kind, version, config, arrays)
        header = {
            "kind": kind,
            "version": version,
            "code_version": genmat.__version__,
            "sha256": digest,
            "config": dict(config),
            "metadata": dict(metadata),
        }
        content = save(arrays, metadata={HEADER_KEY: canonical_json(header)})
    except (TypeError, ValueError, SafetensorError) as err:
        msg = f"checkpoint {path} cannot be written, config, metadata or a tensor has values of a wrong type: {err}"
        raise ModelError(msg) from err
    _replace(path, content)
    return digest


def read_checkpoint(path: Path, *, kind: str, version: int, sha256: str | None = None) -> Checkpoint:
    """Return what a file holds, checked, brought to ``version``.

    Parameters
    ----------
    path
        The file.
    kind
        What it has to be.
    version
        Newest version that the caller understands; older ones go through :data:`UPDATERS`.
    sha256
        Content that is registered under this name; ``None`` accepts any that agrees with its own header.

    Raises
    ------
    ModelError
        If the file is missing, truncated, altered, no checkpoint of genmat, of another kind, of a newer version, of an
        old one that nothing updates, or not the registered one.
    """
    header, raw = _read_header(path)
    if header.get("kind") != kind:
        msg = f"checkpoint {path} holds a model of kind {header.get('kind')!r}, expected {kind!r}"
        raise ModelError(msg)
    try:
        found, stated = int(header["version"]), str(header["sha256"])
        config, metadata = dict(header["config"]), dict(header["metadata"])
        arrays = load(raw)
    except (KeyError, TypeError, ValueError, SafetensorError) as err:
        msg = f"checkpoint {path} is damaged ({type(err).__name__}: {err}): get it again"
        raise ModelError(msg) from err
    if found > version:
        msg = f"checkpoint {path} has version {found} of {kind}, this genmat reads up to {version}: update genmat"
        raise ModelError(msg)
    digest = content_sha256(kind, found, config, arrays)
    if digest != stated:
        msg = f"checkpoint {path} was altered, its content is {digest[:12]}, not {stated[:12]}: get it again"
        raise ModelError(msg)
    if sha256 is not None and digest != sha256:
        msg = f"checkpoint {path} has SHA-256 {digest[:12]}…, registered is {sha256[:12]}…: refused"
        raise ModelError(msg)
    arrays = {name: array.astype(np.float32) if array.dtype == np.float16 else array for name, array in arrays.items()}
    metadata |= {"sha256": digest, "code_version": str(header.get("code_version", "unknown"))}
    return _update(Checkpoint(config, arrays, metadata), path=path, kind=kind, found=found, version=version)


def read_any_checkpoint(path: Path) -> tuple[str, Checkpoint]:
    """Return kind and content of a file of whatever kind, checked, at its own version.

    Raises
    ------
    ModelError
        If the file is missing, truncated, altered or no checkpoint of genmat.
    """
    header, _ = _read_header(path)
    kind, version = str(header.get("kind")), header.get("version")
    return kind, read_checkpoint(path, kind=kind, version=version if isinstance(version, int) else 0)


def content_sha256(kind: str, version: int, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of what makes a model: kind, version, config, and name, type, shape and bytes of each tensor.

    Independent of the order of the tensors and of how a file lays them out.
    """
    digest = hashlib.sha256(canonical_json([kind, version, dict(config)]).encode())
    for name, array in sorted(arrays.items()):
        digest.update(canonical_json([name, array.dtype.name, list(array.shape)]).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _read_header(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return the JSON text of a file, parsed, and all bytes of the file."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError as err:
        msg = f"checkpoint {path} does not exist"
        raise ModelError(msg) from err
    except OSError as err:
        msg = f"checkpoint {path} cannot be read: {err.strerror or err}"
        raise ModelError(msg) from err
    length = _LENGTH.unpack_from(raw)[0] if len(raw) >= _LENGTH.size else 0
    start = _LENGTH.size + length
    if not 0 < length <= _MAX_HEADER or raw[_LENGTH.size : _LENGTH.size + 1] not in (b"{", b""):
        msg = f"{path} is no safetensors file" if raw else f"checkpoint {path} is empty"
        raise ModelError(msg)
    try:
        table = json.loads(raw[_LENGTH.size : start]) if len(raw) >= start else None
    except ValueError as err:
        msg = f"{path} is no safetensors file"
        raise ModelError(msg) from err
    if table is None or len(raw) < start + _size(table):
        msg = f"checkpoint {path} is truncated ({len(raw):,} bytes): get it again"
        raise ModelError(msg)
    try:
        header = json.loads(table["__metadata__"][HEADER_KEY])
    except (KeyError, TypeError, ValueError) as err:
        msg = f"{path} is a safetensors file, but not one of genmat: its metadata lacks {HEADER_KEY!r}"
        raise ModelError(msg) from err
    if not isinstance(header, dict):
        msg = f"{path} is a safetensors file, but not one of genmat: its {HEADER_KEY!r} is no JSON object"
        raise ModelError(msg)
    return header, raw


def _size(table: Any) -> int:
    """Return how many bytes of tensors the table of a safetensors file announces; 0 if it is malformed."""
    try:
        ends = [int(entry["data_offsets"][1]) for name, entry in table.items() if name != "__metadata__"]
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        return 0
    return max(ends, default=0)


def _update(checkpoint: Checkpoint, *, path: Path, kind: str, found: int, version: int) -> Checkpoint:
    for step in range(found, version):
        updater = UPDATERS.get((kind, step))
        if updater is None:
            msg = f"checkpoint {path} has version {found} of {kind}, this genmat reads {version}: train it again"
            raise ModelError(msg)
        checkpoint = updater(checkpoint)
    return checkpoint


def _array(name: str, tensor: Any) -> NDArray[Any]:
    """Return a tensor of NumPy or torch as a contiguous array."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        tensor = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    array = np.asarray(tensor)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        msg = f"tensor {name!r} has type {array.dtype}, expected floating-point, integer or boolean numbers"
        raise ModelError(msg)
    return np.ascontiguousarray(array).reshape(array.shape)


def _fits_half(array: NDArray[Any]) -> bool:
    return array.dtype == np.float32 and (array.size == 0 or bool(np.abs(array).max() <= MAX_HALF))


def _replace(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, flush it to disk, then rename."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as err:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        msg = f"checkpoint cannot be written to {path}: {err.strerror or err}"
        raise StorageError(msg) from err
