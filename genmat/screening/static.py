"""Tests of a crystal as it was proposed, by one evaluation of the potential: what is hopeless is not relaxed.

A test that saves a relaxation can lose a stable crystal. A random slice of the candidates, chosen by their ids, is
therefore relaxed whatever the tests say; how many of those that would have fallen turn out stable is the false-reject
rate, measured on the campaign's own candidates and told for each test.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genmat.errors import MissingReferenceError
from genmat.ids import seed_from_id, stable_id
from genmat.screening.ssun import wilson_interval
from genmat.screening.verdict import Reason, Stage, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pymatgen.core.composition import Composition

    from genmat.campaign.screen import StaticGates
    from genmat.energy import EnergyScale
    from genmat.reference.hull import Hull

STATIC_REASONS = (Reason.UNEXPECTED_VOLUME, Reason.STATIC_FORCE, Reason.STATIC_ENERGY)
"""Why a candidate falls before it is relaxed, in the order of the tests."""

WOULD_FALL = "would_fall"
"""Key of a verdict's values: the reason for which a candidate of the audit slice would have fallen."""

_SEEDS = 2.0**64


@dataclass(frozen=True, slots=True)
class StaticPoint:
    """A crystal at the geometry that was proposed.

    Parameters
    ----------
    energy_per_atom
        eV/atom; NaN where the potential gave none.
    fmax
        Largest force, eV/Å.
    volume_per_atom, expected_volume
        Of the crystal and of its composition in known crystals, Å^3/atom.
    """

    energy_per_atom: float
    fmax: float
    volume_per_atom: float
    expected_volume: float

    @property
    def volume_ratio(self) -> float:
        """Volume over the expected one (dimensionless)."""
        return self.volume_per_atom / self.expected_volume


def is_audited(candidate_id: str, *, fraction: float) -> bool:
    """Return whether a candidate belongs to the audit slice, which depends on its id alone."""
    return seed_from_id(stable_id("static-audit", candidate_id)) / _SEEDS < fraction


def check_static(
    composition: Composition,
    point: StaticPoint,
    *,
    gates: StaticGates,
    hull: Hull,
    scale: EnergyScale,
    audited: bool = False,
) -> Verdict:
    """Decide whether a crystal as proposed is worth a relaxation.

    Parameters
    ----------
    composition
        Composition of the crystal.
    point
        One evaluation of it.
    gates
        Thresholds; a test without one is left out.
    hull
        Hull of the reference snapshot that the round is judged against.
    scale
        Scale of the energy; must be that of the hull.
    audited
        Whether the candidate is relaxed whatever the tests say.

    Returns
    -------
    Verdict
        Of the stage ``static``. Values: ``static_energy_above_hull`` (eV/atom), ``static_fmax`` (eV/Å),
        ``volume_ratio``; ``audited``, and ``would_fall`` with the reason for which an audited candidate would have
        fallen. An energy that there is not, or that has no hull, is no reason: later stages tell it.

    Raises
    ------
    EnergyScaleError
        If the scales differ.
    """
    values: dict[str, float | str] = {"volume_ratio": point.volume_ratio, "static_fmax": point.fmax}
    above = _above(composition, point.energy_per_atom, hull=hull, scale=scale)
    if above is not None:
        values["static_energy_above_hull"] = above
    found = _failed_test(point, above, gates)
    if audited:
        values["audited"] = "yes"
    if found is None:
        return Verdict.accept(Stage.STATIC, "", **values)
    reason, detail = found
    if audited:
        values[WOULD_FALL] = reason.value
        return Verdict.accept(Stage.STATIC, f"relaxed as a sample of those that fall: {detail}", **values)
    return Verdict.reject(Stage.STATIC, reason, detail, **values)


def _above(composition: Composition, energy: float, *, hull: Hull, scale: EnergyScale) -> float | None:
    if math.isnan(energy):
        return None
    try:
        return hull.energy_above_hull(composition, energy, scale=scale)
    except MissingReferenceError:
        return None


def _failed_test(point: StaticPoint, above: float | None, gates: StaticGates) -> tuple[Reason, str] | None:
    """Return the first test that fails and its numbers in words."""
    ratio = point.volume_ratio
    if gates.volume_ratio is not None and not 1.0 / gates.volume_ratio <= ratio <= gates.volume_ratio:
        return Reason.UNEXPECTED_VOLUME, (
            f"volume {point.volume_per_atom:.4g} Å^3/atom is {ratio:.2f} of that of the composition in known crystals, "
            f"allowed is a factor of {gates.volume_ratio:g}"
        )
    if gates.fmax is not None and point.fmax > gates.fmax:
        return Reason.STATIC_FORCE, f"force {point.fmax:.3g} eV/Å as proposed, allowed {gates.fmax:g} eV/Å"
    if gates.energy_above_hull is not None and above is not None and above > gates.energy_above_hull:
        return Reason.STATIC_ENERGY, (
            f"{above:.3f} eV/atom above the hull as proposed, allowed {gates.energy_above_hull:g} eV/atom"
        )
    return None


@dataclass(frozen=True, slots=True)
class GateOutcome:
    """What one test saved, and what it cost.

    Parameters
    ----------
    reason
        The test.
    saved
        Candidates that fell and were not relaxed.
    audited
        Candidates that would have fallen and were relaxed as a sample.
    stable
        Those of ``audited`` that are stable after relaxation: each stands for a crystal lost.
    mean_steps
        Steps that the relaxation of one of ``audited`` took on average; ``None`` without any.
    """

    reason: Reason
    saved: int
    audited: int
    stable: int
    mean_steps: float | None

    @property
    def false_reject_rate(self) -> float | None:
        """Share of those that fall which would have been stable; ``None`` if nobody was sampled."""
        return self.stable / self.audited if self.audited else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of :attr:`false_reject_rate`."""
        return wilson_interval(self.stable, self.audited)

    def to_dict(self) -> dict[str, float | int | str | None]:
        """Return the numbers as JSON-serialisable mapping."""
        low, high = self.interval
        return {
            "reason": self.reason.value,
            "saved": self.saved,
            "audited": self.audited,
            "stable": self.stable,
            "false_reject_rate": self.false_reject_rate,
            "low": low,
            "high": high,
            "mean_steps": self.mean_steps,
        }


def gate_outcomes(candidates: Iterable[Mapping[Stage, Verdict]]) -> list[GateOutcome]:
    """Return what each test saved and lost among some candidates, by the verdicts of each.

    Tests that nobody failed are left out.
    """
    saved: Counter[str] = Counter()
    audited: dict[str, list[tuple[bool, float]]] = {}
    for verdicts in candidates:
        static = verdicts.get(Stage.STATIC)
        if static is None:
            continue
        if not static.passed:
            saved[static.reason.value] += 1
        elif WOULD_FALL in static.values and (relaxed := verdicts.get(Stage.RELAX)) is not None:
            stability = verdicts.get(Stage.STABILITY)
            outcome = stability is not None and stability.passed, float(relaxed.values.get("n_steps", 0.0))
            audited.setdefault(str(static.values[WOULD_FALL]), []).append(outcome)
    return [
        GateOutcome(
            reason,
            saved[reason.value],
            len(sample := audited.get(reason.value, [])),
            sum(stable for stable, _ in sample),
            sum(steps for _, steps in sample) / len(sample) if sample else None,
        )
        for reason in STATIC_REASONS
        if saved[reason.value] or reason.value in audited
    ]
