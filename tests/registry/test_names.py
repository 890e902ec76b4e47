"""Accounts are told apart by their names, for ever, and the trail keeps none of them."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from lib.addresses import kept_part
from lib.errors import Forbidden
from registry import audit
from registry.accounts.names import NameTaken, UnclearName, skeleton
from registry.choices import AccountKind, Role, State
from registry.denials import record_denial
from registry.models import AuditEntry, Membership, Pseudonym, Review
from registry.models.names import PSEUDONYM, pseudonym_of
from registry.operations.people import forgetting, members, users
from registry.trail import verifying
from tests.factories import AT, apply, approve, give_role, make_user, make_version, token_for

pytestmark = pytest.mark.django_db


def stored():
    """Return all that the trail holds, as it is stored."""
    return json.dumps(list(AuditEntry.objects.values()), default=str)


# --- Names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("st\u0435ward", "mixes letters of Cyrillic and Latin"),
        ("stew\u200bard", "nobody sees (U+200B)"),
        ("steward\u00a0", "nobody sees (U+00A0)"),
        ("\uff53teward", "stand for others; write it as 'steward'"),
        ("sy\u0455tem", "mixes letters"),
        ("System", "nobody's account"),
        ("anonym0us", "nobody's account"),
        ("person-0123456789abcdef", "nobody's account"),
        ("\u1d0fwner", "looks like another"),
        ("\ua731teward", "looks like another"),
        ("auth\u0254r", "looks like another"),
    ],
)
def test_a_name_that_is_not_read_as_it_is_written_is_refused(cast, name, said):
    with pytest.raises(UnclearName) as refused:
        User(username=name).save()

    assert said in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        "Steward",
        "STEWARD",
        "stevvard",
        "steward.",
        "_steward",
        "øwner",
        "stéward",
        "æuthor",
        "Ǽuthor",
        "œwner",
        "oþerator",
        "stəward",
        "\u0441осо",
        "Cat1",
    ],
)
def test_a_name_that_looks_like_anothers_is_refused(cast, name):
    make_user("coco")
    make_user("cati")

    with pytest.raises(NameTaken, match="never given twice"):
        User.objects.create_user(name)


@pytest.mark.parametrize(
    "name",
    [
        "ana",
        "ana.b@example.com",
        "Анна",
        "李小龙",
        "Łukasz",
        "søren",
        "さくら桜",
        "josé",
        "Bjørn",
        "Æsa",
        "Weiß",
        "Þór",
    ],
)
def test_ordinary_names_are_taken_as_they_are(cast, name):
    assert User.objects.create_user(name).username == name


def test_a_name_may_be_read_in_two_ways_and_both_are_its_own_from_then_on(cast):
    User.objects.create_user("æsa")

    for name in ("asa", "aesa", "Åsa"):
        with pytest.raises(NameTaken):
            User.objects.create_user(name)


def test_names_that_differ_for_the_eye_differ():
    assert len({skeleton(name) for name in ("ana", "anna", "an", "ann_a", "ana2", "bana")}) == 6


def test_a_name_that_was_somebodys_is_nobody_elses(cast):
    renamed = User.objects.get(pk=cast.author.pk)
    renamed.username = "author_of_old"
    users.change_user(user=renamed, actor=cast.superuser, at=AT)

    with pytest.raises(NameTaken):
        User.objects.create_user("author")
    other = User.objects.get(pk=cast.outsider.pk)
    other.username = "author"
    with pytest.raises(NameTaken):
        users.change_user(user=other, actor=cast.superuser, at=AT)
    with pytest.raises(NameTaken):
        other.save()

    renamed.username = "author"  # its own may be taken back
    users.change_user(user=renamed, actor=cast.superuser, at=AT)
    assert User.objects.get(username="author").pk == cast.author.pk


def test_a_name_of_an_account_that_is_gone_stays_taken(cast):
    User.objects.create_user("gone").delete()

    with pytest.raises(NameTaken):
        User.objects.create_user("gone")


def test_the_admin_says_what_is_wrong_with_a_name(as_, cast):
    form = {"username": "st\u0435ward", "kind": "person", "usable_password": "false"}
    passwords = {"password1": "long-enough-42", "password2": "long-enough-42"}

    page = as_("superuser").post("/admin/auth/user/add/", form | passwords, follow=True)

    assert "mixes letters of Cyrillic and Latin" in page.text
    assert not User.objects.filter(username="st\u0435ward").exists()


# --- Pseudonyms ----------------------------------------------------------------------------------


def test_the_trail_holds_no_name_and_no_address_of_anybody(cast, rf):
    said = {"first_name": "Ana", "last_name": "Smith", "email": "ana.smith@example.com"}
    person = make_user("ana.smith@example.com", **said)
    made = User(username="new@example.com", email="new@example.com")
    users.add_user(user=made, kind=AccountKind.PERSON, actor=cast.superuser, at=AT)
    give_role(cast.project, person, Role.STEWARD, cast.owner, accepted_by=cast.superuser)
    person.last_name, person.email = "Jones", "ana.jones@example.com"
    users.change_user(user=person, actor=cast.superuser, at=AT)
    token_for(person)
    version = make_version(cast, state=State.IN_REVIEW)
    approve(version, person, comment="ask ana.jones@example.com or bob@corp.example")
    request = rf.get("/x")
    request.user, request.resolver_match = person, None
    record_denial(request, Forbidden("ana.smith@example.com may not"), at=AT)

    said = stored()

    for name in ("ana.smith", "Smith", "Jones", "jones", "bob@", "example.com"):
        assert name not in said
    assert said.count(pseudonym_of(person)) >= 6
    assert '"changed": ["last_name", "email"]' in said
    assert audit.verify() is None


def test_who_reads_the_trail_reads_present_names(cast, api):
    author = User.objects.get(pk=cast.author.pk)
    members.grant_role(
        project=cast.project, user=author, role=Role.OPERATOR, actor=cast.owner, at=AT
    )
    author.username = "author_now"
    users.change_user(user=author, actor=cast.superuser, at=AT)

    path = "/api/v1/projects/rides/audit"
    [entry] = (
        api(cast.auditor).get(path, {"verb": "membership.granted", "limit": 1}).json()["results"]
    )

    assert entry["after"] == {"user": "author_now", "role": "operator"}
    assert (entry["actor"], entry["actor_id"]) == ("owner", cast.owner.pk)
    assert entry["actor_pseudonym"] == pseudonym_of(cast.owner)
    assert entry["previous_hash"] == AuditEntry.objects.get(hash=entry["hash"]).previous_hash


def test_a_version_is_not_taken_for_an_address(cast):
    version = make_version(cast)

    entry = AuditEntry.objects.get(verb="feature_view_version.approved")

    assert entry.subject_label == str(version) == "driver_hourly@1.0.0"


def test_an_owner_of_a_definition_is_named_there_and_not_in_the_trail(cast):
    apply(
        "kind: Entity\nname: shop\nowner: x@corp.example\njoin_keys: [{name: id, type: int64}]",
        cast,
    )

    assert "corp.example" not in stored()


# --- Forgetting ----------------------------------------------------------------------------------


@pytest.fixture
def gone(cast):
    """The steward, who approved something and left."""
    make_version(cast)
    users.set_active(user=cast.steward, active=False, actor=cast.superuser, at=AT)
    return forgetting.forget_person(user=cast.steward, actor=cast.superuser, at=AT)


def test_what_somebody_did_stays_when_they_are_forgotten(cast, gone, api):
    assert PSEUDONYM.fullmatch(gone.username)
    assert (gone.email, gone.first_name, gone.has_usable_password()) == ("", "", False)
    assert not Membership.objects.filter(user=gone).exists()
    assert Review.objects.get().reviewer_id == gone.pk

    path = "/api/v1/projects/rides/audit"
    asked = {"verb": "feature_view_version.approved"}
    [entry] = api(cast.auditor).get(path, asked).json()["results"]
    assert entry["actor"] == f"somebody who was removed ({gone.username})"
    assert "steward" not in stored().replace('"steward"', "")
    assert [str(each) for each in verifying.findings()] == []


def test_the_name_of_somebody_forgotten_is_nobody_elses(gone):
    with pytest.raises(NameTaken):
        User.objects.create_user("steward")


def test_whoever_may_still_log_in_is_not_forgotten(cast):
    with pytest.raises(forgetting.StillActive, match="Deactivate the account first"):
        forgetting.forget_person(user=cast.steward, actor=cast.superuser, at=AT)


def test_only_superusers_forget(cast):
    users.set_active(user=cast.steward, active=False, actor=cast.superuser, at=AT)

    with pytest.raises(Forbidden):
        forgetting.forget_person(user=cast.steward, actor=cast.owner, at=AT)


def test_the_command_forgets_and_says_what_is_left(cast, capsys):
    with pytest.raises(CommandError, match="Deactivate"):
        call_command("forget_person", "steward", "--by", "superuser")
    users.set_active(user=cast.steward, active=False, actor=cast.superuser, at=AT)

    call_command("forget_person", "steward", "--by", "superuser")

    assert f"the trail has {pseudonym_of(cast.steward)}" in capsys.readouterr().out


def test_an_account_that_is_deleted_leaves_its_pseudonym(cast):
    person = User.objects.create_user("shortlived")
    audit.record(actor=person, verb="project.changed", subject=cast.project, at=AT)
    pseudonym = pseudonym_of(person)
    person.delete()

    entry = AuditEntry.objects.named().get(verb="project.changed")
    assert AuditEntry.objects.latest("pk").verb == "user.deleted"
    assert not Pseudonym.objects.filter(name=pseudonym).exists()
    assert entry.actor_name == f"somebody who was removed ({pseudonym})"


def test_a_long_text_without_an_address_is_looked_through_at_once(cast):
    """Text of letters alone took time that grew with its square, in a transaction."""
    long = "a" * 300_000
    for text in (long, f"{long}@", "a@" * 100_000, "a." * 150_000):
        audit.record(
            actor=None, verb="project.changed", subject=None, at=AT, data={"comment": text}
        )

    assert AuditEntry.objects.first().data["comment"] == "a." * 150_000


def test_a_refusal_names_nobody_whoever_it_names(cast, rf):
    make_user("zorro")
    request = rf.get("/x")
    request.user, request.resolver_match = cast.consumer, None
    record_denial(request, Forbidden("zorro set consumer's password; ask steward."), at=AT)

    denied = AuditEntry.objects.get(verb="access.denied")
    assert "zorro" not in denied.data["detail"]
    assert denied.data["detail"].count("person-") == 3
    named = AuditEntry.objects.named().get(verb="access.denied")
    assert named.data["detail"] == "zorro set consumer's password; ask steward."


def test_an_export_says_by_what_it_was_cut_down_without_names(cast, api):
    make_user("zorro")
    asked = {"actor": "zorro", "q": "zorro", "subject": "zorro", "verb": "user."}
    b"".join(api(cast.superuser).get("/api/v1/audit/export", asked).streaming_content)

    entry = AuditEntry.objects.get(verb="audit.exported")
    assert "zorro" not in json.dumps(entry.data)
    assert entry.data["filters"]["verb"] == "user."


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("127.0.0.1", "127.0.0.1"), ("10.0.0.7", "10.0.0.7"), ("8.8.4.4", "8.8.4.0/24"),
        ("2a00:1450:4001:81b::/64", "2a00:1450:4001::/48"), ("unknown", "unknown"),
    ],
)  # fmt: skip
def test_of_an_address_on_the_internet_its_network_is_kept(address, kept):
    assert kept_part(address) == kept
