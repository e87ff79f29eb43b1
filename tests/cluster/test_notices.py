"""Notices of changed states: to a web hook and by mail, each once, off unless asked for; both servers are real."""

from __future__ import annotations

import json
import socketserver
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
from cluster_jobs import effect_job
from pydantic import SecretStr

from genmat.database.documents import CampaignState
from genmat.errors import SettingsError
from workflows.dispatch.notices import announce

from .queueing import enqueue

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.mongo


class Hook(BaseHTTPRequestHandler):
    """Keeps what is posted."""

    received: list[dict]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append(json.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Be silent."""


class Mailbox(socketserver.StreamRequestHandler):
    """As much of SMTP as it takes to be handed a mail."""

    received: list[str]

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            if line.upper().startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                self.received.append(b"".join(lines).decode())
            self.wfile.write(b"250 ok\r\n")


@contextmanager
def serving(kind: type, handler: type) -> Iterator[tuple[int, list]]:
    handler.received = []
    with kind(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server.server_address[1], handler.received
        server.shutdown()
        thread.join()


def test_nothing_is_sent_unless_a_setting_names_somebody(place, store):
    enqueue(store, {"a": effect_job("a")})
    assert announce(store, place.settings) == []
    assert store.cluster.submission("jobs").notified is None


def test_a_hook_and_a_mailbox_are_told_of_each_state_once(place, store):
    enqueue(store, {"a": effect_job("a")})
    with serving(HTTPServer, Hook) as (port, posts), serving(socketserver.TCPServer, Mailbox) as (mail, mails):
        update = {"notify_webhook": SecretStr(f"http://127.0.0.1:{port}/token-3f"), "notify_mail": "owner@example.org"}
        settings = place.settings.model_copy(update={**update, "notify_mail_server": f"127.0.0.1:{mail}"})
        assert announce(store, settings) == ["jobs"]
        assert announce(store, settings) == []
        store.campaigns.set_state("jobs", CampaignState.FAILED, error="no reference of Xx")
        assert announce(store, settings) == ["jobs"]
    assert [(post["campaign"], post["state"], post["error"]) for post in posts] == [
        ("jobs", "running", None),
        ("jobs", "failed", "no reference of Xx"),
    ]
    assert "Subject: genmat: jobs is running" in mails[0]
    assert "error: no reference of Xx" in mails[1]


def test_a_hook_that_does_not_answer_stops_nothing_and_its_token_is_not_logged(place, store, caplog):
    enqueue(store, {"a": effect_job("a")})
    settings = place.settings.model_copy(update={"notify_webhook": SecretStr("http://127.0.0.1:9/token-3f")})
    assert announce(store, settings) == ["jobs"]
    assert "nobody was told that jobs is running" in caplog.text
    assert "token-3f" not in caplog.text


def test_only_web_addresses_are_hooks(place, store):
    enqueue(store, {"a": effect_job("a")})
    settings = place.settings.model_copy(update={"notify_webhook": SecretStr("file:///etc/passwd")})
    with pytest.raises(SettingsError, match="begins with https://"):
        announce(store, settings)
