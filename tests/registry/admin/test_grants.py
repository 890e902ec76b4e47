"""Grants in the admin: asked for in a form, decided and taken back by buttons, what ends soon."""

from __future__ import annotations

import html
import re

import pytest
from django.urls import reverse

from registry.choices import State
from registry.models import AuditEntry, ReadGrant
from tests import factories

pytestmark = pytest.mark.django_db

LIST = reverse("admin:registry_readgrant_changelist")
ADD = reverse("admin:registry_readgrant_add")


@pytest.fixture
def view(cast):
    return factories.make_version(cast).feature_view


@pytest.fixture
def asked(as_, cast, view):
    typed = {"project": cast.project.pk, "username": "consumer", "feature_view": "driver_hourly"}
    as_("consumer").post(ADD, typed | {"purpose": "churn <b>model</b>", "days": 30})
    return ReadGrant.objects.get()


def page(grant, step: str = "change") -> str:
    return reverse(f"admin:registry_readgrant_{step}", args=[grant.pk])


def state(grant) -> str:
    grant.refresh_from_db()
    return grant.state


def test_a_grant_is_asked_for_in_a_form_and_given_by_a_button(as_, asked):
    assert (str(asked.user), str(asked.asked_by), asked.purpose) == (
        "consumer", "consumer", "churn <b>model</b>",
    )  # fmt: skip
    said = as_("steward").get(page(asked)).content.decode()
    assert "churn &lt;b&gt;model" in said
    assert "Your decision" in said

    as_("steward").post(page(asked, "give"), {"comment": "fine"})

    assert state(asked) == "given"
    assert "Your decision" not in as_("owner").get(page(asked)).content.decode()


@pytest.mark.parametrize(
    ("who", "step", "after"),
    [
        ("consumer", "give", "asked"),
        ("steward", "refuse", "refused"),
        ("consumer", "revoke", "revoked"),
        ("auditor", "give", "asked"),
        ("auditor", "revoke", "asked"),
        ("author", "give", "asked"),
        ("outsider", "give", "asked"),
    ],
)
def test_what_the_buttons_do(as_, asked, who, step, after):
    as_(who).post(page(asked, step), {"comment": "ask for less"})

    assert state(asked) == after


def test_who_may_only_read_asks_from_the_page_of_the_feature(as_, cast):
    sensitive = factories.DEFINITIONS.replace("sensitivity: internal", "sensitivity: restricted")
    version = factories.make_version(cast, state=State.IN_REVIEW, text=sensitive)
    feature = version.features.get(name="avg_daily_trips")
    about = reverse("admin:registry_feature_change", args=[feature.pk])
    type(cast.consumer).objects.filter(pk=cast.consumer.pk).update(is_staff=False)

    [url] = re.findall(r'href="([^"]*readgrant/add[^"]*)"', as_("consumer").get(about).text)
    assert 'value="driver_hourly"' in as_("consumer").get(html.unescape(url)).text
    typed = {"project": cast.project.pk, "username": "consumer", "feature_view": "driver_hourly"}
    as_("consumer").post(ADD, typed | {"purpose": "churn", "days": 30})
    asked = ReadGrant.objects.get()
    assert "Take it back" in as_("consumer").get(page(asked)).text
    assert "churn" in as_("consumer").get(LIST).text

    as_("steward").post(page(asked, "give"), {"comment": "fine"})
    assert "readgrant/add" not in as_("consumer").get(about).text
    as_("consumer").post(page(asked, "revoke"))
    assert state(asked) == "revoked"


def test_signs_that_turn_a_purpose_around_are_shown_as_codes(as_, cast, view):
    typed = {"project": cast.project.pk, "username": "consumer", "feature_view": "driver_hourly"}
    as_("consumer").post(ADD, typed | {"purpose": "for \u202ehcraeser\r\nonly", "days": 30})
    grant = ReadGrant.objects.get()

    entry = AuditEntry.objects.get(verb="read_grant.asked")
    in_trail = reverse("admin:registry_auditentry_change", args=[entry.pk])
    for who, url in (("steward", page(grant)), ("steward", LIST), ("auditor", in_trail)):
        said = as_(who).get(url).text
        assert "\u202e" not in said
        assert "U+202E" in said
        assert "U+000D" not in said


def test_a_steward_without_staff_rights_sees_no_buttons_that_would_be_refused(as_, cast, asked):
    type(cast.steward).objects.filter(pk=cast.steward.pk).update(is_staff=False)

    assert "Your decision" not in as_("steward").get(page(asked)).text
    assert as_("steward").post(page(asked, "give")).status_code == 403
    assert state(asked) == "asked"


def test_who_asked_is_told_who_has_to_give_it(as_, cast, view):
    typed = {"project": cast.project.pk, "username": "steward", "level": "confidential"}
    as_("steward").post(ADD, typed | {"purpose": "review", "days": 3})

    said = as_("steward").get(page(ReadGrant.objects.get())).content.decode()

    assert "somebody else has to give it; 3 other people could" in said
    assert page(ReadGrant.objects.get(), "give") not in said


def test_the_list_shows_each_what_they_may_see_and_what_ends_soon(as_, cast, view):
    factories.give_grant(cast, cast.consumer, view="driver_hourly", days=3)
    factories.give_grant(cast, cast.operator, level="restricted", days=300)

    seen = {
        who: as_(who).get(LIST).content.decode().count("change/")
        for who in ("steward", "auditor", "consumer", "author", "outsider")
    }

    assert seen["steward"] == seen["auditor"] > seen["consumer"] > seen["outsider"]
    ending = as_("steward").get(LIST, {"state": "ending"}).content.decode()
    assert "up to restricted" not in ending
    assert "ends soon" in ending
    assert "Grants that end soon" in as_("steward").get(reverse("admin:index")).content.decode()
    unknown = as_("steward").get(LIST, {"state": "x"})
    assert list(unknown.context["cl"].result_list) == []


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"username": "nobody"}, "has no role in rides"),
        ({"username": "outsider"}, "has no role in rides"),
        ({"feature_view": "nope"}, "no feature view"),
        ({"level": "confidential"}, "one feature view or of a level"),
        ({"days": 4000}, "within 365 days"),
        ({"days": 10**12}, "within 365 days"),
        ({"purpose": " "}, "required"),
        ({"purpose": "x" * 1001}, "at most 1000"),
    ],
)
def test_what_cannot_be_asked_for_is_said(as_, cast, view, typed, said):
    whole = {
        "project": cast.project.pk, "username": "consumer", "feature_view": "driver_hourly",
        "purpose": "scores", "days": 30,
    }  # fmt: skip

    answer = as_("consumer").post(ADD, whole | typed, follow=True).content.decode()

    assert said in answer
    assert not ReadGrant.objects.exists()


def test_the_form_is_filled_in_from_where_it_was_asked_for(as_, cast, view):
    said = as_("consumer").get(ADD, {"project": "rides", "feature_view": "driver_hourly"})

    assert 'value="driver_hourly"' in said.content.decode()
