"""Who hears of what: from the trail, once, never of their own deeds or what they may not see."""

from __future__ import annotations

import smtplib
from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from lib.attempts import PAUSES, UNENDED
from registry import audit, mailing, news, spreading
from registry.choices import NewsKind, Role, State
from registry.models import AuditEntry, FeatureView, FeatureViewVersion, NewsCursor, Notification
from registry.operations.lifecycle import reviews, submissions
from registry.operations.lifecycle.after_glass import end_glasses
from registry.operations.lifecycle.asking import ask_reviewers
from registry.operations.lifecycle.commenting import add_comment, resolve_thread
from registry.operations.lifecycle.glass import break_glass
from registry.operations.people import members, users
from registry.operations.people.news import BadNewsKind, choose_news, mark_read
from registry.operations.questions import (
    accept_answer,
    answer_question,
    ask_question,
    close_question,
)
from tests import factories
from tests.factories import AT, DEFINITIONS, VIEW, make_version, seen

pytestmark = pytest.mark.django_db
SOON = AT + timedelta(minutes=1)
OVERDUE = AT + timedelta(hours=49)


def spread(at=SOON):
    spreading.spread_news(at=at)


def heard(user) -> list[str]:
    return [str(one) for one in news.heard_by(user).order_by("id")]


def kinds(user) -> list[str]:
    return [one.kind for one in news.heard_by(user).order_by("id")]


@pytest.fixture
def waiting(cast) -> FeatureViewVersion:
    make_version(cast, state=State.DRAFT)
    return make_version(cast, state=State.IN_REVIEW, text=VIEW)


def test_all_who_may_decide_hear_of_a_submission_and_nobody_else(cast, waiting):
    spread()

    said = ["author submitted for your review driver_hourly@1.0.0"]
    assert heard(cast.steward) == heard(cast.second_steward) == heard(cast.owner) == said
    for who in ("author", "consumer", "operator", "auditor", "outsider", "superuser"):
        assert heard(getattr(cast, who)) == []


def test_asked_of_one_only_that_one_hears_and_once(cast):
    make_version(cast, state=State.DRAFT)
    draft = FeatureViewVersion.objects.get()
    options = {"actor": cast.author, "at": AT, "look": factories.look}
    submissions.submit_version(version=draft, reviewers=["steward"], **options)
    spread()
    spread()

    assert heard(cast.steward)[0] == "author asks you to review driver_hourly@1.0.0"
    assert kinds(cast.second_steward) == []


def test_who_is_asked_later_hears_then(cast, waiting):
    spread()
    ask_reviewers(version=waiting, reviewers=["second_steward"], actor=cast.steward, at=SOON)
    spread()

    assert heard(cast.second_steward)[1:] == ["steward asks you to review driver_hourly@1.0.0"]
    assert len(heard(cast.owner)) == 1


def test_what_is_decided_on_before_anybody_was_told_calls_nobody(cast, waiting):
    factories.approve(waiting, cast.steward)
    project = waiting.feature_view.project
    verb = "feature_view_version.promoted"  # by itself, once its data are whole
    audit.record(actor=None, verb=verb, subject=waiting, project=project, at=AT)
    spread()

    assert heard(cast.second_steward) == []
    assert heard(cast.author) == [
        "steward approved driver_hourly@1.0.0",
        "driver_hourly@1.0.0 is the default now",
    ]


def test_those_who_talk_hear_each_other(cast, waiting):
    first = add_comment(version=waiting, body="Why?", actor=cast.steward, at=AT)
    add_comment(version=waiting, body="So.", actor=cast.author, at=AT, thread_id=first.pk)
    resolve_thread(thread=first, actor=cast.steward, at=AT)
    spread()

    assert heard(cast.author) == [
        "steward commented on driver_hourly@1.0.0",
        "steward resolved a comment on driver_hourly@1.0.0",
    ]
    assert heard(cast.steward)[1:] == ["author commented on driver_hourly@1.0.0"]
    assert kinds(cast.second_steward) == [NewsKind.REVIEW]


def test_authors_hear_that_changes_are_asked_for(cast, waiting):
    seen = factories.seen(waiting)
    reviews.reject_version(
        version=waiting, actor=cast.steward, at=AT, packet_hash=seen, comment="No."
    )
    spread()

    assert heard(cast.author) == ["steward asks for changes of driver_hourly@1.0.0"]


def test_each_entry_is_told_once_however_often_it_is_swept(cast, waiting):
    spread()
    NewsCursor.objects.update(entry_id=0)
    spread()

    assert len(heard(cast.steward)) == 1
    assert NewsCursor.objects.get().entry_id == AuditEntry.objects.latest("id").pk


def test_numbers_that_no_entry_has_do_not_delay_what_is_told(cast, waiting, monkeypatch):
    monkeypatch.setattr(spreading, "MOST_READ", 3)
    first = AuditEntry.objects.filter(verb="feature_view_version.submitted").get()
    NewsCursor.objects.create(pk=1, entry_id=first.pk - 5_000)
    for _ in range(AuditEntry.objects.count() // 3 + 1):
        spread()

    assert len(heard(cast.steward)) == 1
    assert NewsCursor.objects.get().entry_id == AuditEntry.objects.latest("id").pk


def test_what_is_old_when_it_is_read_is_told_to_nobody(cast, waiting):
    spread(AT + timedelta(days=8))

    assert heard(cast.steward) == []


def test_one_entry_that_cannot_be_told_holds_up_no_other(cast, waiting, monkeypatch):
    def fails(entry, subject):
        raise ValueError("no")

    found = news.find("feature_view_version.submitted")
    monkeypatch.setitem(news._news, "feature_view_version.submitted", found._replace(hearers=fails))
    add_comment(version=waiting, body="Why?", actor=cast.steward, at=AT)
    spread()

    assert heard(cast.author) == ["steward commented on driver_hourly@1.0.0"]


def test_who_left_the_project_or_was_shut_out_hears_and_sees_nothing(cast, waiting):
    spread()
    gone = {"user": cast.steward, "role": Role.STEWARD, "actor": cast.owner, "at": AT}
    members.revoke_role(project=cast.project, **gone)
    users.set_active(user=cast.second_steward, active=False, actor=cast.superuser, at=AT)
    add_comment(version=waiting, body="Why?", actor=cast.author, at=SOON)
    spread()

    assert heard(cast.steward) == []
    assert Notification.objects.filter(recipient=cast.second_steward).count() == 1


def test_who_does_not_want_to_hear_does_not(cast, waiting):
    choose_news(user=cast.steward, muted=["review"], by_mail=True)
    spread()

    assert heard(cast.steward) == []
    with pytest.raises(BadNewsKind, match="Did you mean 'review'"):
        choose_news(user=cast.steward, muted=["reviews"], by_mail=True)


def test_one_reads_ones_own_only(cast, waiting):
    spread()
    ids = list(Notification.objects.values_list("pk", flat=True))

    assert mark_read(user=cast.steward, at=SOON, ids=ids) == 1
    assert Notification.objects.filter(read_at=None).count() == 2


def test_what_is_overdue_is_recalled_once_a_day_and_later_to_the_owners(cast, waiting):
    ask_reviewers(version=waiting, reviewers=["steward"], actor=cast.author, at=AT)
    for at in (AT + timedelta(hours=47), OVERDUE, OVERDUE + timedelta(hours=2)):
        spreading.remind_reviewers(at=at)
    said = "driver_hourly@1.0.0 waits for review for more than 2 days"
    assert heard(cast.steward) == [said]
    assert heard(cast.owner) == []

    spreading.remind_reviewers(at=OVERDUE + timedelta(days=1))
    assert heard(cast.steward) == [said, said.replace("2 days", "3 days")]
    assert heard(cast.owner) == heard(cast.steward)[1:]


def test_however_much_is_overdue_each_is_recalled_in_turn(cast, waiting, monkeypatch):
    monkeypatch.setattr(spreading, "MOST_REMINDED", 2)
    for name in ("daily", "weekly", "yearly"):
        make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("driver_hourly", name))
    choose_news(user=cast.owner, muted=["reminder"], by_mail=False)
    for second in range(4):
        spreading.remind_reviewers(at=OVERDUE + timedelta(seconds=second))

    said = {one.label for one in news.heard_by(cast.steward)}
    assert said == {f"{name}@1.0.0" for name in ("driver_hourly", "daily", "weekly", "yearly")}
    assert len(heard(cast.steward)) == 4


def test_what_nobody_can_decide_is_told_to_the_owners_at_once(cast, waiting):
    for who in (cast.steward, cast.second_steward):
        users.set_active(user=who, active=False, actor=cast.superuser, at=AT)
    waiting.editors.create(user=cast.owner, first_at=AT)
    spreading.remind_reviewers(at=OVERDUE)

    assert kinds(cast.owner) == [NewsKind.REMINDER]


def test_what_was_told_long_ago_is_forgotten(cast, waiting):
    spread()
    spreading.forget_old(at=SOON + timedelta(days=91))

    assert not Notification.objects.exists()


# --- Mails ---------------------------------------------------------------------------------------


@pytest.fixture
def mailed(cast, waiting, settings):
    """A submission that the steward hears of by mail."""
    settings.EMAIL_HOST, settings.PUBLIC_URL = "mail.example.com", "https://assay.example.com"
    cast.steward.email = "stella@example.com"
    cast.steward.save()
    spread()
    return news.heard_by(cast.steward).get()


def wake(at=SOON):
    spreading.wake_mails(at=at)


def deliver(one, attempt):
    mailing.mail(one.pk, attempt, clock=timezone.now)
    one.refresh_from_db()


def test_a_mail_has_the_words_and_a_link_and_is_sent_once(mailed):
    wake()
    mailed.refresh_from_db()
    deliver(mailed, 1)
    deliver(mailed, 1)

    (message,) = mail.outbox
    assert message.to == ["stella@example.com"]
    assert message.subject == "Assay: author submitted for your review driver_hourly@1.0.0"
    address = f"https://assay.example.com/admin/registry/notification/{mailed.pk}/change/"
    assert address in message.body
    assert (mailed.mailed_at is not None, mailed.mail_due_at) == (True, None)
    assert Notification.objects.exclude(mail_due_at=None).count() == 0  # others have no address


def test_a_mail_that_fails_is_tried_again_and_then_given_up(mailed, monkeypatch):
    def refuses(self, fail_silently=False):
        raise smtplib.SMTPRecipientsRefused({"stella@example.com": (550, b"no such user")})

    monkeypatch.setattr("django.core.mail.EmailMessage.send", refuses)
    at = SOON
    for attempt in range(1, len(PAUSES) + 1):
        wake(at)
        deliver(mailed, attempt)
        at = mailed.mail_due_at or at

    assert mailed.mail_tries == len(PAUSES)
    assert (mailed.mail_due_at, mailed.mailed_at) == (None, None)
    assert "no such user" in mailed.mail_error
    assert "stella" not in mailed.mail_error


def test_a_mail_whose_worker_died_is_given_up_in_the_end(mailed):
    at = SOON
    for _ in PAUSES:
        wake(at)
        at += timedelta(hours=2)
    wake(at)
    mailed.refresh_from_db()

    assert (mailed.mail_due_at, mailed.mail_error) == (None, UNENDED)


def test_nobody_is_mailed_what_they_may_not_see_any_more(cast, mailed):
    wake()
    gone = {"user": cast.steward, "role": Role.STEWARD, "actor": cast.owner, "at": AT}
    members.revoke_role(project=cast.project, **gone)
    deliver(mailed, 1)

    assert mail.outbox == []
    assert mailed.mail_error == mailing.MOVED_ON


def test_no_mail_is_due_where_none_is_wanted_or_can_be_sent(cast, waiting, settings):
    cast.steward.email = "stella@example.com"
    cast.steward.save()
    spread()
    assert news.heard_by(cast.steward).get().mail_due_at is None

    settings.EMAIL_HOST = "mail.example.com"
    choose_news(user=cast.steward, muted=[], by_mail=False)
    add_comment(version=waiting, body="Why?", actor=cast.author, at=AT)
    add_comment(version=waiting, body="Hm.", actor=cast.steward, at=AT)
    add_comment(version=waiting, body="So.", actor=cast.author, at=AT)
    spread()
    assert Notification.objects.exclude(mail_due_at=None).count() == 0


def test_a_broken_glass_is_told_to_all_who_could_have_approved_it_and_to_the_owners(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    shown = seen(version)
    break_glass(
        version=version, actor=cast.steward, at=AT, packet_hash=shown, comment="The scorer is down."
    )
    spreading.spread_news(at=AT)

    def told(words):
        found = Notification.objects.filter(words__contains=words)
        return {each.recipient.get_username() for each in found}

    assert told("broke the glass") == {"owner", "second_steward", "author", "auditor"}
    end_glasses(at=AT + timedelta(days=1))
    spreading.spread_news(at=AT + timedelta(days=1))
    assert told("nobody confirmed its broken glass") == {
        "owner", "steward", "second_steward", "author", "auditor",
    }  # fmt: skip


# --- Questions -----------------------------------------------------------------------------------


@pytest.fixture
def question(cast):
    make_version(cast)
    view = FeatureView.objects.get()
    return ask_question(
        feature_view=view, feature="conv_rate", text="Net?", actor=cast.consumer, at=AT
    )


def questions(user) -> list[str]:
    return [str(one) for one in news.heard_by(user).filter(kind="question").order_by("id")]


def test_who_wrote_the_view_hears_of_a_question_and_leads_to_its_feature(cast, question, client):
    spread()

    assert questions(cast.author) == [f"consumer asks: {question}"]
    for who in ("consumer", "steward", "owner", "outsider"):
        assert questions(getattr(cast, who)) == []
    (one,) = news.heard_by(cast.author).filter(kind="question")
    client.force_login(cast.author)
    led = client.get(f"/admin/registry/notification/{one.pk}/change/", follow=True)
    assert "Net?" in led.content.decode()


def test_the_account_that_the_definition_names_as_owner_hears_of_a_question(cast):
    make_version(cast, text=DEFINITIONS.replace("owner: rides", "owner: steward"))
    view = FeatureView.objects.get()
    ask_question(feature_view=view, feature="conv_rate", text="?", actor=cast.consumer, at=AT)
    spread()

    assert len(questions(cast.steward)) == len(questions(cast.author)) == 1


def test_what_the_only_author_asks_is_told_to_others_who_may_write(cast):
    make_version(cast)
    view = FeatureView.objects.get()
    ask_question(feature_view=view, feature="conv_rate", text="?", actor=cast.author, at=AT)
    spread()

    assert questions(cast.author) == []
    assert len(questions(cast.owner)) == 1


def test_where_nobody_who_wrote_it_may_write_still_others_who_may_are_told(cast, question):
    gone = {"user": cast.author, "role": Role.AUTHOR, "actor": cast.owner, "at": AT}
    members.revoke_role(project=cast.project, **gone)
    spread()

    assert questions(cast.author) == []
    assert questions(cast.owner) == [f"consumer asks: {question}"]


def test_who_asked_hears_what_is_said_and_so_do_those_who_said_something(cast, question):
    answer = answer_question(question=question, text="Gross.", actor=cast.author, at=AT)
    answer_question(question=question, text="Since May.", actor=cast.steward, at=AT)
    accept_answer(question=question, answer_id=answer.pk, actor=cast.consumer, at=AT)
    close_question(question=question, actor=cast.consumer, at=AT)
    spread()

    assert questions(cast.consumer) == [
        f"author said more to {question}",
        f"steward said more to {question}",
    ]
    assert questions(cast.steward) == [
        f"author said more to {question}",
        f"consumer took an answer to {question}",
        f"consumer closed {question}",
    ]
