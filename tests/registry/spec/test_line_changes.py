"""Two texts beside each other lose nothing, and say which words changed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from registry.spec.line_changes import CAME, STAYED, WENT, line_changes, unified

TEXTS = st.lists(st.text("ab ,(", max_size=6), max_size=12).map("\n".join)


def marked(before, after):
    return [
        (line.mark, [word.text for word in line.words if word.is_changed])
        for line in line_changes(before, after)
    ]


def test_only_the_words_that_changed_are_marked():
    before = "SELECT\n  amount * 2 AS twice\nFROM purchases"

    assert marked(before, before.replace("2", "3")) == [
        (STAYED, []),
        (WENT, ["2"]),
        (CAME, ["3"]),
        (STAYED, []),
    ]


def test_a_line_that_says_something_else_is_marked_whole():
    assert marked("lower(name) AS n", "42 = x") == [
        (WENT, ["lower(name) AS n"]),
        (CAME, ["42 = x"]),
    ]


def test_lines_have_their_numbers_on_both_sides():
    lines = line_changes("a\nb\nc", "a\nc\nd")

    assert [(line.mark, line.before, line.after) for line in lines] == [
        (STAYED, 1, 1),
        (WENT, 2, None),
        (STAYED, 3, 2),
        (CAME, None, 3),
    ]


def test_it_is_written_as_text():
    assert unified("a\nb", "a\nc") == "  a\n- b\n+ c"


@given(TEXTS, TEXTS)
def test_both_texts_can_be_read_again_from_it(before, after):
    lines = line_changes(before, after)

    assert "\n".join(line.text for line in lines if line.mark != CAME) == before
    assert "\n".join(line.text for line in lines if line.mark != WENT) == after
    for numbers in ([line.before for line in lines], [line.after for line in lines]):
        known = [number for number in numbers if number]
        assert known == list(range(1, len(known) + 1))


def test_texts_made_to_be_slow_are_shown_as_rewritten_between_what_is_alike():
    before = ["first", *(f"{n % 7}" for n in range(1_200)), "last"]
    after = ["first", *(f"{n % 5}" for n in range(1_300)), "last"]

    lines = line_changes("\n".join(before), "\n".join(after))

    # Both begin with 0 to 4 once; then all of one goes and all of the other comes.
    assert [line.text for line in lines if line.mark == STAYED] == ["first", *"01234", "last"]
    assert sum(line.mark == WENT for line in lines) == 1_195
