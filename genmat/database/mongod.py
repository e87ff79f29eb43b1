"""Find a ``mongod`` that runs on this machine."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genmat.errors import SettingsError

if TYPE_CHECKING:
    from genmat.settings import Settings

WHEEL = "fiftyone-db"
LIBRARY = "libssl1.1"
_VERSION_TIMEOUT = 30.0  # s; the first read of a 140 MB program from a slow disk


@dataclass(frozen=True, slots=True)
class Mongod:
    """A ``mongod`` program and what it needs to run.

    Parameters
    ----------
    program
        The executable.
    origin
        How it was found: ``setting``, ``PATH`` or the name of the wheel.
    libraries
        Folders for ``LD_LIBRARY_PATH``.
    """

    program: Path
    origin: str
    libraries: tuple[Path, ...]

    @property
    def environment(self) -> dict[str, str]:
        """Environment of the process: this one's without genmat's settings, a password may be among them."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GENMAT_")}
        folders = [*map(str, self.libraries), environment.get("LD_LIBRARY_PATH", "")]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, folders))
        return environment

    def version(self) -> tuple[str | None, str]:
        """Return the version, or ``None``, and what the program said."""
        try:
            finished = subprocess.run(  # the user's own mongod
                [self.program, "--version"],
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=_VERSION_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as err:
            return None, str(err)
        lines = (finished.stdout or finished.stderr).strip().splitlines() or [f"exit code {finished.returncode}"]
        if finished.returncode or not lines[0].startswith("db version v"):
            return None, lines[0]
        return lines[0].removeprefix("db version v"), lines[0]


def library_folders(settings: Settings) -> tuple[Path, Path]:
    """Return where a private OpenSSL 1.1 may lie: beside the data, or in this Python environment."""
    return settings.data_folder / LIBRARY, Path(sys.prefix) / "share" / "genmat" / LIBRARY


def find_mongod(settings: Settings) -> Mongod | None:
    """Return the ``mongod`` of the settings, else of ``PATH``, else of the wheel; ``None`` if there is none.

    Raises
    ------
    SettingsError
        If the setting names a program that does not exist or may not be executed.
    """
    libraries = tuple(
        found.parent for folder in library_folders(settings) for found in folder.glob("usr/lib/*/libssl.so.1.1")
    )
    if settings.mongod is not None:
        if not os.access(settings.mongod, os.X_OK) or settings.mongod.is_dir():
            msg = f"setting mongod: {settings.mongod} is no program that can be executed: name another one"
            raise SettingsError(msg)
        return Mongod(settings.mongod, "setting", libraries)
    if on_path := shutil.which("mongod"):
        return Mongod(Path(on_path), "PATH", libraries)
    try:
        # Located without importing: the package that shares the wheel's name space is heavy.
        program = Path(str(importlib.metadata.distribution(WHEEL).locate_file("fiftyone/db/bin/mongod")))
    except importlib.metadata.PackageNotFoundError:
        return None
    return Mongod(program, WHEEL, libraries) if os.access(program, os.X_OK) else None
