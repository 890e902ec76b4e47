"""Training sets without a frame: what a request may say of all entities, and when. [pure]

Not for which entities there are (``found_frame``) or for frames that are sent (``forms``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lib.instants import sent_instant, timestamp
from registry.spec.durations import BadDuration, parse_duration
from serving.request_body import BadRequest

if TYPE_CHECKING:
    from datetime import datetime

#: Instants one question may ask about: each finds every entity anew.
MAX_INSTANTS = 10_000
_FORMS = 'send "at": an instant or a list of them; or "start" and "end", with "every": "1d" or not.'


class AllEntities(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every entity of the views at each of ``at``; or between ``start`` and ``end``, inclusive.

    Between them at each step of ``every``, or, without it, whenever something became known.
    ``limit`` rows of it, those after the row ``after``: its keys and its ``event_timestamp``.
    """

    at: str | list[str] | None = None
    start: str | None = None
    end: str | None = None
    every: str | None = None
    limit: int | None = None
    after: dict[str, Any] | None = None


def require_unpaged(asked: AllEntities, what: str) -> None:
    """Return if it asks for all its rows, as ``what`` (a job, a dataset) has.

    :raises BadRequest: it asks for some.
    """
    if asked.limit is not None or asked.after is not None:
        raise BadRequest(f"all_entities: {what} has all rows; leave out limit and after.")


class AskedTimes(NamedTuple):
    """Instants in order, each once; None: whenever something became known within ``bounds``."""

    bounds: tuple[datetime, datetime]
    instants: tuple[datetime, ...] | None


def asked_times(asked: AllEntities) -> AskedTimes:
    """Return the times a request asks about.

    :raises BadRequest: neither instants nor a range, both, or more instants than one may ask.
    """
    has_range = asked.start is not None or asked.end is not None or asked.every is not None
    if (asked.at is None) is not has_range:
        raise BadRequest(f"all_entities: {_FORMS}")
    if asked.at is not None:
        at = [asked.at] if isinstance(asked.at, str) else asked.at
        _check_count(len(at))
        return _at([sent_instant("all_entities: at", each, BadRequest) for each in at])
    if asked.start is None or asked.end is None:
        raise BadRequest("all_entities: a range has both a start and an end.")
    start = sent_instant("all_entities: start", asked.start, BadRequest)
    end = sent_instant("all_entities: end", asked.end, BadRequest)
    if end < start:
        said = f"end {timestamp(end)} is before start {timestamp(start)}"
        raise BadRequest(f"all_entities: {said}; swap them.")
    return (
        AskedTimes((start, end), None) if asked.every is None else _steps(start, end, asked.every)
    )


def _steps(start: datetime, end: datetime, every: str) -> AskedTimes:
    try:
        step = parse_duration(every)
    except BadDuration as exc:
        raise BadRequest(f"all_entities: every: {exc}") from exc
    count = (end - start) // step + 1
    _check_count(count)
    return _at([start + place * step for place in range(count)])


def _at(instants: list[datetime]) -> AskedTimes:
    ordered = tuple(sorted(set(instants)))
    return AskedTimes((ordered[0], ordered[-1]), ordered)


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_INSTANTS:
        raise BadRequest(
            f"all_entities: {count} instants; one question asks about 1 to {MAX_INSTANTS}."
        )
