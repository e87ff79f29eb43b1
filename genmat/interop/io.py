"""Files for other programs, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from genmat.errors import StorageError


def write_text(path: Path, text: str) -> Path:
    """Write a file so that a reader finds the old content or all of the new one; return its path.

    Raises
    ------
    StorageError
        If it cannot be written; what was there stays as it was.
    """
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        partial = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files for their owner's eyes only; results are for colleagues too.
        partial.chmod(0o666 & ~_umask())
        partial.replace(path)
    except OSError as err:
        if partial is not None:
            with suppress(OSError):
                partial.unlink()
        msg = f"{path} cannot be written: {err.strerror or err}; free space, or choose another place with --output"
        raise StorageError(msg) from err
    return path


def check_writable(folder: Path) -> None:
    """Raise unless files can be written into a folder, which need not exist; nothing is left behind.

    Raises
    ------
    StorageError
        If it cannot be created or written to.
    """
    present = folder.absolute()
    while not present.exists() and present != present.parent:
        present = present.parent
    try:
        if not present.is_dir():
            raise NotADirectoryError(20, "is a file, expected a folder")
        # Asking for permissions is not enough: a read-only or full file system and the superuser disagree with them.
        with tempfile.TemporaryFile(dir=present) as file:
            file.write(b"genmat")
            file.flush()
    except OSError as err:
        where = f"{present}: " if present != folder.absolute() else ""
        msg = f"folder {folder} cannot be written: {where}{err.strerror or err}; choose another one with --output"
        raise StorageError(msg) from err


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
