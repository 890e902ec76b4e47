"""What changed is shown line by line; what stayed is folded and never left out."""

from __future__ import annotations

import pytest

from registry.admin.changes import CONTEXT, change_row
from registry.spec.differences import Difference
from registry.spec.line_changes import unified

COLUMNS = [f"c{number}" for number in range(40)]
SQL = f"SELECT {', '.join(COLUMNS)} FROM s"


def shown(before, after):
    row = change_row(Difference("view.sql", before, after))
    return [(len(each.lines), each.is_folded) for each in row.stretches]


def test_a_change_in_the_middle_has_its_neighbours_and_folds_the_rest():
    # SELECT and 20 columns, the one that changed, 19 columns and FROM.
    assert shown(SQL, SQL.replace("c20", "c20 + 1 AS c20")) == [
        (21 - CONTEXT, True),
        (CONTEXT, False),
        (2, False),
        (CONTEXT, False),
        (20 - CONTEXT, True),
    ]


def test_little_that_stayed_is_not_folded():
    assert shown("SELECT a, b FROM s", "SELECT a, c FROM s") == [(2, False), (2, False), (1, False)]


def test_every_line_is_there():
    row = change_row(Difference("view.sql", SQL, SQL.replace("c3,", "c3 * 2 AS c3,")))
    lines = [line.text.strip() for each in row.stretches for line in each.lines]

    assert [line.strip(",") for line in lines if line.startswith("c")] == [
        *COLUMNS[:4], "c3 * 2 AS c3", *COLUMNS[4:],
    ]  # fmt: skip


def test_what_is_no_sql_reads_a_line_a_part():
    row = change_row(Difference("view.tags", {"a": "1", "b": "2"}, {"a": "1", "b": "3"}))

    assert row.path == "tags"
    assert [line.text for each in row.stretches for line in each.lines] == ["a: 1", "b: 2", "b: 3"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (1234567.0, 1234568.0),
        (0.1234567, 0.1234569),
        (["a, b"], ["a", "b"]),
        (["1"], [1]),
        ("a", "a\n"),
        ("a", "a "),
        ("a\r\nb", "a\nb"),
        ("a\u2028b", "a\nb"),
        ({"k": 1.0000001}, {"k": 1.0000002}),
    ],
)
def test_unequal_values_never_read_equal(before, after):
    difference = Difference("view.tags", before, after)
    marks = {line.mark for each in change_row(difference).stretches for line in each.lines}

    assert marks & {"-", "+"}
    assert {"-", "+"} & {line[:1] for line in unified(*difference.texts()).split("\n")}


def test_a_value_that_came_is_called_added():
    row = change_row(Difference("view.owner", None, "growth"))

    assert (row.word, [line.mark for line in row.stretches[0].lines]) == ("added", ["+"])
