"""The command that starts VASP: what of it can be checked on this host."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

from genmat.errors import EngineError

HERE = frozenset({"mpirun", "mpiexec", "mpiexec.hydra", "orterun", "prterun"})
"""Launchers whose program is looked for on the host that they start on."""


def check_command(command: str) -> str:
    """Return what was not checked of a command, or nothing.

    VASP takes no arguments, so that the program is the last word, whatever options its launcher has.

    Parameters
    ----------
    command
        As a site sets it, such as ``srun vasp_std`` or ``mpirun -np 16 vasp_std``.

    Raises
    ------
    EngineError
        If the command, or the program that its launcher looks for here, does not exist.
    """
    remedy = "set ATOMATE2_VASP_CMD (see docs/validation.md)"
    words = shlex.split(os.path.expandvars(command))
    if not words or shutil.which(words[0]) is None:
        msg = f"vasp: the command {command!r} does not exist: {remedy}"
        raise EngineError(msg)
    launcher, program = Path(words[0]).name, words[-1]
    if launcher in {*HERE, "srun"} and (len(words) == 1 or program.startswith("-")):
        msg = f"vasp: the command {command!r} names no program for {launcher} to start: {remedy}"
        raise EngineError(msg)
    if shutil.which(program) is not None:
        return ""
    if launcher in HERE:
        msg = f"vasp: {program!r}, which {command!r} starts, does not exist: {remedy}"
        raise EngineError(msg)
    return f"not checked: that {program!r} exists where {launcher} starts it"
