"""The template of a feature service: one line for a prompt, with places for its features. [pure]

Not for values: ``serving.context`` puts them in. Nothing here is evaluated: a place is a name and,
where it has one, a format out of a short list; Python's own templates reach attributes and items.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from lib.errors import UNSEEN, Invalid, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from registry.spec.references import Reference
    from registry.spec.value_types import ValueType

#: Characters of a template and places in it: a line, not a document.
MAX_TEMPLATE, MAX_PLACES = 4000, 200
_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_PLACE = re.compile(rf"({_NAME}(?:@[v0-9.]+__{_NAME})?)(?::([^{{}}]*))?")
#: Braces that are braces, a place, or one brace that is neither.
_TOKEN = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")
#: A new clause begins behind these; they go with it when it is left out.
_SEPARATOR = re.compile(r"(, |; |\n)")
_NUMBER = re.compile(r",?(?:\.(?:[0-9]|1[0-2]))?[feg%]|,?d|,")
AGE, DATE = "age", "date"
_WHOLE, _BROKEN = ("int32", "int64"), ("float32", "float64", "decimal")
FORMATS = (
    "of numbers .2f, .1e, .3g, .0% and `,` for thousands (also ,.2f), of whole numbers ,d;"
    " of timestamps and dates `date`; of every value `age`, how long ago it was true"
)


class BadTemplate(Invalid):
    code = "invalid_context"


class Place(NamedTuple):
    """Where a feature goes; ``format`` is empty where its value is written as it is."""

    name: str
    format: str


class Clause(NamedTuple):
    """What is kept or left out as one: the text before it, then text and places in turn."""

    separator: str
    parts: tuple[str | Place, ...]

    @property
    def places(self) -> Iterator[Place]:
        return (part for part in self.parts if isinstance(part, Place))


def parse_template(text: str) -> tuple[Clause, ...]:
    """Return the clauses of a template, the most important first: each has a place.

    A clause ends at ``, ``, at ``; `` or with its line. One without a place belongs to the next,
    at the end to the last: there is nothing in it to say alone.

    :raises BadTemplate: naming what cannot be read, and what could stand there.
    """
    if len(text) > MAX_TEMPLATE:
        raise BadTemplate(f"{len(text)} characters; a context has at most {MAX_TEMPLATE}.")
    if found := UNSEEN.search(text) or re.search("[\t\r]", text):
        raise BadTemplate(
            f"character {found.start() + 1} is \\u{ord(found[0]):04x}, which nobody sees; write"
            " what can be read, and a line feed between lines."
        )
    clauses = _clauses(text)
    places = len(places_of(clauses))
    if not places:
        raise BadTemplate("no feature is named; write one in braces, as in {amount_sum_30d:.0f}.")
    if places > MAX_PLACES:
        raise BadTemplate(f"{places} features are named; a context names at most {MAX_PLACES}.")
    return tuple(clauses)


def _clauses(text: str) -> list[Clause]:
    clauses: list[Clause] = []
    separator, parts = "", list[str | Place]()
    for part in _parts(text):
        for word in _SEPARATOR.split(part) if isinstance(part, str) else [part]:
            is_end = isinstance(word, str) and _SEPARATOR.fullmatch(word)
            if is_end and any(isinstance(each, Place) for each in parts):
                clauses.append(Clause(separator, tuple(parts)))
                separator, parts = str(word), []
            elif word:
                parts.append(word)
    if not clauses or any(isinstance(each, Place) for each in parts):
        return [*clauses, Clause(separator, tuple(parts))]
    last = clauses.pop()
    return [*clauses, Clause(last.separator, (*last.parts, separator, *parts))]


def _parts(text: str) -> Iterator[str | Place]:
    at, said = 0, ""
    for found in _TOKEN.finditer(text):
        said += text[at : found.start()]
        at = found.end()
        if found[0] in ("{{", "}}"):
            said += found[0][0]
            continue
        yield said
        said = ""
        yield _place(found[0], found.start())
    yield said + text[at:]


def _place(token: str, start: int) -> Place:
    match = _PLACE.fullmatch(token[1:-1]) if len(token) > 1 else None
    if match is None:
        raise BadTemplate(
            f"{token[:60]!r} at character {start + 1}: write a feature's name in braces, as in"
            " {amount}, {amount:.2f} or {view__amount}; braces themselves are {{ and }}."
            " Attributes, items and conversions are not read."
        )
    if match[2] is not None and not _is_format(match[2]):
        raise BadTemplate(
            f"{token[:60]!r} at character {start + 1}: {match[2][:20]!r} is no format; there are"
            f" {FORMATS}."
        )
    return Place(match[1], match[2] or "")


def _is_format(text: str) -> bool:
    return text in (AGE, DATE) or _NUMBER.fullmatch(text) is not None


def takes(kind: ValueType, form: str) -> bool:
    """Tell whether values of a type can be written in a format."""
    if form in ("", AGE):
        return True
    if form == DATE:
        return kind.kind in ("timestamp", "date")
    whole = kind.kind in _WHOLE
    return (whole or kind.kind in _BROKEN) and (whole or not form.endswith("d"))


def named(places: Sequence[str], references: Sequence[Reference]) -> Mapping[str, int]:
    """Return which reference each name of a template means, by position.

    A name is the feature's, where one view of the service has it, or ``view__feature``, with
    ``view@1.2.0__feature`` where the reference has a pin.

    :raises BadTemplate: naming the nearest, or all that a name may mean.
    """
    short: dict[str, list[int]] = {}
    full: dict[str, int] = {}
    for index, reference in enumerate(references):
        short.setdefault(reference.feature, []).append(index)
        full[full_name(reference)] = index
    found: dict[str, int] = {}
    for name in places:
        meant = [full[name]] if name in full else short.get(name, [])
        if not meant:
            hint = did_you_mean(name, [*short, *full])
            raise BadTemplate(f"{{{name}}} is no feature of the service.{hint}")
        if len(meant) > 1:
            choices = ", ".join(f"{{{full_name(references[index])}}}" for index in meant)
            raise BadTemplate(f"{{{name}}} is a feature of several views; write one of {choices}.")
        found[name] = meant[0]
    return found


def full_name(reference: Reference) -> str:
    pin = f"@{reference.pin}" if reference.pin else ""
    return f"{reference.view}{pin}__{reference.feature}"


def places_of(clauses: Sequence[Clause]) -> list[Place]:
    return [place for clause in clauses for place in clause.places]
