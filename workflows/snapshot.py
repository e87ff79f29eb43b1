"""The frozen reference that one round is judged against: the table and what earlier rounds added."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from genmat.database.documents import SnapshotRecord
from genmat.reference.entries import HullEntries
from genmat.screening.identity import describe
from genmat.screening.novelty import Added, NoveltyIndex
from genmat.settings import Settings
from workflows.identity import snapshot_id
from workflows.session import current_reference

if TYPE_CHECKING:
    from genmat.database.store import Store
    from genmat.reference.hull import Hull
    from genmat.reference.table import Reference


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Hull and novelty index of a round."""

    id: str
    reference: Reference
    hull: Hull
    novelty: NoveltyIndex


@lru_cache(maxsize=2)
def _base(reference: Reference) -> tuple[Hull, NoveltyIndex]:
    hull = reference.hull().with_cache(Settings.load().data_folder / "facets.sqlite")
    return hull, NoveltyIndex(reference)


def base_hull(reference: Reference) -> Hull:
    """Return the hull of a reference alone; made once a process."""
    return _base(reference)[0]


def load_snapshot(store: Store, record: SnapshotRecord) -> Snapshot:
    """Return the hull and the novelty index that a snapshot stands for."""
    reference = current_reference()
    hull, novelty = _base(reference)
    if record.structure_ids:
        documents = store.structures.get_many(record.structure_ids)
        energies = {
            value.structure_id: value.value
            for value in store.properties.find(
                {"structure_id": {"$in": record.structure_ids}, "name": "energy_per_atom"}
            )
        }
        structures = {key: document.to_structure() for key, document in documents.items()}
        entries = HullEntries.from_compositions(
            list(structures),
            [structure.composition for structure in structures.values()],
            np.array([energies[key] for key in structures]),
        )
        hull = hull.with_entries(entries, scale=reference.scale)
        added = [Added(key, describe(value, gene=documents[key].gene or "")) for key, value in structures.items()]
        novelty = NoveltyIndex(reference, added)
    return Snapshot(record.id, reference, hull, novelty)


def freeze(store: Store, campaign: str, *, round_number: int, structure_ids: list[str]) -> SnapshotRecord:
    """Freeze the reference of a round and return it; the first one that was frozen stands."""
    reference = current_reference()
    record = SnapshotRecord(
        id=snapshot_id(reference.id, structure_ids),
        round=round_number,
        reference_id=reference.id,
        structure_ids=sorted(structure_ids),
    )
    return store.campaigns.add_snapshot(campaign, record)
