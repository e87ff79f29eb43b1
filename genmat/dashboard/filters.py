"""What a visitor may ask a table for: every field typed and bounded, nothing of it is ever a Mongo operator."""

from __future__ import annotations

from typing import Annotated, Any, Self
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from genmat.campaign.chemistry import check_formula
from genmat.campaign.elements import check_element
from genmat.campaign.symmetry import check_space_group
from genmat.database.candidates import CandidateQuery
from genmat.database.documents import CandidateStatus
from genmat.database.paging import ENERGY, LONGEST_PAGE, ORDERS, Cursor, index_for
from genmat.errors import InputError
from genmat.screening.verdict import Reason, Stage

_CODE = r"^[a-z][a-z0-9_]{0,40}$"


def _blank_to_none(value: Any) -> Any:
    """Return ``None`` for an empty field of a form."""
    return None if isinstance(value, str) and not value.strip() else value


def _elements(text: object) -> object:
    if not isinstance(text, str):
        return text
    symbols = [part for part in text.replace("-", ",").replace(" ", ",").split(",") if part]
    return ",".join(sorted({check_element(symbol) for symbol in symbols})) or None


def _formula(text: object) -> object:
    return check_formula(text) if isinstance(text, str) else text


def _space_group(text: object) -> object:
    return check_space_group(text) if isinstance(text, str) else text


_Blank = BeforeValidator(_blank_to_none)


class TableQuery(BaseModel):
    """Filters, order and page of a table of candidates, as they stand in an address."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    formula: Annotated[str | None, BeforeValidator(_formula), _Blank] = Field(
        default=None, max_length=100, description="Reduced formula, such as KMgF3."
    )
    elements: Annotated[str | None, BeforeValidator(_elements), _Blank] = Field(
        default=None, max_length=60, description="Elements that must all be present, such as Li,O."
    )
    chemsys: Annotated[str | None, _Blank] = Field(
        default=None, pattern=r"^[A-Z][a-z]?(-[A-Z][a-z]?){0,7}$", description="Chemical system, such as Li-O."
    )
    space_group: Annotated[int | None, BeforeValidator(_space_group), _Blank] = Field(
        default=None, ge=1, le=230, description="Space group, by number or symbol."
    )
    stage: Annotated[str | None, _Blank] = Field(
        default=None, pattern=_CODE, description=f"Stage that decided last: {', '.join(Stage)}."
    )
    reason: Annotated[str | None, _Blank] = Field(
        default=None, pattern=_CODE, description=f"Reason of the last verdict: {', '.join(Reason)}."
    )
    status: Annotated[CandidateStatus | None, _Blank] = Field(default=None, description="active, rejected or accepted.")
    round: Annotated[int | None, _Blank] = Field(default=None, ge=1, le=100_000, description="Round, from 1.")
    min_e: Annotated[float | None, _Blank] = Field(
        default=None, ge=-100, le=100, allow_inf_nan=False, description="Smallest energy above hull, eV/atom."
    )
    max_e: Annotated[float | None, _Blank] = Field(
        default=None, ge=-100, le=100, allow_inf_nan=False, description="Largest energy above hull, eV/atom."
    )
    max_atoms: Annotated[int | None, _Blank] = Field(
        default=None, ge=1, le=100_000, description="Most atoms in the primitive cell."
    )
    sort: str = Field(
        default="", pattern=rf"^-?({'|'.join(ORDERS)})?$", description="Order; with - in front the largest first."
    )
    after: Annotated[str | None, _Blank] = Field(
        default=None, max_length=400, description="Where the last page ended: the next of its answer."
    )
    limit: int = Field(default=50, ge=1, le=LONGEST_PAGE, description="Rows of a page.")

    @model_validator(mode="after")
    def _has_an_index(self) -> Self:
        try:
            index_for(self.criteria(""), self.order)
            if self.after is not None:
                Cursor.parse(self.after)
        except InputError as err:
            raise ValueError(str(err)) from err
        return self

    @property
    def order(self) -> str:
        """Field that the table is sorted by: best first where nothing is asked for."""
        return self.sort.removeprefix("-") or (ENERGY if self.filters else "rank")

    @property
    def descending(self) -> bool:
        """Whether the largest come first."""
        return self.sort.startswith("-")

    def criteria(self, campaign: str) -> CandidateQuery:
        """Return the query for the database."""
        return CandidateQuery(
            campaign=campaign,
            round=None if self.round is None else self.round - 1,
            stage=self.stage,
            status=None if self.status is None else self.status.value,
            reason=self.reason,
            formula_pretty=self.formula,
            chemsys=None if self.chemsys is None else "-".join(sorted(self.chemsys.split("-"))),
            elements=() if self.elements is None else tuple(self.elements.split(",")),
            space_group_number=self.space_group,
            min_energy_above_hull=self.min_e,
            max_energy_above_hull=self.max_e,
            max_nsites=self.max_atoms,
        )

    @property
    def filters(self) -> dict[str, Any]:
        """What is asked for, without order and page."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"sort", "after", "limit"})

    def address(self, **changes: Any) -> str:
        """Return the query as the end of an address, some fields changed; ``None`` leaves one out."""
        order = self.model_dump(exclude_defaults=True, include={"sort", "limit"})
        fields = {**self.filters, **order, **changes}
        return urlencode({name: value for name, value in fields.items() if value is not None})
