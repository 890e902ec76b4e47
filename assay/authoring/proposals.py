"""What the columns of a source are for: which identifies, which are times, what is asked of them.
Not for looking at data (columns) or for how it is written (documents). Every choice says why.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from assay.authoring.columns import DAY_NUMBERS, KEY_TYPES, Column

_KEY_NAME = re.compile(r"(^|_)(id|key|uuid|guid|ssn|sku|email)$|[a-z](Id|ID|Key)$|code$", re.I)
_KEY_END = re.compile(r"_?(id|key|uuid|guid)$", re.I)
_EVENT_NAME = re.compile(
    r"^(event_?)?(ts|time|timestamp|date|datetime)$|(^|_)(event|occurred)_", re.I
)
_CREATED_NAME = re.compile(r"(^|_)(created|loaded|ingested|inserted|arrived|updated)(_|$)", re.I)
_PERSONAL = re.compile(
    r"(^|_)(e?mail|phone|ssn|passport|iban|address|street|(first|last|full)_?name|surname|birth\w*|dob)$",
    re.I,
)
_RESERVED = ("event_timestamp", "created_timestamp", "timing", "explain")


@dataclass(frozen=True)
class Choice:
    """A column that was chosen, or none, and why in words."""

    column: Column | None
    why: str


@dataclass(frozen=True)
class FeatureProposal:
    """One feature; ``doubt`` says why it is better left out, ``check`` what is asked of it."""

    name: str
    column: Column
    checks: dict[str, object]
    sensitivity: str | None
    words: str
    doubt: str = ""


@dataclass(frozen=True)
class Proposal:
    key: Choice
    event: Choice
    created: Choice
    features: tuple[FeatureProposal, ...]
    #: Whether an entity has many rows, so that sums over time may be what is wanted.
    repeats: bool
    notes: tuple[str, ...]


def propose(columns: Sequence[Column]) -> Proposal:
    key = _key(columns)
    created_name = next((c for c in columns if c.unit and _CREATED_NAME.search(c.name)), None)
    event = _event([c for c in columns if c is not created_name] or columns)
    created = _created(columns, event.column)
    chosen = [choice.column for choice in (key, event, created)]
    features = _features([c for c in columns if c not in chosen])
    notes = [f"{c.name}: {c.note}" for c in columns if c.note]
    repeats = key.column is not None and not key.column.is_row_id
    return Proposal(key, event, created, features, repeats, tuple(notes))


def entity_name(column: Column) -> str:
    """Give what a key is called without its end: ``customer`` of ``customer_id``."""
    return snake(_KEY_END.sub("", column.name)) or "row"


def snake(name: str) -> str:
    """Give the nearest name that a definition may have."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    plain = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    plain = plain if not plain or plain[0].isalpha() else f"f_{plain}"
    return (f"{plain}_" if plain in _RESERVED else plain)[:63].rstrip("_") or ""


def names_things(column: Column) -> bool:
    """Tell whether a column is called as one that identifies something."""
    return bool(_KEY_NAME.search(column.name))


def _key(columns: Sequence[Column]) -> Choice:
    named = [c for c in columns if c.may_be_key and _KEY_NAME.search(c.name) and not c.unit]
    ordered = sorted(named, key=_unlikely)
    if not ordered:
        unlike = [c.name for c in columns if c.type in KEY_TYPES and not c.unit]
        return Choice(
            None, f"no column looks like a key; candidates: {', '.join(unlike) or 'none'}"
        )
    first, *others = ordered
    also = ", ".join(f"{c.name} ({c.distinct:,})" for c in others)
    why = f"{first.distinct:,} different values in {first.rows:,} rows"
    return Choice(first, why + (f"; also possible: {also}" if also else ""))


def _unlikely(column: Column) -> tuple[int, bool]:
    """Rank keys: what many rows are about, what names each row, what nearly does, a constant."""
    if column.distinct == 1 < column.rows:
        rank = 3
    elif 2 * column.distinct <= column.rows:
        rank = 0
    else:
        rank = 1 if column.is_row_id else 2
    return rank, not _KEY_END.search(column.name)


def _event(columns: Sequence[Column]) -> Choice:
    times = [c for c in columns if c.unit and not c.nulls]
    if not times:
        days = [c.name for c in columns if c.note == DAY_NUMBERS]
        hint = f"; {days[0]} has {DAY_NUMBERS}: {_made_dates(days[0])}" if days else ""
        return Choice(None, f"no column of times without nulls was found{hint}")

    def rank(column: Column) -> tuple[bool, bool, bool]:
        # A day says less than an instant: a row would be visible from its midnight.
        return (column.type == "date", not _EVENT_NAME.search(column.name), "birth" in column.name)

    best = min(times, key=rank)
    also = ", ".join(c.name for c in times if c is not best)
    day = "; a day counts from its midnight, UTC" if best.type == "date" else ""
    return Choice(best, best.span() + day + (f"; also possible: {also}" if also else ""))


def _made_dates(name: str) -> str:
    column = '"' + name.replace('"', '""') + '"'
    made = f"strptime(CAST({column} AS VARCHAR), '%Y%m%d') AS {column}"
    return f"name it here, and select `{made}` in the view's `sql`"


def _created(columns: Sequence[Column], event: Column | None) -> Choice:
    for column in columns:
        if column is not event and column.unit and _CREATED_NAME.search(column.name):
            # What came to be before it was true is no time of arrival.
            alike = event is not None and (event.unit, event.type) == (column.unit, column.type)
            if event is None or not alike or _is_later(column, event):
                return Choice(column, column.span() + _load(column))
    return Choice(None, "no column looks like when a row was known; it is then as it was observed")


def _is_later(created: Column, event: Column) -> bool:
    return not created.nulls and created.most >= event.most and created.least >= event.least


def _load(created: Column) -> str:
    if created.least != created.most or created.rows < 2:
        return ""
    return "; one instant for all: as of an earlier time nothing was known, leave it out if it was"


def _features(columns: Sequence[Column]) -> tuple[FeatureProposal, ...]:
    found: dict[str, FeatureProposal] = {}
    for column in columns:
        base = name = snake(column.name) or "column"
        for number in range(2, len(columns) + 2):
            if name not in found:
                break
            name = f"{base[:59]}_{number}"
        found[name] = _feature(name, column)
    return tuple(found.values())


def _feature(name: str, column: Column) -> FeatureProposal:
    checks: dict[str, object] = {}
    if not column.nulls and column.rows:
        checks["not_null"] = 0.99
    personal = bool(_PERSONAL.search(column.name))
    is_positive = (
        not personal and column.least is not None and column.is_numeric and column.least >= 0
    )
    if is_positive and not names_things(column):
        checks["min"] = 0
    doubt = ""
    if column.is_row_id and not column.is_numeric and not column.unit:
        doubt = "every row has another value: it names the row"
    elif column.nulls == column.rows:
        doubt = "no value in the rows that were looked at"
    return FeatureProposal(
        name, column, checks, "restricted" if personal else None, _words(column, personal), doubt
    )


def _words(column: Column, personal: bool) -> str:  # noqa: FBT001
    """Say what was seen of a column; of a personal one no value, for files are passed on."""
    parts = [f"{column.distinct:,} different"]
    if column.nulls:
        parts.append(f"{column.nulls / column.rows:.1%} null")
    if column.least is not None and not personal:
        parts.append(f"{column.least} to {column.most}")
    return ", ".join(parts)
