"""Chemical elements that a campaign may name."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from genmat.errors import did_you_mean

_SYMBOLS = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu
Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr
Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""

PERIODIC_TABLE = tuple(_SYMBOLS.split())
"""All 118 symbols in order of atomic number."""

ELEMENTS = frozenset(PERIODIC_TABLE[:94]) - {"Po", "At", "Rn", "Fr", "Ra"}
"""The 89 elements for which the Materials Project has an elemental reference energy."""

_NAMES = {
    "Hydrogen": "H",
    "Lithium": "Li",
    "Carbon": "C",
    "Nitrogen": "N",
    "Oxygen": "O",
    "Fluorine": "F",
    "Sodium": "Na",
    "Magnesium": "Mg",
    "Aluminium": "Al",
    "Aluminum": "Al",
    "Silicon": "Si",
    "Phosphorus": "P",
    "Sulfur": "S",
    "Sulphur": "S",
    "Chlorine": "Cl",
    "Potassium": "K",
    "Calcium": "Ca",
    "Titanium": "Ti",
    "Iron": "Fe",
    "Cobalt": "Co",
    "Nickel": "Ni",
    "Copper": "Cu",
    "Zinc": "Zn",
    "Silver": "Ag",
    "Tin": "Sn",
    "Gold": "Au",
    "Mercury": "Hg",
    "Lead": "Pb",
}


def check_element(symbol: object) -> str:
    """Return ``symbol`` if it names an element that a campaign can use.

    Raises
    ------
    ValueError
        If it is no symbol (the nearest one is named) or the element has no reference energy.
    """
    if not isinstance(symbol, str):
        msg = f"got {symbol!r}, expected the symbol of a chemical element as text, such as 'Fe'"
        raise ValueError(msg)
    if symbol in ELEMENTS:
        return symbol
    if symbol in PERIODIC_TABLE:
        msg = f"element {symbol!r} has no reference energy; usable are H to Pu without Po, At, Rn, Fr and Ra"
        raise ValueError(msg)
    capitalised = symbol.strip().capitalize()
    nearest = _NAMES.get(capitalised, capitalised)
    hint = f" Did you mean {nearest!r}?" if nearest in ELEMENTS else did_you_mean(nearest, sorted(ELEMENTS))
    msg = f"{symbol!r} is not a chemical element; expected a symbol such as 'Fe'.{hint}"
    raise ValueError(msg)


type ElementSymbol = Annotated[
    str,
    BeforeValidator(check_element),
    WithJsonSchema({"type": "string", "enum": sorted(ELEMENTS)}),
]
"""Symbol of one of the 89 elements with a reference energy."""
