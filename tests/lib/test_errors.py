"""What a message repeats is bounded, whoever sent it and however much of it there was."""

from __future__ import annotations

import time

from lib.errors import MESSAGE_LENGTH, AssayError, did_you_mean, nearest, said

LONG = "a" * 7_000_000


def test_a_message_repeats_no_more_than_can_be_read():
    error = AssayError(f"no {LONG}; send another.", example=LONG)

    assert len(error.message) == len(error.example) == MESSAGE_LENGTH
    assert error.message.startswith("no aaa")
    assert error.message.endswith("aaa; send another.")  # the next step stands at the end
    assert str(error) == error.message


def test_nor_do_the_values_beside_it():
    data = AssayError("no.", name=LONG, lengths={LONG: 2}, errors=[{"value": LONG}], rows=3).data

    assert len(data["name"]) == MESSAGE_LENGTH
    assert [len(key) for key in data["lengths"]] == [MESSAGE_LENGTH]
    assert len(data["errors"][0]["value"]) == MESSAGE_LENGTH
    assert data["rows"] == 3


def test_what_a_library_says_is_one_line_without_colours():
    error = OSError("Generic\n  \x1b[31m↳\x1b[0m Unable to walk\n   \x1b[1;31m↳\x1b[0m denied")

    assert said(error) == "Generic: Unable to walk: denied"


def test_what_fits_is_left_as_it_is():
    text = "b" * MESSAGE_LENGTH
    error = AssayError(text, names=[text, "c"])

    assert (error.message, error.data) == (text, {"names": [text, "c"]})


def test_the_nearest_name_of_megabytes_is_looked_for_in_no_time():
    known = [f"{'a' * 60}{number}" for number in range(100)]
    begun = time.process_time()

    assert nearest(LONG, known) is None
    assert did_you_mean(LONG, known).startswith(" Valid: ")
    assert time.process_time() - begun < 0.5
    assert nearest("amuont", ["amount"]) == "amount"
