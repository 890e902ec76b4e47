"""Finding an HTTP source, and writing the rows that a job reads into one file, row by row as JSON.

Not for one request (``asking``), which page comes next (``pages``) or what an answer has
(``answers``). Whatever is not whole ends the reading, and nothing of it is used.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar, cast
from urllib.parse import urlsplit

from materialization.errors import SourceRefused, SourceUnavailable
from materialization.finding.fetching import Fetched, Wanted
from materialization.finding.http.answers import Answer, BadAnswer, CutOff
from materialization.finding.http.asking import Asking, Saved, too_large
from materialization.finding.http.pages import BadPage, Page, Pages
from materialization.sources.inputs import LinkedRows, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from materialization.finding.links import Link
    from registry.spec.connections import HttpConnection
    from registry.spec.sources.http import HttpSource

_T = TypeVar("_T")
#: How often somebody may stop a reading, in seconds.
_LOOKED_AT_EVERY_S = 0.5
#: Seconds that finding may take, and how often it asks: somebody may wait for it.
_FIND_SECONDS, _FIND_TRIES = 30.0, 3
#: Pages of one reading.
MAX_PAGES = 100_000
#: What to do about what the server gives.
_SEE_PAGING = "compare `paging` with what its documentation says, or ask whoever runs it"
_SEE_ANSWER = "compare `path`, `rows` and `params` with what an answer of it holds"
#: What a plan reads of the first page: the rest is seen by the first run.
LOOK_BYTES = 32 << 20


class HttpFinder:
    """One part. Where one answer has all rows and an ETag, that is its identity; else it grows."""

    def try_link(self, link: Link) -> None:
        words = f"connection {link.name}"
        with _asking(link, words, tries=1) as asking:
            until = time.monotonic() + link.timeout_s
            path = f"{urlsplit(_base(link)).path}/"
            status = _watched(lambda: asking.status(path), asking, link, words, until=until)
        if status in (401, 403):
            raise SourceRefused(
                f"{words}: the server does not let its token in ({status})",
                step="whoever runs Assay gives the connection another secret",
            )
        if status == 429 or status >= 500:
            raise SourceUnavailable(f"{words}: the server answers {status}", connection=link.name)

    def find(self, source: HttpSource, where: Link) -> LinkedRows:
        """Ask for the first page, and read nothing of it.

        :raises SourceRefused, SourceUnavailable: there is none; says why.
        """
        words, now = where.words(source), datetime.now(UTC)
        pages = Pages(source, _base(where), Wanted(after=now, until=now), now)
        with _asking(where, words, tries=_FIND_TRIES) as asking:
            until = time.monotonic() + min(_FIND_SECONDS, where.timeout_s)
            tag = _watched(lambda: _tag(asking, source, pages), asking, where, words, until=until)
        part = Part(words, _identity(source, tag), 0.0, grows=not tag)
        return LinkedRows(source, where.project, where.connection.identity, (part,))

    def fetch(
        self, rows: LinkedRows, wanted: Wanted, folder: str, watch: Callable[[], None], link: Link
    ) -> Fetched:
        """Write the rows into a file of the folder; see ``fetching.Fetch``.

        :raises SourceUnavailable, SourceRefused, SourceTooLarge: as named.
        """
        source, (part,) = cast("HttpSource", rows.source), rows.parts()
        until = time.monotonic() + link.timeout_s
        with _asking(link, link.words(source)) as asking:
            reading = _Reading(source, link, asking, wanted, part, folder)
            _watched(reading.run, asking, link, link.words(source), until=until, watch=watch)
        files = {part.name: reading.path}
        return Fetched(files, "jsonl", notes=tuple(reading.notes), is_part=reading.is_part)


def _base(link: Link) -> str:
    return cast("HttpConnection", link.connection).address


def _tag(asking: Asking, source: HttpSource, pages: Pages) -> str:
    """Ask for the first page; return what tells whether all rows are the same. Empty: nothing does.

    Some servers make another ETag at each request: only one that is given twice says something.
    """
    tag = asking.look(pages.first()).get("ETag", "").strip()
    if not tag or source.paging or source.is_windowed:
        return ""
    return tag if asking.look(pages.first()).get("ETag", "").strip() == tag else ""


def _identity(source: HttpSource, tag: str) -> str:
    said = json.dumps([source.path, source.parameters, source.rows, tag])
    return hashlib.sha256(said.encode()).hexdigest()[:32]


@contextmanager
def _asking(link: Link, words: str, **options: int) -> Iterator[Asking]:
    asking = Asking(link, words, **options)
    try:
        yield asking
    finally:
        asking.close()


def _watched(
    work: Callable[[], _T],
    asking: Asking,
    link: Link,
    words: str,
    *,
    until: float,
    watch: Callable[[], None] = lambda: None,
) -> _T:
    """Do what asks in a thread of its own, so that anybody may stop it; return what it returns.

    What ``watch`` raises ends it, and so does the time.
    """
    done: list[_T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as exc:  # noqa: BLE001 - whoever waits for it raises it
            failed.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_LOOKED_AT_EVERY_S)
            watch()
            if thread.is_alive() and time.monotonic() > until:
                raise link.took_too_long(words)
    finally:
        while thread.is_alive():
            asking.stop()
            thread.join(_LOOKED_AT_EVERY_S)
    if failed:
        raise failed[0]
    return done[0]


class _Reading:
    """Pages on their way into one file."""

    def __init__(
        self,
        source: HttpSource,
        link: Link,
        asking: Asking,
        wanted: Wanted,
        part: Part,
        folder: str,
    ) -> None:
        self._source, self._link, self._asking, self._part = source, link, asking, part
        self._most_rows, self._words = wanted.most_rows, link.words(source)
        self._pages = Pages(source, _base(link), wanted, datetime.now(UTC))
        self.path, self._answer = str(Path(folder, "rows.jsonl")), str(Path(folder, "answer"))
        self._rows, self._bytes = 0, 0
        self.is_part = False
        self.notes: list[str] = []
        if self._pages.leaves_out_older:
            self._note_older()

    def run(self) -> None:
        target: str | None = self._pages.first()
        asked: set[bytes] = set()
        number, before = 0, b""
        with Path(self.path).open("wb") as file:
            while target is not None:
                number += 1
                self._require_progress(target, asked, number)
                page, digest = self._read(target, number, file)
                if page.rows and digest == before:
                    raise self._refused("gives the same page again, whichever is asked for")
                before, target = digest, self._after(page)
                if target is not None and self._most_rows is not None:
                    self.is_part, target = True, None
        Path(self._answer).unlink()

    def _require_progress(self, target: str, asked: set[bytes], number: int) -> None:
        digest = hashlib.sha256(target.encode()).digest()
        if digest in asked:
            raise self._refused("leads back to a page that was read already")
        if number > MAX_PAGES:
            raise self._refused(f"has more than {MAX_PAGES:,} pages; ask for larger ones")
        asked.add(digest)

    def _read(self, target: str, number: int, file: IO[bytes]) -> tuple[Page, bytes]:
        """Read one page; return what it was, and a hash of its rows."""
        is_look = self._most_rows is not None
        most = LOOK_BYTES if is_look else self._link.most_bytes - self._bytes
        saved = self._asking.save(target, self._answer, most_bytes=most, may_cut=is_look)
        self._require_same(saved)
        digest, before = hashlib.blake2b(), self._rows
        fields: dict[tuple[str, ...], object] = {}
        try:
            for row in self._rows_of(saved, fields):
                digest.update(row)
                file.write(row)
                file.write(b"\n")
                self._rows += 1
                self._bytes += len(row) + 1
                if self._bytes > self._link.most_bytes:
                    raise too_large(self._words, self._link)
                if is_look and self._rows == self._most_rows:
                    self.is_part = True
                    break
        except BadAnswer as exc:
            raise self._refused_answer(exc, number) from None
        rows = self._rows - before
        if number == 1 and self._pages.field and self._pages.field not in fields and rows:
            self._note_single()
        return Page(target, number, rows, self._rows, saved.headers, fields), digest.digest()

    def _rows_of(self, saved: Saved, fields: dict[tuple[str, ...], object]) -> Iterator[bytes]:
        """Yield the rows of an answer; one that was cut for a look has those before the cut."""
        if not Path(self._answer).stat().st_size:
            raise BadAnswer("is empty")
        with Path(self._answer).open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as m:
            field = self._pages.field
            wanted = (field,) if field else ()
            answer = Answer(m, self._pages.place, wanted, self._asking.require_going)
            try:
                yield from answer.rows()
            except BadAnswer:
                if not saved.is_cut:
                    raise
                self.is_part = True
            fields.update(answer.fields)

    def _require_same(self, saved: Saved) -> None:
        tag, source = saved.headers.get("ETag", "").strip(), self._source
        if self._part.grows:
            if tag and not source.paging and not source.is_windowed:
                self._note_tag()
            return
        if _identity(source, tag) != self._part.identity:
            raise SourceUnavailable(
                f"{self._words} changed while it was read (its ETag did)",
                step="nothing of it was taken: a run is tried again by itself, and a plan may be",
                connection=self._link.name,
            )

    def _after(self, page: Page) -> str | None:
        try:
            target = self._pages.after(page)
        except BadPage as exc:
            raise self._refused(str(exc)) from None
        # Some servers always name a next page; without rows, and no further, it is the last.
        return None if target == page.target and not page.rows else target

    def _note_single(self) -> None:
        self.notes.append(
            f"the first answer has no {'.'.join(self._pages.field)!r} (`paging.next`) and is taken"
            " as the only page."
        )

    def _note_tag(self) -> None:
        self.notes.append(
            "the server has another ETag at each request, so nothing tells whether rows changed:"
            " each run reads all of them, and looks again at those of the last `lookback`."
        )

    def _note_older(self) -> None:
        by = getattr(self._source, self._source.asks_by)
        what = f"{by.column!r}" if by is not None else "time"
        self.notes.append(
            f"rows whose {what} is before 1970 are not asked for by runs that begin with the first"
            " row: `{since}` says 1970-01-01 there. If there are older rows, leave `{since}` out."
        )

    def _refused(self, why: str) -> SourceRefused:
        return SourceRefused(f"{self._words}: the server {why}", step=_SEE_PAGING)

    def _refused_answer(self, error: BadAnswer, number: int) -> SourceRefused | SourceUnavailable:
        which = f"page {number:,}" if self._source.paging else "the answer"
        said = f"{self._words}: {which} {str(error).rstrip('.?')}."
        if isinstance(error, CutOff):
            return SourceUnavailable(said, connection=self._link.name)
        return SourceRefused(said, step=_SEE_ANSWER)
