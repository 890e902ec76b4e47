"""The process that reads streams: which tables have one, which parts are ours, turn after turn.

Not for how records are taken (``feed``), nor for what the command line says.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, cast

from django.db import close_old_connections
from django.db.models import Q

from lib.clock import database_now
from lib.errors import AssayError
from materialization.choices import PartState
from materialization.edges.sources import whereabouts
from materialization.ingest.targets import stream_targets
from materialization.models import StreamPart
from materialization.streams.kinds import READERS
from materialization.streams.leases import end, end_dead, name_of_us, note_living, note_parts, share
from materialization.streams.letters import letters_asked, note_again
from materialization.streams.reader import StreamGone
from materialization.streams.schema_registry import SCHEMA_SECONDS, Patience
from serving.streams.feed import Feed
from serving.streams.forms import forms_of
from serving.streams.reading import AWAY, UNFORESEEN, words_of
from serving.streams.records import AnyStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from threading import Event

    from materialization.finding.links import Link
    from materialization.ingest.targets import Target
    from registry.spec.connections import HttpConnection
    from serving.streams.reading import StreamLimits

log = logging.getLogger(__name__)
#: How often tables, leases and how far parts came are looked at; how often topics are asked for.
LOOK_SECONDS, TOPIC_SECONDS = 5.0, 30.0
#: How long all registries of schemas may take together while all tables are read once, beside
#: ``SCHEMA_SECONDS`` for letters: leases must not run out.
TURN_SECONDS = 9.0
#: Dead letters that are read again between two looks, of each table.
LETTERS_A_LOOK = 20
#: How long nobody looks again after nothing came.
IDLE_SECONDS = 0.02


class Consumer:
    """Reads its share of all parts until it is told to stop."""

    def __init__(
        self, *, limits: StreamLimits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name_of_us()
        self._limits, self._clock = limits, clock
        #: By table: the feed, and what it was made of.
        self._feeds: dict[int, tuple[object, Feed]] = {}
        #: By the connection and its registry's address: another may lead there by another way.
        self._patience: defaultdict[tuple[str, str], Patience] = defaultdict(
            partial(Patience, clock=clock)
        )
        self._looked = -LOOK_SECONDS

    def run(self, stopped: Event) -> None:
        """Read until ``stopped``; then whoever lives takes over at once."""
        with suppress(*AWAY):  # what is not given up for them falls to others with time
            end_dead(self.name)
        try:
            while not stopped.is_set():
                if self._is_due(self._clock()):
                    close_old_connections()  # a database that went away is asked anew
                if self.turn(now=self._clock()) == 0:
                    stopped.wait(IDLE_SECONDS)
        finally:
            self.close()

    def turn(self, *, now: float) -> int:
        """Look at what is ours when it is time to, and read some of each; return how many."""
        if self._is_due(now):
            self._looked = now
            self._look(now)
        self._wait_for_registries(self._clock() + TURN_SECONDS)
        count = sum(self._read(feed, now) for _, feed in self._feeds.values())
        # Another is first the next time: where registries took all of a turn, each has its own.
        for first in list(self._feeds)[:1]:
            self._feeds[first] = self._feeds.pop(first)
        return count

    def _is_due(self, now: float) -> bool:
        return now - self._looked >= LOOK_SECONDS

    def close(self) -> None:
        for table in list(self._feeds):
            self._drop(table)
        end(self.name)

    def _read(self, feed: Feed, now: float) -> int:
        count = 0
        with self._alone(feed, now):
            count += feed.turn(at=database_now(), now=now)
        return count

    def _look(self, now: float) -> None:
        try:
            at = database_now()
            living = note_living(self.name, at=at)
            targets = {target.table.pk: target for target in stream_targets()}
            for gone in self._feeds.keys() - targets.keys():
                self._drop(gone)
            for target in targets.values():
                self._open(target, now, at)
            self._share(living, at, now)
        except AWAY as exc:
            log.warning("nothing is looked at: %s", words_of(exc))
            return
        except Exception:  # whatever it is: what is read already goes on
            log.exception("nothing is looked at")
            return
        until = self._clock() + SCHEMA_SECONDS
        self._wait_for_registries(until)
        for _, feed in self._feeds.values():
            with self._alone(feed, now):
                feed.verify(now=now)
                self._tell(feed, at)
                self._read_again(feed, at, until)

    @contextmanager
    def _alone(self, feed: Feed, now: float) -> Iterator[None]:
        """Do something for one table: its trouble must not hold up the others."""
        try:
            yield
        except AWAY as exc:
            feed.rest(words_of(exc), now=now)
        except Exception:  # whatever it is
            log.exception("reading for %s failed", feed.target.table)
            feed.rest(UNFORESEEN, now=now)

    def _open(self, target: Target, now: float, at: datetime) -> None:
        """Have a feed of a table; another where what it is made of has changed."""
        source = target.source
        if not isinstance(source, AnyStream):
            raise TypeError(f"{source.name} is no stream")
        table = target.table
        try:
            link: Link = whereabouts(target.spec, table.feature_view.project)  # type: ignore[assignment]
            made_of = (table.uid, source, link.connection, target.spec, target.ttl)
            known, feed = self._feeds.get(table.pk, (None, None))
            if feed is None or known != made_of:
                self._drop(table.pk)
                forms = forms_of(source, link, self._patience_with(link.schemas))
                reader = READERS[type(source)](source.stream, link)
                feed = Feed(target, source, reader, forms, limits=self._limits)
                self._feeds[table.pk] = (made_of, feed)
            if now >= feed.asks_at:
                feed.asks_at = now + TOPIC_SECONDS
                note_parts(table, source.stream, feed.reader.partitions())
                feed.look_again(now=now)
        except AssayError as exc:
            if isinstance(exc, StreamGone) and table.pk in self._feeds:
                # Whoever reads on hears nothing of it: there are no records.
                self._feeds[table.pk][1].rest(exc.message, now=now)
            self._note_unread(target, source.stream, exc.message, at)
        except AWAY:
            raise
        except Exception:  # as above: of this table alone
            log.exception("the stream of %s cannot be read", table)
            self._note_unread(target, source.stream, UNFORESEEN, at)

    def _note_unread(self, target: Target, stream: str, words: str, at: datetime) -> None:
        """Note why a table's stream is not read, with its first part where none is known yet."""
        log.warning("the stream of %s is not read: %s", target.table, words)
        parts = StreamPart.objects.filter(table=target.table, stream=stream)
        if not parts.exists():
            note_parts(target.table, stream, [0])
        if target.table.pk not in self._feeds:
            parts.exclude(~Q(words=""), state=PartState.WAITING).update(since=at)
            parts.update(state=PartState.WAITING, words=words, seen_at=at)

    def _share(self, living: int, at: datetime, now: float) -> None:
        parts = [
            part
            for part in StreamPart.objects.select_related("table__feature_view__project")
            if part.table_id in self._feeds
            and part.stream == self._feeds[part.table_id][1].source.stream
        ]
        mine = share(self.name, parts, living, at=at)
        for table, (_, feed) in self._feeds.items():
            with self._alone(feed, now):
                feed.keep([part for part in parts if part.pk in mine and part.table_id == table])

    def _tell(self, feed: Feed, at: datetime) -> None:
        """Note how far each part came, for those who look."""
        for number, each in feed.readings.items():
            # Where words take turns, the trouble goes on: it would never be old enough to tell.
            said = (each.state, bool(each.words))
            since = {"since": at} if said != each.told else {}
            each.told = said
            came = feed.came(number)
            rows = StreamPart.objects.filter(pk=each.row.pk, consumer=self.name)
            rows.update(state=each.state, words=each.words, seen_at=at, **came, **since)

    def _wait_for_registries(self, until: float) -> None:
        for each in self._patience.values():
            each.give(SCHEMA_SECONDS, until=until)

    def _patience_with(self, registry: Link | None) -> Patience | None:
        if registry is None:
            return None
        url = cast("HttpConnection", registry.connection).url
        return self._patience[registry.name, url]

    def _read_again(self, feed: Feed, at: datetime, until: float) -> None:
        """Read again what somebody asked for of what is ours; begin none after ``until``."""
        mine = [each.row.pk for each in feed.readings.values()]
        for letter in letters_asked(mine, most=LETTERS_A_LOOK):
            if self._clock() >= until:
                return
            try:
                feed.read_again(letter, at=at)
            except AWAY as exc:  # it stays asked for
                log.warning("%s is not read again yet: %s", letter, words_of(exc))
                return
            except Exception:  # whatever its record is: it is noted, and others are read
                log.exception("%s cannot be taken", letter)
                note_again(letter, "", UNFORESEEN)

    def _drop(self, table: int) -> None:
        if (found := self._feeds.pop(table, None)) is not None:
            found[1].close()
