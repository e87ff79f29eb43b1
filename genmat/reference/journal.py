"""An append-only file of finished work: what a killed build has done is not done again."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from genmat.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Journal:
    """JSON lines keyed by ``material_id``.

    Parameters
    ----------
    path
        File; created at the first write. A last line that a kill tore is dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the records by ``material_id``; of two with one id, the later."""
        records: dict[str, dict[str, Any]] = {}
        if not self.path.exists():
            return records
        with self.path.open(encoding="utf-8") as file:
            for line in file:
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:
                    continue
                records[record["material_id"]] = record
        return records

    def append(self, records: Iterable[dict[str, Any]]) -> None:
        """Write records and wait until the disk has them.

        Raises
        ------
        StorageError
            If the disk is full or the folder read-only.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                if file.tell() and not self._ends_with_newline():
                    file.write(b"\n")
                for record in records:
                    file.write(json.dumps(record).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as err:
            msg = f"cannot write {self.path}: {err.strerror}; free space or choose another --work-folder, then resume"
            raise StorageError(msg) from err

    def _ends_with_newline(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
