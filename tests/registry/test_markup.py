"""A badge has the tone its app gave the word, and one tone only."""

from __future__ import annotations

import pytest

from registry.markup import badge, register_tones


@pytest.mark.parametrize(
    ("word", "tone"),
    [("in_review", "warn"), ("errored", "bad"), ("passed", "good"), ("never heard of", "neutral")],
)
def test_a_word_has_the_tone_of_its_app_and_an_unknown_one_is_neutral(word, tone):
    assert f'class="as-badge as-{tone}"' in badge(word)


@pytest.mark.parametrize(
    ("tones", "says"),
    [
        ({"approved": "bad"}, "is good already and cannot be bad too"),
        ({"approved": "green"}, "no tone 'green'; valid: accent, bad"),
    ],
)
def test_a_word_has_one_tone_of_those_there_are(tones, says):
    with pytest.raises(ValueError, match=says):
        register_tones(tones)

    assert "as-good" in badge("approved")
