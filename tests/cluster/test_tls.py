"""Nobody reaches a mongod that asks for TLS and passwords without both; neither secret is found anywhere."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

import bson
import pymongo
import pytest

from genmat.database.mongod import find_mongod
from genmat.settings import Settings

from .conftest import CAMPAIGN
from .slurm import _port
from .test_secrets import command_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Place

pytestmark = pytest.mark.mongo
PASSWORD, PASSPHRASE = "planted-word-5d0a", "planted-phrase-91bc"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Start a mongod with --auth and --tlsMode requireTLS that asks clients for certificates; return its place."""
    certificates = pytest.importorskip("certificates", reason="no cryptography, which makes the certificates")
    folder = tmp_path / "m"
    (folder / "db").mkdir(parents=True)
    certificates.write_certificates(folder, password=PASSPHRASE)
    mongod = find_mongod(Settings.load())
    place = f"127.0.0.1:{_port()}"
    command = [mongod.program, "--dbpath", folder / "db", "--bind_ip", "127.0.0.1", "--port", place.partition(":")[2]]
    command += ["--tlsMode", "requireTLS", "--tlsCertificateKeyFile", folder / "server.pem"]
    command += ["--tlsCAFile", folder / "ca.pem", "--auth", "--nounixsocket"]
    command += ["--logpath", folder / "log", "--wiredTigerCacheSizeGB", "0.25"]
    process = subprocess.Popen(command, env=mongod.environment, stdout=subprocess.DEVNULL)
    try:
        with pymongo.MongoClient(f"mongodb://{place}/?{tls(folder)}", serverSelectionTimeoutMS=60_000) as client:
            client.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"], mechanisms=["SCRAM-SHA-256"])
        yield place
    finally:
        process.terminate()
        process.wait()


def tls(folder: Path, *, authority: str = "ca.pem", passphrase: str = PASSPHRASE) -> str:
    """Return the options of an address."""
    options = {"tls": "true", "tlsCAFile": folder / authority, "tlsCertificateKeyFile": folder / "client.pem"}
    options |= {"tlsCertificateKeyFilePassword": passphrase}
    return "&".join(f"{name}={quote_plus(str(value))}" for name, value in options.items())


def address(server: str, folder: Path, **options: str) -> str:
    return f"mongodb://root:{PASSWORD}@{server}/guarded?authSource=admin&{tls(folder, **options)}"


def configure(folder: Path, uri: str) -> Path:
    config = folder / "config" / "genmat" / "config.yaml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(f"database_uri: {uri}\ndatabase_timeout: 5\nretry_time: 0\n")
    config.chmod(0o600)
    return config


def test_a_campaign_is_submitted_over_tls_and_neither_secret_is_left_anywhere(place: Place, server, tmp_path):
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN)
    place.data_folder = tmp_path / "own"
    config = configure(tmp_path, address(server, tmp_path / "m"))
    process = place.start("genmat.cli", "--log-level", "debug", "submit", "campaign.yaml")
    seen = command_lines()
    assert process.wait(timeout=100) == 0, place.logs()
    shown = place.genmat("--log-level", "debug", "status")
    with pymongo.MongoClient(address(server, tmp_path / "m")) as client:
        base = client["guarded"]
        assert base["fireworks"].count_documents({"state": "READY"}) == 1
        stored = b"".join(bson.encode(doc) for name in base.list_collection_names() for doc in base[name].find())
    written = b"".join(
        path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file() and path != config and "db" not in path.relative_to(tmp_path).parts
    )
    for secret in (PASSWORD, PASSPHRASE):
        assert secret not in seen + shown.stdout + shown.stderr
        assert secret.encode() not in stored + written


@pytest.mark.parametrize(
    ("change", "said"),
    [({"authority": "client.pem"}, "certificate verify failed"), ({"passphrase": "wrong-phrase"}, "")],
    ids=["authority", "passphrase"],
)
def test_a_wrong_authority_or_passphrase_is_told_in_one_line_without_secrets(
    place: Place, server, tmp_path, change, said
):
    configure(tmp_path, address(server, tmp_path / "m", **change))
    refused = place.genmat("status", check=False)
    assert refused.returncode == 2
    assert len(refused.stderr.strip().splitlines()) == 1
    assert said in refused.stderr
    for secret in (PASSWORD, PASSPHRASE, "wrong-phrase"):
        assert secret not in refused.stdout + refused.stderr


def test_a_server_that_wants_tls_refuses_an_address_without_it(place: Place, server, tmp_path):
    configure(tmp_path, f"mongodb://root:{PASSWORD}@{server}/guarded?authSource=admin")
    refused = place.genmat("status", check=False)
    assert refused.returncode == 2
    assert len(refused.stderr.strip().splitlines()) == 1
    assert PASSWORD not in refused.stderr


def test_dispatch_wants_a_passphrase_out_of_the_environment_too(place: Place, server, tmp_path, monkeypatch):
    by_certificate = f"mongodb://{server}/guarded?authMechanism=MONGODB-X509&{tls(tmp_path / 'm')}"
    monkeypatch.setenv("GENMAT_DATABASE_URI", by_certificate)
    refused = place.genmat("dispatch", "--once", check=False)
    assert refused.returncode == 2
    assert "schedulers write the environment of jobs to disk" in refused.stderr
    assert PASSPHRASE not in refused.stderr
