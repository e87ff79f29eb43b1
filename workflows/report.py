"""What a campaign leaves behind in a folder: report, table, relaxed crystals."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from genmat.campaign import Campaign
from genmat.database.documents import CandidateStatus
from genmat.errors import GenmatError, MissingReferenceError, StorageError
from genmat.interop.export import collect_crystals, select_candidates, to_cif, to_csv, to_extxyz
from genmat.interop.io import write_text
from genmat.screening.ssun import SsunDefinition
from genmat.screening.static import gate_outcomes
from genmat.screening.verdict import Reason, Stage, Verdict
from genmat.validation.calibration import geometry_bounds
from workflows.accounting import core_hours
from workflows.calibration import geometry_deviations, latest_calibration
from workflows.chunk import SELECT, SELECT_PROPERTIES
from workflows.session import current_reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from genmat.database.documents import CampaignDocument, CandidateDocument
    from genmat.database.store import Store
    from genmat.interop.export import ExportedCrystal
    from genmat.reference.table import Reference
    from genmat.report import CampaignReport, HullSystem, ReportedCandidate, RoundRecord

logger = logging.getLogger(__name__)

N_SYSTEMS = 6
"""Chemical systems that have a hull diagram."""

_OUR_CIF = re.compile(r"\d{3,}-[A-Za-z0-9().]+-[0-9a-f]{8}\.cif")


def write_outputs(store: Store, name: str, folder: Path) -> list[Path]:
    """Write what a campaign found, finished or not, and return the files.

    Parameters
    ----------
    store
        Database.
    name
        Campaign.
    folder
        Folder for ``report.html``, ``candidates.csv`` (every draw), ``structures.extxyz`` and ``structures/*.cif``
        (accepted candidates, relaxed); created if need be. Each file is written whole or not at all, and CIF files of
        candidates that lost their rank since an earlier call are removed.

    Raises
    ------
    CampaignError
        If there is no such campaign.
    StorageError
        If a file cannot be written.
    """
    from genmat.report import render

    document = store.campaigns.require(name)
    candidates = select_candidates(store, name, everything=True)
    crystals = collect_crystals(store, [c for c in candidates if c.status is CandidateStatus.ACCEPTED])
    report = campaign_report(store, document, candidates, crystals)
    cifs = {f"{crystal.stem}.cif": to_cif(crystal) for crystal in crystals}
    paths = [
        write_text(folder / "report.html", render(report)),
        write_text(folder / "candidates.csv", to_csv(candidates)),
        write_text(folder / "structures.extxyz", to_extxyz(crystals)),
        *(write_text(folder / "structures" / file, text) for file, text in cifs.items()),
    ]
    _remove_stale(folder / "structures", keep=cifs)
    return paths


def campaign_report(
    store: Store,
    document: CampaignDocument,
    candidates: Sequence[CandidateDocument],
    crystals: Sequence[ExportedCrystal],
) -> CampaignReport:
    """Return the report of a campaign as values.

    Parameters
    ----------
    store
        Database.
    document
        The campaign.
    candidates
        All of its draws.
    crystals
        Accepted candidates with their relaxed crystals, best first.
    """
    from genmat.report import N_BEST, CampaignReport

    shown = {crystal.candidate.id: crystal for crystal in crystals[:N_BEST]}
    numbers = _space_groups(store, candidates)
    reported = [_candidate(candidate, numbers, shown.get(candidate.id)) for candidate in candidates]
    reported.sort(key=lambda candidate: (candidate.round, candidate.index))
    reference, note = _reference(document)
    systems = [] if reference is None else list(_systems(reference, reported))
    campaign = Campaign.from_dict(document.config, source=f"campaign {document.id!r}")
    return CampaignReport(
        campaign=campaign,
        state=document.state.value,
        code_version=document.code_version,
        created_at=document.created_at,
        rounds=tuple(_rounds(document)),
        candidates=tuple(reported),
        reference_id=document.snapshots[0].reference_id if document.snapshots else None,
        attribution="" if reference is None else reference.metadata.attribution,
        systems=tuple(systems),
        note=note,
        passed_over=_passed_over(store, document.id, SELECT),
        unmeasured=_passed_over(store, document.id, SELECT_PROPERTIES),
        gates=tuple(gate_outcomes(map(_verdicts, candidates))),
        cost=core_hours(store, document.id),
        calibration=latest_calibration(store, document.id),
        geometry=geometry_bounds(geometry_deviations(store, campaign.screen.potential)),
    )


def _verdicts(candidate: CandidateDocument) -> dict[Stage, Verdict]:
    """Return what each stage decided about a candidate."""
    return {
        Stage(v.stage): Verdict(Stage(v.stage), v.passed, Reason(v.reason), v.detail, v.values)
        for v in candidate.verdicts
    }


def _candidate(
    candidate: CandidateDocument, numbers: Mapping[str, int | None], crystal: ExportedCrystal | None
) -> ReportedCandidate:
    from genmat.report import ReportedCandidate, StageVerdict

    substitution = candidate.origin.get("substitution")
    template = candidate.origin.get("template")
    return ReportedCandidate(
        id=candidate.id,
        round=candidate.round,
        index=candidate.index,
        verdicts=tuple(StageVerdict(v.stage, v.passed, v.reason, v.detail) for v in candidate.verdicts),
        formula=candidate.formula_pretty,
        elements=tuple(candidate.elements),
        number_drawn=numbers.get(candidate.structure_id or ""),
        number_relaxed=numbers.get(candidate.relaxed_structure_id or ""),
        energy_above_hull=candidate.energy_above_hull,
        properties=dict(candidate.properties),
        rank=candidate.rank if candidate.status is CandidateStatus.ACCEPTED else None,
        template=None if template is None else str(template),
        substitution={k: str(v) for k, v in substitution.items()} if isinstance(substitution, dict) else {},
        n_atoms=candidate.nsites,
        structure=None if crystal is None else crystal.structure,
        cif="" if crystal is None else to_cif(crystal),
        validation=next((dict(v.values) for v in candidate.verdicts if v.stage == Stage.VALIDATE), {}),
    )


def _passed_over(store: Store, name: str, stage: str) -> dict[str, str]:
    """Return why a selection left out candidates, or properties of them, by id."""
    found = store.provenance.find({"campaign": name, "stage": stage})
    reasons: Any = [activity.parameters.get("passed_over") or {} for activity in found]
    return {str(key): str(value) for part in reasons for key, value in part.items()}


def _space_groups(store: Store, candidates: Sequence[CandidateDocument]) -> dict[str, int | None]:
    """Return the space group of every structure of some candidates."""
    wanted = [key for c in candidates for key in (c.structure_id, c.relaxed_structure_id) if key is not None]
    found = store.structures.project({"_id": {"$in": wanted}}, ["space_group_number"])
    return {stored["id"]: stored.get("space_group_number") for stored in found}


def _rounds(document: CampaignDocument) -> Iterator[RoundRecord]:
    from genmat.report import RoundRecord

    added = {snapshot.round: len(snapshot.structure_ids) for snapshot in document.snapshots}
    for state in document.rounds:
        ssun: Any = state.ssun
        weights: Any = state.weights.get("elements") or {}
        proportions = ssun.get("proportions", {})
        yield RoundRecord(
            number=state.round,
            snapshot_id=state.snapshot_id,
            n_added=added.get(state.round, 0),
            definition=SsunDefinition(**ssun["definition"]) if "definition" in ssun else None,
            ssun={key: (int(part["successes"]), int(part["total"])) for key, part in proportions.items()},
            engine_ssun=ssun.get("validation") or {},
            element_weights={str(symbol): float(weight) for symbol, weight in weights.items()},
            finished_at=state.finished_at,
        )


def _reference(document: CampaignDocument) -> tuple[Reference | None, str]:
    """Return the campaign's reference, or nothing and why its hull cannot be drawn."""
    if not document.snapshots:
        return None, ""
    try:
        reference = current_reference()
    except GenmatError as err:
        logger.warning("no hull diagrams in the report: %s", err)
        return None, f"There are no hull diagrams: {err}."
    if reference.id != document.snapshots[0].reference_id:
        return (
            None,
            "There are no hull diagrams: the campaign was judged against another reference than the present one.",
        )
    return reference, ""


def _systems(reference: Reference, reported: Sequence[ReportedCandidate]) -> Iterator[HullSystem]:
    """Yield the chemical systems of the best candidates with their known crystals."""
    from genmat.report.hull_data import chosen_systems, hull_system

    accepted = sorted((c for c in reported if c.rank is not None), key=lambda c: c.rank or 0)
    systems = chosen_systems(accepted, limit=N_SYSTEMS)
    if not systems:
        return
    hull = reference.hull()
    for elements in systems:
        try:
            yield hull_system(hull, elements, accepted)
        except MissingReferenceError as err:
            logger.warning("no hull diagram of %s: %s", "-".join(elements), err)


def _remove_stale(folder: Path, *, keep: Mapping[str, str]) -> None:
    """Remove CIF files that an earlier call wrote and this one did not; files of other names are never touched."""
    if not folder.is_dir():
        return
    try:
        for path in folder.iterdir():
            if _OUR_CIF.fullmatch(path.name) and path.name not in keep:
                path.unlink()
    except OSError as err:
        msg = f"{folder} cannot be tidied: {err.strerror or err}; remove the CIF files that are not in candidates.csv"
        raise StorageError(msg) from err
