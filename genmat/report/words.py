"""Words of a report: formulas, space groups, numbers with units, the target, why a candidate passed."""

from __future__ import annotations

import html
import re
import textwrap
from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from genmat.campaign import PROPERTY_KINDS, PropertyName
from genmat.campaign.symmetry import crystal_system
from genmat.screening.verdict import Reason, Stage
from genmat.validation.calibration import FEWEST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genmat.campaign import Campaign, PropertyTarget
    from genmat.report.content import ReportedCandidate
    from genmat.validation.calibration import Calibration, GeometryBounds

TITLES = {
    PropertyName.ENERGY_ABOVE_HULL: "Energy above hull",
    PropertyName.FORMATION_ENERGY_PER_ATOM: "Formation energy",
    PropertyName.VOLUME_PER_ATOM: "Volume per atom",
    PropertyName.DENSITY: "Density",
    PropertyName.BULK_MODULUS: "Bulk modulus",
    PropertyName.BAND_GAP: "Band gap",
    PropertyName.SHEAR_MODULUS: "Shear modulus",
    PropertyName.DEBYE_TEMPERATURE: "Debye temperature",
    PropertyName.THERMAL_CONDUCTIVITY: "Thermal conductivity",
    PropertyName.THERMAL_EXPANSION: "Thermal expansion",
}
"""Names of the properties as headings."""

DECIMALS = {
    PropertyName.ENERGY_ABOVE_HULL: 3,
    PropertyName.FORMATION_ENERGY_PER_ATOM: 3,
    PropertyName.VOLUME_PER_ATOM: 2,
    PropertyName.DENSITY: 2,
    PropertyName.BULK_MODULUS: 0,
    PropertyName.BAND_GAP: 2,
    PropertyName.SHEAR_MODULUS: 0,
    PropertyName.DEBYE_TEMPERATURE: 0,
    PropertyName.THERMAL_CONDUCTIVITY: 1,
    PropertyName.THERMAL_EXPANSION: 7,
}
"""Digits after the point."""

STAGE_TITLES = {
    Stage.GENERATE: "Drawn",
    Stage.VALIDITY: "Valid",
    Stage.NOVELTY: "New",
    Stage.UNIQUENESS: "Unique",
    Stage.SELECTION: "Selected",
    Stage.STATIC: "Worth relaxing",
    Stage.RELAX: "Relaxed",
    Stage.STABILITY: "Stable",
    Stage.NOVELTY_RELAXED: "New after relaxation",
    Stage.TARGET: "On target",
    Stage.COMMITTEE: "Undisputed",
    Stage.EQUATION_OF_STATE: "Equation of state",
    Stage.ELASTIC: "Mechanically stable",
    Stage.PHONON: "Dynamically stable",
    Stage.MOLECULAR_DYNAMICS: "Keeps its structure",
    Stage.THERMAL_EXPANSION: "Thermal expansion",
    Stage.UNIQUENESS_RELAXED: "Unique after relaxation",
    Stage.RANK: "Ranked",
    Stage.VALIDATE: "Confirmed by first principles",
    Stage.PROPERTIES: "On target by first principles",
}
"""Names of the stages, as what a candidate is that passes them."""

MINUS = "\N{MINUS SIGN}"


def number(value: float | None, decimals: int) -> str:
    """Return a number with a true minus sign and no negative zero; a dash for ``None``."""
    if value is None:
        return "\N{EN DASH}"
    text = f"{value:.{decimals}f}"
    if float(text) == 0.0:
        text = text.removeprefix("-")
    return text.replace("-", MINUS)


def percent(fraction: float) -> str:
    """Return a fraction as a percentage; one digit after the point below 10 %."""
    decimals = 1 if 0.0 < fraction < 0.1 else 0
    return f"{100 * fraction:.{decimals}f}\N{NO-BREAK SPACE}%"


def unit(name: PropertyName) -> str:
    """Return the unit of a property with true superscripts."""
    return PROPERTY_KINDS[name].unit.replace("^3", "³")


def pretty_units(text: str) -> str:
    """Return text with true superscripts in its units."""
    return text.replace("^3", "³")


def signed(value: float, decimals: int = 0) -> str:
    """Return a number with its sign."""
    return number(value, decimals) if round(value, decimals) < 0 else f"+{number(value, decimals)}"


def wrapped(text: str, *, width: int = 24) -> str:
    """Return text for plotly, broken into lines."""
    return "<br>".join(plotly_text(line) for line in textwrap.wrap(text, width))


def lattice_words(parameters: tuple[float, ...]) -> str:
    """Return a conventional cell in words, such as ``a = 5.64 Å`` or ``a = 4.59, c = 2.96 Å, β = 102.1°``."""
    lengths = dict(zip("abc", parameters[:3], strict=True))
    distinct: dict[str, float] = {}
    for name, length in lengths.items():
        if all(abs(length - other) > 0.005 for other in distinct.values()):
            distinct[name] = length
    text = ", ".join(f"{name} = {length:.2f}" for name, length in distinct.items()) + " Å"
    angles = [
        f"{name} = {angle:.1f}°" for name, angle in zip("αβγ", parameters[3:], strict=True) if abs(angle - 90) > 0.05
    ]
    return ", ".join([text, *angles])


def plotly_space_group(number_: int) -> str:
    """Return the symbol of a space group with bars and subscripts, for plotly."""
    symbol = re.sub(r"_(\d)", r"<sub>\1</sub>", plotly_text(space_group_symbol(number_)))
    return re.sub(r"-(\d)", "\\g<1>\N{COMBINING OVERLINE}", symbol)


def plotly_formula(formula: str) -> str:
    """Return a formula with subscripts, for plotly."""
    return str(formula_html(formula))


def plotly_text(text: str) -> str:
    """Return text that plotly shows as it is: plotly reads a subset of HTML."""
    return html.escape(text, quote=True)


def formula_html(formula: str) -> Markup:
    """Return a formula with subscripts."""
    return Markup(re.sub(r"(?<=[A-Za-z)\]])(\d+(?:\.\d+)?)", r"<sub>\1</sub>", str(escape(formula))))  # noqa: S704


@cache
def space_group_symbol(number_: int) -> str:
    """Return the Hermann-Mauguin symbol of a space group in plain text, such as ``Fm-3m``."""
    from pymatgen.symmetry.groups import sg_symbol_from_int_number

    symbol = str(sg_symbol_from_int_number(number_)).removesuffix(":H")
    monoclinic = re.fullmatch(r"([A-Z])1(.+)1", symbol)
    return "".join(monoclinic.groups()) if monoclinic else symbol


def space_group_html(number_: int | None) -> Markup:
    """Return symbol and number of a space group, with bars and subscripts."""
    if number_ is None:
        return Markup("\N{EN DASH}")
    symbol = str(escape(space_group_symbol(number_)))
    symbol = re.sub(r"_(\d)", r"<sub>\1</sub>", symbol)
    symbol = re.sub(r"-(\d)", r'<span class="bar">\1</span>', symbol)
    title = f"space group {number_}, {crystal_system(number_)}"
    return Markup(f'<span class="sg" title="{title}"><i>{symbol}</i> <small>({number_})</small></span>')  # noqa: S704


def reason_text(reason: str) -> str:
    """Return a reason in words; one that this genmat does not know is returned as it is."""
    return Reason(reason).text if reason in set(Reason) else reason.replace("_", " ")


def stage_text(stage: str) -> str:
    """Return the name of a stage."""
    return STAGE_TITLES[Stage(stage)] if stage in set(Stage) else stage.replace("_", " ")


def property_words(target: PropertyTarget) -> str:
    """Return what is asked of a property, such as ``Density at most 5 g/cm³, as low as possible (weight 1)``."""
    words = TITLES[target.name]
    if target.min is not None and target.max is not None:
        words += f" {target.min:g} to {target.max:g} {unit(target.name)}"
    elif target.min is not None:
        words += f" at least {target.min:g} {unit(target.name)}"
    elif target.max is not None:
        words += f" at most {target.max:g} {unit(target.name)}"
    if target.direction is not None:
        words += ", as low as possible" if target.direction == "minimize" else ", as high as possible"
    return f"{words} (weight {target.weight:g})"


def target_words(campaign: Campaign) -> list[tuple[str, str]]:
    """Return the target as pairs of heading and text."""
    target, chemistry = campaign.target, campaign.target.chemistry
    lines = [("Properties", "; ".join(property_words(item) for item in target.properties))]
    if chemistry.composition is not None:
        lines.append(("Composition", chemistry.composition))
    elif chemistry.chemical_system is not None:
        lines.append(("Chemical system", chemistry.chemical_system))
    else:
        allowed = ", ".join(chemistry.elements) if chemistry.elements else "all with a reference energy"
        if chemistry.excluded:
            allowed += f", without {', '.join(chemistry.excluded)}"
        if chemistry.required:
            allowed += f"; required {', '.join(chemistry.required)}"
        lines.append(("Elements", allowed))
        lines.append(("Elements in a crystal", str(chemistry.n_elements)))
    symmetry = target.symmetry
    if symmetry.space_groups is not None:
        lines.append(("Space groups", ", ".join(f"{space_group_symbol(n)} ({n})" for n in symmetry.space_groups)))
    elif symmetry.crystal_systems is not None:
        lines.append(("Crystal systems", ", ".join(symmetry.crystal_systems)))
    else:
        lines.append(("Space groups", "any"))
    lines.append(("Atoms in the primitive cell", str(target.n_atoms)))
    return lines


def origin_words(candidate: ReportedCandidate) -> str:
    """Return which elements were replaced, such as ``Na → K, Cl → Br``; empty if that is not known."""
    return ", ".join(f"{old} → {new}" for old, new in candidate.substitution.items())


def why_words(candidate: ReportedCandidate, *, tolerance: float) -> str:
    """Return why a candidate passed, in one or two sentences.

    Parameters
    ----------
    candidate
        An accepted candidate.
    tolerance
        τ, eV/atom.
    """
    parts = []
    above = candidate.energy_above_hull
    if above is not None:
        side = "above" if above >= 0.0 else "below"
        parts.append(f"{number(abs(above), 3)} eV/atom {side} the hull (at most τ = {tolerance:g} eV/atom above)")
    for stage in (Stage.NOVELTY_RELAXED, Stage.TARGET, Stage.RELAX):
        verdict = candidate.verdict(stage)
        if verdict is not None and verdict.passed and verdict.detail:
            parts.append(f"{stage_text(stage).lower()}: {verdict.detail}")
    text = "; ".join(parts)
    text = pretty_units(text)
    return f"{text[:1].upper()}{text[1:]}." if text else "It passed every stage."


def learned_words(known: Calibration, bounds: GeometryBounds | None, *, confirmed: float, tolerance: float) -> str:
    """Return in words how far a potential is off, and which τ would suit it.

    Parameters
    ----------
    known
        Residuals of the distance to the hull.
    bounds
        Of the geometry.
    confirmed, tolerance
        Largest distance that first principles confirm, and that the screening accepts, eV/atom.
    """
    number_of = len(known.residuals)
    text = f"{number_of} residual{'' if number_of == 1 else 's'} of {known.scale.engine}"
    if number_of < FEWEST:
        text += f": with {FEWEST}, later rounds know which candidates are near the tolerance."
    else:
        text += f", median {signed(known.shift, 3)} eV/atom, by which later rounds find those near the tolerance."
    suggested = known.tolerance(confirmed)
    if suggested is not None:
        text += f" τ {number(suggested, 3)} eV/atom would keep nine in ten that are confirmed; it was {tolerance:g}."
    if bounds is not None and bounds.volume_change is not None and bounds.rmsd is not None:
        text += (
            f" In nine of ten cases a volume changes by at most {percent(bounds.volume_change)} and atoms move by at"
            f" most {number(bounds.rmsd, 3)} Å ({bounds.number} crystals of all campaigns with this potential)."
        )
    return text


def shorten(identifier: str | None, *, length: int = 12) -> str:
    """Return the first characters of an id; a dash for none."""
    return "\N{EN DASH}" if not identifier else identifier[:length]


def join_words(words: Iterable[str]) -> str:
    """Return words as ``a, b and c``."""
    items = list(words)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""
