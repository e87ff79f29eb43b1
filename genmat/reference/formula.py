"""Reduced formulas as the reference table holds them: written by pymatgen, parsed fast."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

from genmat.errors import ReferenceDataError

if TYPE_CHECKING:
    from pymatgen.core.composition import Composition

_TOKEN = re.compile(r"([A-Z][a-z]?)(\d*)|(\()|\)(\d*)")


def reduced_formula(composition: Composition) -> str:
    """Return pymatgen's reduced formula, without its warning that noble gases have no electronegativity."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No Pauling electronegativity", category=UserWarning)
        return str(composition.reduced_formula)


def parse_formula(formula: str) -> dict[str, float]:
    """Return the amounts of a formula such as ``Ca3(PO4)2``.

    Parameters
    ----------
    formula
        Element symbols with whole amounts; brackets may be nested.

    Raises
    ------
    ReferenceDataError
        If it is anything else.
    """
    stack: list[dict[str, float]] = [{}]
    end = 0
    for match in _TOKEN.finditer(formula):
        if match.start() != end:
            break
        end = match.end()
        symbol, amount, opening, times = match.groups()
        if symbol:
            stack[-1][symbol] = stack[-1].get(symbol, 0.0) + float(amount or 1)
        elif opening:
            stack.append({})
        elif len(stack) > 1:
            for name, inner in stack.pop().items():
                stack[-1][name] = stack[-1].get(name, 0.0) + inner * float(times or 1)
        else:
            break
    if end != len(formula) or len(stack) != 1 or not stack[0]:
        msg = f"formula {formula!r} cannot be read, expected element symbols with whole amounts, such as Ca3(PO4)2"
        raise ReferenceDataError(msg)
    return stack[0]
