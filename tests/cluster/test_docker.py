"""What can be known of containers without an engine: syntax, pins, users, secrets."""

from __future__ import annotations

import re

import pytest
from ruamel.yaml import YAML

from .conftest import ROOT

DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
INSTRUCTIONS = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "ENV", "ENTRYPOINT", "CMD"}
PINNED = re.compile(r"[a-z0-9./-]+:\d+\.\d+[a-z0-9.-]*")


def instructions(text: str) -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n", " ", text)
    lines = [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


@pytest.fixture
def compose() -> dict:
    return YAML(typ="safe").load((ROOT / "docker" / "compose.yaml").read_text())


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_is_pinned_and_does_not_run_as_root(path):
    found = instructions(path.read_text())
    assert {name for name, _ in found} <= INSTRUCTIONS
    assert found[0][0] == "FROM"
    assert PINNED.fullmatch(found[0][1])
    assert [text for name, text in found if name == "USER"] == ["genmat"]
    # Whatever comes after it cannot install anything.
    assert "RUN" not in [name for name, _ in found[found.index(("USER", "genmat")) :]]
    assert any("--constraint constraints.txt" in text for name, text in found if name == "RUN")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_an_image_copies_exists(path):
    for name, text in instructions(path.read_text()):
        if name == "COPY":
            *sources, _target = text.split()
            assert all((ROOT / source).exists() for source in sources)


def test_compose_refers_only_to_what_it_defines(compose):
    for service in compose["services"].values():
        assert PINNED.fullmatch(service["image"])
        named = [secret if isinstance(secret, str) else secret["source"] for secret in service.get("secrets", [])]
        assert set(named) <= set(compose["secrets"])
        assert set(service.get("depends_on", {})) <= set(compose["services"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (ROOT / "docker" / source).exists()
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).exists()


def test_compose_publishes_on_loopback_only_and_holds_no_password(compose):
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or value.startswith("/run/secrets/")
    assert all(secret["file"].startswith("./secrets/") for secret in compose["secrets"].values())
    assert "docker/secrets" in (ROOT / ".dockerignore").read_text().splitlines()


def test_mongod_asks_for_passwords_and_has_a_reader(compose):
    assert "--keyFile" in str(compose["services"]["mongo"]["entrypoint"])
    users = (ROOT / "docker" / "users.js").read_text()
    assert '["reader", "read"]' in users
    assert '["writer", "readWrite"]' in users


def test_the_dashboard_reads_as_the_user_who_may_only_read(compose):
    dashboard = compose["services"]["dashboard"]
    assert dashboard["command"][0] == "serve"
    assert dashboard["read_only"]
    assert [secret["source"] for secret in dashboard["secrets"]] == ["dashboard"]
    # It listens on loopback alone, so that no port is published.
    assert "ports" not in dashboard
    head = (ROOT / "docker" / "compose.yaml").read_text()
    assert "dashboard_uri: mongodb://reader:$(cat secrets/reader)@" in head
