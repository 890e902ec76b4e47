"""No verb reaches the trail before an app has said how it reads; those in it already are shown."""

from __future__ import annotations

import pytest

from registry import audit, verbs
from registry.models import AuditEntry
from registry.trail.deeds import deed_of, icon_of, is_outcome
from registry.verbs import Verb
from tests.factories import AT


@pytest.mark.django_db
def test_a_verb_that_nobody_registered_is_not_recorded(cast):
    before = AuditEntry.objects.count()

    with pytest.raises(ValueError, match=r"'project.painted' is not registered"):
        audit.record(actor=cast.owner, verb="project.painted", subject=cast.project, at=AT)

    assert AuditEntry.objects.count() == before


def test_an_old_entry_whose_verb_nobody_registers_any_more_is_still_shown():
    entry = AuditEntry(verb="feature_view.long_forgotten", subject_label="driver_hourly")

    assert (deed_of(entry), icon_of(entry)) == ("long forgotten", "history")
    assert not is_outcome(entry)


@pytest.mark.parametrize(
    "name", ["changed", "project.", "project.Changed", "a.b.c", "project painted"]
)
def test_a_verb_has_a_namespace_and_small_letters(name):
    with pytest.raises(ValueError, match=r"namespace\.past_tense"):
        verbs.register({name: Verb("changed")})


def test_a_verb_reads_one_way():
    verbs.register({"project.changed": verbs.find("project.changed")})

    with pytest.raises(ValueError, match="registered already"):
        verbs.register({"project.changed": Verb("painted")})
    assert verbs.find("project.changed").words == "changed"
