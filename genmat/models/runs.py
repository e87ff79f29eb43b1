"""Training runs that survive: a work folder with identity, state and log, and signals that end a run between two steps.

======================  ==============================================================================================
``NAME.run.json``       what the run is: data, configuration, seed, version of genmat; another run is refused here
``NAME.state``          weights and optimiser after the last saved step (a checkpoint, see :mod:`genmat.models.tensors`)
``NAME.log.jsonl``      one line a report: step, losses, seconds, crystals a second
``NAME.lock``           held while a process trains
======================  ==============================================================================================
"""

from __future__ import annotations

import fcntl
import json
import logging
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

import torch

import genmat
from genmat.errors import InputError, ModelError, StorageError
from genmat.ids import stable_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from genmat.models.training import Progress

logger = logging.getLogger(__name__)

CONTINUE = "give the same command again to continue"
"""What to do after a run that ended early."""


class TrainingRun:
    """The work folder of one run; a context manager that holds its lock.

    Parameters
    ----------
    folder
        Work folder; runs of several stages may share it.
    name
        Stage, the stem of the files.
    identity
        What decides about the result: data, configuration, seed; JSON values.

    Raises
    ------
    ModelError
        If the folder holds a run of this stage with another identity, or a live process trains it.
    StorageError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path, name: str, identity: Mapping[str, Any]) -> None:
        self.folder, self.name = folder, name
        self.identity = {**json.loads(json.dumps(identity)), "genmat": genmat.__version__}
        self.id = stable_id("training-run", name, self.identity)
        self.state = folder / f"{name}.state"
        self.log = folder / f"{name}.log.jsonl"
        self._seconds = 0.0
        self._lock: TextIO | None = None

    def __enter__(self) -> Self:
        """Take the lock and check the identity."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / f"{self.name}.lock").open("a", encoding="utf-8")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            self._release()
            msg = f"another process trains {self.name} in {self.folder}: wait for it, or choose another work folder"
            raise ModelError(msg) from err
        except OSError as err:
            self._release()
            msg = f"work folder {self.folder} cannot be written: {err.strerror or err}"
            raise StorageError(msg) from err
        try:
            self._check_identity()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        """Release the lock."""
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _check_identity(self) -> None:
        path = self.folder / f"{self.name}.run.json"
        commit = source_commit()
        if path.exists():
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
                before, old_commit = dict(found["identity"]), found.get("commit")
            except (ValueError, KeyError, TypeError, OSError) as err:
                msg = f"{path} is damaged: choose another work folder, or remove this one to train from the start"
                raise ModelError(msg) from err
            if changes := differences(before, self.identity):
                more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
                msg = (
                    f"{self.folder} holds another run of {self.name}: {'; '.join(changes[:3])}{more}; "
                    "choose another work folder, or remove this one to train from the start"
                )
                raise ModelError(msg)
            if old_commit != commit:
                logger.warning("%s began at commit %s and goes on at %s", self.name, old_commit, commit)
            return
        text = json.dumps({"identity": self.identity, "commit": commit}, indent=1, sort_keys=True)
        try:
            path.write_text(text + "\n", encoding="utf-8")
        except OSError as err:
            msg = f"{path} cannot be written: {err.strerror or err}"
            raise StorageError(msg) from err

    def resume_clock(self, step: int) -> None:
        """Add the time that earlier processes needed to reach ``step``, as far as the log knows it."""
        records = self.records()
        self._seconds = max((float(r["seconds"]) for r in records if r["step"] <= step), default=0.0)

    def records(self) -> list[dict[str, Any]]:
        """Return the lines of the log; a line that a kill cut off is left out."""
        try:
            lines = self.log.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                record = json.loads(line)
                found.append(dict(record) | {"step": int(record["step"]), "seconds": float(record["seconds"])})
            except (ValueError, KeyError, TypeError):
                continue
        return found

    def report(self, progress: Progress, *, crystals_per_step: int, n_done: int) -> dict[str, Any]:
        """Write a line to the log and return it.

        Parameters
        ----------
        progress
            Of this process.
        crystals_per_step
            Batch size.
        n_done
            Steps that earlier processes did.
        """
        rate = (progress.step - n_done) * crystals_per_step / max(progress.seconds, 1e-9)
        record = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "step": progress.step,
            "n_steps": progress.n_steps,
            "losses": {name: round(value, 5) for name, value in progress.losses.items()},
            "seconds": round(self._seconds + progress.seconds, 2),
            "crystals_per_second": round(rate, 1),
        }
        try:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as err:
            msg = f"log {self.log} cannot be written: {err.strerror or err}"
            raise StorageError(msg) from err
        return record


class StopRequest:
    """Whether someone asked the run to end."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        """Return whether to stop."""
        return self.signal is not None


@contextmanager
def stopping_on_signals() -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a request to stop after the present step; a second one interrupts at once.

    Outside of the main thread, where Python sees no signals, nothing is changed.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        if request():
            raise KeyboardInterrupt
        request.signal = number

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: sums come out the same, whatever the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def differences(before: Mapping[str, Any], after: Mapping[str, Any], *, prefix: str = "") -> list[str]:
    """Return what differs between two identities, as ``name is 3, was 4``."""
    found = []
    for key in sorted({*before, *after}):
        old, new, name = before.get(key), after.get(key), f"{prefix}{key}"
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, prefix=f"{name}.")
        elif old != new:
            found.append(f"{name} is {_short(new)}, was {_short(old)}")
    return found


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}…"


def check_device(device: str) -> None:
    """Raise unless the networks can run on a device.

    Raises
    ------
    InputError
        If it is neither ``cpu`` nor CUDA, or no such CUDA device is there.
    """
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        msg = f"device is {device!r}, expected 'cpu', 'cuda' or 'cuda:1' and such"
        raise InputError(msg)
    if kind == "cuda" and (not torch.cuda.is_available() or int(index or 0) >= torch.cuda.device_count()):
        msg = (
            f"device {device!r} is not there, torch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices: "
            "use --device cpu"
        )
        raise InputError(msg)


def describe_device(device: str) -> str:
    """Return a device for people, such as ``cuda (NVIDIA H100)``."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.startswith("cuda") else device


def source_commit() -> str | None:
    """Return the commit of the checkout that genmat runs from, with ``+`` if files differ; ``None`` outside of one."""
    folder = Path(genmat.__file__).resolve().parent
    if not (folder.parent / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", str(folder))
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}+" if changed else commit


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


def training_metadata(run: TrainingRun, *, data: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return what a trained model's file says about its training.

    Parameters
    ----------
    run
        The finished run.
    data
        Provenance of the training data, with ``sha256`` of the file.
    more
        Further entries, such as metrics.
    """
    records = run.records()
    last = records[-1] if records else {}
    return {
        "data_id": data["sha256"],
        "data": dict(data),
        "code": {"version": genmat.__version__, "commit": source_commit()},
        "steps": last.get("step"),
        "seconds": last.get("seconds"),
        "losses": last.get("losses"),
        **more,
    }
