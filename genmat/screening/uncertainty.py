"""Split-conformal intervals of the distance to the hull.

A potential's distance to its own hull, d, errs. On labelled crystals that took no part in anything else the residuals
r = d_label - d are known, both distances cut off at 0 (a crystal below the hull becomes a vertex of it). With the order
statistics r_(1) <= … <= r_(n) of the residuals of a category, the interval

    [ d + r_(k) , d + r_(n + 1 - k) ],    k = floor((n + 1) (1 - c) / 2)                                        (1)

holds the label of one further crystal of the same population with a probability of at least c, whatever the
distribution (Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005), ch. 2; Lei et al., J. Am. Stat.
Assoc. 113, 1094 (2018)). On the hull itself (d <= 0) no residual is negative: there the lower end is 0, and
k = floor((n + 1) (1 - c)). Categories (Mondrian) are the chemistry class and the band in which d lies, so that the
statement holds in each of them.

The population is what counts: intervals from crystals of the Materials Project say nothing certain about crystals that
a model invented, and are marked ``uncalibrated`` for them until an audit by first principles has shown their residuals.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pymatgen.core.periodic_table import Element

from genmat.energy import EnergyScale
from genmat.errors import InputError, ReferenceDataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pymatgen.core.composition import Composition

BANDS = (0.0, 0.02, 0.08, 0.2)
"""Lower ends of the bands of the predicted distance, eV/atom; the first band holds the hull itself (d <= 0)."""

CONFIDENCES = (0.5, 0.68, 0.8, 0.9, 0.95)
"""Coverages for which a calibration keeps both ends."""

DEFAULT_CONFIDENCE = 0.9

MIN_CATEGORY = 50
"""Residuals below which a category borrows the interval of its band in all classes."""

MIN_AUDIT = 19
"""Residuals below which equation (1) has no interval of 90 %."""

LABELS = "synthnn_2021"
"""Labels of the shipped calibration that is used: the only ones not chosen by their distance to the hull."""

DFT_HULL = "dft_hull"
"""Key of the shipped calibration of distances to the hull of the labels."""

_ROUNDING = 1e-9
_FILE = "hull_calibration.json"
_HUBBARD = frozenset({"Co", "Cr", "Fe", "Mn", "Mo", "Ni", "V", "W"})
_HALOGENS = frozenset({"F", "Cl", "Br", "I"})
_CHALCOGENS = frozenset({"S", "Se", "Te"})


class ChemistryClass(StrEnum):
    """What a crystal is made of, as far as it decides how a potential errs; the first that fits."""

    CORRELATED = "correlated"
    OXIDE = "oxide"
    HALIDE = "halide"
    CHALCOGENIDE = "chalcogenide"
    INTERMETALLIC = "intermetallic"
    OTHER = "other"


def chemistry_class(composition: Composition) -> ChemistryClass:
    """Return the class of a composition.

    Returns
    -------
    ChemistryClass
        ``correlated``: an oxide or fluoride of Co, Cr, Fe, Mn, Mo, Ni, V or W, to which the Materials Project applies a
        Hubbard U; ``oxide``: any other with O; ``halide``: with F, Cl, Br or I; ``chalcogenide``: with S, Se or Te;
        ``intermetallic``: metals alone; ``other``: all the rest (nitrides, phosphides, carbides, hydrides …).
    """
    symbols = {element.symbol for element in composition.element_composition.elements}
    if symbols & {"O", "F"} and symbols & _HUBBARD:
        return ChemistryClass.CORRELATED
    if "O" in symbols:
        return ChemistryClass.OXIDE
    if symbols & _HALOGENS:
        return ChemistryClass.HALIDE
    if symbols & _CHALCOGENS:
        return ChemistryClass.CHALCOGENIDE
    if all(Element(symbol).is_metal for symbol in symbols):
        return ChemistryClass.INTERMETALLIC
    return ChemistryClass.OTHER


def band(energy_above_hull: float) -> int:
    """Return the number of the band in which a predicted distance (eV/atom) lies, from 0 for the hull itself."""
    return 0 if energy_above_hull <= 0.0 else bisect_right(BANDS, energy_above_hull)


@dataclass(frozen=True, slots=True)
class HullInterval:
    """Where the labelled distance to the hull lies.

    Parameters
    ----------
    low, high
        Ends, eV/atom, at least 0; ``high`` is infinite where there are too few residuals.
    confidence
        Probability that the interval holds the label.
    n
        Residuals behind it.
    population
        What they come from.
    is_calibrated
        Whether the crystal belongs to that population.
    """

    low: float
    high: float
    confidence: float
    n: int
    population: str
    is_calibrated: bool

    def straddles(self, tolerance: float) -> bool:
        """Return whether a tolerance (eV/atom) lies inside: then only a calculation decides."""
        return self.low <= tolerance < self.high

    @property
    def half_width(self) -> float:
        """Half of the interval's width, eV/atom."""
        return 0.5 * (self.high - self.low)

    def __str__(self) -> str:
        """Return the interval in words."""
        status = "" if self.is_calibrated else ", uncalibrated for generated crystals"
        return f"{100 * self.confidence:g} % interval {self.low:.3f} to {self.high:.3f} eV/atom{status}"

    def to_dict(self) -> dict[str, float | str]:
        """Return the interval as values of a verdict."""
        return {
            "energy_above_hull_low": self.low,
            "energy_above_hull_high": self.high if math.isfinite(self.high) else "inf",
            "interval_confidence": self.confidence,
            "interval_population": self.population,
            "interval_status": "calibrated" if self.is_calibrated else "uncalibrated",
        }


@dataclass(frozen=True, slots=True)
class Residual:
    """A crystal whose distance to the hull is known twice.

    Parameters
    ----------
    composition
        Of the crystal.
    predicted
        Distance to the potential's own hull, eV/atom.
    label
        Distance to the hull of the label, eV/atom.
    """

    composition: Composition
    predicted: float
    label: float

    @property
    def value(self) -> float:
        """``label - predicted``, both cut off at 0, eV/atom."""
        return max(self.label, 0.0) - max(self.predicted, 0.0)


@dataclass(frozen=True, slots=True)
class Category:
    """Interval ends of one category.

    Parameters
    ----------
    n
        Residuals.
    low, high
        Residuals of equation (1) at each of ``CONFIDENCES``, eV/atom; infinite where ``n`` is too small.
    """

    n: int
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def from_residuals(cls, residuals: Iterable[float]) -> Category:
        """Return the ends that residuals (eV/atom) give."""
        ordered = sorted(residuals)
        ends = [_ends(ordered, confidence) for confidence in CONFIDENCES]
        return cls(len(ordered), tuple(low for low, _ in ends), tuple(high for _, high in ends))

    def to_dict(self) -> dict[str, Any]:
        """Return the category as JSON-serialisable mapping; an infinite end is ``None``."""
        low, high = ([_finite(end) for end in ends] for ends in (self.low, self.high))
        return {"n": self.n, "low": low, "high": high}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Category:
        """Return what :meth:`to_dict` wrote."""
        low = tuple(-math.inf if end is None else float(end) for end in value["low"])
        return cls(int(value["n"]), low, tuple(math.inf if end is None else float(end) for end in value["high"]))


def _ends(ordered: Sequence[float], confidence: float) -> tuple[float, float]:
    """Return both ends of equation (1); of residuals that cannot be negative only the upper one can fail."""
    one_sided = ordered[0] >= 0.0
    rank = math.floor((len(ordered) + 1) * (1.0 - confidence) / (1.0 if one_sided else 2.0) + _ROUNDING)
    if not rank:
        return (0.0 if one_sided else -math.inf), math.inf
    return (0.0 if one_sided else ordered[rank - 1]), ordered[-rank]


def _finite(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Intervals of one population on one energy scale; residuals of other scales or labels are never pooled with it.

    Parameters
    ----------
    scale
        Of the potential that predicts.
    population
        What the residuals come from, such as ``materials_project crystals``.
    categories
        By ``class/band``, ``band`` for all classes, and ``all``.
    """

    scale: EnergyScale
    population: str
    categories: Mapping[str, Category]

    @classmethod
    def from_residuals(cls, residuals: Iterable[Residual], *, scale: EnergyScale, population: str) -> Calibration:
        """Return the calibration that some residuals give.

        Parameters
        ----------
        residuals
            Of one potential, one hull and one kind of label.
        scale
            Of the potential.
        population
            What they come from.

        Raises
        ------
        InputError
            If there is none.
        """
        found: dict[str, list[float]] = {}
        for item in residuals:
            for key in _keys(item.composition, item.predicted):
                found.setdefault(key, []).append(item.value)
        if not found:
            msg = f"a calibration of {population} has no residuals, expected at least one"
            raise InputError(msg)
        return cls(scale, population, {key: Category.from_residuals(found[key]) for key in sorted(found)})

    def interval(
        self,
        composition: Composition,
        energy_above_hull: float,
        *,
        confidence: float = DEFAULT_CONFIDENCE,
        is_member: bool = False,
    ) -> HullInterval:
        """Return the interval of a crystal.

        Parameters
        ----------
        composition
            Of the crystal.
        energy_above_hull
            Distance to the potential's own hull, eV/atom; negative below it.
        confidence
            One of ``CONFIDENCES``.
        is_member
            Whether the crystal belongs to the population of the residuals.

        Raises
        ------
        InputError
            If the confidence is not kept.
        """
        if confidence not in CONFIDENCES:
            msg = f"confidence is {confidence}, expected one of {', '.join(map(str, CONFIDENCES))}"
            raise InputError(msg)
        keys = _keys(composition, energy_above_hull)
        category = next(
            (
                found
                for key in keys
                if (found := self.categories.get(key)) is not None and (found.n >= MIN_CATEGORY or key == keys[-1])
            ),
            self.categories[keys[-1]],
        )
        place = CONFIDENCES.index(confidence)
        start = max(energy_above_hull, 0.0)
        low, high = max(start + category.low[place], 0.0), max(start + category.high[place], 0.0)
        return HullInterval(low, high, confidence, category.n, self.population, is_member)

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration as JSON-serialisable mapping."""
        return {
            "scale": self.scale.to_dict(),
            "population": self.population,
            "categories": {key: category.to_dict() for key, category in self.categories.items()},
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Calibration:
        """Return what :meth:`to_dict` wrote."""
        categories = {key: Category.from_dict(item) for key, item in value["categories"].items()}
        return cls(EnergyScale.from_dict(value["scale"]), value["population"], categories)


def _keys(composition: Composition, predicted: float) -> tuple[str, str, str]:
    """Return the categories of a crystal, the narrowest first."""
    number = band(predicted)
    return f"{chemistry_class(composition)}/{number}", str(number), "all"


@cache
def _shipped() -> dict[str, Calibration]:
    try:
        content = json.loads(files("genmat.screening").joinpath("data", _FILE).read_text(encoding="utf-8"))
        own = {name: Calibration.from_dict(value) for name, value in content["labels"].items()}
        return own | {DFT_HULL: Calibration.from_dict(content[DFT_HULL])}
    except (OSError, ValueError, KeyError) as err:
        msg = f"the shipped calibration {_FILE} cannot be read ({err}): reinstall genmat"
        raise ReferenceDataError(msg) from err


def shipped_calibration(scale: EnergyScale, *, labels: str = LABELS, hull: str = "own") -> Calibration | None:
    """Return the calibration on crystals of the Materials Project that genmat ships, ``None`` for any other scale.

    Parameters
    ----------
    scale
        Of the potential.
    labels
        Whose distances to the hull the potential's own ones are compared with.
    hull
        Which hull the potential's distances are to: ``own``, or ``dft`` for that of the labels, where the label is the
        distance to the whole hull of the Materials Project.
    """
    calibration = _shipped().get(DFT_HULL if hull == "dft" else labels)
    return calibration if calibration is not None and calibration.scale == scale else None


def audited_calibration(residuals: Sequence[Residual], *, scale: EnergyScale, campaign: str) -> Calibration | None:
    """Return the calibration that a campaign's audit by first principles gives.

    Parameters
    ----------
    residuals
        Of candidates that were drawn at random for the audit, all computed by one engine with one setting; candidates
        that were chosen for their rank would make it too narrow.
    scale
        Of the potential that screens.
    campaign
        Its name.

    Returns
    -------
    Calibration | None
        ``None`` below ``MIN_AUDIT`` residuals. Categories of fewer than ``MIN_CATEGORY`` borrow from all.
    """
    if len(residuals) < MIN_AUDIT:
        return None
    return Calibration.from_residuals(residuals, scale=scale, population=f"{len(residuals)} audited of {campaign}")
