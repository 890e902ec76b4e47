"""Whether two patterns may name one file."""

from __future__ import annotations

import pytest

from registry.spec.path_overlap import may_overlap


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.csv", "a.csv"),
        ("./a.csv", "b/../a.csv"),
        ("*.csv", "a.csv"),
        ("a*.csv", "*b.csv"),
        ("[ab].csv", "a.csv"),
        ("[ab].csv", "c.csv"),  # a set of letters stands for any
        ("[.csv", "[.csv"),
        ("d/?.csv", "d/a.csv"),
        ("d/*/x.csv", "d/**/x.csv"),
        ("d/x.csv", "d/**/x.csv"),
        ("d/x.csv", "**/*.csv"),
        ("d/**", "d/e/f.csv"),
        ("**/a/**", "b/**/c.csv"),
    ],
)
def test_what_may_be_one_file(first, second):
    assert may_overlap(first, second)
    assert may_overlap(second, first)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.csv", "b.csv"),
        ("a.csv", "A.csv"),
        ("a.csv", "a.csv.gz"),
        ("a*.csv", "b*.csv"),
        ("*.csv", "d/a.csv"),
        ("d/?.csv", "d/ab.csv"),
        ("d/**", "e/f.csv"),
        ("d/**/a.csv", "d/e/b.csv"),
        ("a.csv", "a.csv/b.csv"),
    ],
)
def test_what_never_is(first, second):
    assert not may_overlap(first, second)
    assert not may_overlap(second, first)


def test_long_patterns_take_no_time():
    assert not may_overlap("*a" * 500 + "b", "*a" * 500 + "c")
    assert may_overlap("**/" * 200 + "a", "**/" * 200 + "a")
