"""From arguments to an exit code: whatever goes wrong becomes one line.

====  =====================================================================
0     done
1     unexpected: an error of genmat's own, its traceback is in a file
2     bad input or environment: one line says what, nothing was changed
130   interrupted: one line says how to go on
====  =====================================================================
"""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from genmat.errors import GenmatError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

OK, UNEXPECTED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

GLOBAL_OPTIONS = ("--log-level", "--log-file", "--data-folder", "--reference")
"""Options of every command, each with a value; they may stand before or after the verb."""

_ENVIRONMENT_ERRORS = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


_NEXT_STEP = re.compile(
    r"genmat \w|--\w|GENMAT_|\bexpected\b|\bDid you mean\b|\bpip install\b|"
    r"[:;,] (or )?(ask|choose|delete|export|give|install|keep|move|name|put|"
    r"remove|see|set|start|take|try|use|wait|write)\b"
)
"""What a text has that says what is allowed or what to do."""


class InterruptedRunError(Exception):
    """Work was interrupted by the user; the message says how to go on."""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors are one line on standard error.

    Parameters
    ----------
    arguments
        What follows ``genmat`` on the command line.
    """
    ordered = hoist_global_options(arguments)
    debug = _wants_debug(ordered)
    if not debug:
        silence_libraries()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show Å shows a question mark instead of a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        return _run(ordered)
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python must not complain when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return OK
    except (KeyboardInterrupt, InterruptedRunError) as err:
        return _say(str(err) or "interrupted", INTERRUPTED)
    except Exception as err:  # noqa: BLE001 - the last line of defence between a user and a traceback
        if debug:
            traceback.print_exc()
        return _explain(err)


def hoist_global_options(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the global options in front, so that they may also stand after the verb."""
    first: list[str] = []
    rest: list[str] = []
    pending = list(arguments)
    while pending:
        argument = pending.pop(0)
        if argument == "--":
            rest += ["--", *pending]
            break
        if argument in GLOBAL_OPTIONS and pending:
            first += [argument, pending.pop(0)]
        elif argument.partition("=")[0] in GLOBAL_OPTIONS:
            first.append(argument)
        else:
            rest.append(argument)
    return first + rest


def silence_libraries() -> None:
    """Keep the warnings of other people's packages away from the user.

    Those of Python (``torch.jit`` is deprecated, pymatgen's electronegativities, an invalid escape in nvidia_smi) go by
    the filter of this process and, through ``PYTHONWARNINGS``, of the processes that it starts. What libraries print
    past Python (``Warp CUDA warning``, banners), and what workers print, is caught at the file descriptors while a long
    command runs: :func:`genmat.cli.terminal.caught_output`. ``--log-level debug`` shows everything.
    """
    if "PYTHONWARNINGS" not in os.environ and not sys.warnoptions:
        os.environ["PYTHONWARNINGS"] = "ignore"
        warnings.simplefilter("ignore")


def _run(arguments: list[str]) -> int:
    import typer

    from genmat.cli.app import app

    try:
        code = app(args=arguments, prog_name="genmat", standalone_mode=False)
        sys.stdout.flush()
    except typer.Abort:
        return _say("interrupted", INTERRUPTED)
    except typer.TyperException as err:
        return _say(_usage(err), BAD_INPUT)
    if code == INTERRUPTED:  # typer turns Ctrl-C into this code
        return _say("interrupted", INTERRUPTED)
    return code if isinstance(code, int) else OK


def _usage(err: Exception) -> str:
    """Return a usage error of typer's in one line that names the nearest right word and where to find help."""
    import typer

    message = err.format_message() if isinstance(err, typer.TyperException) else str(err)
    context = getattr(err, "ctx", None)
    if not message.strip():  # a group without a verb
        message = "which command? Missing the verb."
    if (option := getattr(err, "option_name", None)) is not None and context is not None and "No such" in message:
        known = [name for parameter in context.command.params for name in parameter.opts] + list(GLOBAL_OPTIONS)
        message = f"No such option: {option}.{did_you_mean(option, known)}"
    command = getattr(context, "command_path", None) or "genmat"
    message = " ".join(message.split())
    end = "" if message.endswith((".", "?", "!")) else "."
    return f"{message[:1].lower()}{message[1:]}{end} See: {command} --help"


def _say(message: str, code: int) -> int:
    with suppress(OSError):
        sys.stdout.flush()
    print(f"genmat: {' '.join(message.split())}", file=sys.stderr, flush=True)  # noqa: T201
    return code


def _explain(err: Exception) -> int:
    """Say what went wrong and return the exit code."""
    if isinstance(err, GenmatError):
        return _say(_with_next_step(err), err.exit_code)
    if isinstance(err, OSError) and err.errno in _ENVIRONMENT_ERRORS:
        place = f"{err.filename}: " if err.filename else ""
        return _say(f"{place}{err.strerror}", BAD_INPUT)
    file = _write_traceback()
    where = f"the traceback is in {file}" if file else "run again with --log-level debug for the traceback"
    return _say(f"unexpected error, please report it: {type(err).__name__}: {err}; {where}", UNEXPECTED)


def _with_next_step(err: GenmatError) -> str:
    """Return the text of an error and, where it does not tell what to do, the command that shows more."""
    text = str(err)
    return text if _NEXT_STEP.search(text) else f"{text.removesuffix('.')}. See: {err.see}"


def _write_traceback() -> Path | None:
    """Write the traceback of the present error into a file of its own and return its path."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="genmat-error-", suffix=".log", encoding="utf-8", delete=False
        ) as file:
            file.write(f"{sys.version}\n{' '.join(sys.argv)}\n\n")
            traceback.print_exc(file=file)
            return Path(file.name)
    except OSError:
        return None


def _wants_debug(arguments: Sequence[str]) -> bool:
    """Return whether ``--log-level debug`` is asked for; needed before the arguments are parsed."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    given = [value for name, value in pairs if name == "--log-level"]
    given += [item.partition("=")[2] for item in arguments if item.startswith("--log-level=")]
    return (given[-1] if given else os.environ.get("GENMAT_LOG_LEVEL", "")).lower() == "debug"
