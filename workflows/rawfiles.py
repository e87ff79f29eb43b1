"""Folders of the raw files of calculations."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from genmat.errors import DiskFullError, StorageError, is_out_of_space

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def run_folder(kept: Path | None) -> Iterator[Path]:
    """Yield the folder of one attempt: a further one of those that are kept, or one that vanishes.

    Raises
    ------
    DiskFullError
        If there is no room for one that is kept.
    StorageError
        If that cannot be made for another reason.
    """
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="genmat-dft-") as scratch:
            yield Path(scratch) / "run"
        return
    try:
        kept.mkdir(parents=True, exist_ok=True)
        # mkdir decides between processes that compute the same: each has an attempt of its own.
        number = next(number for number in count(1) if _is_made(kept / f"attempt-{number}"))
    except OSError as err:
        kind = DiskFullError if is_out_of_space(err) else StorageError
        what = f"raw files of a calculation cannot be kept in {kept}: {err.strerror or err}"
        msg = f"{what}; make room there, or name another folder with GENMAT_DFT_FOLDER"
        raise kind(msg) from err
    yield kept / f"attempt-{number}"


def _is_made(folder: Path) -> bool:
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True
