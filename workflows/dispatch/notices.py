"""Tell people that a campaign changed its state: by webhook and by mail, both off unless a setting names them."""

from __future__ import annotations

import json
import logging
import smtplib
import urllib.request
from email.message import EmailMessage
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from genmat.errors import SettingsError

if TYPE_CHECKING:
    from genmat.database.documents import CampaignDocument
    from genmat.database.store import Store
    from genmat.settings import Settings

logger = logging.getLogger(__name__)

_TIMEOUT = 10.0  # s


def announce(store: Store, settings: Settings) -> list[str]:
    """Tell of every submitted campaign whose state is another than the one told last; return their names.

    The change is marked first: a notice may get lost with a process, but is not sent twice.
    """
    if settings.notify_webhook is None and settings.notify_mail is None:
        return []
    told = []
    for submission in store.cluster.submissions():
        document = store.campaigns.require(submission.id)
        if submission.notified == document.state or not store.cluster.begin_notice(document.id, document.state):
            continue
        told.append(document.id)
        for send, target in ((_post, settings.notify_webhook), (_mail, settings.notify_mail)):
            if target is None:
                continue
            try:
                send(settings, document)
            except (OSError, smtplib.SMTPException) as err:
                # The address may hold a token.
                logger.warning("nobody was told that %s is %s: %s", document.id, document.state, type(err).__name__)
    return told


def _text(document: CampaignDocument) -> dict[str, str | None]:
    return {"campaign": document.id, "state": document.state.value, "error": document.error}


def _post(settings: Settings, document: CampaignDocument) -> None:
    if settings.notify_webhook is None:
        return
    address = settings.notify_webhook.get_secret_value()
    if urlsplit(address).scheme not in {"http", "https"}:
        msg = "setting notify_webhook is no address that begins with https:// or http://"
        raise SettingsError(msg)
    data = json.dumps({**_text(document), "text": f"genmat: {document.id} is {document.state}"}).encode()
    request = urllib.request.Request(address, data=data, headers={"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=_TIMEOUT):  # noqa: S310 - the scheme is checked above
        pass


def _mail(settings: Settings, document: CampaignDocument) -> None:
    if settings.notify_mail is None:
        return
    message = EmailMessage()
    message["From"] = message["To"] = settings.notify_mail
    message["Subject"] = f"genmat: {document.id} is {document.state}"
    message.set_content("\n".join(f"{key}: {value}" for key, value in _text(document).items() if value))
    host, _, port = settings.notify_mail_server.partition(":")
    with smtplib.SMTP(host, int(port or 25), timeout=_TIMEOUT) as server:
        server.send_message(message)
