"""Deviations of many candidates in few numbers, by class of chemistry."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ANIONS: dict[str, str] = {
    "O": "oxides",
    **dict.fromkeys(("F", "Cl", "Br", "I"), "halides"),
    **dict.fromkeys(("S", "Se", "Te"), "chalcogenides"),
    **dict.fromkeys(("N", "P", "As", "Sb"), "pnictides"),
    "H": "hydrides",
}
MIXED, METALLIC = "mixed anions", "without anions"


@dataclass(frozen=True, slots=True)
class Deviation:
    """What first principles say about one candidate of a potential; ``None`` where it is not known.

    Parameters
    ----------
    elements
        Distinct symbols.
    residual
        Distance to the hull by the engine minus that by the potential, eV/atom.
    volume_change
        Volume by the engine over that by the potential, minus 1.
    rmsd
        Displacement of the atoms, Å.
    force_mae
        Mean absolute difference of the forces where the engine relaxed to, eV/Å.
    bonds_changed
        Share of the sites whose number of bonded neighbours differs.
    force_slope, stress_slope
        Softening: change of the potential's forces and stress over that of the engine's.
    kept
        Whether the space group stayed.
    """

    elements: tuple[str, ...]
    residual: float | None = None
    volume_change: float | None = None
    rmsd: float | None = None
    bonds_changed: float | None = None
    force_mae: float | None = None
    force_slope: float | None = None
    stress_slope: float | None = None
    kept: bool | None = None

    @classmethod
    def from_values(cls, elements: Iterable[str], values: Mapping[str, float | str]) -> Self:
        """Return the deviation that the values of a validation verdict tell."""

        def number(name: str) -> float | None:
            return float(values[name]) if name in values else None

        kept = values.get("space_group_kept")
        return cls(
            tuple(elements),
            residual=number("energy_above_hull_residual"),
            volume_change=number("volume_change_from_start"),
            rmsd=number("rmsd_from_start"),
            bonds_changed=number("bonds_changed_from_start"),
            force_mae=number("potential_force_mae"),
            force_slope=number("potential_force_slope"),
            stress_slope=number("potential_stress_slope"),
            kept=None if kept is None else kept == "yes",
        )


@dataclass(frozen=True, slots=True)
class ClassDeviation:
    """Deviations of one class of chemistry: means and medians over those that are known.

    Parameters
    ----------
    name
        The class; ``all`` for everything.
    number
        Computed candidates.
    residual, absolute_residual
        Mean, and mean of the absolute values, eV/atom.
    volume_change, rmsd, bonds_changed, force_mae
        Means.
    force_slope, stress_slope
        Medians.
    kept
        Candidates that kept their space group.
    """

    name: str
    number: int
    residual: float | None
    absolute_residual: float | None
    volume_change: float | None
    rmsd: float | None
    bonds_changed: float | None
    force_mae: float | None
    force_slope: float | None
    stress_slope: float | None
    kept: int


def chemistry_class(elements: Iterable[str]) -> str:
    """Return the class of a compound by its anions; a compound with those of two classes is ``mixed anions``."""
    found = {ANIONS[symbol] for symbol in elements if symbol in ANIONS}
    if len(found) > 1:
        return MIXED
    return found.pop() if found else METALLIC


def summarise(deviations: Iterable[Deviation]) -> list[ClassDeviation]:
    """Return the deviations by class, the largest class first, and of all if there are several classes."""
    classes: defaultdict[str, list[Deviation]] = defaultdict(list)
    for deviation in deviations:
        classes[chemistry_class(deviation.elements)].append(deviation)
    rows = [_summary(name, found) for name, found in sorted(classes.items(), key=lambda item: (-len(item[1]), item[0]))]
    if len(rows) > 1:
        rows.append(_summary("all", [deviation for found in classes.values() for deviation in found]))
    return rows


def _summary(name: str, found: list[Deviation]) -> ClassDeviation:
    def known(field: str) -> list[float]:
        return [value for deviation in found if (value := getattr(deviation, field)) is not None]

    residuals = known("residual")
    return ClassDeviation(
        name,
        len(found),
        residual=_mean(residuals),
        absolute_residual=_mean([abs(value) for value in residuals]),
        volume_change=_mean(known("volume_change")),
        rmsd=_mean(known("rmsd")),
        bonds_changed=_mean(known("bonds_changed")),
        force_mae=_mean(known("force_mae")),
        force_slope=_median(known("force_slope")),
        stress_slope=_median(known("stress_slope")),
        kept=sum(deviation.kept is True for deviation in found),
    )


def _mean(values: list[float]) -> float | None:
    return fmean(values) if values else None


def _median(values: list[float]) -> float | None:
    return median(values) if values else None
