"""One entity's values as clauses of text, and how many of them a budget takes. [pure]

Not for reading values: ``read`` asks for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lib.instants import from_us, parse_instant, to_us
from registry.spec.context import AGE, Clause, Place, takes
from registry.spec.value_types import parse_type
from serving.context.wording import NO_VALUE, UNKNOWN, age_words, ago, value_words
from serving.online.rows import NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE, PRESENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

#: Told without a template: the value and how long ago it was true. No template has this format.
DATED = "dated"
#: Bytes of UTF-8 that a token is taken for: what tokenizers of common models make of plain text.
BYTES_PER_TOKEN = 4


class Told(NamedTuple):
    """One feature of one entity, as the online answer has it."""

    value: Any
    status: str
    event_timestamp: str
    type: str
    ttl_micros: int | None
    unit: str


class Context(NamedTuple):
    """The text, and which features are in it, had no room or no value."""

    text: str
    tokens: int
    features: list[str]
    dropped: list[str]
    missing: dict[str, str]


def _tokens(size: int) -> int:
    """Estimate the tokens of a text of so many bytes in UTF-8: a quarter of them, rounded up."""
    return -(-size // BYTES_PER_TOKEN)


def default_clauses(names: Sequence[str]) -> tuple[Clause, ...]:
    """Return what is told without a template: ``name=value unit (age)``, in the request's order."""
    return tuple(
        Clause(", " if index else "", (f"{name}=", Place(name, DATED)))
        for index, name in enumerate(names)
    )


def render(
    clauses: Sequence[Clause], told: Mapping[str, Told], *, at: datetime, max_tokens: int | None
) -> Context:
    """Tell of one entity; ``told`` has each name of the clauses.

    Of the clauses, which have the most important first, as many are kept as fit: the first that
    does not, and all behind it, are left out whole.
    """
    parts: list[str] = []
    size = 0
    for clause in clauses:
        part = clause.separator + "".join(_words(clause, told, at))
        longer = size + len(part.encode())
        if max_tokens is not None and _tokens(longer) > max_tokens:
            break
        parts.append(part)
        size = longer
    features = dict.fromkeys(_names(clauses[: len(parts)]))
    everything = _names(clauses)
    return Context(
        "".join(parts),
        _tokens(size),
        list(features),
        [name for name in everything if name not in features],
        {name: told[name].status for name in everything if told[name].status != PRESENT},
    )


def _names(clauses: Sequence[Clause]) -> list[str]:
    return list(dict.fromkeys(place.name for clause in clauses for place in clause.places))


def _words(clause: Clause, told: Mapping[str, Told], at: datetime) -> Iterator[str]:
    for part in clause.parts:
        yield part if isinstance(part, str) else _place_words(told[part.name], part.format, at)


def _place_words(told: Told, form: str, at: datetime) -> str:
    """Return a value, or in words why there is none. Of a version whose type the format does not
    fit the value is told as it is.
    """
    if told.status == NOT_FOUND:
        return UNKNOWN
    if form == AGE:
        return age_words(told.event_timestamp, at)
    if told.status == OUTSIDE_MAX_AGE:
        expiry = to_us(parse_instant(told.event_timestamp)) + (told.ttl_micros or 0)
        return f"expired {ago(at - from_us(expiry))}"
    if form == DATED:
        unit = f" {told.unit}" if told.unit and told.value is not None else ""
        age = age_words(told.event_timestamp, at)
        return f"{_value_words(told, '')}{unit}{'' if age == UNKNOWN else f' ({age})'}"
    return _value_words(told, form)


def _value_words(told: Told, form: str) -> str:
    if told.status == NULL_VALUE or told.value is None:
        return NO_VALUE
    kind = parse_type(told.type)
    return value_words(told.value, kind, form if takes(kind, form) else "")
