"""Every error that genmat raises on purpose.

::

    GenmatError                      root; one line for the user, exit code 2
    ├── InputError                   what a user gave is wrong: field, value, what is allowed
    │   ├── CampaignError            a campaign.yaml, or a campaign in the wrong state
    │   ├── SettingsError            flag, environment variable or config.yaml
    │   └── StructureError           a structure file or table that cannot be used
    ├── RepresentationError          a crystal that has no x (symmetry search failed, unknown letter)
    ├── PotentialError               unknown potential, weights missing or altered
    ├── ModelError                   a trained model missing, truncated, altered, of another kind or version
    ├── ReferenceDataError           reference table missing, altered or incomplete
    │   └── MissingReferenceError    a hull lacks an element
    ├── EngineError                  a first-principles engine unknown, not installed or not set up
    ├── EnergyScaleError             two energies that cannot be compared
    ├── DatabaseError                unreachable, read-only, full, other schema version
    │   ├── CampaignBusyError        another live process runs this campaign
    │   ├── DatabaseAwayError        it does not answer, for longer than the setting retry_time
    │   └── SlowQueryError           a query ran into the time limit of its connection
    └── StorageError                 a file or folder that cannot be written or read
        └── DiskFullError            no space left for it

A bad *generated* crystal is never an error: it is a :class:`genmat.screening.verdict.Verdict`.
"""

from __future__ import annotations

import difflib
import errno
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class GenmatError(Exception):
    """Root of the tree; its text is one line that a user can act on."""

    exit_code = 2
    see: ClassVar[str] = "genmat doctor"
    """Command that shows more, for a text that does not say itself what to do."""


class InputError(GenmatError):
    """What the user gave is wrong."""

    see = "genmat --help"


class CampaignError(InputError):
    """A campaign file is wrong, or the campaign is in another state than asked for."""

    see = "genmat schema"


class SettingsError(InputError):
    """A setting is wrong."""

    see = "genmat doctor"


class StructureError(InputError):
    """A structure that a user gave cannot be used."""

    see = "genmat validate --help"


class RepresentationError(GenmatError):
    """A crystal cannot be written as x."""


class PotentialError(GenmatError):
    """A potential is unknown, or its weights are missing or altered."""

    see = "genmat models potentials"


class ModelError(GenmatError):
    """A trained model cannot be used: missing, truncated, altered, of another kind or version."""

    see = "genmat models list"


class ReferenceDataError(GenmatError):
    """The reference table is missing, altered or incomplete."""

    see = "genmat data show"


class MissingReferenceError(ReferenceDataError):
    """A hull has no reference for an element."""


class EngineError(GenmatError):
    """A first-principles engine is unknown, not installed or not set up."""

    see = "genmat validate --help"


class EnergyScaleError(GenmatError):
    """Two energies of different scales met."""


class DatabaseError(GenmatError):
    """The database is unreachable, read-only, full or of another schema version."""


class CampaignBusyError(DatabaseError):
    """Another live process runs the same campaign."""

    see = "genmat status"


class DatabaseAwayError(DatabaseError):
    """The database does not answer."""


class SlowQueryError(DatabaseError):
    """A query took longer than its connection allows."""


class StorageError(GenmatError):
    """A file or folder cannot be written or read."""


class DiskFullError(StorageError):
    """No space is left for a file or folder."""


def is_out_of_space(err: OSError) -> bool:
    """Return whether a disk, or what its user may use of it, is full."""
    return err.errno in {errno.ENOSPC, errno.EDQUOT}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest of ``known``, or an empty string."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
