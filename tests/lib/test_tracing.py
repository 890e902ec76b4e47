"""What a caller says of its request is taken where it is well-formed, and else left out."""

from __future__ import annotations

import pytest

from lib.tracing import called, caller, said_by_caller

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_both_are_taken():
    assert said_by_caller("order-17/retry.2", f"00-{TRACE}-{SPAN}-01") == {
        "caller_request_id": "order-17/retry.2",
        "trace_id": TRACE,
        "parent_id": SPAN,
    }


@pytest.mark.parametrize(
    "text",
    ["", "a b", "a\nb", "é", "x" * 129, "-x", '"x"', "a\x1b[31m"],
)
def test_an_id_that_could_be_read_as_something_else_is_left_out(text):
    assert said_by_caller(text, "") == {}


def test_a_program_is_taken_by_its_plain_name_alone():
    assert said_by_caller("", "", "mcp Scribe 1.2 (beta)") == {
        "asked_through": "mcp Scribe 1.2 (beta)"
    }
    for text in ("ada@example.org", "a\nb", "é", " a", "x" * 101):
        assert said_by_caller("", "", text) == {}


@pytest.mark.parametrize(
    "text",
    [
        f"00-{TRACE}-{SPAN}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
    ],
)
def test_a_trace_that_is_not_well_formed_is_left_out(text):
    assert said_by_caller("", text) == {}


def test_a_later_version_may_say_more():
    assert said_by_caller("", f"01-{TRACE}-{SPAN}-01-more")["trace_id"] == TRACE


def test_it_holds_for_what_is_inside():
    with called({"trace_id": TRACE}):
        assert caller() == {"trace_id": TRACE}
    assert caller() == {}
