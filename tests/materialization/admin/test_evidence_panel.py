"""A version's page shows what was found out about it, and values to those who may read them."""

from __future__ import annotations

import pytest

from registry.choices import State
from registry.markup import value
from tests.factories import DEFINITIONS, make_version
from tests.materialization.run_world import ROWS, write_rows
from tests.materialization.runner.test_assaying import CHANGED, assayed

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client, cast):
    def get(version, who):
        client.force_login(getattr(cast, who))
        url = f"/admin/registry/featureviewversion/{version.pk}/change/"
        return " ".join(client.get(url).content.decode().split())

    return get


@pytest.fixture
def changed(cast, sources):
    write_rows(sources, ROWS)
    make_version(cast)
    return make_version(cast, state=State.IN_REVIEW, text=CHANGED)


def test_evidence_that_is_not_in_is_said_to_come(page, changed):
    assert "A worker computes what this version makes of the source" in page(changed, "steward")


def test_a_reader_sees_what_changed_and_where(page, changed):
    assayed(changed)

    said = page(changed, "owner")

    assert "Both versions were asked for the same 8 entities and times." in said
    assert "75.0%" in said  # acc_rate: of 8 times 6 are equal
    assert "the 2 rows that differ most" in said
    assert "driver_id 1003" in said
    assert "2 of 4 rows were known only after their event" in said
    assert "Filled: this version; outlined: the version before." in said


def test_who_may_not_read_values_sees_counts(page, changed):
    assayed(changed)

    said = page(changed, "steward")

    assert "75.0%" in said
    assert "driver_id 1003" not in said
    assert "are shown to those who may read the view's training sets" in said


def test_a_source_that_is_gone_is_said(page, cast, sources):
    path = write_rows(sources, ROWS)
    version = make_version(cast, state=State.IN_REVIEW, text=DEFINITIONS)
    path.unlink()
    assayed(version)

    assert "Nothing was computed: " in page(version, "steward")


def test_no_value_and_a_text_that_says_null_look_unlike():
    assert value(None) != value("null")
    assert "null" in value(None)
    assert value("<b>") == "&lt;b&gt;"


def test_what_nobody_sees_in_a_definition_is_shown_as_its_code(page, cast, sources):
    write_rows(sources, ROWS)
    make_version(cast)
    hidden = CHANGED.replace(
        "coalesce(conv_rate, 0)", "coalesce(conv_rate, length('\u202ea\u200b'))"
    )
    version = make_version(cast, state=State.IN_REVIEW, text=hidden)

    said = page(version, "steward")

    assert 'title="right-to-left override">U+202E</span>' in said
    assert ">U+200B</span>" in said
    assert not {"\u202e", "\u200b"} & set(said)
