"""Who holds a value when: ``unique`` against an obviously right loop, over new and stored rows."""

from __future__ import annotations

from datetime import timedelta

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialization.compute.jobs import ListJob
from materialization.compute.limits import EngineLimits
from materialization.compute.session import open_session
from materialization.quality.checking import check_files
from materialization.quality.expectations import Batch, judge
from materialization.quality.holders import find_clashes
from materialization.sandbox.listing import list_rows
from materialization.stores.columns import stored_schema
from registry.spec.checks import Checks, Expectations
from registry.spec.model import FeatureSpec
from tests.materialization.engine_cases import at, make_spec

T = at("2024-01-01T00:00")
HOUR = timedelta(hours=1)


def view(*, ttl=None, kind="int64", keys=(("k", "int64"),)):
    spec = make_spec(features=[("v", kind)], keys=keys, ttl=ttl)
    feature = FeatureSpec(name="v", type=kind, checks=Checks(unique=True))
    return msgspec.structs.replace(
        spec, view=msgspec.structs.replace(spec.view, features=(feature,))
    )


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """A function: rows of (key, hour, value), known after so many hours, of a sequence → a file."""
    folder, count = tmp_path_factory.mktemp("rows"), iter(range(10**6))

    def written(spec, rows, *, sequence):
        names = [key.name for key in spec.join_keys]
        found = []
        for key, hour, value, *known in rows:
            event = T + hour * HOUR
            created = event + (known[0] if known else 0) * HOUR
            keys = key if isinstance(key, tuple) else (key,)
            found.append(
                {
                    **dict(zip(names, keys, strict=True)),
                    "event_timestamp": event,
                    "created_timestamp": created,
                    "__sequence": sequence,
                    "v": value,
                }
            )
        path = folder / f"{next(count)}.parquet"
        pq.write_table(pa.Table.from_pylist(found, schema=stored_schema(spec)), path)
        return [str(path)] if found else []

    return written


@pytest.fixture
def failed(connection, write):
    """A function: new rows, and those that are stored → how many of the new ones fail."""

    def count(spec, new, stored=()):
        files = write(spec, new, sequence=2)
        before = write(spec, stored, sequence=1)
        [counted] = check_files(connection, files, spec, stored=before).counts
        return counted.failed

    return count


@pytest.mark.parametrize(
    ("new", "stored", "ttl", "wanted"),
    [
        ([(1, 0, 7), (1, 1, 7)], [], None, 0),  # its own value again
        ([(1, 1, 7)], [(1, 0, 7)], None, 0),
        ([(1, 0, 7), (2, 0, 7)], [], None, 2),
        ([(2, 5, 7)], [(1, 0, 7)], None, 1),
        ([(2, 0, 7)], [(1, 5, 7)], None, 1),  # late, and held by another since
        ([(2, 5, 7)], [(1, 0, 7), (1, 5, 8)], None, 0),  # passed on
        ([(2, 4, 7)], [(1, 0, 7), (1, 5, 8)], None, 1),
        ([(2, 5, 7), (1, 5, None)], [(1, 0, 7)], None, 0),  # given up in the same run
        ([(2, 5, 7)], [(1, 0, 7), (1, 0, 8, 3)], None, 0),  # corrected before
        ([(1, 0, 8), (2, 5, 7)], [(1, 0, 7)], None, 0),  # corrected by the run itself
        ([(2, 5, 7), (2, 5, 8, 1)], [(1, 0, 7)], None, 0),  # the row that counts is another
        # Known before the stored row of its moment: by event time that one is found, and goes on.
        ([(2, 5, 7)], [(1, 0, 7), (2, 5, 8, 1)], None, 0),
        ([(1, 5, 9)], [(1, 0, 7), (1, 5, 7, 1), (2, 6, 7)], None, 0),
        ([(2, 5, 7)], [(1, 0, 7), (2, 5, 8, 0)], None, 1),  # as known as that: it is read
        ([(2, 5, 7)], [(1, 0, 7)], "5h", 1),  # at the very end of its TTL it is still found
        ([(2, 6, 7)], [(1, 0, 7)], "5h", 0),
        ([(2, 0, 7)], [(1, 6, 7)], "5h", 0),
        ([(2, 5, None)], [(1, 0, None)], None, 0),
        ([(3, 9, 9)], [(1, 0, 7), (2, 0, 7)], None, 0),  # what is stored is not judged again
        ([(2, 1, 7), (2, 9, 7)], [(1, 0, 7), (1, 8, 8)], None, 1),
        ([(3, 2, 7)], [(1, 0, 7), (2, 0, 7), (2, 1, 6)], None, 1),
        ([], [(1, 0, 7)], None, 0),
        ([(1, 9, 7)], [(1, 0, 7), (2, 0, 7)], None, 0),  # was released, and is said again
        ([(1, 9, 7), (2, 9, 7), (2, 10, 7)], [(1, 0, 7), (2, 0, 7)], None, 0),
        ([(1, 9, 7), (2, 9, 7)], [(1, 8, 7), (2, 8, 7)], "5h", 0),
        ([(1, 9, 7), (3, 9, 7)], [(1, 0, 7), (2, 0, 7)], None, 1),  # a third
        ([(1, 9, 7)], [(1, 0, 7), (1, 5, 8), (2, 0, 7)], None, 1),  # given up, and taken again
        ([(1, 5, 7)], [(1, 0, 7), (1, 5, 8), (2, 0, 7)], None, 1),  # was not given up after all
        ([(1, 7, 7)], [(1, 3, 7), (2, 10, 7)], "5h", 1),  # prolonged into another's time
    ],
)
def test_a_value_is_held_by_one_entity_at_a_time(failed, new, stored, ttl, wanted):
    assert failed(view(ttl=ttl), new, stored) == wanted


def test_what_arrives_later_than_a_cut_is_not_known_before_it(failed):
    """One that gave a value up at hour 10 was known to at hour 20; another took it at hour 12."""
    held, given_up, taken = (1, 0, 7), (1, 10, 8, 10), (2, 12, 7)

    assert failed(view(), [held, given_up, taken]) == 0
    assert failed(view(), [held, taken]) == 2
    assert failed(view(), [given_up], [held, taken]) == 0

    # Of two the one that arrives later is refused, whichever event is earlier.
    assert failed(view(), [(2, 5, 7)], [(1, 0, 7)]) == 1
    assert failed(view(), [(1, 0, 7)], [(2, 5, 7)]) == 1


def test_keys_of_several_columns_are_one_entity(failed):
    spec = view(keys=(("a", "string"), ("b", "int64")))

    assert failed(spec, [(("x", 1), 1, 7)], [(("x", 1), 0, 7)]) == 0
    assert failed(spec, [(("x", 2), 1, 7)], [(("x", 1), 0, 7)]) == 1
    assert failed(spec, [(("y", 1), 1, 7)], [(("x", 1), 0, 7)]) == 1


def test_nan_is_held_by_nobody(failed):
    nan = float("nan")

    assert failed(view(kind="float64"), [(1, 0, nan), (2, 0, nan)], [(3, 0, nan)]) == 0


def test_a_value_that_all_entities_have_is_counted_once_a_row(failed):
    many = [(key, key % 7, 1) for key in range(5000)]

    assert failed(view(), many) == 5000


@pytest.fixture
def crowd(write, tmp_path):
    """Files of one new row, and of 300,000 stored ones, that all have one value."""
    spec = view()
    number = pa.array(range(300_000), pa.int64())
    times = pa.array([T + HOUR] * len(number), pa.timestamp("us", "UTC"))
    one = pa.array([1] * len(number), pa.int64())
    columns = {"k": number, "event_timestamp": times, "created_timestamp": times, "v": one}
    columns["__sequence"] = one
    schema = stored_schema(spec)
    table = pa.table([columns[name] for name in schema.names], schema.names).cast(schema)
    pq.write_table(table, tmp_path / "stored.parquet")
    return write(spec, [(-1, 5, 1), (-2, 5, 2)], sequence=2), [str(tmp_path / "stored.parquet")]


def test_a_value_that_very_many_have_stays_within_little_memory(crowd, tmp_path):
    limits = EngineLimits(memory_limit_mb=56, threads=2)
    with open_session(limits, directory=str(tmp_path)) as connection:
        [counted] = check_files(connection, crowd[0], view(), stored=crowd[1]).counts

    assert counted.failed == 1


def test_a_warning_without_the_memory_it_needs_warns(crowd, tmp_path):
    spec = view()
    [feature] = spec.view.features
    warns = Checks(warn=Expectations(unique=True))
    features = (msgspec.structs.replace(feature, checks=warns),)
    warned = msgspec.structs.replace(
        spec, view=msgspec.structs.replace(spec.view, features=features)
    )
    limits = EngineLimits(memory_limit_mb=24, threads=1, temp_limit_mb=1)
    with open_session(limits, directory=str(tmp_path)) as connection:
        checked = check_files(connection, crowd[0], warned, stored=crowd[1])
        with pytest.raises(duckdb.OutOfMemoryException):
            check_files(connection, crowd[0], spec, stored=crowd[1])

    [result] = judge(warned, checked, Batch(2))
    assert (result.passed, result.stops, result.failed) == (False, False, None)
    assert "was not judged: so many entities have had its values" in str(result)


def test_those_that_fail_are_listed_with_one_who_holds_their_value(connection, write):
    """Though the feature is called as a column of ours is."""
    spec = view()
    files = write(spec, [(2, 5, 7), (3, 5, 8)], sequence=2)
    stored = [*write(spec, [(1, 0, 7)], sequence=1), *write(spec, [(1, 4, 9)], sequence=3)]

    [row] = list_rows(
        connection, ListJob(spec, tuple(files), (0,), 9, stored_files=tuple(stored), up_to=2)
    )

    assert (row.keys, row.values, row.failed) == ({"k": 2}, {"v": 7}, ["v: unique"])
    other = {"keys": {"k": 1}, "event_timestamp": "2024-01-01T00:00:00Z"}
    assert row.held_by == {"v: unique": other}


HISTORY = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.integers(0, 6),
        st.one_of(st.none(), st.integers(0, 2)),
        st.integers(0, 3),
    ),
    max_size=7,
    unique_by=lambda row: (row[0], row[1], row[3]),
)


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@given(new=HISTORY, stored=HISTORY, hours=st.one_of(st.none(), st.integers(1, 4)))
def test_it_finds_what_a_look_at_every_hour_finds(connection, write, new, stored, hours):
    spec = view(ttl=f"{hours}h" if hours else None)
    files, before = write(spec, new, sequence=2), write(spec, stored, sequence=1)

    wanted = _clashing(new, stored, hours)
    [counted] = check_files(connection, files, spec, stored=before).counts

    assert counted.failed == len(wanted)
    if files:
        find_clashes(connection, spec, "v", files, stored=before)
        found = connection.execute("SELECT row, other.k0, other.since FROM clashes").fetchall()
        for row, other, since in found:
            key, hour, value, _ = new[row]
            assert (key, hour) in wanted
            held = _timeline([*_numbered(stored, 1), *_numbered(new, 2)]).get(other, {})
            begun = (since - int(T.timestamp()) * 10**6) // (3600 * 10**6)
            assert (other != key, held[begun]) == (True, value)


def _numbered(rows, sequence):
    return [(*row, sequence) for row in rows]


def _timeline(rows):
    """Return, by entity, which value the row has that counts at each hour that has one."""
    found = {}
    for key, hour, value, _known, _ in sorted(rows, key=lambda row: (row[1], row[3], row[4])):
        found.setdefault(key, {})[hour] = value
    return found


def _known_until(stored, key, hour, value, hours):
    """Return the last hour up to which stored rows alone say that the key holds what it has."""
    line = _timeline(_numbered(stored, 1)).get(key, {})
    begun = max((each for each in line if each <= hour), default=None)
    if begun is None or line[begun] != value or (hours is not None and begun + hours < hour):
        return None
    return 99 if hours is None else begun + hours


def _clashing(new, stored, hours):
    """Return (key, hour) of the new rows that count and whose value another has at some hour.

    But not of those that say again what stored rows say, beside others who began before these end.
    """
    rows = [*_numbered(stored, 1), *_numbered(new, 2)]
    lines, clashing = _timeline(rows), set()
    for moment in range(12):
        at_moment = {}
        for key, line in lines.items():
            begun = max((hour for hour in line if hour <= moment), default=None)
            if begun is not None and (hours is None or moment - begun <= hours):
                at_moment[key] = (begun, line[begun])
        for key, (begun, value) in at_moment.items():
            others = [
                since
                for other, (since, each) in at_moment.items()
                if other != key and each == value
            ]
            known = _known_until(stored, key, begun, value, hours)
            if value is not None and any(known is None or since > known for since in others):
                clashing.add((key, begun))
    newest = {}
    for row in sorted(rows, key=lambda row: (row[3], row[4])):
        newest[row[0], row[1]] = row[4]
    return {moment for moment in clashing if newest[moment] == 2}
