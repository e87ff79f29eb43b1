"""How loops are compiled: by numba, once for a machine, in seconds.

The result is kept beside the module, or in the user's cache where that folder is read-only. Import a compiled module
where many crystals are compared, not at the top of another one: numba takes 0.3 s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable


def compiled[F: Callable[..., Any]](function: F) -> F:
    """Return a function of arrays and numbers, compiled when it is first called."""
    return cast("F", njit(cache=True, error_model="numpy")(function))
