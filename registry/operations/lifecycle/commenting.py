"""Saying something about a version, on a line of it or as a whole; answering; settling a thread.

Not for deciding: whoever wants changes rejects (``reviews``), and what was said stays with the
version for its next submission.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from django.db import transaction

from lib.errors import SHOWN_LENGTH, Conflict, Forbidden, Invalid, NotFound, did_you_mean
from registry import access, audit, lifecycle
from registry.choices import Action, Side, State
from registry.models import ReviewComment
from registry.operations.lifecycle.asking import require_hand
from registry.operations.lifecycle.steps import require_storable
from registry.passages import texts_of

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import FeatureViewVersion

#: Comments that one version may have.
MOST_COMMENTS = 1000


class NothingSaid(Invalid):
    code = "nothing_said"


class TooManyComments(Conflict):
    code = "too_many_comments"


class NotUnderReview(Conflict):
    code = "not_under_review"


class NoSuchLine(Invalid):
    code = "no_such_line"


class CommentNotFound(NotFound):
    code = "comment_not_found"


class ThreadSettled(Conflict):
    code = "thread_settled"


class ThreadOfOthers(Forbidden):
    code = "thread_of_others"


class On(NamedTuple):
    """A line of one of the version's texts (``registry.passages``), from 1."""

    path: str
    line: int
    side: str = Side.NEW


def add_comment(
    *,
    version: FeatureViewVersion,
    body: str,
    actor: User,
    at: datetime,
    on: On | None = None,
    thread_id: int | None = None,
) -> ReviewComment:
    """Say something, on a line, of the version as a whole, or as the answer to a thread.

    The trail has that it was said, and not what: that may be about people.
    :raises ActionNotPermitted: the actor may neither edit nor approve the view.
    :raises NothingSaid, BadComment: it is empty, too long, or cannot be stored.
    :raises NoSuchLine, CommentNotFound: what it is on, or answers, is not there.
    :raises NotUnderReview: the version is decided on.
    :raises TooManyComments: there are as many as a version may have.
    """
    require_hand(actor, version)
    require_storable(body)
    if not body.strip():
        raise NothingSaid("the comment is empty: say something.")
    with transaction.atomic():
        version.hold()
        if version.state not in (State.DRAFT, State.IN_REVIEW):
            raise NotUnderReview(
                f"{version} is {version.state}: it is neither drafted nor reviewed."
            )
        if version.comments.count() >= MOST_COMMENTS:
            raise TooManyComments(f"{version} has {MOST_COMMENTS} comments; it may have no more.")
        thread = None if thread_id is None else thread_of(version, thread_id)
        comment = ReviewComment.objects.create(
            version=version, thread=thread, author=actor, body=body.strip(), created_at=at,
            packet_hash=version.packet_hash if version.state == State.IN_REVIEW else "",
            **(_place(version, on) if on and thread is None else {}),
        )  # fmt: skip
        data = {"comment_id": comment.pk, "thread_id": thread.pk if thread else comment.pk}
        verb = "review_comment.added"
        audit.record(actor=actor, verb=verb, subject=version, data=data, at=at)
    return comment


def _place(version: FeatureViewVersion, on: On) -> dict[str, object]:
    """Return the columns that keep a place and what stands there."""
    texts = texts_of(version)
    if on.path not in texts or on.side not in texts[on.path]:
        path = on.path[:SHOWN_LENGTH]
        hint = did_you_mean(path, texts) or f" It has {', '.join(list(texts)[:20])}."
        raise NoSuchLine(f"{version} has no text {path!r} on the {on.side[:8]} side.{hint}")
    text = texts[on.path][Side(on.side)]
    count = text.count("\n") + 1 if text else 0
    if not 1 <= on.line <= count:
        raise NoSuchLine(
            f"{on.path} has {count} lines on the {on.side} side; there is no {on.line}."
        )
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    passage, _ = version.passages.get_or_create(sha256=sha256, defaults={"text": text})
    return {"path": on.path, "side": on.side, "line": on.line, "passage": passage}


def thread_of(version: FeatureViewVersion, comment_id: int) -> ReviewComment:
    """Return the first comment of a thread.

    :raises CommentNotFound: the version has no thread that begins with it.
    """
    found = version.comments.filter(pk=comment_id, thread=None).first()
    if found is None:
        raise CommentNotFound(f"{version} has no thread that begins with comment {comment_id}.")
    return found


def resolve_thread(*, thread: ReviewComment, actor: User, at: datetime) -> ReviewComment:
    """Settle a thread: who began it does, or whoever may approve the version.

    :raises ThreadOfOthers: the actor is neither.
    :raises ThreadSettled: somebody was first.
    """
    version = thread.version
    require_hand(actor, version)
    if not may_resolve(actor, thread):
        raise ThreadOfOthers(
            f"{thread} is for {thread.author}, or who may approve {version}, to resolve.",
            project=version.feature_view.project.name,
        )
    with transaction.atomic():
        open_one = ReviewComment.objects.filter(pk=thread.pk, thread=None, resolved_at=None)
        if not open_one.update(resolved_at=at, resolved_by=actor):
            raise ThreadSettled(f"{thread} is resolved already.")
        data = {"comment_id": thread.pk, "thread_id": thread.pk}
        verb = "review_comment.resolved"
        audit.record(actor=actor, verb=verb, subject=version, data=data, at=at)
    thread.refresh_from_db()
    return thread


def may_resolve(user: User, thread: ReviewComment) -> bool:
    """Tell whether somebody began a thread, or may decide on what it is about."""
    return thread.author_id == user.pk or may_resolve_all(user, thread.version)


def may_resolve_all(user: User, version: FeatureViewVersion) -> bool:
    """Tell whether somebody may resolve what others began: who may decide on the version."""
    may = access.can(user, lifecycle.PERMISSION[Action.APPROVE], version.feature_view)
    return may and not version.has_edited(user.pk)


def said_on(version: FeatureViewVersion, actor: User) -> str:
    """Say how much somebody has said of this submission: enough of a reason to send it back."""
    mine = version.comments.filter(author=actor, packet_hash=version.packet_hash)
    count = mine.filter(thread=None).count()
    return f"See {count} comment{'' if count == 1 else 's'}." if count else ""
