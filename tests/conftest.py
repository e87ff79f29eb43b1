"""Fixtures that every test may use."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from genmat.validation.gpaw import Gpaw

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Give linear algebra one thread before NumPy is loaded: of matrices as small as these a second one only waits."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let tests and the processes that they start share compiled modules: to compile an import takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        if not os.environ.get("PYTHONDONTWRITEBYTECODE"):
            yield
            return
        folder = tmp_path_factory.mktemp("compiled")
        patch.delenv("PYTHONDONTWRITEBYTECODE")
        patch.setenv("PYTHONPYCACHEPREFIX", str(folder))
        patch.setattr(sys, "dont_write_bytecode", False)
        patch.setattr(sys, "pycache_prefix", str(folder))
        yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real crystals; skip where this machine does not have it."""
    folder = Path(os.environ.get("GENMAT_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not (folder / "mp_structures.parquet").is_file():
        pytest.skip("the folder of Materials Project crystals is absent (set GENMAT_SHARED to its parent)")
    return folder


@pytest.fixture(scope="session")
def shipped_reference() -> Path:
    """Return the file of the reference that genmat ships; skip where it is absent."""
    from genmat.reference.io import packaged_reference

    if not packaged_reference().is_file():
        pytest.skip("the shipped reference is absent: genmat data build-reference")
    return packaged_reference()


@pytest.fixture(scope="session")
def trained_models() -> Path:
    """Return the folder of the models that genmat ships; skip where they are absent."""
    from genmat.models.bundle import FOUNDATION, packaged_models

    if not (packaged_models() / FOUNDATION).is_file():
        pytest.skip("no trained model is shipped")
    return packaged_models()


@pytest.fixture(scope="session")
def gpaw() -> Gpaw:
    """Return GPAW with its default settings; skip where it is not installed."""
    from genmat.errors import EngineError
    from genmat.validation.gpaw import Gpaw

    engine = Gpaw()
    try:
        engine.check()
    except EngineError as err:
        pytest.skip(f"GPAW is absent: {err}")
    return engine


@pytest.fixture
def profile() -> Callable[[str, str], AbstractContextManager[list[str]]]:
    """Return a function that watches a database's queries and lists the plans that the server chose for them."""

    @contextmanager
    def watch(uri: str, name: str) -> Iterator[list[str]]:
        plans: list[str] = []
        with pymongo.MongoClient(uri) as client:
            database = client[name]
            database.command("profile", 2)
            try:
                yield plans
            finally:
                database.command("profile", 0)
                for entry in database["system.profile"].find({"planSummary": {"$exists": True}}):
                    if not entry["ns"].endswith("system.profile"):
                        sorts = " and SORT" if entry.get("hasSortStage") else ""
                        plans.append(f"{entry['ns']}: {entry['planSummary']}{sorts}")
                database["system.profile"].drop()

    return watch


SETTLE_POLLS, SETTLE_SAME, SETTLE_SECONDS = 100, 10, 0.1
"""How often the layout is looked at, how many looks must agree, and the time between them."""


class Browser:
    """Chromium without a window, spoken to over pipes (Chrome DevTools Protocol)."""

    def __init__(self, program: str, profile: Path) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        flags = (
            "--headless --no-sandbox --disable-gpu --use-angle=swiftshader --enable-unsafe-swiftshader --disable-quic "
            "--no-first-run --disable-background-networking --disable-component-update --disable-sync "
            "--disable-dev-shm-usage --hide-scrollbars --remote-debugging-pipe"
        )
        script = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, program, *flags.split(), f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer, self._count = b"", 0
        self.events: list[dict[str, Any]] = []
        self._session: str | None = None
        pages = self.send("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its answer."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            piece = os.read(self._read, 1 << 20)
            assert piece, "the browser has gone"
            self._buffer += piece
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page; a promise is awaited."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def emulate(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Give the page a window of some size (pixels) and a colour scheme."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", features=features)
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def wait_for_layout(self) -> None:
        """Wait until the width of the page has been the same for a second: figures follow a new window with a delay."""
        widths: list[object] = []
        for _ in range(SETTLE_POLLS):
            widths.append(self.evaluate("document.documentElement.scrollWidth"))
            if len(widths) > SETTLE_SAME and len(set(widths[-SETTLE_SAME:])) == 1:
                return
            time.sleep(SETTLE_SECONDS)

    def open(self, place: Path | str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a file or an address and wait until it is loaded."""
        self._go("about:blank")  # the former page may live, and asks for things
        self.emulate(width=width, height=height, dark=dark)
        self._go(place if isinstance(place, str) else place.as_uri())

    def _go(self, address: str) -> None:
        self.events.clear()
        self.send("Page.navigate", url=address)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def complaints(self) -> list[str]:
        """Return errors and warnings of the console, and exceptions, since the page was opened."""
        found = []
        for event in self.events:
            name, content = event.get("method"), event.get("params", {})
            if name == "Runtime.exceptionThrown":
                found.append(str(content["exceptionDetails"]))
            elif name == "Log.entryAdded" and content["entry"]["level"] in {"error", "warning"}:
                found.append(content["entry"]["text"])
            elif name == "Runtime.consoleAPICalled" and content["type"] in {"error", "warning", "assert"}:
                found.append(str([part.get("value") for part in content["args"]]))
        return found

    def requests(self) -> list[str]:
        """Return the addresses that the page asked for, data inside it left out."""
        urls = [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("data:", "blob:"))]

    def wait_for(self, expression: str, *, seconds: float = 30.0) -> None:
        """Wait until an expression of the page is true."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({expression})"):
            assert time.monotonic() < deadline, f"still false after {seconds} s: {expression}"
            time.sleep(SETTLE_SECONDS)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write what the window, or the whole page, looks like as PNG."""
        options: dict[str, Any] = {"captureBeyondViewport": True} if whole else {}
        if whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            options["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png", **options)["data"]))

    def close(self) -> None:
        """End the browser."""
        os.close(self._write)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start Chromium; skip where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium on PATH (apt-get install chromium)")
    started = Browser(program, tmp_path_factory.mktemp("profile"))
    yield started
    started.close()
