"""Deterministic identifiers: every ``_id`` is a hash of what caused the document."""

from __future__ import annotations

import hashlib
import json
from typing import Any

ID_LENGTH = 32
"""Hexadecimal digits of an id (128 bits: no collision among 10⁹ documents)."""


def canonical_json(value: Any) -> str:
    """Return ``value`` as JSON with sorted keys and no blanks; equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def stable_id(kind: str, *causes: Any) -> str:
    """Return the id of a document of ``kind`` that ``causes`` (JSON-serialisable) brought about."""
    return hashlib.sha256(canonical_json([kind, *causes]).encode()).hexdigest()[:ID_LENGTH]


def seed_from_id(identifier: str) -> int:
    """Return a 64-bit seed for the random stream that belongs to ``identifier``."""
    return int(hashlib.sha256(identifier.encode()).hexdigest()[:16], 16)
