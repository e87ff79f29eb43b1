"""What the templates of the report and of the dashboard share: escaping, and the words of results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import Environment, FunctionLoader, StrictUndefined

from genmat.report import words

if TYPE_CHECKING:
    from collections.abc import Callable


def template_environment(read: Callable[[str], str]) -> Environment:
    """Return an environment that escapes everything and knows the filters that every page needs.

    Parameters
    ----------
    read
        Returns the text of a template by its name.
    """
    environment = Environment(
        loader=FunctionLoader(read), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "formula": words.formula_html,
        "space_group": words.space_group_html,
        "reason": words.reason_text,
        "stage": words.stage_text,
        "percent": words.percent,
        "number": words.number,
        "pretty": words.pretty_units,
        "shorten": words.shorten,
    }
    return environment
