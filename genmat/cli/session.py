"""What the commands of one invocation share: flags, settings, logging, the database."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from genmat.cli import terminal
from genmat.errors import CampaignError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from genmat.database.store import Store
    from genmat.settings import Settings

_FOR_CHILDREN = ("data_folder", "reference")
"""Flags that jobs and worker processes must see too; they read the environment."""


class Session:
    """Flags of one invocation and what follows from them; a context manager.

    Parameters
    ----------
    flags
        Settings given as flags; ``None`` for those that were not.
    log_file
        File that gets the log too.
    """

    def __init__(self, *, flags: Mapping[str, Any], log_file: Path | None) -> None:
        self.flags = dict(flags)
        self.log_file = log_file
        self._environment: dict[str, str | None] = {}

    def __enter__(self) -> Self:
        """Configure logging and export the flags that children need."""
        terminal.configure_logging(level=_level_name(self.flags.get("log_level")), log_file=self.log_file)
        for name in _FOR_CHILDREN:
            if (value := self.flags.get(name)) is not None:
                variable = f"GENMAT_{name.upper()}"
                self._environment[variable] = os.environ.get(variable)
                os.environ[variable] = str(value.expanduser().absolute())
        return self

    def __exit__(self, *_error: object) -> None:
        """Restore the environment and the logging."""
        for variable, value in self._environment.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value
        terminal.end_logging()

    @cached_property
    def settings(self) -> Settings:
        """Settings with the flags in front.

        Raises
        ------
        SettingsError
            If a value is wrong.
        """
        from genmat.settings import Settings

        settings = Settings.load(**self.flags)
        terminal.set_level(settings.log_level.value)
        return settings

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Open the database for writing."""
        from genmat.database.store import connect

        with connect(self.settings) as store:
            yield store

    @contextmanager
    def reader(self, *, wanted: str | None = None) -> Iterator[Store | None]:
        """Open the database for reading; ``None`` if there cannot be anything in it.

        Parameters
        ----------
        wanted
            Campaign or id that is looked for.

        Raises
        ------
        CampaignError
            If something is looked for and there is no database.
        """
        from genmat.database.connection import has_database
        from genmat.database.store import connect

        if not has_database(self.settings):
            if wanted is not None:
                folder = self.settings.data_folder
                msg = f"no campaign or id {wanted!r}: nothing was run yet in {folder}; genmat run FILE starts one"
                raise CampaignError(msg)
            yield None
            return
        with connect(self.settings, read_only=True) as store:
            yield store

    @contextmanager
    def reader_of(self, wanted: str) -> Iterator[Store]:
        """Open the database for reading what it must hold."""
        with self.reader(wanted=wanted) as store:
            if store is None:
                msg = f"no campaign or id {wanted!r}: genmat status lists the campaigns"
                raise CampaignError(msg)
            yield store


def campaign_names(incomplete: str) -> list[str]:
    """Return the campaigns whose names begin like a word; a shell that completes it shall see no error."""
    from contextlib import suppress

    from genmat.database.connection import has_database
    from genmat.database.store import connect
    from genmat.errors import GenmatError
    from genmat.settings import Settings

    with suppress(GenmatError):
        settings = Settings.load()
        if has_database(settings):
            with connect(settings, read_only=True, time_limit=1.0) as store:
                return [entry["id"] for entry in store.campaigns.project({}, ()) if entry["id"].startswith(incomplete)]
    return []


def session_of(context: Any) -> Session:
    """Return the session of a typer context."""
    session = context.obj
    if not isinstance(session, Session):
        msg = f"the command was started without a session, got {type(session).__name__}"
        raise TypeError(msg)
    return session


def _level_name(given: str | None) -> str:
    level = (given or os.environ.get("GENMAT_LOG_LEVEL") or "warning").upper()
    return level if level in logging.getLevelNamesMapping() else "WARNING"
