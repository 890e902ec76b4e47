"""A call counts once, however many views, versions and features it reads."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from materialization.edges.stores import usage_stream
from materialization.stores.usage_table import UsageAt, UsageTable
from serving.choices import Door
from serving.usage import buffer as buffers
from serving.usage.buffer import Buffer
from serving.usage.noting import STATUSES, Answers, Read, Reading, merged, reads_of
from serving.usage.queries import Asked, Question, answers
from serving.usage.rows import SCHEMA, rows_of

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ASKED = Asked("rides", AT - timedelta(days=1))
VERSIONS = ("a@1.0.0", "a@2.0.0", "b@1.0.0", "c@1.0.0")
BY = {
    "reader": lambda read: "",
    "view": lambda read: read.version[0],
    "view,version": lambda read: read.version,
    "view,version,through": lambda read: (read.version, read.through),
}


@pytest.fixture
def table(tmp_path) -> UsageTable:
    return UsageTable(UsageAt(str(tmp_path / "usage")), SCHEMA)


def calls(choose: random.Random) -> list[tuple[Reading, int]]:
    """Return calls of some views, by themselves and through others, and how many rows each has."""
    found = []
    for _ in range(60):
        pairs = [(version, through) for version in VERSIONS for through in ("", "d@1.0.0")]
        some = choose.sample(pairs, choose.randint(1, len(pairs)))
        reads = tuple(Read(version, ("f",), through) for version, through in some)
        reading = Reading("rides", choose.choice(["p", "q"]), "s", reads)
        found.append((reading, choose.randint(1, 9)))
    return found


def records(reading: Reading, rows: int):
    answers = Answers()
    answers.add(rows=rows, seconds=0.003)
    return answers.records(reading, Door.ONLINE, at=AT)


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("seed", range(3))
def test_a_call_counts_once_for_each_of_what_is_told_apart(table, by, seed):
    """Against a loop: whoever read something of a row in a call is one read of it."""
    expected: dict[object, list[int]] = {}
    noted = []
    for reading, rows in calls(random.Random(seed)):
        noted += records(reading, rows)
        who = reading.reader if by == "reader" else ""
        for key in {(who, BY[by](read)) for read in reading.reads}:
            of = expected.setdefault(key, [0, 0])
            of[0] += 1
            of[1] += rows
    table.append(rows_of(merged(noted)), transaction="t", number=1, after=None)

    asked = ASKED._replace(versions=VERSIONS[:1])
    [of_version] = answers(table, asked, [Question(["view"])])
    questions = [Question(by.split(",")), Question(["view"], VERSIONS[:1])]
    found, narrowed = answers(table, ASKED, questions)

    assert sorted((each.reads, each.rows) for each in found) == sorted(
        map(tuple, expected.values())
    )
    assert {each.percentile(0.99) for each in found} == {0.005}
    assert {sum(each.within) - each.reads for each in found} == {0}
    assert narrowed == of_version


def test_each_feature_has_the_statuses_of_its_own_values(table):
    """Against a loop over the columns of answers, which stand side by side in any order."""
    choose, noted = random.Random(1), []
    expected: Counter[tuple[str, str, str]] = Counter()
    for _ in range(40):
        columns = [(version, name) for version in VERSIONS for name in "fgh"]
        columns = sorted(choose.sample(columns, choose.randint(1, 12)))
        one, found, names = Answers(), [], [name for _, name in columns]
        for version in dict.fromkeys(version for version, _ in columns):
            places = [place for place, (of, _) in enumerate(columns) if of == version]
            pieces = [(places[0], places[-1] + 1)]
            if choose.random() < 0.5:
                pieces = [(place, place + 1) for place in places]
            for start, end in pieces:
                for status in choose.sample(STATUSES, 2):
                    found.append(((version, start, end), status, count := choose.randint(1, 9)))
                    for name in names[start:end]:
                        expected[version, name, status] += count
        one.add(rows=9, seconds=0.003, found=found)
        asked = [(version, name, "") for version, name in columns]
        reads = (*reads_of(asked), Read(VERSIONS[0], ("f",), "d@1.0.0"))
        reading = Reading("rides", "p", "s", reads)
        noted += one.records(reading, Door.ONLINE, at=AT, names=names)
    table.append(rows_of(merged(noted)), transaction="t", number=1, after=None)

    questions = [Question(["view", "version", "feature"]), Question(["view", "version"])]
    apart, together = answers(table, ASKED, questions)
    [narrowed] = answers(table, ASKED._replace(feature="g"), [Question(["view", "version"])])

    def told(rows, **more):
        by = [(each.statuses, {**each.by, **more}) for each in rows]
        return Counter(
            {
                (f"{of['view']}@{of['version']}", of.get("feature", ""), status): count
                for statuses, of in by
                for status, count in statuses.items()
            }
        )

    assert told(apart) == expected
    assert told(narrowed, feature="g") == Counter(
        {key: count for key, count in expected.items() if key[1] == "g"}
    )
    summed: Counter[tuple[str, str, str]] = Counter()
    for (version, _, status), count in expected.items():
        summed[version, "", status] += count
    assert told(together) == summed


def test_of_one_view_or_version_a_call_counts_that_reads_it_beside_others(table):
    reads = (Read("a@1.0.0", ("f",)), Read("b@1.0.0", ("f",)), Read("b@1.0.0", ("f",), "d@1.0.0"))
    table.append(
        rows_of(records(Reading("rides", "p", "s", reads), 2)),
        transaction="t",
        number=1,
        after=None,
    )

    for asked in (
        ASKED,
        ASKED._replace(service="s"),
        ASKED._replace(view="b"),
        ASKED._replace(view="b", version="1.0.0"),
        ASKED._replace(versions=("b@1.0.0",)),
        ASKED._replace(views=("b",), own="q"),
        ASKED._replace(within=("b",)),
    ):
        [[row]] = answers(table, asked, [Question(["service"])])
        assert (row.reads, row.rows) == (1, 2), asked


def test_a_call_that_had_no_room_is_one_that_was_dropped(online_redis, monkeypatch):
    monkeypatch.setattr(buffers, "MOST_WAITING", 1)
    kept = Buffer()
    reading = Reading("rides", "p", "s", tuple(Read(each, ("f",)) for each in VERSIONS))
    kept.add(records(reading, 1))

    assert kept.send(usage_stream(), most_bytes=1 << 20)
    assert usage_stream().dropped() == 1


@pytest.mark.parametrize("by", [["view", "reader"], ["feature"]])
@pytest.mark.parametrize("feature", ["", "feature_7"])
def test_an_answer_takes_the_memory_of_what_it_says(table, by, feature):
    """Minutes of reads of many features: a row of each at once would be 1 GB."""
    names = tuple(f"feature_{n}" for n in range(150))
    [one] = records(Reading("rides", "p", "", (Read("a@1.0.0", names),)), 1)
    many = pa.concat_tables([rows_of([one])] * 20_000)
    table.append(many, transaction="t", number=1, after=None)
    del many
    before = pa.default_memory_pool().max_memory()

    [found] = answers(table, ASKED._replace(view="a", feature=feature), [Question(by)])

    assert {each.reads for each in found} == {20_000}
    assert len(found) == (150 if by == ["feature"] and not feature else 1)
    assert pa.default_memory_pool().max_memory() - before < 200 << 20
