"""What is said about a version: on lines that later submissions know again, answered, settled."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction
from django.db.models import ProtectedError

from registry import passages
from registry.access import ActionNotPermitted
from registry.approval import approvals_given
from registry.choices import Fate, Role, State
from registry.models import AuditEntry, FeatureViewVersion, Review, ReviewComment
from registry.operations.lifecycle import commenting, reviews, submissions
from registry.operations.lifecycle.commenting import On, add_comment, resolve_thread
from registry.operations.lifecycle.steps import BadComment
from registry.operations.people import members, users
from registry.passages import Fates, texts_of
from registry.spec.line_changes import line_changes
from tests import factories
from tests.factories import AT, VIEW, make_version

pytestmark = pytest.mark.django_db
SQL = (
    "sql: SELECT driver_id, event_timestamp, created, {} as conv_rate from driver_stats\nfeatures:"
)
FEATURES = VIEW[VIEW.index("features:") : VIEW.index("ttl:")]


def with_sql(expression: str) -> str:
    text = SQL.format(expression)
    return VIEW.replace(FEATURES, f"{text}\n  - {{name: conv_rate, type: float32}}\n")


@pytest.fixture
def waiting(cast) -> FeatureViewVersion:
    make_version(cast)
    return make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("ttl: 2d", "ttl: 3d"))


def say(version, actor, body="Why?", **where) -> ReviewComment:
    return add_comment(version=version, body=body, actor=actor, at=AT, **where)


def send_back(version, actor, **options):
    seen = factories.seen(version)
    return reviews.reject_version(version=version, actor=actor, at=AT, packet_hash=seen, **options)


def submit_anew(version, cast, text):
    factories.apply(text, cast)
    version.refresh_from_db()
    submissions.submit_version(version=version, actor=cast.author, at=AT, look=factories.look)
    return FeatureViewVersion.objects.get(pk=version.pk)


def became(comment):
    return Fates(texts_of(FeatureViewVersion.objects.get(pk=comment.version_id))).of(comment)


def test_something_is_said_answered_and_settled(cast, waiting):
    first = say(waiting, cast.steward, on=On("view.ttl", 1))
    answer = say(waiting, cast.author, "For weekends.", thread_id=first.pk)
    resolve_thread(thread=first, actor=cast.steward, at=AT)

    assert (first.line_text, answer.thread, answer.path) == ("3d", first, "")
    assert (first.resolved_by, first.resolved_at) == (cast.steward, AT)
    with pytest.raises(commenting.ThreadSettled):
        resolve_thread(thread=first, actor=cast.steward, at=AT)


def test_the_trail_has_who_spoke_and_nothing_of_what_they_said(cast, waiting):
    first = say(waiting, cast.steward, "jane@example.com left")
    resolve_thread(thread=first, actor=cast.steward, at=AT)

    entries = list(AuditEntry.objects.filter(verb__startswith="review_comment.").order_by("id"))
    assert [entry.verb for entry in entries] == ["review_comment.added", "review_comment.resolved"]
    assert entries[0].data == {"comment_id": first.pk, "thread_id": first.pk}
    assert not any("jane" in str(vars(entry)) for entry in entries)


@pytest.mark.parametrize("who", ["consumer", "operator", "auditor"])
def test_who_neither_writes_nor_decides_says_nothing(cast, waiting, who):
    with pytest.raises(ActionNotPermitted):
        say(waiting, getattr(cast, who))


def test_a_thread_is_settled_by_who_began_it_or_may_decide(cast, waiting):
    of_steward, of_author = say(waiting, cast.steward), say(waiting, cast.author)

    with pytest.raises(commenting.ThreadOfOthers, match="steward"):
        resolve_thread(thread=of_steward, actor=cast.author, at=AT)
    resolve_thread(thread=of_author, actor=cast.author, at=AT)
    resolve_thread(thread=of_steward, actor=cast.second_steward, at=AT)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", commenting.NothingSaid),
        (" \n", commenting.NothingSaid),
        ("a\x00b", BadComment),
        ("x" * 10_001, BadComment),
        ("x" * 1_000_000, BadComment),
    ],
)
def test_what_cannot_be_said_is_refused_in_words(cast, waiting, body, error):
    with pytest.raises(error) as refused:
        say(waiting, cast.steward, body)
    assert len(refused.value.message) < 200
    assert not waiting.comments.exists()


def test_a_decision_with_a_megabyte_of_comment_is_refused(cast, waiting):
    with pytest.raises(BadComment, match="1,000,000 characters; write at most 10,000"):
        factories.approve(waiting, cast.steward, comment="x" * 1_000_000)


@pytest.mark.parametrize(
    "on", [On("view.ttl", 2), On("view.ttl", 0), On("tttl", 1), On("view.ttl", 1, "left")]
)
def test_a_line_that_is_not_there_is_named(cast, waiting, on):
    with pytest.raises(commenting.NoSuchLine):
        say(waiting, cast.steward, on=on)


def test_a_thread_of_another_version_is_not_answered_here(cast, waiting):
    other = make_version(cast, state=State.DRAFT, text=VIEW.replace("driver_hourly", "daily"))
    first = say(other, cast.author)

    with pytest.raises(commenting.CommentNotFound):
        say(waiting, cast.author, thread_id=first.pk)


def test_what_is_decided_on_is_not_talked_about(cast, waiting):
    first = say(waiting, cast.steward)
    factories.approve(waiting, cast.steward)

    with pytest.raises(commenting.NotUnderReview, match="approved"):
        say(waiting, cast.author, thread_id=first.pk)


def test_a_version_has_so_many_comments(cast, waiting, monkeypatch):
    monkeypatch.setattr(commenting, "MOST_COMMENTS", 1)
    say(waiting, cast.steward)

    with pytest.raises(commenting.TooManyComments):
        say(waiting, cast.steward)


def test_comments_on_lines_are_enough_to_ask_for_changes(cast, waiting):
    say(waiting, cast.steward, on=On("view.ttl", 1))
    send_back(waiting, cast.steward)

    assert waiting.state == State.DRAFT
    assert Review.objects.get(version=waiting).comment == "See 1 comment."


def test_at_the_next_submission_it_shows_what_became_of_each_line(cast):
    make_version(cast, text="\n---\n".join((factories.ENTITY, factories.SOURCE, with_sql("a"))))
    version = make_version(cast, state=State.IN_REVIEW, text=with_sql("a + b + 1"))
    lines = texts_of(version)["sql"]["new"].split("\n")
    at = next(n for n, line in enumerate(lines, 1) if "a + b + 1" in line)
    on_change, above = (say(version, cast.steward, on=On("sql", n)) for n in (at, 1))
    whole = say(version, cast.steward, on=On("definition", 1))
    old = say(version, cast.steward, on=On("view.sql", at, "old"))
    send_back(version, cast.steward, comment="See the lines.")
    version = submit_anew(version, cast, with_sql("a + b + 2"))

    assert became(on_change) == (Fate.CHANGED, at)
    assert became(above) == (Fate.UNCHANGED, 1)
    assert became(whole) == (Fate.UNCHANGED, 1)
    assert became(old) == (Fate.UNCHANGED, at)
    assert on_change.packet_hash != version.packet_hash


def test_a_text_is_kept_once_and_compared_once_however_many_lines_are_talked_about(
    cast, waiting, monkeypatch
):
    said = [say(waiting, cast.steward, on=On("definition", line)) for line in range(1, 9)]
    assert waiting.passages.count() == 1
    send_back(waiting, cast.steward, comment="See the lines.")
    version = submit_anew(waiting, cast, VIEW.replace("ttl: 2d", "ttl: 4d"))
    compared = []
    monkeypatch.setattr(
        passages, "line_changes", lambda *texts: compared.append(texts) or line_changes(*texts)
    )
    fates = Fates(texts_of(version))

    assert {fates.of(each).fate for each in said} == {Fate.UNCHANGED}
    assert len(compared) == 1


def test_a_line_whose_value_is_as_before_again_is_gone(cast, waiting):
    first = say(waiting, cast.steward, on=On("view.ttl", 1))
    send_back(waiting, cast.steward, comment="Back to two days.")
    submit_anew(waiting, cast, VIEW.replace("Conversion rate", "Share of calls won"))

    assert became(first) == (Fate.GONE, None)


def test_what_was_said_is_neither_changed_nor_removed(cast, waiting):
    first = say(waiting, cast.steward)
    rows = ReviewComment.objects.filter(pk=first.pk)

    for change in ({"body": "No."}, {"author": cast.author}, {"created_at": None}):
        with pytest.raises(DatabaseError), transaction.atomic():
            rows.update(**change)
    with pytest.raises(DatabaseError, match="not removed"), transaction.atomic():
        rows._raw_delete("default")


def test_the_record_of_an_approver_stays_when_they_go(cast):
    text = VIEW.replace("sensitivity: internal", "sensitivity: restricted")
    make_version(cast, state=State.DRAFT)
    version = make_version(cast, state=State.IN_REVIEW, text=text)
    say(version, cast.steward)
    factories.approve(version, cast.steward)
    assert approvals_given(version) == 1

    with pytest.raises(ProtectedError):
        cast.steward.delete()
    users.set_active(user=cast.steward, active=False, actor=cast.superuser, at=AT)

    assert approvals_given(version) == 0
    assert Review.objects.get(version=version).reviewer == cast.steward
    assert version.comments.get().author == cast.steward


def test_a_member_removed_in_mid_review_neither_decides_nor_speaks(cast, waiting):
    first = say(waiting, cast.steward)
    gone = {"user": cast.steward, "role": Role.STEWARD, "actor": cast.owner, "at": AT}
    members.revoke_role(project=cast.project, **gone)

    for act in (
        lambda: say(waiting, cast.steward),
        lambda: resolve_thread(thread=first, actor=cast.steward, at=AT),
        lambda: send_back(waiting, cast.steward, comment="No."),
        lambda: factories.approve(waiting, cast.steward),
    ):
        with pytest.raises(ActionNotPermitted):
            act()
