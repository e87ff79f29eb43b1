"""Verdicts: what a stage of the funnel decided about one candidate, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Stage(StrEnum):
    """Stages of the funnel, in the order in which a candidate passes them."""

    GENERATE = "generate"
    VALIDITY = "validity"
    NOVELTY = "novelty"
    UNIQUENESS = "uniqueness"
    SELECTION = "selection"
    STATIC = "static"
    RELAX = "relax"
    STABILITY = "stability"
    NOVELTY_RELAXED = "novelty_relaxed"
    TARGET = "target"
    COMMITTEE = "committee"
    EQUATION_OF_STATE = "equation_of_state"
    ELASTIC = "elastic"
    PHONON = "phonon"
    MOLECULAR_DYNAMICS = "molecular_dynamics"
    THERMAL_EXPANSION = "thermal_expansion"
    UNIQUENESS_RELAXED = "uniqueness_relaxed"
    RANK = "rank"
    VALIDATE = "validate"
    PROPERTIES = "properties"

    @property
    def order(self) -> int:
        """Position in the funnel, from 0."""
        return list(Stage).index(self)

    @property
    def is_optional(self) -> bool:
        """Whether a campaign has the stage only if it asks for it."""
        return self in {
            Stage.STATIC,
            Stage.COMMITTEE,
            Stage.EQUATION_OF_STATE,
            Stage.ELASTIC,
            Stage.PHONON,
            Stage.MOLECULAR_DYNAMICS,
            Stage.THERMAL_EXPANSION,
            Stage.PROPERTIES,
        }


class Reason(StrEnum):
    """Why a candidate passed or fell."""

    OK = "ok"
    GENERATOR_FAILED = "generator_failed"
    NO_REPRESENTATION = "no_representation"
    OFF_CHEMISTRY = "off_chemistry"
    TOO_CLOSE = "too_close"
    VOLUME_OUT_OF_RANGE = "volume_out_of_range"
    CHARGE_UNBALANCED = "charge_unbalanced"
    KNOWN = "known"
    DUPLICATE = "duplicate"
    NOT_SELECTED = "not_selected"
    UNEXPECTED_VOLUME = "unexpected_volume"
    STATIC_FORCE = "static_force"
    STATIC_ENERGY = "static_energy"
    UNSUPPORTED_ELEMENT = "unsupported_element"
    NOT_CONVERGED = "not_converged"
    EXPLODED = "exploded"
    VOLUME_CHANGED = "volume_changed"
    RELAXATION_FAILED = "relaxation_failed"
    MISSING_REFERENCE = "missing_reference"
    ABOVE_HULL = "above_hull"
    IMPLAUSIBLE_ENERGY = "implausible_energy"
    LOST_SYMMETRY = "lost_symmetry"
    KNOWN_AFTER_RELAXATION = "known_after_relaxation"
    OFF_TARGET = "off_target"
    PROPERTY_FAILED = "property_failed"
    DISPUTED = "disputed"
    MECHANICALLY_UNSTABLE = "mechanically_unstable"
    DYNAMICALLY_UNSTABLE = "dynamically_unstable"
    LOST_STRUCTURE = "lost_structure"
    DUPLICATE_AFTER_RELAXATION = "duplicate_after_relaxation"
    NOT_CONFIRMED = "not_confirmed"
    VALIDATION_FAILED = "validation_failed"
    JOB_FAILED = "job_failed"

    @property
    def text(self) -> str:
        """The reason in words, for reports."""
        return _TEXTS[self]


_TEXTS = {
    Reason.OK: "passed",
    Reason.GENERATOR_FAILED: "the generator proposed nothing",
    Reason.NO_REPRESENTATION: "the structure has no symmetry representation",
    Reason.OFF_CHEMISTRY: "the composition is outside the target",
    Reason.TOO_CLOSE: "two atoms are too close",
    Reason.VOLUME_OUT_OF_RANGE: "the volume per atom is out of range",
    Reason.CHARGE_UNBALANCED: "no charge-neutral assignment of oxidation states",
    Reason.KNOWN: "the crystal is known",
    Reason.DUPLICATE: "the campaign drew the crystal before",
    Reason.NOT_SELECTED: "better-scored candidates were relaxed instead",
    Reason.UNEXPECTED_VOLUME: "as proposed, the volume is far from what the composition has in known crystals",
    Reason.STATIC_FORCE: "as proposed, a force is too large",
    Reason.STATIC_ENERGY: "as proposed, too far above the convex hull",
    Reason.UNSUPPORTED_ELEMENT: "the potential does not know an element",
    Reason.NOT_CONVERGED: "the relaxation did not converge",
    Reason.EXPLODED: "the relaxation exploded",
    Reason.VOLUME_CHANGED: "the relaxation changed the volume too much",
    Reason.RELAXATION_FAILED: "the relaxation failed",
    Reason.MISSING_REFERENCE: "the hull lacks an element, or any compound that competes",
    Reason.ABOVE_HULL: "too far above the convex hull",
    Reason.IMPLAUSIBLE_ENERGY: "the energy is too low to be real",
    Reason.LOST_SYMMETRY: "no symmetry was left after relaxation",
    Reason.KNOWN_AFTER_RELAXATION: "the relaxed crystal is known",
    Reason.OFF_TARGET: "a property is outside the target",
    Reason.PROPERTY_FAILED: "a target property could not be computed",
    Reason.DISPUTED: "potentials disagree about its stability",
    Reason.MECHANICALLY_UNSTABLE: "a strain lowers the energy",
    Reason.DYNAMICALLY_UNSTABLE: "a vibration is imaginary",
    Reason.LOST_STRUCTURE: "atoms left their sites at a temperature",
    Reason.NOT_CONFIRMED: "first principles put it too far above its competing phases",
    Reason.VALIDATION_FAILED: "the first-principles calculation gave no result",
    Reason.DUPLICATE_AFTER_RELAXATION: "another candidate relaxed to the same crystal",
    Reason.JOB_FAILED: "the job that should judge it failed again and again",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one stage decided about one candidate.

    Parameters
    ----------
    stage
        The stage that decided.
    passed
        Whether the candidate goes on.
    reason
        Why; ``Reason.OK`` exactly if it passed.
    detail
        The reason in one line, with the numbers and what they were measured against.
    values
        The numbers and names behind the decision; a unit that is not obvious stands in the key's documentation.

    Raises
    ------
    ValueError
        If ``passed`` and ``reason`` contradict each other.
    """

    stage: Stage
    passed: bool
    reason: Reason
    detail: str = ""
    values: Mapping[str, float | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the reason fits the outcome."""
        if self.passed != (self.reason is Reason.OK):
            msg = f"verdict has passed={self.passed} and reason {self.reason.value!r}, expected 'ok' exactly if passed"
            raise ValueError(msg)

    @classmethod
    def accept(cls, stage: Stage, detail: str = "", **values: float | str) -> Verdict:
        """Return a verdict that lets the candidate pass."""
        return cls(stage, passed=True, reason=Reason.OK, detail=detail, values=values)

    @classmethod
    def reject(cls, stage: Stage, reason: Reason, detail: str, **values: float | str) -> Verdict:
        """Return a verdict that ends the candidate."""
        return cls(stage, passed=False, reason=reason, detail=detail, values=values)

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON-serialisable mapping."""
        return {
            "stage": self.stage.value,
            "passed": self.passed,
            "reason": self.reason.value,
            "detail": self.detail,
            "values": dict(self.values),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Verdict:
        """Return the verdict that :meth:`to_dict` wrote."""
        return cls(
            Stage(value["stage"]), value["passed"], Reason(value["reason"]), value["detail"], dict(value["values"])
        )
