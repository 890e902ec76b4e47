"""How fields stand in our forms: a box to tick before its words, and never as wide as a text."""

from __future__ import annotations

import re

from django import forms
from django.template.loader import render_to_string

from registry.admin.forms import StyledForm


class Fields(StyledForm):
    name = forms.CharField()
    enabled = forms.BooleanField(label="Send to it")
    parts = forms.MultipleChoiceField(
        label="Evidence", choices=[("look", "a look")], widget=forms.CheckboxSelectMultiple
    )


def test_a_box_stands_before_its_words_alone_and_among_several():
    page = render_to_string("registry/admin/fields.html", {"form": Fields()})

    alone = re.search(r"<label[^>]*for=.id_enabled.[^>]*>(.*?)</label>", page, re.DOTALL)
    assert alone is not None
    assert re.search(r"<input type=.checkbox.[^>]*>\s+Send to it", alone[1])
    several = re.search(r"<fieldset class=.as-choices.>(.*?)</fieldset>", page, re.DOTALL)
    assert several is not None
    assert ">Evidence</legend>" in several[1]
    assert re.search(r"<input type=.checkbox.[^>]*>\s+a look", several[1])
    inputs = re.findall(r"<input[^>]*>", page)
    assert ["as-input" in each for each in inputs] == [True, False, False]
