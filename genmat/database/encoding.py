"""Between Python values and what BSON can hold.

MongoDB reads a dot or a leading dollar in a field name as syntax, and genes (``225:Cl.a,Na.b``) are keys of some
mappings: such characters are written as their full-width forms.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

_DOT, _DOLLAR = "\uff0e", "\uff04"
_SCALARS = {float, int, str, bool, type(None)}


def to_bson(value: Any) -> Any:
    """Return ``value`` with plain scalars and with keys that MongoDB takes literally."""
    match value:
        case dict():
            return {_escape(key): to_bson(item) for key, item in value.items()}
        case list() | tuple():
            return [to_bson(item) for item in value]
        case Enum():
            return value.value
        case bool() | None:
            return value
        case float():
            return float(value)  # NumPy's float64 is a float that BSON refuses
        case _:
            return value


def from_bson(value: Any) -> Any:
    """Return what :func:`to_bson` was given, enumerations as their values."""
    match value:
        case dict():
            return {_unescape(key): from_bson(item) for key, item in value.items()}
        case list() if not _SCALARS.issuperset(map(type, value)):
            return [from_bson(item) for item in value]
        case _:
            return value


def _escape(key: str) -> str:
    return key.replace(".", _DOT).replace("$", _DOLLAR)


def _unescape(key: str) -> str:
    return key.replace(_DOT, ".").replace(_DOLLAR, "$")
