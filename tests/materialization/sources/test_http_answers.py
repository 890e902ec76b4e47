"""Answers of JSON that are cut into rows without being read, against a parser that reads them."""

from __future__ import annotations

import json
import mmap
import random
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materialization.finding.fetching import Wanted
from materialization.finding.http.answers import Answer, BadAnswer, CutOff
from materialization.finding.http.reading import HttpFinder
from registry.spec.paging import CursorPaging, LinkPaging, OffsetPaging, PagePaging
from tests.sites import Said, make_source

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(['"', "\\", '\\"', "{", "]", '"}', "\n", "\u2028", "\x00", "é\U0001f600"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)
ROWS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), max_size=5)
#: How else the same JSON may be written.
LAYOUTS = st.fixed_dictionaries(
    {"indent": st.sampled_from([None, 1, "\t"]), "ensure_ascii": st.booleans()}
)


def cut(text: bytes, at: tuple[str, ...], *wanted: tuple[str, ...]):
    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            answer = Answer(data, at, wanted)
            return list(answer.rows()), answer.fields


@settings(max_examples=150)
@given(ROWS, VALUES, SCALARS, LAYOUTS, st.permutations(["a", "b", "c"]), st.booleans())
def test_rows_are_those_that_a_parser_finds(rows, other, next_, layout, order, has_mark):
    parts = {"a": {"rows": rows, "of": other}, "b": other, "c": {"next": next_}}
    text = json.dumps({name: parts[name] for name in order}, **layout).encode()
    text = b"\xef\xbb\xbf" + text if has_mark else text

    found, fields = cut(text, ("a", "rows"), ("c", "next"))

    assert [json.loads(row) for row in found] == rows
    assert all(b"\n" not in row for row in found)
    said = str(next_) if type(next_) in (int, float) else next_
    if isinstance(next_, float):
        assert float(fields["c", "next"]) == next_
    else:
        assert fields["c", "next"] == said
    assert [json.loads(row) for row in cut(json.dumps(rows, **layout).encode(), ())[0]] == rows


@settings(max_examples=100)
@given(ROWS.filter(bool), VALUES, LAYOUTS, st.data())
def test_what_is_cut_anywhere_is_never_whole(rows, other, layout, data):
    text = json.dumps({"o": other, "r": rows, "n": "x"}, **layout).encode()
    end = data.draw(st.integers(1, len(text) - 1))

    with pytest.raises(CutOff):
        cut(text[:end], ("r",), ("n",))


@settings(max_examples=150)
@given(
    st.binary(min_size=1, max_size=40)
    | st.text(alphabet='{}[]",:r1 \\', min_size=1).map(str.encode)
)
def test_what_is_no_json_is_refused_or_has_rows_of_objects(text):  # fmt: skip
    for at in ((), ("r",)):
        try:
            found, _ = cut(text, at)
        except BadAnswer:
            continue
        assert all(row[:1] == b"{" and row[-1:] == b"}" for row in found)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_pages_there_are_all_rows_come_and_no_others(site, tmp_path, seed):
    """Pages of any size, with rows of the page before in them, and pages without any."""
    chance = random.Random(seed)
    rows = [{"k": str(n), "x": chance.choice("ab")} for n in range(chance.randrange(40))]
    pages, place = [], 0
    while place < len(rows):
        size = chance.randrange(1, 7)
        begin = max(place - chance.randrange(2), 0)
        pages.append(rows[begin : place + size])
        place += size
    by_cursor = [page for each in pages for page in ([], each)] if seed % 2 else pages or [[]]

    def cursor(asked):
        at = int(asked.query.get("c", 0))
        more = str(at + 1) if at + 1 < len(by_cursor) else None
        link = {"Link": f'<?c={more}>; rel="next"'} if more else {}
        return Said({"rows": by_cursor[at], "next": more}, headers=link)

    site.put("/v1/cursor", cursor)
    numbered = dict(enumerate(pages))
    site.put("/v1/page", lambda asked: Said({"rows": numbered.get(int(asked.query["p"]), [])}))
    size = chance.randrange(1, 9)
    site.put("/v1/offset", lambda asked: Said({"rows": rows[int(asked.query["o"]) :][:size]}))
    ways = [
        ("cursor", CursorPaging(parameter="c", next="next")),
        ("cursor", LinkPaging()),
        ("page", PagePaging(parameter="p", first=0)),
        ("offset", OffsetPaging(parameter="o")),
    ]
    for path, paging in ways:
        source = make_source(path=path, rows="rows", paging=paging)
        found = HttpFinder().find(source, site.link())
        HttpFinder().fetch(found, Wanted(), str(tmp_path), lambda: None, site.link())
        read = (tmp_path / "rows.jsonl").read_text().splitlines()
        assert {line: json.loads(line) for line in read} == {json.dumps(r): r for r in rows}


@pytest.mark.parametrize(
    ("text", "times"),
    [('{"a": 1, "b": {}, "r": []}', 3), ('{"r": [{}, {}, {}]}', 4), ('{"r": []}', 1)],
)
def test_whoever_watches_is_asked_at_each_row_and_field(text, times):
    calls = []

    list(Answer(text.encode(), ("r",), (), lambda: calls.append(1)).rows())

    assert len(calls) == times
