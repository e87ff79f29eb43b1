"""Who may ask: a token, only from this machine's own addresses, only to read.

A request passes if its ``Host`` is a name of this machine (so a page of another site cannot rebind a DNS name to us),
its ``Origin``, if it has one, is the same, and it carries the token: in the cookie that the first visit sets, or as
``Authorization: Bearer``. Every answer carries a content security policy that lets a page load from this server alone.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts that a browser may call us by; an SSH tunnel ends at one of them."""
POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""plotly writes style attributes and draws its PNG from a blob."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
LOGIN = "/login"
OPEN_PATHS = frozenset({"/health", LOGIN, "/static/app.css", "/static/report.css"})
"""What needs no token."""
_PAUSE = 1.0  # s between two wrong passwords
_LARGEST_FORM = 4096  # bytes


class Access:
    """The token of a server, and the password that is exchanged for it.

    Parameters
    ----------
    password
        Asked for instead of the token, if one is configured.
    """

    def __init__(self, *, password: str | None = None) -> None:
        self.token = secrets.token_urlsafe(24)
        self._password = password
        self._last_failure = 0.0
        # Cookies are shared by all ports of a host: each server has its own.
        self.cookie = f"genmat-{hashlib.sha256(self.token.encode()).hexdigest()[:12]}"

    @property
    def has_password(self) -> bool:
        """Whether a password is configured."""
        return self._password is not None

    def is_token(self, given: str) -> bool:
        """Return whether this is the token, in constant time."""
        return hmac.compare_digest(given.encode(), self.token.encode())

    def is_password(self, given: str) -> bool:
        """Return whether this is the password; soon after a wrong one nothing is."""
        if self._password is None or time.monotonic() - self._last_failure < _PAUSE:
            return False
        is_right = hmac.compare_digest(given.encode(), self._password.encode())
        if not is_right:
            self._last_failure = time.monotonic()
        return is_right

    def admits(self, headers: Headers) -> bool:
        """Return whether a request carries the token."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and given:
            return self.is_token(given) or self.is_password(given)
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        return self.cookie in cookies and self.is_token(cookies[self.cookie].value)


class Guard:
    """Lets in who may read, and gives every answer its security headers.

    Parameters
    ----------
    app
        What is guarded.
    access
        Token and password.
    """

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if not scope["path"].startswith("/static/"):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        answer = await self._refusal(scope, receive)
        await (answer or self._app)(scope, receive, send_guarded)

    async def _refusal(self, scope: Scope, receive: Receive) -> PlainTextResponse | RedirectResponse | None:
        headers = Headers(scope=scope)
        if stranger := _stranger(headers):
            return PlainTextResponse(stranger, status_code=403)
        path, method = scope["path"], scope["method"]
        if path == LOGIN and method == "POST" and self._access.has_password:
            return await self._log_in(scope, receive)
        if method not in {"GET", "HEAD"}:
            return PlainTextResponse("this server only reads\n", status_code=405, headers={"Allow": "GET, HEAD"})
        return self._ask_for_token(scope, headers)

    def _ask_for_token(self, scope: Scope, headers: Headers) -> PlainTextResponse | RedirectResponse | None:
        path = scope["path"]
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        for given in (value for name, value in query if name == "token"):
            if self._access.is_token(given):
                rest = urlencode([pair for pair in query if pair[0] != "token"])
                return self._admit(_local(path) + (f"?{rest}" if rest else ""))
        if path in OPEN_PATHS or self._access.admits(headers):
            return None
        if self._access.has_password and "text/html" in headers.get("accept", ""):
            return RedirectResponse(f"{LOGIN}?next={quote(_local(path))}", status_code=303)
        wanted = "the password" if self._access.has_password else "the token that genmat serve printed"
        text = f"this needs {wanted}: open the printed address, or send Authorization: Bearer ...\n"
        return PlainTextResponse(text, status_code=401, headers={"WWW-Authenticate": "Bearer"})

    async def _log_in(self, scope: Scope, receive: Receive) -> RedirectResponse:
        body = b""
        while len(body) <= _LARGEST_FORM:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        form = parse_qs(body[:_LARGEST_FORM].decode("utf-8", "replace"))
        if self._access.is_password(form.get("password", [""])[0]):
            query = parse_qs(scope["query_string"].decode("latin-1"))
            return self._admit(_local(query.get("next", ["/"])[0]))
        return RedirectResponse(f"{LOGIN}?wrong=1", status_code=303)

    def _admit(self, place: str) -> RedirectResponse:
        answer = RedirectResponse(place, status_code=303)
        answer.set_cookie(self._access.cookie, self._access.token, httponly=True, samesite="strict", path="/")
        return answer


def _stranger(headers: Headers) -> str:
    """Return why a request comes from elsewhere; empty if it does not."""
    if _host(headers.get("host", "")) not in OWN_NAMES:
        return "genmat serve answers to localhost only: use an SSH tunnel\n"
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        return "a page of another site asked for this\n"
    return ""


def _host(value: str) -> str:
    """Return the host of a ``Host`` header without its port; empty for nonsense."""
    try:
        return urlsplit(f"//{value}").hostname or ""
    except ValueError:
        return ""


def _local(path: str) -> str:
    """Return a path of this server: never the address of another one."""
    return "/" + quote(path.lstrip("/\\"), safe="/-._~")
