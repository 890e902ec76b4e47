"""What is asked of an HTTP source: the first page, and after each page which comes next. [pure]

Not for asking it (``asking``). Nothing outside of the connection's address is ever asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping  # noqa: TC003 - NamedTuple keeps the annotations
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit

from registry.spec.http_paths import decoded, leads_out
from registry.spec.paging import CursorPaging, LinkPaging, OffsetPaging, PagePaging

if TYPE_CHECKING:
    from materialization.finding.fetching import Wanted
    from registry.spec.sources.http import HttpSource, InstantForm

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST, _LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_UNITS = {"iso": timedelta(seconds=1), "s": timedelta(seconds=1),
          "ms": timedelta(milliseconds=1), "date": timedelta(days=1)}  # fmt: skip
#: One entry of a ``Link`` header, and one of its parameters.
_LINK = re.compile(r"""\s*<([^>]*)>((?:\s*;\s*[^\s=;,]+(?:\s*=\s*(?:"[^"]*"|[^\s;,"]+))?)*)\s*,?""")
_REL = re.compile(r""";\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))""", re.IGNORECASE)


class BadPage(ValueError):
    """What an answer says of the next page leads nowhere; the message says why."""


class Page(NamedTuple):
    """A page that was read: what it was asked by, its number, what it said of the next one."""

    target: str
    number: int
    #: The rows of it, and of all pages until it.
    rows: int
    rows_until: int
    headers: Mapping[str, str]
    fields: Mapping[tuple[str, ...], object]


class Pages:
    """The pages of one reading."""

    def __init__(self, source: HttpSource, base: str, wanted: Wanted, now: datetime) -> None:
        self._source, self._base = source, urlsplit(base)
        self._since = _since(source, wanted)
        self._said = _parameters(source, self._since, wanted, now)

    @property
    def leaves_out_older(self) -> bool:
        """Whether ``{since}`` says 1970 because nothing says when the wanted rows begin."""
        says = any("{since}" in str(each) for each in self._source.parameters.values())
        return says and self._since is None

    @property
    def place(self) -> tuple[str, ...]:
        """Where an answer has its rows."""
        return place_of(self._source.rows)

    @property
    def field(self) -> tuple[str, ...]:
        """Where an answer says what the next page is; empty: in no field."""
        paging = self._source.paging
        return place_of(paging.next) if isinstance(paging, LinkPaging | CursorPaging) else ()

    def first(self) -> str:
        paging = self._source.paging
        if isinstance(paging, OffsetPaging):
            return self._target({paging.parameter: "0"})
        if isinstance(paging, PagePaging):
            return self._target({paging.parameter: str(paging.first)})
        return self._target({})

    def after(self, page: Page) -> str | None:
        """Return what is asked for after a page; None: it was the last.

        :raises BadPage: what it says leads nowhere.
        """
        paging = self._source.paging
        if isinstance(paging, OffsetPaging):
            more = {paging.parameter: str(page.rows_until)}
            return self._target(more) if page.rows else None
        if isinstance(paging, PagePaging):
            more = {paging.parameter: str(paging.first + page.number)}
            return self._target(more) if page.rows else None
        if isinstance(paging, CursorPaging):
            cursor = self._field_of(page)
            return self._target({paging.parameter: cursor}) if cursor else None
        if isinstance(paging, LinkPaging):
            said = self._field_of(page) if self.field else next_link(page.headers)
            return self._within(said, page.target) if said else None
        return None

    def _field_of(self, page: Page) -> str:
        said = page.fields.get(self.field)
        if said is None or said is False or said == "":
            return ""
        if not isinstance(said, str):
            raise BadPage(f"says {said!r} at {'.'.join(self.field)!r}, which names no page")
        return said

    def _target(self, more: Mapping[str, str]) -> str:
        path = f"{self._base.path.rstrip('/')}/{self._source.path}"
        query = urlencode([*self._said.items(), *more.items()])
        return f"{path}?{query}" if query else path

    def _within(self, link: str, target: str) -> str:
        """Return the target of a link, which may be relative to the page that says it.

        :raises BadPage: it leads to another server, or out of where the connection leads.
        """
        origin = f"{self._base.scheme}://{self._base.netloc}"
        try:
            to = urlsplit(urljoin(f"{origin}{target}", link))
            port, base_port = to.port, self._base.port
        except ValueError:
            raise BadPage("gives a link to the next page that is no address") from None
        usual = {"http": 80, "https": 443}.get(to.scheme)
        there = (to.scheme, to.hostname, port or usual)
        here = (self._base.scheme, self._base.hostname, base_port or usual)
        if there != here or to.username or to.password:
            where = f"{to.hostname}"[:100]
            raise BadPage(f"sends to {where!r} for the next page; only the connection's server is")
        base, path = decoded(f"{self._base.path.rstrip('/')}/"), decoded(to.path)
        if base is None or path is None or not path.startswith(base) or leads_out(to.path):
            raise BadPage("sends out of where the connection leads for the next page")
        return f"{to.path}?{to.query}" if to.query else to.path


def place_of(name: str) -> tuple[str, ...]:
    return tuple(name.split(".")) if name else ()


def next_link(headers: Mapping[str, str]) -> str:
    """Return the address that a ``Link`` header has for the next page (RFC 8288); empty: none."""
    for found in _links(headers.get("Link", "")):
        relations = _REL.search(found[2])
        words = (relations[1] or relations[2] or "").lower().split() if relations else ()
        if "next" in words:
            return found[1]
    return ""


def _links(said: str) -> Iterator[re.Match[str]]:
    place = 0
    while found := _LINK.match(said, place):
        yield found
        place = found.end()


def _parameters(
    source: HttpSource, since: datetime | None, wanted: Wanted, now: datetime
) -> dict[str, str]:
    """Return what each request says, with the times of the rows that are wanted.

    More rows may come than are wanted, and no fewer: a server may compare by whole units, and
    with or without what is equal. Without a beginning it is 1970, which any server takes; one
    that a run has is said as it is.
    """
    until = (wanted.until if source.asks_by == "event_timestamp" else None) or now
    until = min(until, _LATEST - 2 * _UNITS[source.instants])
    said = {
        "{since}": _said(_EPOCH if since is None else since, source.instants),
        "{until}": _said(until + 2 * _UNITS[source.instants], source.instants),
    }
    return {name: _filled(value, said) for name, value in source.parameters.items()}


def _since(source: HttpSource, wanted: Wanted) -> datetime | None:
    """Return from when on rows are wanted, and a unit before; None: from the beginning."""
    begins = [wanted.after] if _may_begin(source, wanted) else []
    if source.asks_by == "event_timestamp":
        begins.append(wanted.since)
    unit, known = _UNITS[source.instants], [each for each in begins if each is not None]
    return max(*known, _EARLIEST + unit) - unit if known else None


def _may_begin(source: HttpSource, wanted: Wanted) -> bool:
    """Return whether rows before some time can be left out: by when they came, or by their event.

    Rows that became known later may have any event, so they are not found by it.
    """
    by_event = source.asks_by == "event_timestamp"
    return not (by_event and wanted.by_arrival and source.created_timestamp is not None)


def _filled(value: str | int | bool, said: Mapping[str, str]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    for template, instant in said.items():
        text = text.replace(template, instant)
    return text


def _said(at: datetime, form: InstantForm) -> str:
    """Say an instant in whole units, the last that begins before it."""
    at = at.astimezone(UTC)
    if form == "date":
        return at.date().isoformat()
    if form == "iso":
        return f"{at.replace(microsecond=0, tzinfo=None).isoformat()}Z"
    return str((at - _EPOCH) // _UNITS[form])
