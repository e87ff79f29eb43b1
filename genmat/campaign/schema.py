"""The schema of ``campaign.yaml``: what to look for, how to propose and screen it, what to learn, at what cost."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, Strict, ValidationError, WithJsonSchema, model_validator

from genmat.campaign.base import CampaignModel, Count, Number
from genmat.campaign.computed import ComputedProperty, check_computed, for_target
from genmat.campaign.explain import explain, shown
from genmat.campaign.properties import PropertyName
from genmat.campaign.screen import Screen
from genmat.campaign.target import Target
from genmat.errors import CampaignError
from genmat.ids import stable_id

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
"""Names become ids and file names: 1 to 64 letters, digits, - and _, the first a letter or digit."""

MAX_SEED = 2**63 - 1
RESOURCES = "resources"
NOT_HASHED = frozenset({"name", RESOURCES})

Scalar = bool | int | float | str | None
ParameterValue = Scalar | list[Scalar]


def check_name(value: object) -> str:
    """Return a campaign's name.

    Raises
    ------
    ValueError
        If it is no text or holds anything but letters, digits, ``-`` and ``_``.
    """
    if isinstance(value, str) and re.fullmatch(NAME_PATTERN, value):
        return value
    rule = "expected 1 to 64 letters, digits, - and _ that begin with a letter or digit (text, so quote a number)"
    near = re.sub(r"[^A-Za-z0-9_-]+", "-", value).strip("-_")[:64] if isinstance(value, str) else str(value)
    hint = f". Did you mean {near!r}?" if re.fullmatch(NAME_PATTERN, near) else ""
    msg = f"got {value!r}, {rule}{hint}"
    raise ValueError(msg)


def check_parameters(value: object) -> object:
    """Return generator parameters: a mapping from names to scalars or flat lists of scalars, all finite.

    Raises
    ------
    ValueError
        If a name is no text, a value is nested or not finite.
    """
    if not isinstance(value, dict):
        msg = f"got {value!r}, expected a mapping from parameter names to values"
        raise ValueError(msg)
    for name, item in value.items():
        if not isinstance(name, str):
            msg = f"parameter name {name!r} is not text"
            raise ValueError(msg)
        for scalar in item if isinstance(item, list | tuple) else [item]:
            if scalar is not None and not isinstance(scalar, bool | int | float | str):
                kind = type(scalar).__name__
                msg = f"parameter {name!r} is a {kind}, expected a number, text, true, false or a flat list"
                raise ValueError(msg)
            if isinstance(scalar, float) and not math.isfinite(scalar):
                msg = f"parameter {name!r} is {scalar}, expected a finite number"
                raise ValueError(msg)
    return value


def check_workers(value: object) -> object:
    """Return a number of processes, or ``auto``.

    Raises
    ------
    ValueError
        If it is neither.
    """
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if value == "auto" or is_count:
        return value
    msg = f"got {value!r}, expected a whole number of at least 1, or 'auto' for one process a core"
    raise ValueError(msg)


class Generate(CampaignModel):
    """How candidates are proposed."""

    generator: str = Field(
        default="template", min_length=1, description="Name of the generator: template or foundation."
    )
    n: Annotated[Count, Field(le=1_000_000)] = Field(default=200, description="Number of draws in each round.")
    seed: Annotated[int, Strict()] = Field(
        default=0, ge=0, le=MAX_SEED, description="Seed of all random streams; the same seed gives the same candidates."
    )
    oversample: Annotated[Count, Field(le=1000)] = Field(
        default=8,
        description="Options that each draw proposes; the best-scored one is kept, before any energy is computed.",
    )
    parameters: Annotated[dict[str, ParameterValue], BeforeValidator(check_parameters)] = Field(
        default_factory=dict, description="Further parameters of the generator; it names the ones it knows."
    )


class Validation(CampaignModel):
    """Which survivors are computed from first principles, and by what."""

    engine: Literal["gpaw", "vasp", "vasp-r2scan"] = Field(
        default="gpaw",
        description="What computes: gpaw (open, one core a structure), vasp (atomate2; PBE+U) or vasp-r2scan.",
    )
    top: Annotated[Count, Field(le=10_000)] = Field(
        default=3, description="Candidates in each round: the best, with at most two of one chemical system."
    )
    audit: Annotated[int, Strict()] = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Further candidates in each round, drawn at random from all accepted ones: an unbiased precision.",
    )
    hull_tolerance: Number = Field(
        default=0.1, ge=0, le=1, description="Largest energy above the competing phases that confirms, eV/atom."
    )
    max_core_hours: Number | None = Field(
        default=None,
        gt=0,
        description="Expected cost of each round, competing phases included, core hours; null for no limit.",
    )
    max_core_hours_total: Number | None = Field(
        default=None,
        gt=0,
        description="Expected cost of all rounds together, competing phases included, core hours; null for no limit.",
    )
    max_hours_each: Number = Field(
        default=24.0, gt=0, le=1000, description="Wall time of one structure before it is given up, hours."
    )
    optional: Annotated[bool, Strict()] = Field(
        default=False, description="Go on without where the engine cannot run; false refuses the campaign there."
    )
    properties: tuple[ComputedProperty, ...] | None = Field(
        default=None,
        description="What is computed of confirmed candidates: band_gap, band_gap_hse, dielectric, elastic, phonon; "
        "null: what the engine can tell about the properties of the target; []: nothing.",
    )

    @model_validator(mode="after")
    def _engine_computes_properties(self) -> Self:
        check_computed(self.properties or (), engine=self.engine)
        return self


class Learn(CampaignModel):
    """How a round changes the next one."""

    rounds: Annotated[Count, Field(le=1000)] = Field(default=2, description="Number of rounds.")
    strength: Number = Field(
        default=1.0,
        ge=0,
        le=10,
        description="How strongly success re-weights the next round's elements and templates (dimensionless; 0: not).",
    )


class Budget(CampaignModel):
    """Where the campaign stops, finished or not."""

    max_relaxed_total: Count | None = Field(default=None, description="Relaxations over all rounds; null for no limit.")
    max_hours: Number | None = Field(
        default=None, gt=0, description="Wall time of the campaign, hours; null for no limit."
    )


class Resources(CampaignModel):
    """How the work is spread over the machine; nothing here changes a result."""

    workers: Annotated[
        int | Literal["auto"],
        BeforeValidator(check_workers),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]}),
    ] = Field(default="auto", description="Processes that relax side by side, one thread each; auto: one a core.")
    generate_chunk: Annotated[Count, Field(le=100_000)] = Field(default=50, description="Draws in one generation job.")
    screen_chunk_atoms: Annotated[Count, Field(le=10_000_000)] = Field(
        default=240, description="Atoms in one relaxation job; a larger structure has one to itself."
    )
    screen_chunk: Annotated[Count, Field(le=100_000)] | None = Field(
        default=None, description="Structures in one relaxation job at most; null: screen_chunk_atoms decides."
    )


class Campaign(CampaignModel):
    """A generative design campaign: everything that a campaign.yaml says."""

    name: Annotated[
        str, BeforeValidator(check_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME_PATTERN}$"})
    ] = Field(description="Name of the campaign: 1 to 64 letters, digits, - and _; it becomes an id and a file name.")
    target: Target = Field(default=Target(), description="What to look for.")
    generate: Generate = Field(default=Generate(), description="How candidates are proposed.")
    screen: Screen = Field(default=Screen(), description="How candidates are sieved.")
    validation: Validation | None = Field(
        default=None, alias="validate", description="First-principles validation of survivors; null: none is run."
    )
    learn: Learn = Field(default=Learn(), description="How a round changes the next one.")
    budget: Budget = Field(default=Budget(), description="Where the campaign stops.")
    resources: Resources = Field(default=Resources(), description="How the work is spread over the machine.")

    @model_validator(mode="after")
    def _can_be_passed(self) -> Self:
        for item in self.target.properties:
            tolerance, gate = self.screen.hull_tolerance, self.screen.gates.volume_per_atom
            if item.name is PropertyName.ENERGY_ABOVE_HULL and item.min is not None and item.min > tolerance:
                msg = (
                    f"target asks for energy_above_hull {item.min:g} eV/atom or more, but screen.hull_tolerance "
                    f"lets only {tolerance:g} pass: raise hull_tolerance"
                )
                raise ValueError(msg)
            if item.name is PropertyName.VOLUME_PER_ATOM and (
                (item.min is not None and item.min > gate.max) or (item.max is not None and item.max < gate.min)
            ):
                msg = f"target asks for {item}, but screen.gates.volume_per_atom lets only {gate} Å^3/atom pass"
                raise ValueError(msg)
        return self

    @property
    def computed_properties(self) -> tuple[ComputedProperty, ...]:
        """What is computed of confirmed candidates: what is asked for, or what the target needs; cheapest first."""
        if self.validation is None:
            return ()
        if self.validation.properties is None:
            return for_target(self.target.needed_properties, engine=self.validation.engine)
        return tuple(name for name in ComputedProperty if name in self.validation.properties)

    @classmethod
    def from_dict(cls, data: object, *, source: str) -> Campaign:
        """Return the campaign that a mapping describes, such as one that :meth:`to_dict` returned.

        Parameters
        ----------
        data
            Mapping with the keys of a campaign.yaml.
        source
            Where it comes from; begins the message of an error.

        Raises
        ------
        CampaignError
            If it is no mapping or no campaign: one line with place, value and what is allowed.
        """
        if not isinstance(data, dict):
            got = "is empty" if data is None else f"holds {shown(data)}"
            msg = f"{source}: {got}, expected a mapping with the keys name, target, generate, screen, learn, …"
            raise CampaignError(msg)
        try:
            return cls.model_validate(data)
        except ValidationError as err:
            msg = f"{source}: {explain(err, model=cls)}"
            raise CampaignError(msg) from err

    def to_dict(self) -> dict[str, Any]:
        """Return the campaign as JSON-serialisable mapping with every default written out, keys as in the file."""
        return self.model_dump(mode="json", by_alias=True)

    @property
    def config_hash(self) -> str:
        """Identity of what the campaign computes.

        The name is left out (it says which campaign, not what it does) and so are the resources (they change no
        result); the order of lists and the spelling of units, formulas and space groups do not matter.
        """
        return stable_id(
            "campaign-config", {key: value for key, value in self.to_dict().items() if key not in NOT_HASHED}
        )


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``campaign.yaml`` for editors (draft 2020-12)."""
    schema = Campaign.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
