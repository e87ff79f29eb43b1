"""The frozen reference that one round is judged against: the table and what earlier rounds added."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from genmat.database.documents import SnapshotRecord
from genmat.errors import CampaignError, EnergyScaleError, MissingReferenceError
from genmat.reference.cache import FILE as FACETS
from genmat.reference.coverage import label_coverage
from genmat.reference.entries import HullEntries
from genmat.screening.identity import describe
from genmat.screening.novelty import Added, NoveltyIndex
from genmat.screening.stability import HullName
from genmat.settings import Settings
from workflows.identity import snapshot_id
from workflows.session import current_labels, current_reference

if TYPE_CHECKING:
    from pymatgen.core.composition import Composition

    from genmat.database.store import Store
    from genmat.energy import EnergyScale
    from genmat.models.potentials import Potential
    from genmat.reference.coverage import LabelCoverage
    from genmat.reference.hull import Hull
    from genmat.reference.table import Reference


@dataclass(frozen=True, slots=True)
class JudgingHull:
    """A hull, and the scale on which a potential's energies meet it.

    Parameters
    ----------
    name
        Whose it is.
    hull
        Its facets.
    scale
        Of the potential, or of the labels that it predicts.
    coverage
        Which competing phases have a label; ``None`` for the potential's own hull.
    """

    name: HullName
    hull: Hull
    scale: EnergyScale
    coverage: LabelCoverage | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Hulls and novelty index of a round.

    Parameters
    ----------
    id
        Hash of all of it.
    reference
        Known crystals.
    hull
        Of the reference's potential, with what earlier rounds added.
    novelty
        Known crystals and what earlier rounds added.
    labels
        Hull of stated energies, which no potential's energy ever enters; ``None`` without the setting ``labels``.
    """

    id: str
    reference: Reference
    hull: Hull
    novelty: NoveltyIndex
    labels: LabelHull | None = None

    def judging(self, name: str, potential: Potential) -> JudgingHull:
        """Return the hull of a name for the energies of a potential.

        Raises
        ------
        EnergyScaleError
            If there is none on the scale of the potential, or of the labels that it predicts.
        """
        if (found := self._hull(HullName(name), potential)) is None:
            msg = f"there is no {name} hull for the energies of {potential.name} in snapshot {self.id[:12]}"
            raise EnergyScaleError(msg)
        return found

    def other_distance(
        self, name: HullName, potential: Potential, composition: Composition, energy_per_atom: float
    ) -> dict[str, float]:
        """Return the distance (eV/atom) to the hull that does not judge, by the name of its property, if it exists."""
        other = HullName.DFT if name is HullName.OWN else HullName.OWN
        found = self._hull(other, potential)
        if found is None or (found.coverage is not None and found.coverage.unlabelled(composition)):
            return {}
        try:
            above = found.hull.energy_above_hull(composition, energy_per_atom, scale=found.scale)
        except MissingReferenceError:
            return {}
        return {f"energy_above_{other.value}_hull": above}

    def _hull(self, name: HullName, potential: Potential) -> JudgingHull | None:
        if name is HullName.OWN:
            return JudgingHull(name, self.hull, potential.scale) if self.hull.scale == potential.scale else None
        if self.labels is None or self.labels.hull.scale != potential.label_scale:
            return None
        return JudgingHull(name, self.labels.hull, self.labels.hull.scale, self.labels.coverage)


@dataclass(frozen=True, slots=True)
class LabelHull:
    """Hull of stated energies, and which phases of the reference they leave out."""

    hull: Hull
    coverage: LabelCoverage


@lru_cache(maxsize=2)
def _base(reference: Reference) -> tuple[Hull, NoveltyIndex]:
    return _cached(reference.hull()), NoveltyIndex(reference)


def _cached(hull: Hull) -> Hull:
    return hull.with_cache(Settings.load().data_folder / FACETS)


@lru_cache(maxsize=2)
def _label_hull(reference: Reference, labels: Reference) -> LabelHull:
    hull = base_hull(reference)
    return LabelHull(_cached(labels.hull()), label_coverage(reference, labels, hull=hull))


def label_hull() -> LabelHull | None:
    """Return the hull of the labels that the settings name, or ``None``; made once a process."""
    labels = current_labels()
    return None if labels is None else _label_hull(current_reference(), labels)


def hull_text(name: str, potential: Potential) -> str:
    """Return whose hull a campaign judges by, in words, for the definition of its S.S.U.N."""
    if name == HullName.DFT and (labels := current_labels()) is not None and (found := label_hull()) is not None:
        return (
            f"DFT hull, {labels.scale}, {labels.summary()['with_energy']} labelled crystals, {found.coverage}; "
            f"energies of {potential.name} predict that scale"
        )
    reference = current_reference()
    summary = reference.summary()
    return f"own hull, {reference.scale}, {summary['with_energy']} crystals, {summary['relaxed']} of them relaxed"


def base_hull(reference: Reference) -> Hull:
    """Return the hull of a reference alone; made once a process."""
    return _base(reference)[0]


def load_snapshot(store: Store, record: SnapshotRecord) -> Snapshot:
    """Return the hulls and the novelty index that a snapshot stands for.

    Raises
    ------
    CampaignError
        If the settings name other labels than those that were frozen.
    """
    reference = current_reference()
    hull, novelty = _base(reference)
    if record.structure_ids:
        documents = store.structures.get_many(record.structure_ids)
        # A campaign that judges by labels may relax with a potential that the reference's hull does not know.
        energies = {
            value.structure_id: value.value
            for value in store.properties.find(
                {"structure_id": {"$in": record.structure_ids}, "name": "energy_per_atom"}
            )
            if value.energy_scale == reference.scale.to_dict()
        }
        structures = {key: document.to_structure() for key, document in documents.items()}
        entries = HullEntries.from_compositions(
            list(energies),
            [structures[key].composition for key in energies],
            np.array(list(energies.values())),
        )
        hull = hull.with_entries(entries, scale=reference.scale)
        added = [Added(key, describe(value, gene=documents[key].gene or "")) for key, value in structures.items()]
        novelty = NoveltyIndex(reference, added)
    return Snapshot(record.id, reference, hull, novelty, _frozen_labels(record))


def _frozen_labels(record: SnapshotRecord) -> LabelHull | None:
    if record.labels_id is None:
        return None
    labels = current_labels()
    if labels is None or labels.id != record.labels_id:
        msg = (
            f"the round was begun with the labels {record.labels_id[:12]}, the setting labels names "
            f"{'none' if labels is None else labels.id[:12]}: set GENMAT_LABELS to those on every machine"
        )
        raise CampaignError(msg)
    return label_hull()


def freeze(store: Store, campaign: str, *, round_number: int, structure_ids: list[str]) -> SnapshotRecord:
    """Freeze the reference of a round and return it; the first one that was frozen stands."""
    reference, labels = current_reference(), current_labels()
    labels_id = None if labels is None else labels.id
    record = SnapshotRecord(
        id=snapshot_id(reference.id, structure_ids, labels=labels_id),
        round=round_number,
        reference_id=reference.id,
        structure_ids=sorted(structure_ids),
        labels_id=labels_id,
    )
    return store.campaigns.add_snapshot(campaign, record)
