"""The documents of the six collections.

A document is immutable; :meth:`Document.to_mongo` and :meth:`Document.from_mongo` are its only two ways into and
out of the database. Field names follow emmet where emmet has one, W3C PROV for provenance. Units: Å, eV, eV/atom,
GPa; times are UTC with millisecond resolution, as BSON keeps them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from genmat.database.encoding import from_bson, to_bson
from genmat.database.migrations import upgrade
from genmat.errors import DatabaseError, StructureError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymatgen.core.structure import Structure

    from genmat.screening.verdict import Verdict


def utc_now() -> datetime:
    """Return the present time in UTC, cut to milliseconds as BSON stores it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _as_utc(value: datetime) -> datetime:
    value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


def _finite_or_text(value: Any) -> Any:
    # A verdict about an exploded relaxation must be storable: JSON and the strict schema know no NaN.
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        return str(float(value))
    return value


Time = Annotated[datetime, AfterValidator(_as_utc)]
Value = Annotated[float | str, BeforeValidator(_finite_or_text)]


class _Part(BaseModel):
    """A piece of a document."""

    # Built at first use: a command that only lists campaigns should not wait for the schemas of the others.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class Document(_Part):
    """A document of one collection.

    Parameters
    ----------
    id
        Stored as ``_id``: a hash of what caused the document, or a name.
    schema_version
        Version of the document's fields, see :mod:`genmat.database.migrations`.
    """

    collection: ClassVar[str]

    id: str = Field(min_length=1, description="Stored as _id: a hash of what caused the document, or a name")
    schema_version: int = Field(default=1, ge=1, description="Version of the fields of this kind of document")

    def to_mongo(self) -> dict[str, Any]:
        """Return the document as MongoDB stores it."""
        fields: dict[str, Any] = to_bson(self.model_dump())
        return {"_id": fields.pop("id"), **fields}

    @classmethod
    def from_mongo(cls, stored: Mapping[str, Any]) -> Self:
        """Return the document that the database holds, brought to the present schema version.

        Raises
        ------
        DatabaseError
            If a newer genmat wrote it, or its fields do not fit the schema.
        """
        fields = from_bson(upgrade(cls.collection, stored))
        identifier = fields.pop("_id")
        try:
            return cls(id=identifier, **fields)
        except ValidationError as err:
            first = err.errors(include_input=False, include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            msg = f"document {identifier!r} in {cls.collection!r} is damaged: {place}: {first['msg']}"
            raise DatabaseError(msg) from err


class StructureDocument(Document):
    """A crystal, stored compactly."""

    collection = "structures"

    lattice: list[float] = Field(
        min_length=9, max_length=9, description="Rows a, b, c of the cell one after another, Å"
    )
    species: list[str] = Field(min_length=1, description="Element symbol of every site")
    frac_coords: list[float] = Field(description="Fractional coordinates, site after site (3 times nsites)")
    formula_pretty: str = Field(description="Reduced formula")
    elements: list[str] = Field(description="Element symbols, sorted")
    nelements: int = Field(ge=1, description="Number of elements")
    chemsys: str = Field(description="Sorted elements joined by '-'")
    nsites: int = Field(ge=1, description="Atoms in the stored cell")
    volume: float = Field(gt=0, description="Volume of the stored cell, Å^3")
    density: float = Field(gt=0, description="Mass density, g/cm^3")
    space_group_number: int | None = Field(default=None, ge=1, le=230, description="International number")
    gene: str | None = Field(default=None, description="Canonical Wyckoff gene")
    fingerprint: list[float] = Field(default_factory=list, description="Average minimum distances, Å")
    content_hash: str | None = Field(default=None, description="Identity of the crystal whatever its setting")
    parents: list[str] = Field(default_factory=list, description="Ids of the structures it was made from")
    x: dict[str, JsonValue] | None = Field(default=None, description="Reconstructible representation")

    @classmethod
    def from_structure(
        cls,
        structure: Structure,
        *,
        identifier: str,
        space_group_number: int | None = None,
        gene: str | None = None,
        fingerprint: list[float] | None = None,
        content_hash: str | None = None,
        parents: list[str] | None = None,
        x: dict[str, Any] | None = None,
    ) -> Self:
        """Return the document of an ordered structure; site properties and charges are not kept.

        Raises
        ------
        StructureError
            If a site is partially occupied.
        """
        if not structure.is_ordered:
            msg = f"structure {structure.composition.reduced_formula} has partial occupancies, expected ordered sites"
            raise StructureError(msg)
        elements = sorted(element.symbol for element in structure.composition.element_composition.elements)
        return cls(
            id=identifier,
            lattice=[float(value) for value in structure.lattice.matrix.ravel()],
            species=[site.specie.symbol for site in structure],
            frac_coords=[float(value) for value in structure.frac_coords.ravel()],
            formula_pretty=structure.composition.element_composition.reduced_formula,
            elements=elements,
            nelements=len(elements),
            chemsys="-".join(elements),
            nsites=len(structure),
            volume=float(structure.volume),
            density=float(structure.density),
            space_group_number=space_group_number,
            gene=gene,
            fingerprint=fingerprint or [],
            content_hash=content_hash,
            parents=parents or [],
            x=x,
        )

    def to_structure(self) -> Structure:
        """Return the crystal, exactly the floats that were stored."""
        import numpy as np  # a status line needs neither numpy nor pymatgen
        from pymatgen.core.lattice import Lattice
        from pymatgen.core.structure import Structure

        lattice = Lattice(np.reshape(self.lattice, (3, 3)))
        return Structure(lattice, self.species, np.reshape(self.frac_coords, (-1, 3)))


class PropertyDocument(Document):
    """One value of one property of one structure."""

    collection = "properties"

    structure_id: str = Field(description="Structure that has the value")
    name: str = Field(description="Property, such as energy_above_hull")
    value: float = Field(description="The value, in unit")
    unit: str = Field(description="Unit, such as eV/atom")
    fidelity: str = Field(description="mlip:chgnet-0.3.0, dft:pbe:vasp, experiment")
    method: str = Field(description="What computed it")
    parameters: dict[str, JsonValue] = Field(default_factory=dict, description="Parameters of the method")
    energy_scale: dict[str, str] | None = Field(default=None, description="Energy scale, for energies only")
    uncertainty: float | None = Field(default=None, ge=0, description="One standard deviation, in unit")
    activity_id: str | None = Field(default=None, description="Activity that computed it")


class CandidateStatus(StrEnum):
    """Where a draw stands."""

    ACTIVE = "active"
    REJECTED = "rejected"
    ACCEPTED = "accepted"


class VerdictRecord(_Part):
    """What one stage decided about a candidate."""

    stage: str = Field(description="Stage that decided")
    passed: bool = Field(description="Whether the candidate goes on")
    reason: str = Field(description="Reason code")
    detail: str = Field(default="", description="Reason in words")
    values: dict[str, Value] = Field(default_factory=dict, description="Numbers behind the decision, units in the name")
    snapshot_id: str | None = Field(default=None, description="Reference snapshot it was judged against")
    activity_id: str | None = Field(default=None, description="Activity that decided")

    @classmethod
    def of(cls, verdict: Verdict, *, snapshot_id: str | None, activity_id: str | None = None) -> Self:
        """Return a verdict as it is kept, with what it was judged against and by which activity."""
        return cls(
            stage=verdict.stage,
            passed=verdict.passed,
            reason=verdict.reason,
            detail=verdict.detail,
            values=dict(verdict.values),
            snapshot_id=snapshot_id,
            activity_id=activity_id,
        )


class CandidateDocument(Document):
    """One draw in a campaign."""

    collection = "candidates"

    campaign: str = Field(description="Name of the campaign")
    round: int = Field(ge=0, description="Round, from 0")
    index: int = Field(ge=0, description="Draw index in the round, from 0")
    generator: str = Field(description="Name of the generator")
    generator_hash: str = Field(description="Hash of the generator's configuration")
    seed: int = Field(ge=0, description="Seed of the campaign")
    stage: str = Field(default="generate", description="Last stage that decided")
    status: CandidateStatus = Field(default=CandidateStatus.ACTIVE, description="active, rejected or accepted")
    reason: str = Field(default="ok", description="Reason code of the last verdict")
    verdicts: list[VerdictRecord] = Field(default_factory=list, description="At most one a stage, in order of time")
    score: float | None = Field(default=None, description="Generator's score; the larger, the earlier it is relaxed")
    rank: int | None = Field(default=None, ge=1, description="Rank in the campaign, 1 is best")
    origin: dict[str, JsonValue] = Field(default_factory=dict, description="What the draw was made from")
    structure_id: str | None = Field(default=None, description="Structure as drawn")
    relaxed_structure_id: str | None = Field(default=None, description="Structure after relaxation")
    content_hash: str | None = Field(default=None, description="Identity of the crystal as drawn")
    relaxed_content_hash: str | None = Field(default=None, description="Identity of the relaxed crystal")
    formula_pretty: str | None = Field(default=None, description="Reduced formula")
    elements: list[str] = Field(default_factory=list, description="Element symbols, sorted")
    nelements: int | None = Field(default=None, ge=1, description="Number of elements")
    chemsys: str | None = Field(default=None, description="Sorted elements joined by '-'")
    nsites: int | None = Field(default=None, ge=1, description="Atoms in the primitive cell")
    space_group_number: int | None = Field(default=None, ge=1, le=230, description="Latest known, relaxed if relaxed")
    gene: str | None = Field(default=None, description="Canonical Wyckoff gene as drawn")
    energy_above_hull: float | None = Field(default=None, description="In the screening potential's hull, eV/atom")
    properties: dict[str, float] = Field(default_factory=dict, description="Target properties, units of the campaign")
    on_target: bool | None = Field(default=None, description="Whether the relaxed crystal meets the target")


class CampaignState(StrEnum):
    """Life of a campaign."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Lease(_Part):
    """Which process runs a campaign."""

    host: str = Field(description="Host name")
    namespace: str = Field(description="Boot and process-id namespace of the host; process ids mean the same inside")
    pid: int = Field(ge=1, description="Process id")
    process_start: float = Field(description="Start of the process, seconds since 1970")
    since: Time = Field(description="When the lease was taken")
    heartbeat: Time = Field(description="Last sign of life, by the database's clock")


class RoundState(_Part):
    """Where one round stands."""

    round: int = Field(ge=0, description="Round, from 0")
    phase: str = Field(description="Phase of the round's state machine")
    snapshot_id: str | None = Field(default=None, description="Reference snapshot the round is judged against")
    weights: dict[str, JsonValue] = Field(default_factory=dict, description="Log-weights of the proposals")
    counts: dict[str, int] = Field(default_factory=dict, description="Candidates per outcome")
    ssun: dict[str, JsonValue] = Field(default_factory=dict, description="S.S.U.N. with every definition it rests on")
    started_at: Time | None = Field(default=None, description="Start of the round")
    finished_at: Time | None = Field(default=None, description="End of the round")


class SnapshotRecord(_Part):
    """A frozen reference: the packaged table and what the campaign added to it."""

    id: str = Field(description="Hash of the reference and of what was added")
    round: int = Field(ge=0, description="Round that is judged against it")
    reference_id: str = Field(description="Reference table")
    structure_ids: list[str] = Field(default_factory=list, description="Relaxed structures that joined, sorted")
    labels_id: str | None = Field(default=None, description="Reference of stated energies that spans the DFT hull")


class CampaignDocument(Document):
    """A campaign; its id is its name."""

    collection = "campaigns"

    schema_version: int = Field(default=2, ge=1, description="Version of the fields of this kind of document")
    config: dict[str, JsonValue] = Field(description="Configuration as given, defaults filled in")
    config_hash: str = Field(description="Hash of the configuration")
    state: CampaignState = Field(
        default=CampaignState.CREATED, description="created, running, paused, finished, failed, cancelled"
    )
    error: str | None = Field(default=None, description="Why it failed, one line")
    owner: Lease | None = Field(default=None, description="Process that runs it")
    rounds: list[RoundState] = Field(default_factory=list, description="One entry a round")
    snapshots: list[SnapshotRecord] = Field(default_factory=list, description="One reference snapshot a round")
    code_version: str = Field(description="genmat that created it")
    created_at: Time = Field(default_factory=utc_now, description="When it was created")
    updated_at: Time = Field(default_factory=utc_now, description="Last change of state")


class ActivityState(StrEnum):
    """Life of an activity; a completed one stays completed."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    PARKED = "parked"


class Attempt(_Part):
    """One execution of an activity."""

    id: str = Field(description="Identifier of the attempt")
    host: str = Field(description="Host name")
    pid: int = Field(ge=1, description="Process id")
    started_at: Time = Field(description="Start")
    ended_at: Time | None = Field(default=None, description="End; absent while it runs or if it was killed")
    outcome: str | None = Field(default=None, description="completed or failed")
    error: str | None = Field(default=None, description="Why it failed, one line")


class ActivityDocument(Document):
    """What used what and made what (W3C PROV activity)."""

    collection = "provenance"

    campaign: str = Field(description="Name of the campaign")
    round: int = Field(ge=0, description="Round, from 0")
    stage: str = Field(description="Kind of work: generate, relax, ...")
    used: list[str] = Field(default_factory=list, description="Ids of the inputs, sorted")
    generated: list[str] = Field(default_factory=list, description="Ids of the outputs, sorted")
    code_version: str = Field(description="genmat that does the work")
    model: str | None = Field(default=None, description="Model that did the work, such as chgnet-0.3.0")
    model_sha256: str | None = Field(default=None, description="SHA-256 of the model's weights")
    seed: int | None = Field(default=None, ge=0, description="Seed of the random streams")
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict, description="Everything else that decides the result"
    )
    job_uuid: str | None = Field(default=None, description="jobflow job")
    firework_id: int | None = Field(default=None, description="FireWorks id")
    state: ActivityState = Field(
        default=ActivityState.PENDING, description="pending, running, completed, failed, or parked"
    )
    attempts: list[Attempt] = Field(default_factory=list, description="Every execution")
    counts: dict[str, int] = Field(default_factory=dict, description="Candidates per reason; assigned, never added to")


class ModelDocument(Document):
    """A registered model; its id is name and version."""

    collection = "models"

    name: str = Field(description="Name, such as chgnet")
    version: str = Field(description="Version, such as 0.3.0")
    kind: str = Field(description="potential, generator, property, ...")
    sha256: str = Field(min_length=64, max_length=64, description="SHA-256 of the weights")
    license: str = Field(description="License of the weights")
    location: str = Field(description="Package or file that holds the weights")
    energy_scale: dict[str, str] | None = Field(default=None, description="Energy scale, for potentials")
    training_data: str | None = Field(default=None, description="What it was trained on")
    metrics: dict[str, float] = Field(default_factory=dict, description="Quality, unit in the name")
    parent: str | None = Field(default=None, description="Model it was trained from")


DOCUMENTS: tuple[type[Document], ...] = (
    StructureDocument,
    PropertyDocument,
    CandidateDocument,
    CampaignDocument,
    ActivityDocument,
    ModelDocument,
)
