"""What well-formed sources must satisfy on their own: paths, tables, connections, times. [pure]

Not for whether anything is there: a look at the source says that.
"""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from registry.reading.arriving_rules import arriving_problems
from registry.reading.findings import error_of
from registry.reading.http_rules import http_problems
from registry.reading.names import NAME, TABLE
from registry.reading.stream_rules import kafka_problems, redis_problems
from registry.spec.durations import parse_duration
from registry.spec.remote_query import check_query, check_table
from registry.spec.sources.base import SourceSpec
from registry.spec.sources.delta import DeltaSource
from registry.spec.sources.files import ENDINGS, BucketSource, FileSource, file_format
from registry.spec.sources.http import HttpSource
from registry.spec.sources.postgres import PostgresSource
from registry.spec.sources.push import PushSource
from registry.spec.sources.streams import KafkaSource, RedisStreamSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reading.findings import Found
    from registry.spec.sources.base import ConnectedSource, RootedSource
    from registry.spec.sources.streams import StreamSource

#: Years that stay representable whatever zone or window is taken off them.
YEARS = range(1000, 9001)
#: What a Delta log can count to.
MAX_TABLE_VERSION = 2**63 - 1
#: Each further ``**`` of a path multiplies the directories a glob walks through.
MAX_PATH = 500


def source_problems(spec: SourceSpec) -> Iterator[Found]:
    """Yield the rules a source breaks: those of its kind, then those of its times."""
    yield from _problems(spec)
    yield from _time_rules(spec)


@singledispatch
def _problems(spec: SourceSpec) -> Iterator[Found]:
    raise TypeError(f"no rules for {type(spec).__name__}")


@_problems.register(FileSource)
def _(spec: FileSource) -> Iterator[Found]:
    yield from _pattern_rules(spec.path)
    yield from _root_rules(spec)


@_problems.register(BucketSource)
def _(spec: BucketSource) -> Iterator[Found]:
    yield from _pattern_rules(spec.path)
    yield from _connection_rules(spec)


def _pattern_rules(path: str) -> Iterator[Found]:
    if not path.strip():
        yield ("path",), "name a file or a glob, as in data/events/*.parquet."
    elif file_format(path) is None:
        yield ("path",), f"{path!r} must end in one of {ENDINGS}."
    if path.count("**") > 1:
        twice = f"{path[:100]!r} has ** more than once"
        yield ("path",), f"{twice}; one crosses directories of any depth."
    yield from _path_rules(path)


@_problems.register(PostgresSource)
def _(spec: PostgresSource) -> Iterator[Found]:
    yield from _connection_rules(spec)
    if bool(spec.table) == bool(spec.query):
        yield ("table",), "write either a `table` or a `query` of one SELECT."
    elif spec.table and not TABLE.fullmatch(spec.table):
        message = f"{spec.table[:100]!r} is no table; write it as in purchases or sales.purchases."
        yield ("table",), message
    elif spec.table and (error := error_of(check_table, spec.table)):
        yield ("table",), error
    elif spec.query and (error := error_of(check_query, spec.query)):
        yield ("query",), error


@_problems.register(HttpSource)
def _(spec: HttpSource) -> Iterator[Found]:
    yield from _connection_rules(spec)
    yield from http_problems(spec)


@_problems.register(PushSource)
def _(spec: PushSource) -> Iterator[Found]:
    yield from arriving_problems(spec)


@_problems.register(KafkaSource)
def _(spec: KafkaSource) -> Iterator[Found]:
    yield from _connection_rules(spec)
    yield from kafka_problems(spec)


@_problems.register(RedisStreamSource)
def _(spec: RedisStreamSource) -> Iterator[Found]:
    yield from _connection_rules(spec)
    yield from redis_problems(spec)


def _connection_rules(spec: ConnectedSource | DeltaSource | StreamSource) -> Iterator[Found]:
    if not NAME.fullmatch(spec.connection):
        # What is no name may be an address with a secret in it: it is not said again.
        yield ("connection",), "it names no connection, as warehouse does; addresses stand there."


def _root_rules(spec: RootedSource) -> Iterator[Found]:
    if spec.root and not NAME.fullmatch(spec.root):
        yield ("root",), f"{spec.root[:100]!r} names no root; a name is as in sales."


@_problems.register(DeltaSource)
def _(spec: DeltaSource) -> Iterator[Found]:
    if not spec.path.strip():
        yield ("path",), "name the folder of a Delta table, as in lake/purchases."
    if any(character in spec.path for character in "*?[]"):
        yield ("path",), f"{spec.path[:100]!r} is a pattern; name the folder of one Delta table."
    yield from _path_rules(spec.path)
    if spec.connection:
        yield from _connection_rules(spec)
    if spec.connection and spec.root:
        yield ("root",), "a table lies under a root or where a connection leads; leave one out."
    yield from _root_rules(spec)
    if spec.table_version is not None and not 0 <= spec.table_version <= MAX_TABLE_VERSION:
        message = f"{spec.table_version} is no version of a table; they are counted from 0."
        yield ("table_version",), message
    if spec.as_of is not None and spec.as_of.year not in YEARS:
        yield ("as_of",), f"{spec.as_of.year} is not a year of data; {YEARS[0]} to {YEARS[-1]} are."
    if spec.as_of is not None and spec.table_version is not None:
        yield ("as_of",), "table_version names the version already; leave one of them out."


def _path_rules(path: str) -> Iterator[Found]:
    if len(path) > MAX_PATH:
        yield ("path",), f"{len(path)} characters; a path has at most {MAX_PATH}."
    if ".." in path.split("/") or path.startswith(("/", "~", "\\")) or "://" in path:
        yield ("path",), f"{path!r} leaves its root; write it relative to the root's directory."


def _time_rules(spec: SourceSpec) -> Iterator[Found]:
    if spec.created_timestamp and spec.created_timestamp.column == spec.event_timestamp.column:
        message = (
            "it is the event_timestamp's column; leave it out when a source has one time only."
        )
        yield ("created_timestamp",), message
    if spec.lookback is not None and (error := error_of(parse_duration, spec.lookback)):
        yield ("lookback",), error
