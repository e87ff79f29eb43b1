"""One clear line about what is wrong with a campaign file."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel

from genmat.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

MAX_SHOWN = 60

_UNKNOWN_KEY = frozenset({"extra_forbidden", "invalid_key"})

_WORDS = {
    "Input should be a valid tuple": "expected a list",
    "Input should be a valid dictionary": "expected a mapping",
    "Input should be None": "expected null",
    "Input should be": "expected",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "more than",
    "Tuple should have at least 1 item after validation, not 0": "expected at least one entry",
    "a valid ": "a ",
    "a integer": "a whole number",
    "a string": "text",
    "a boolean": "true or false",
    "String should have at least 1 character": "expected text",
}


def shown(value: object) -> str:
    """Return ``value`` as short text on one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def path_text(location: Sequence[str | int]) -> str:
    """Return a location such as ``("target", "properties", 0, "min")`` as ``target.properties[0].min``."""
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def explain(error: ValidationError, *, model: type[BaseModel]) -> str:
    """Return what is wrong first, on one line: field path, value, what is allowed, nearest right name.

    Parameters
    ----------
    error
        What validation of ``model`` raised.
    model
        The outermost model.
    """
    every = error.errors(include_url=False)
    # A list whose entry is wrong is also "too short": the entry alone is the error.
    details = [detail for detail in every if not any(_is_above(detail["loc"], other["loc"]) for other in every)]
    # A misspelt key often goes with a missing one: the misspelling explains both.
    first = min(details, key=lambda detail: detail["type"] not in _UNKNOWN_KEY)
    rest = len(details) - 1
    more = f" ({rest} more {'error' if rest == 1 else 'errors'} in this file)" if rest else ""
    where = path_text(first["loc"])
    return f"{where + ': ' if where else ''}{_what(first, model)}{more}"


def _is_above(location: Sequence[str | int], other: Sequence[str | int]) -> bool:
    return len(location) < len(other) and tuple(other[: len(location)]) == tuple(location)


def _what(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, value, location = detail["type"], detail["input"], detail["loc"]
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind in _UNKNOWN_KEY:
        keys = _keys(_model_at(location[:-1], model))
        return (
            f"unknown key {shown(location[-1])}; allowed are {', '.join(keys)}.{did_you_mean(str(location[-1]), keys)}"
        )
    field = _field_at(location, model)
    meaning = f" ({field.description.rstrip('.')})" if field is not None and field.description else ""
    if kind == "missing":
        return f"is missing{meaning}"
    if kind in {"model_type", "model_attributes_type"}:
        return f"got {shown(value)}, expected a mapping with the keys {', '.join(_keys(_model_at(location, model)))}"
    if kind == "enum":
        allowed = detail["ctx"]["expected"]
        hint = did_you_mean(str(value), [word.strip("' ") for word in allowed.replace(" or ", ", ").split(",")])
        return f"got {shown(value)}, expected {allowed}.{hint}"
    message = detail["msg"]
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    return f"got {shown(value)}, {message}{meaning}"


def _model_at(location: Sequence[str | int], model: type[BaseModel]) -> type[BaseModel]:
    """Return the model that stands at ``location`` below ``model``."""
    for step in location:
        field = _field(model, step)
        model = (_model_in(field.annotation) if field is not None else None) or model
    return model


def _field_at(location: Sequence[str | int], model: type[BaseModel]) -> FieldInfo | None:
    """Return the innermost field that ``location`` names."""
    names = [step for step in location if isinstance(step, str)]
    return _field(_model_at(names[:-1], model), names[-1]) if names else None


def _field(model: type[BaseModel], step: str | int) -> FieldInfo | None:
    return next((field for name, field in model.model_fields.items() if step in {name, field.alias}), None)


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Return the first model inside an annotation such as ``tuple[PropertyTarget, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
