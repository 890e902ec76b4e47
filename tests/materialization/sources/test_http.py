"""Rows of an HTTP server: paging, types, exact values, and what is asked of it."""

from __future__ import annotations

import gzip
import itertools
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from lib.errors import Invalid
from materialization.compute.jobs import ComputeJob, LookJob
from materialization.compute.session import open_session
from materialization.compute.staging import staged
from materialization.compute.wanted import wanted_of as wanted_of_job
from materialization.errors import SourceDrifted, SourceRefused, SourceUnavailable
from materialization.finding.fetching import Wanted
from materialization.finding.http.pages import next_link
from materialization.finding.http.reading import HttpFinder
from materialization.finding.kinds import find_rows
from materialization.sources.kinds import open_source
from registry.spec.aggregations import AggregationSpec
from registry.spec.model import ScheduleSpec
from registry.spec.paging import CursorPaging, LinkPaging, OffsetPaging, PagePaging
from registry.spec.sources.base import SourceColumn, SourceSchema
from tests.materialization.engine_cases import END, LIMITS, make_spec
from tests.sites import TOKEN, Said, make_source

ROWS = [{"k": f"k{n}", "event": "2024-01-01T10:00:00Z", "x": str(n)} for n in range(7)]
ALL = [(f"k{n}", str(n)) for n in range(7)]


def read(site, tmp_path, source, columns="k, x", *, kind="string", taken=None, link=None):
    spec = make_spec(keys=[("k", "string")], features=[("x", kind)])
    schema = taken and SourceSchema(
        format="http", columns=tuple(SourceColumn(name=n, type=t) for n, t in taken.items())
    )
    spec = msgspec.structs.replace(spec, source=source, schema=schema)
    used = link or site.link()
    found = HttpFinder().find(spec.source, used)
    job = ComputeJob(spec=spec, source=found, window_end=END)

    def fetch(rows, wanted, folder, watch):
        return HttpFinder().fetch(rows, wanted, folder, watch, used)

    with (
        staged(job, LIMITS, fetch, lambda: None) as here,
        open_session(LIMITS, directory=str(tmp_path), only=here.job.source.paths) as connection,
    ):
        opened = open_source(connection, spec, here.job.source)
        return sorted(connection.execute(f"SELECT {columns} FROM {opened.relation}").fetchall())


def in_pages(answer):
    """Give three pages of ROWS and then none; ``answer`` makes one of rows and the next place."""

    def said(asked):
        begin = int(asked.query.get("at", 0))
        end = begin + 3
        return answer(ROWS[begin:end], str(end) if end < len(ROWS) else None)

    return said


def test_rows_come_page_by_page_by_a_cursor(site, tmp_path):
    site.put("/v1/rows", in_pages(lambda rows, next_: Said({"a": {"b": rows}, "m": {"n": next_}})))
    paging = CursorPaging(parameter="at", next="m.n")

    assert read(site, tmp_path, make_source(rows="a.b", paging=paging)) == ALL
    asked = [each.query.get("at") for each in site.asked]
    assert asked == [None, None, "3", "6"]  # the first is looked at only
    assert {each.headers["Authorization"] for each in site.asked} == {f"Bearer {TOKEN}"}


def test_rows_come_page_by_page_by_a_link_of_a_header(site, tmp_path):
    def answer(rows, next_):
        link = f'</v1/rows?at=0>; rel=first, </v1/rows?at={next_}>; title="x, y"; rel="last next"'
        return Said(rows, headers={"Link": link} if next_ else {})

    site.put("/v1/rows", in_pages(answer))

    assert read(site, tmp_path, make_source(paging=LinkPaging())) == ALL


@pytest.mark.parametrize("where", ["{site}/v1/rows?at={at}", "?at={at}", "/v1/rows?at={at}"])
def test_rows_come_page_by_page_by_a_link_in_a_field(site, tmp_path, where):
    def answer(rows, next_):
        link = where.format(site=site.url, at=next_) if next_ else None
        return Said({"next": link, "rows": rows})  # before the rows: it is known at the end

    site.put("/v1/rows", in_pages(answer))

    assert read(site, tmp_path, make_source(rows="rows", paging=LinkPaging(next="next"))) == ALL


def test_rows_come_page_by_page_by_offset_until_there_are_none(site, tmp_path):
    """A page with fewer rows than were asked for says nothing: servers have bounds of their own."""

    def answer(asked):
        begin = int(asked.query["at"])
        return Said(ROWS[begin : begin + (1 if begin == 3 else 3)])

    site.put("/v1/rows", answer)

    assert read(site, tmp_path, make_source(paging=OffsetPaging(parameter="at"))) == ALL
    assert [each.query["at"] for each in site.asked] == ["0", "0", "3", "4", "7"]


@pytest.mark.parametrize("first", [0, 1])
def test_rows_come_page_by_page_by_its_number(site, tmp_path, first):
    site.put("/v1/rows", lambda asked: Said(ROWS[3 * (int(asked.query["p"]) - first) :][:3]))

    assert read(site, tmp_path, make_source(paging=PagePaging(parameter="p", first=first))) == ALL


def test_rows_that_pages_have_twice_are_one_row(site, tmp_path):
    """A row that came in moves those behind it to the next page."""
    source = make_source(paging=OffsetPaging(parameter="at"))
    site.put(
        "/v1/rows",
        lambda asked: Said(
            {"0": ROWS[:3], "3": ROWS[2:5], "6": ROWS[4:]}.get(asked.query["at"], [])
        ),
    )

    assert read(site, tmp_path, source) == ALL


def test_a_cursor_that_stays_as_it_is_ends_with_a_page_without_rows(site, tmp_path):
    site.put(
        "/v1/rows",
        lambda asked: Said({"rows": ROWS if "at" not in asked.query else [], "next": "z"}),
    )
    source = make_source(rows="rows", paging=CursorPaging(parameter="at", next="next"))

    assert read(site, tmp_path, source) == ALL


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        ("int64", "9007199254740993", 9007199254740993),
        ("int64", '"9007199254740993"', 9007199254740993),
        ("decimal(20,10)", "0.1000000001", Decimal("0.1000000001")),
        ("decimal(38,2)", '"123456789012345678901234567890123456.78"',
         Decimal("123456789012345678901234567890123456.78")),
        ("string", "1.10", "1.10"),
        ("string", '"\\u00e9\\n\\"x"', 'é\n"x'),
        ("bool", "true", True),
        ("float64", "1e-7", 1e-7),
        ("date", '"2024-02-29"', date(2024, 2, 29)),
        ("list<int64>", "[9007199254740993, null]", [9007199254740993, None]),
        ("json", '{"a": [1.10, {"b": null}]}', '{"a": [1.10, {"b": null}]}'),
        ("string", "null", None),
    ],
)  # fmt: skip
def test_a_value_is_the_one_that_was_written(site, tmp_path, kind, written, value):
    site.put("/v1/rows", Said(f'[{{"k": "a", "event": "2024-01-01", "x": {written}}}]'))
    source = make_source(schema={"k": "string", "event": "date", "x": kind})

    assert read(site, tmp_path, source, "x", kind=kind) == [(value,)]


@pytest.mark.parametrize(
    ("kind", "written", "said"),
    [
        ("int64", '"many"', "x.*many"),
        ("int64", "1.5", "x.*1.5"),
        ("decimal(4,2)", "1.234", "x.*1.234"),
        ("bool", '"perhaps"', "x.*perhaps"),
        ("list<int64>", "[1, 2", "."),
        ("string", '"a", "x": "b"', "the key 'x' twice"),
        ("json", "[" * 200 + "]" * 200, "more than 100 deep"),
    ],
)
def test_what_is_not_of_its_type_is_refused_by_name(site, tmp_path, kind, written, said):
    site.put("/v1/rows", Said(f'[{{"k": "a", "event": "2024-01-01", "x": {written}}}]'))
    source = make_source(schema={"k": "string", "event": "date", "x": kind})

    with pytest.raises(Exception, match=said):
        read(site, tmp_path, source, "x", kind=kind)


def test_a_column_that_no_row_has_is_said_unless_it_may_be_absent(site, tmp_path):
    site.put("/v1/rows", Said([{"k": "a", "event": "2024-01-01T00:00:00Z", "xx": 1}]))

    with pytest.raises(Invalid, match="no row has 'x'.*Did you mean 'xx'"):
        read(site, tmp_path, make_source())
    with pytest.raises(SourceDrifted, match="has no column 'x' any more, which was string"):
        read(site, tmp_path, make_source(), taken={"x": "VARCHAR"})
    assert read(site, tmp_path, make_source(optional=("x",))) == [("a", None)]


def test_no_rows_are_no_rows(site, tmp_path):
    site.put("/v1/rows", Said('{"rows": null}'))

    assert read(site, tmp_path, make_source(rows="rows")) == []


def test_what_is_compressed_is_the_same(site, tmp_path):
    whole = json.dumps(ROWS).encode()
    body = gzip.compress(whole[:100]) + gzip.compress(whole[100:])
    site.put("/v1/rows", Said(body, headers={"Content-Encoding": "gzip"}))

    assert read(site, tmp_path, make_source()) == ALL


def wanted_of(site, tmp_path, wanted, **keys):
    source = make_source(parameters={"since": "{since}", "until": "a{until}b", "n": 5}, **keys)
    site.put("/v1/rows", Said([]))
    rows = HttpFinder().find(source, site.link())
    HttpFinder().fetch(rows, wanted, str(tmp_path), lambda: None, site.link())
    return site.asked[-1].query


@pytest.mark.parametrize(
    ("form", "since", "until"),
    [
        ("iso", "2024-02-29T11:59:59Z", "a2024-03-01T12:00:02Zb"),
        ("date", "2024-02-28", "a2024-03-03b"),
        ("s", "1709207999", "a1709294402b"),
        ("ms", "1709208000499", "a1709294400002b"),
    ],
)
def test_a_run_asks_for_its_window_and_never_for_less(site, tmp_path, form, since, until):
    after = datetime(2024, 2, 29, 12, 0, 0, 500_000, UTC)
    wanted = Wanted(after=after, until=datetime(2024, 3, 1, 12, tzinfo=UTC))

    asked = wanted_of(site, tmp_path, wanted, instants=form)

    assert asked == {"since": since, "until": until, "n": "5"}


def test_rows_that_came_late_are_asked_for_by_when_they_came_or_all(site, tmp_path):
    after = datetime(2024, 2, 29, tzinfo=UTC)
    schema = {"k": "string", "event": "timestamp", "came": "timestamp"}
    wanted = Wanted(after=after, until=after, by_arrival=True)
    keys = {"created": "came", "schema": schema}

    assert wanted_of(site, tmp_path, wanted, **keys)["since"].startswith("1970-01-01")
    by_arrival = wanted_of(site, tmp_path, wanted, asks_by="created_timestamp", **keys)
    assert by_arrival["since"] == "2024-02-28T23:59:59Z"
    assert by_arrival["until"][1:5] >= "2026"  # an event before it may have come at any time since


@pytest.mark.parametrize(
    ("form", "since"),
    [
        ("iso", "1960-01-01T11:59:59Z"),
        ("date", "1959-12-31"),
        ("s", "-315576001"),
        ("ms", "-315576000001"),
    ],
)
def test_a_run_of_a_window_before_1970_asks_for_it(site, tmp_path, form, since):
    begin, end = datetime(1960, 1, 1, 12, tzinfo=UTC), datetime(1961, 1, 1, tzinfo=UTC)
    wanted = Wanted(after=begin, until=end)

    assert wanted_of(site, tmp_path, wanted, instants=form)["since"] == since


@pytest.mark.parametrize("form", ["iso", "date", "s", "ms"])
def test_the_ends_of_the_calendar_are_no_fault(site, tmp_path, form):
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

    asked = wanted_of(site, tmp_path, Wanted(after=first, until=last), instants=form)

    least = {"iso": "0001-01-01T00:00:00Z", "date": "0001-01-01"}
    assert asked["since"] in (least.get(form), "-62135596800", "-62135596800000")


def test_that_rows_before_1970_are_not_asked_for_is_said(site, tmp_path):
    def notes(wanted=Wanted(most_rows=10), **keys):  # noqa: B008 - immutable
        rows = HttpFinder().find(make_source(**keys), site.link())
        return HttpFinder().fetch(rows, wanted, str(tmp_path), lambda: None, site.link()).notes

    site.put("/v1/rows", Said([]))
    since = {"parameters": {"since": "{since}"}}

    (said,) = notes(**since)
    assert "rows whose 'event' is before 1970 are not asked for" in said
    assert "leave `{since}` out" in said
    assert "'came'" in notes(**since, created="came", asks_by="created_timestamp")[0]
    assert notes() == notes(parameters={"until": "{until}"}) == ()
    begin = datetime(1960, 1, 1, tzinfo=UTC)
    assert notes(Wanted(after=begin), **since) == notes(Wanted(since=begin), **since) == ()


def test_a_first_run_begins_where_its_view_does(site, tmp_path):
    view = make_spec(features=[("x", "string")], start=datetime(2024, 3, 1, tzinfo=UTC))
    days = (AggregationSpec(column="x", functions=("count",), windows=("2d",)),)
    sums = make_spec(
        features=[("x_count_2d", "int64")], aggregations=days, start=view.view.start,
        schedule=ScheduleSpec(every="1h"),
    )  # fmt: skip
    moved = make_spec(
        sql="SELECT k, CAST(event AS DATE) AS event, x FROM rows",
        features=[("x", "string")],
        start=view.view.start,
    )

    def asked(spec, job=ComputeJob, **keys):
        source = make_source(parameters={"since": "{since}"}, **keys)
        spec = msgspec.structs.replace(spec, source=source)
        rows = find_rows(spec, site.link())
        said = LookJob((spec,), rows) if job is LookJob else ComputeJob(spec, rows, END)
        HttpFinder().fetch(rows, wanted_of_job(said), str(tmp_path), lambda: None, site.link())
        return site.asked[-1].query["since"]

    site.put("/v1/rows", Said([]))
    schema = {"k": "int64", "event": "timestamp", "came": "timestamp", "x": "string"}
    came = {"created": "came", "schema": schema}
    assert asked(view) == asked(view, LookJob) == asked(view, **came) == "2024-02-29T23:59:59Z"
    assert asked(sums, LookJob) == "2024-02-27T23:59:59Z"
    assert asked(sums) == "2024-02-27T23:59:58Z"  # a microsecond before, written in seconds
    assert asked(moved) < "2024-02-29T23:59:59Z"
    assert asked(view, asks_by="created_timestamp", **came) == "1970-01-01T00:00:00Z"


def test_a_tag_that_changes_at_each_request_tells_nothing_and_that_is_said(site, tmp_path):
    tags = map(str, itertools.count())
    site.put("/v1/rows", lambda _: Said(ROWS, headers={"ETag": f'"{next(tags)}"'}))
    finder, source = HttpFinder(), make_source()

    rows = finder.find(source, site.link())
    fetched = finder.fetch(rows, Wanted(), str(tmp_path), lambda: None, site.link())

    assert rows == finder.find(source, site.link())
    assert rows.parts()[0].grows
    assert read(site, tmp_path, source) == ALL
    (said,) = fetched.notes
    assert "has another ETag at each request" in said
    site.put("/v1/rows", Said(ROWS, headers={"ETag": '"a"'}))
    tagged = finder.find(source, site.link())
    assert not tagged.parts()[0].grows
    site.put("/v1/rows", Said(ROWS[1:], headers={"ETag": '"b"'}))
    with pytest.raises(SourceUnavailable, match="changed while it was read"):
        finder.fetch(tagged, Wanted(), str(tmp_path), lambda: None, site.link())


def test_one_answer_is_known_by_its_tag_and_pages_by_nothing(site):
    def parts(**keys):
        return HttpFinder().find(make_source(**keys), site.link()).parts()

    site.put("/v1/rows", Said([], headers={"ETag": '"1"'}))
    (one,) = parts()
    assert (one.grows, one) == (False, *parts())
    assert all(p.grows for p in parts(paging=LinkPaging()) + parts(parameters={"s": "{since}"}))
    site.put("/v1/rows", Said([], headers={"ETag": '"2"'}))
    assert parts()[0].identity != one.identity
    site.put("/v1/rows", Said([]))
    assert parts()[0].grows


def test_an_answer_that_changes_before_it_is_read_is_not_taken(site, tmp_path):
    tags = iter(["1", "1", "2"])  # it is looked at twice: some tags are of one request
    site.put("/v1/rows", lambda _: Said([], headers={"ETag": next(tags)}))

    with pytest.raises(SourceUnavailable, match="changed while it was read"):
        read(site, tmp_path, make_source())


def test_a_plan_looks_at_the_first_page_alone(site, tmp_path):
    site.put("/v1/rows", in_pages(lambda rows, next_: Said({"r": rows, "n": next_})))
    source = make_source(rows="r", paging=CursorPaging(parameter="at", next="n"))
    rows = HttpFinder().find(source, site.link())
    wanted = Wanted(most_rows=5)

    fetched = HttpFinder().fetch(rows, wanted, str(tmp_path), lambda: None, site.link())

    assert fetched.is_part
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 3
    assert len(site.asked) == 2


def test_a_large_answer_is_cut_for_a_plan(site, tmp_path, monkeypatch):
    monkeypatch.setattr("materialization.finding.http.reading.LOOK_BYTES", 200)
    site.put("/v1/rows", Said(ROWS))
    rows = HttpFinder().find(make_source(), site.link())

    fetched = HttpFinder().fetch(
        rows, Wanted(most_rows=1000), str(tmp_path), lambda: None, site.link()
    )

    assert fetched.is_part
    assert 1 <= len((tmp_path / "rows.jsonl").read_text().splitlines()) < 7


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("", ""),
        ("</b>; rel=next", "/b"),
        ('</a>; rel="prev", <b?x=1,2>; rel="next"', "b?x=1,2"),
        ("</a>;rel=nextish, </b>; REL=NEXT", "/b"),
        ('</a>; title="rel=next"', ""),
        ("<" * 50_000, ""),
        ("</a>" + ";a" * 50_000, ""),
    ],
)
def test_a_link_header_is_read_as_it_is_meant(header, target):
    assert next_link({"Link": header}) == target


def test_the_token_travels_as_the_connection_says(site, tmp_path):
    site.put("/v1/rows", Said(ROWS))
    for changed, found in [
        ({"user": "ann"}, ("Authorization", "Basic YW5uOkNvcnIzY3QtaG9yc2UtYmF0dGVyeQ==")),
        ({"header": "X-Api-Key"}, ("X-Api-Key", TOKEN)),
        ({"headers": {"Accept-Language": "de"}}, ("Accept-Language", "de")),
    ]:
        read(site, tmp_path, make_source(), link=site.link(**changed))
        assert site.asked[-1].headers[found[0]] == found[1]
    read(site, tmp_path, make_source(), link=site.link(parameter="api_key"))
    assert site.asked[-1].query == {"api_key": TOKEN}
    assert "Authorization" not in site.asked[-1].headers


def test_a_connection_goes_at_the_rate_that_it_may(site, tmp_path):
    site.put("/v1/rows", Said(ROWS))
    begun = datetime.now(UTC)

    for _ in range(2):
        read(site, tmp_path, make_source(), link=site.link(requests_per_second=10))

    assert datetime.now(UTC) - begun >= timedelta(seconds=0.3)


def test_equal_features_need_no_others(site, tmp_path):
    """Objects of a server may have more keys than are declared; they are not read."""
    site.put("/v1/rows", Said([{**row, "more": {"deep": [1]}} for row in ROWS]))

    assert read(site, tmp_path, make_source()) == ALL
    with pytest.raises(SourceRefused, match="has no 'data' with rows|array"):
        read(site, tmp_path, make_source(rows="data"))
