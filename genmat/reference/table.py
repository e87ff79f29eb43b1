"""The reference: every known crystal that a campaign is judged against, as columns.

One row is one known crystal. Every row has a formula, a gene and a fingerprint (novelty); some have an energy (hull);
some of those also have x (templates, exact matching).
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from genmat.energy import EnergyScale
from genmat.errors import ReferenceDataError
from genmat.ids import canonical_json
from genmat.reference.crystals import CrystalColumns
from genmat.reference.entries import HullEntries, fractions_of
from genmat.reference.fingerprint import RESOLUTION, SIZE
from genmat.reference.formula import parse_formula
from genmat.reference.hull import Hull

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from genmat.representation.crystal import Crystal

SCHEMA_VERSION = 1
"""Version of the columns; a file of another version is refused."""

LABELS = "labels"
"""Stands for the potential of a reference whose energies its source states."""

ATTRIBUTION = "Materials Project, CC BY 4.0"
"""Whom the packaged reference owes its crystals."""


@dataclass(frozen=True, slots=True)
class ReferenceMetadata:
    """What a reference was made from.

    Parameters
    ----------
    potential, potential_sha256
        Potential that relaxed the crystals and gave the energies; :data:`LABELS` and the SHA-256 of the source where
        the source states them.
    scale
        Scale of the energies.
    protocol
        How crystals were relaxed: optimiser, fmax, smax, steps; JSON values.
    versions
        Versions of the programs that decide about numbers: genmat, pymatgen, spglib.
    source
        Where the crystals are from.
    attribution
        Whom they are owed to, and under what licence.
    schema_version
        Version of the columns.
    fingerprint_size, fingerprint_resolution
        Number and unit of the fingerprint's values.
    """

    potential: str
    potential_sha256: str
    scale: EnergyScale
    protocol: Mapping[str, Any]
    versions: Mapping[str, str]
    source: str
    attribution: str
    schema_version: int = SCHEMA_VERSION
    fingerprint_size: int = SIZE
    fingerprint_resolution: float = RESOLUTION

    def to_dict(self) -> dict[str, Any]:
        """Return the metadata as JSON-serialisable mapping."""
        return asdict(self) | {"protocol": dict(self.protocol), "versions": dict(self.versions)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ReferenceMetadata:
        """Return the metadata that :meth:`to_dict` wrote.

        Raises
        ------
        ReferenceDataError
            If it has another schema version or fingerprint, or lacks a field.
        """
        version = value.get("schema_version")
        if version != SCHEMA_VERSION:
            msg = (
                f"reference has schema version {version!r}, expected {SCHEMA_VERSION}: rebuild it with this genmat "
                "(genmat data build-reference)"
            )
            raise ReferenceDataError(msg)
        try:
            metadata = cls(**{**value, "scale": EnergyScale.from_dict(value["scale"])})
        except (KeyError, TypeError) as err:
            msg = f"reference metadata are incomplete ({err}): rebuild it (genmat data build-reference)"
            raise ReferenceDataError(msg) from err
        if (metadata.fingerprint_size, metadata.fingerprint_resolution) != (SIZE, RESOLUTION):
            msg = (
                f"reference has fingerprints of {metadata.fingerprint_size} values in "
                f"{metadata.fingerprint_resolution}, expected {SIZE} in {RESOLUTION}: rebuild it "
                "(genmat data build-reference)"
            )
            raise ReferenceDataError(msg)
        return metadata


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """One known crystal on its way into a reference.

    Parameters
    ----------
    material_id
        Id at the source, such as ``mp-149``.
    formula
        Reduced formula as pymatgen writes it.
    gene
        Canonical gene; empty if the crystal has none.
    fingerprint
        From :func:`genmat.reference.fingerprint.fingerprint`, shape (``SIZE``,).
    n_sites
        Atoms in the primitive cell.
    energy_per_atom
        Energy, eV/atom; ``None`` where it was not computed.
    relaxed
        Whether the energy is that of the relaxed crystal, not of the source's geometry.
    crystal
        x of the crystal whose energy it is; ``None`` where it is not kept.
    """

    material_id: str
    formula: str
    gene: str
    fingerprint: NDArray[np.uint16]
    n_sites: int
    energy_per_atom: float | None = None
    relaxed: bool = False
    crystal: Crystal | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """All known crystals, as columns in the order of their ids.

    Parameters
    ----------
    metadata
        What they were made from.
    material_ids, formulas, genes
        As in :class:`ReferenceRow`, length n.
    fingerprints
        Shape (n, ``SIZE``), uint16.
    n_sites
        Atoms in the primitive cell, shape (n,), int32.
    energies
        eV/atom, shape (n,); NaN where not computed.
    energies_above_hull
        Distance to the hull that all rows with an energy span, eV/atom, shape (n,); NaN where there is no energy.
    relaxed
        Shape (n,), bool.
    crystal_rows
        Rows that have x, ascending, shape (m,).
    crystals
        x of those rows, length m.
    id
        SHA-256 of everything above: equal for equal content, however the file was written.
    row_of
        Row by material id.

    Raises
    ------
    ReferenceDataError
        If the columns do not fit together.
    """

    metadata: ReferenceMetadata
    material_ids: tuple[str, ...]
    formulas: tuple[str, ...]
    genes: tuple[str, ...]
    fingerprints: NDArray[np.uint16]
    n_sites: NDArray[np.int32]
    energies: NDArray[np.float64]
    energies_above_hull: NDArray[np.float64]
    relaxed: NDArray[np.bool_]
    crystal_rows: NDArray[np.int32]
    crystals: CrystalColumns
    id: str = field(init=False)
    row_of: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the columns against each other and make them read-only."""
        n_rows = len(self.material_ids)
        lengths = {len(self.formulas), len(self.genes), len(self.n_sites), len(self.energies), len(self.relaxed)}
        if lengths != {n_rows} or self.fingerprints.shape != (n_rows, SIZE) or len(self.energies_above_hull) != n_rows:
            msg = f"the columns of a reference of {n_rows} crystals have different lengths: rebuild it"
            raise ReferenceDataError(msg)
        object.__setattr__(self, "row_of", {name: row for row, name in enumerate(self.material_ids)})
        if len(self.row_of) != n_rows:
            msg = "a material_id occurs twice in the reference, expected distinct ids: rename or drop one of the rows"
            raise ReferenceDataError(msg)
        if len(self.crystal_rows) != len(self.crystals) or (np.diff(self.crystal_rows) <= 0).any():
            msg = f"{len(self.crystals)} crystals do not belong to {len(self.crystal_rows)} ascending rows: rebuild it"
            raise ReferenceDataError(msg)
        if (np.isnan(self.energies) & self.relaxed).any() or np.isinf(self.energies).any():
            msg = "a relaxed crystal of the reference has no finite energy: rebuild it"
            raise ReferenceDataError(msg)
        for column in (self.fingerprints, self.n_sites, self.energies, self.energies_above_hull, self.relaxed):
            column.setflags(write=False)
        object.__setattr__(self, "id", self._digest())

    @classmethod
    def from_rows(cls, rows: Iterable[ReferenceRow], *, metadata: ReferenceMetadata) -> Reference:
        """Return the reference of some crystals, in the order of their ids, distances to their own hull computed.

        Raises
        ------
        MissingReferenceError
            If a crystal with an energy holds an element of which no elemental crystal has one.
        """
        given = sorted(rows, key=lambda row: row.material_id)
        energies = np.asarray([np.nan if row.energy_per_atom is None else row.energy_per_atom for row in given], float)
        above = np.full(len(given), np.nan)
        known = np.flatnonzero(~np.isnan(energies))
        names, formulas = [given[row].material_id for row in known], [given[row].formula for row in known]
        hull = Hull(_hull_entries(names, formulas, energies[known]), scale=metadata.scale)
        above[known] = hull.entries_above_hull()
        with_crystal = [row for row, item in enumerate(given) if item.crystal is not None]
        fingerprints = np.zeros((len(given), SIZE), dtype=np.uint16)
        for row, item in enumerate(given):
            fingerprints[row] = item.fingerprint
        return cls(
            metadata=metadata,
            material_ids=tuple(item.material_id for item in given),
            formulas=tuple(item.formula for item in given),
            genes=tuple(item.gene for item in given),
            fingerprints=fingerprints,
            n_sites=np.asarray([item.n_sites for item in given], dtype=np.int32),
            energies=energies,
            energies_above_hull=above,
            relaxed=np.asarray([item.relaxed for item in given], dtype=np.bool_),
            crystal_rows=np.asarray(with_crystal, dtype=np.int32),
            crystals=CrystalColumns.from_crystals([item.crystal for item in given if item.crystal is not None]),
        )

    def __len__(self) -> int:
        """Return the number of known crystals."""
        return len(self.material_ids)

    @property
    def scale(self) -> EnergyScale:
        """Scale of the energies."""
        return self.metadata.scale

    @property
    def potential_sha256(self) -> str:
        """SHA-256 of the potential's weights."""
        return self.metadata.potential_sha256

    @property
    def is_labelled(self) -> bool:
        """Whether the source stated the energies, so that no potential computed them."""
        return self.metadata.potential == LABELS

    def hull(self) -> Hull:
        """Return the hull of all rows that have an energy."""
        rows = np.flatnonzero(~np.isnan(self.energies))
        names, formulas = [self.material_ids[row] for row in rows], [self.formulas[row] for row in rows]
        return Hull(_hull_entries(names, formulas, self.energies[rows]), scale=self.scale)

    def crystal(self, row: int) -> Crystal | None:
        """Return x of a row, or ``None`` where it is not kept."""
        index = int(np.searchsorted(self.crystal_rows, row))
        if index == len(self.crystal_rows) or self.crystal_rows[index] != row:
            return None
        return self.crystals[index]

    def summary(self) -> dict[str, int]:
        """Return how many crystals there are of each kind."""
        return {
            "known": len(self),
            "with_energy": int((~np.isnan(self.energies)).sum()),
            "relaxed": int(self.relaxed.sum()),
            "on_hull": int((self.energies_above_hull == 0.0).sum()),
            "with_crystal": len(self.crystals),
        }

    def _digest(self) -> str:
        digest = hashlib.sha256(canonical_json(self.metadata.to_dict()).encode())
        for texts in (self.material_ids, self.formulas, self.genes, self.crystals.orbits):
            digest.update("\n".join(texts).encode())
            digest.update(b"\0")
        crystals = self.crystals
        for column, kind in (
            (self.fingerprints, "<u2"),
            (self.n_sites, "<i4"),
            (self.energies, "<f8"),
            (self.energies_above_hull, "<f8"),
            (self.relaxed, "<u1"),
            (self.crystal_rows, "<i4"),
            (crystals.numbers, "<i2"),
            (crystals.offsets, "<i4"),
            (crystals.coordinates, "<i4"),
            (crystals.lattices, "<f4"),
        ):
            digest.update(np.ascontiguousarray(column, dtype=kind).tobytes())
        return digest.hexdigest()


def _hull_entries(names: Sequence[str], formulas: Sequence[str], energies: NDArray[np.float64]) -> HullEntries:
    compositions = tuple(fractions_of(parse_formula(formula)) for formula in formulas)
    return HullEntries(tuple(names), tuple(formulas), compositions, energies)
