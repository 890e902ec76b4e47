"""Rotating API tokens in the admin: by whom, shown how often, how long the old one lives."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from registry.models import ApiToken, AuditEntry
from registry.operations.people.tokens import Limits, issue_token, revoke_token

pytestmark = pytest.mark.django_db(transaction=False)

LIMITS = Limits(rights=["read_online"], networks=["10.1.0.0/16"])


@pytest.fixture
def token(cast, robot):
    """A token of the project's program, that an owner made."""
    at = timezone.now() - timedelta(days=3)
    return issue_token(
        user=robot, name="ci", actor=cast.owner, at=at, days=30, project=cast.project, limits=LIMITS
    )[0]


def page(token: ApiToken, step: str = "change") -> str:
    return reverse(f"admin:registry_apitoken_{step}", args=[token.pk])


def test_a_rotated_token_is_shown_once_and_the_old_one_goes_on_for_the_overlap(as_, cast, token):
    before = timezone.now()
    answer = as_("owner").post(page(token, "rotate"), {"overlap_hours": 2, "days": ""})

    new = ApiToken.objects.get(replaces=token)
    text = answer.context["text"]
    assert text in answer.text
    assert "no-store" in answer["Cache-Control"]
    assert Limits(new.views, new.rights, new.networks) == Limits([], *LIMITS[1:])
    assert (new.expires_at - new.created_at).days == 30
    token.refresh_from_db()
    assert before + timedelta(hours=2) <= token.expires_at <= timezone.now() + timedelta(hours=2)
    entries = AuditEntry.objects.filter(actor=cast.owner).order_by("-pk")[:2]
    assert [(each.verb, each.subject_id) for each in entries] == [
        ("api_token.rotated", str(token.pk)),
        ("api_token.issued", str(new.pk)),
    ]
    for shown in (page(token), page(new), reverse("admin:registry_apitoken_changelist")):
        assert text not in as_("owner").get(shown).text


def test_who_is_offered_to_rotate_and_does(as_, cast, token):
    hers, _ = issue_token(user=cast.consumer, name="x", actor=cast.consumer, at=timezone.now())
    for who, of, may in (
        ("owner", token, True),
        ("superuser", token, True),
        ("consumer", hers, True),
        ("superuser", hers, False),
    ):
        assert (page(of, "rotate") in as_(who).get(page(of)).text) is may, (who, of)
    for who, of in (("superuser", hers), ("author", token), ("outsider", token)):
        as_(who).post(page(of, "rotate"), {"overlap_hours": 0})
        assert not of.successors.exists(), who
    assert AuditEntry.objects.filter(verb="access.denied", actor=cast.superuser).exists()


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({}, "This field is required"),
        ({"overlap_hours": "-1"}, "greater than or equal to 0"),
        ({"overlap_hours": "721"}, "less than or equal to 720"),
        ({"overlap_hours": "x"}, "Enter a whole number"),
        ({"overlap_hours": "1", "days": "0"}, "greater than or equal to 1"),
    ],
)
def test_a_rotation_that_means_nothing_is_said_beside_its_field(as_, token, sent, words):
    answer = as_("owner").post(page(token, "rotate"), sent)

    assert answer.status_code == 422
    assert words in answer.text
    assert not token.successors.exists()


def test_a_life_that_is_too_long_is_refused_in_words(as_, token):
    sent = {"overlap_hours": 1, "days": 10**12}
    answer = as_("owner").post(page(token, "rotate"), sent, follow=True)

    assert "a token lives 1 to" in answer.text.lower()
    assert not token.successors.exists()


def test_a_token_is_rotated_once_and_never_after_its_end(as_, cast, token):
    client = as_("owner")
    client.post(page(token, "rotate"), {"overlap_hours": 24})
    new = token.successors.get()

    again = client.post(page(token, "rotate"), {"overlap_hours": 24}, follow=True)
    assert "was rotated before" in again.text
    assert page(token, "rotate") not in again.text
    assert page(new) in again.text

    revoke_token(token=new, actor=cast.owner, at=timezone.now())
    assert page(new, "rotate") not in client.get(page(new)).text
    client.post(page(new, "rotate"), {"overlap_hours": 24})
    assert ApiToken.objects.filter(user=token.user).count() == 2


def test_a_page_says_what_a_token_is_limited_to_and_when_it_was_used(as_, token):
    text = as_("owner").get(page(token)).text
    assert "read_online" in text
    assert "10.1.0.0/16" in text
    assert "never, or a moment ago" in text
    at = timezone.now()
    ApiToken.objects.filter(pk=token.pk).update(last_used_at=at, rights=[], networks=[])

    text = as_("owner").get(page(token)).text
    assert at.isoformat() in text
    assert "all of the account" in text
