"""Templates: everything is escaped, and everything that a template may call stands here."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from genmat import __version__
from genmat.campaign import PROPERTY_KINDS, PropertyName
from genmat.report import words
from genmat.report.templating import template_environment

if TYPE_CHECKING:
    from datetime import datetime

    from jinja2 import Environment

_FOLDER = files("genmat.dashboard") / "templates"
MINUTES_PER_HOUR, HOURS_PER_DAY = 60.0, 24.0


def render(template: str, **context: Any) -> str:
    """Return a page."""
    return _environment().get_template(template).render(context)


@cache
def read_template(name: str) -> str:
    """Return a packaged template."""
    return (_FOLDER / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = template_environment(read_template)
    environment.filters |= {
        "count": count,
        "hours": hours,
        "time": time_text,
        "digits": digits,
        "path": path,
        "unit": unit,
    }
    environment.globals |= {"version": __version__, "title_of": property_title}
    return environment


def path(text: str) -> str:
    """Return text as one piece of an address."""
    return quote(str(text), safe="")


def count(value: float) -> str:
    """Return a count with thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def hours(value: float | None) -> str:
    """Return a time such as ``4 min``, ``3.2 h`` or ``5.1 d``; a dash for none."""
    if value is None:
        return "\N{EN DASH}"
    if value < 1.0 / MINUTES_PER_HOUR:
        return f"{MINUTES_PER_HOUR * MINUTES_PER_HOUR * value:.0f}\N{NO-BREAK SPACE}s"
    if value < 1.0:
        return f"{MINUTES_PER_HOUR * value:.0f}\N{NO-BREAK SPACE}min"
    if value < 2 * HOURS_PER_DAY:
        return f"{value:.1f}\N{NO-BREAK SPACE}h"
    return f"{value / HOURS_PER_DAY:.1f}\N{NO-BREAK SPACE}d"


def time_text(value: datetime | None) -> str:
    """Return a time in UTC; a dash for none."""
    return "\N{EN DASH}" if value is None else f"{value:%Y-%m-%d %H:%M}"


def digits(value: float | None) -> str:
    """Return a number with six digits: a page about sources is there to be checked."""
    return "\N{EN DASH}" if value is None else f"{value:.6g}".replace("-", words.MINUS)


def unit(name: str) -> str:
    """Return the unit of a property of the campaign, empty if it has none that is known."""
    return words.unit(PropertyName(name)) if name in set(PROPERTY_KINDS) else ""


def property_title(name: str) -> str:
    """Return the name of a property as a heading."""
    return words.TITLES[PropertyName(name)] if name in set(PropertyName) else name.replace("_", " ")
