"""Who hears of what the registry's trail tells: verb → the words of it, and to whom.

Not for telling (``news``), nor for what is in no trail (``spreading`` has the reminders).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Q

from registry import reviewers
from registry.choices import NewsKind, Right
from registry.glass import glass_of
from registry.models import (
    FeatureViewVersion,
    ProjectUserObjectPermission,
    Question,
    ReadGrant,
    ReviewComment,
    VersionEditor,
)
from registry.newest import shown_version
from registry.news import News, may_hear

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.models import AuditEntry, FeatureView, Project


def reviewers_of(version: FeatureViewVersion) -> list[int]:
    """Return who is asked to decide and could, else all who could."""
    asked = reviewers.asked_now().filter(version=version.pk)
    found = list(asked.values_list("reviewer", flat=True))
    return found or list(reviewers.could_decide(version).values_list("pk", flat=True))


def holders(project: Project, right: Right) -> list[int]:
    """Return who holds a right in a project by their roles."""
    rows = ProjectUserObjectPermission.objects.filter(
        content_object=project, permission__codename=right
    )
    return list(rows.values_list("user", flat=True))


def _deciders(entry: AuditEntry, version: Any) -> Iterable[int]:
    return reviewers_of(version)


def _newly_asked(entry: AuditEntry, version: Any) -> Iterable[int]:
    """Return who was not asked before; a draft is asked of nobody until it is submitted."""
    before, after = entry.before or {}, entry.after or {}
    return sorted({*after.get("reviewers", ())} - {*before.get("reviewers", ())})


def _authors(entry: AuditEntry, version: Any) -> Iterable[int]:
    return list(version.editors.values_list("user", flat=True))


def _talking(entry: AuditEntry, version: Any) -> Iterable[int]:
    """Return the authors, who is asked to decide, and whoever has said something."""
    said = ReviewComment.objects.filter(version=version.pk).values_list("author", flat=True)
    asked = reviewers.asked_now().filter(version=version.pk).values_list("reviewer", flat=True)
    return {*_authors(entry, version), *said, *asked}


def _of_thread(entry: AuditEntry, version: Any) -> Iterable[int]:
    thread = entry.data.get("thread_id")
    first = ReviewComment.objects.filter(pk=thread)
    answers = ReviewComment.objects.filter(thread=thread)
    return {*first.values_list("author", flat=True), *answers.values_list("author", flat=True)}


def _givers(entry: AuditEntry, grant: Any) -> Iterable[int]:
    return holders(grant.project, Right.GIVE_READGRANT)


def _who_could(entry: AuditEntry, version: Any) -> Iterable[int | None]:
    """Return who could have approved it, its authors, who broke its glass, owners, and auditors."""
    could = reviewers.could_decide(version).values_list("pk", flat=True)
    glass = glass_of(version)
    owners = holders(version.feature_view.project, Right.MANAGE_MEMBERS)
    auditors = holders(version.feature_view.project, Right.VIEW_AUDITENTRY)
    own = {glass.broken_by_id} if glass else set()
    return {*could, *_authors(entry, version), *owners, *auditors, *own}


def _knowing(entry: AuditEntry, question: Any) -> Iterable[int]:
    """Return whom the definition names as owner, and who wrote any of the view and may still.

    Where that is nobody else than who asks, whoever may write it.
    """
    view = question.feature_view
    wrote = VersionEditor.objects.filter(version__feature_view=view)
    writers = holders(view.project, Right.CHANGE_FEATUREVIEW)
    known = set(wrote.values_list("user", flat=True)).intersection(writers)
    return ({*known, *_owners(view)} - {entry.actor_id}) or writers


def _owners(view: FeatureView) -> Iterable[int]:
    """Return the accounts of the project that what speaks for the view names as its owner."""
    version = shown_version(view)
    owner = version.spec.view.owner if version else ""
    is_owner = Q(username=owner) | Q(email__iexact=owner)
    return may_hear(view.project).filter(is_owner).values_list("pk", flat=True) if owner else []


def _in_it(entry: AuditEntry, question: Any) -> Iterable[int]:
    """Return who asked, and all who said something to it."""
    return {question.asked_by_id, *question.answers.values_list("answered_by", flat=True)}


def _askers(entry: AuditEntry, grant: Any) -> Iterable[int | None]:
    return [grant.asked_by_id, grant.user_id]


def _of_version(kind: NewsKind, words: str, hearers: Any, said: str = "", **more: Any) -> News:
    return News(kind, FeatureViewVersion, words, hearers, said, **more)


def _of_question(words: str, hearers: Any) -> News:
    return News(NewsKind.QUESTION, Question, words, hearers)


def _of_grant(words: str, hearers: Any) -> News:
    return News(NewsKind.GRANT, ReadGrant, words, hearers)


#: Those that change what a version is; each ends in ``said``, which channels are told.
_DECISIONS = {
    "approved": ("approved", "was approved"),
    "rejected": ("asks for changes of", "needs changes"),
    "promoted": ("made the default:", "is the default now"),
    "deprecated": ("deprecated", "is deprecated"),
    "retired": ("retired", "is retired"),
}
TABLE = {
    "feature_view_version.submitted": _of_version(
        NewsKind.REVIEW,
        "submitted for your review",
        _deciders,
        "was submitted for review",
        is_call=True,
    ),
    "feature_view_version.asked": _of_version(
        NewsKind.REVIEW, "asks you to review", _newly_asked, is_call=True
    ),
    "feature_view_version.withdrawn": _of_version(
        NewsKind.REVIEW, "took back from review", _deciders, "was taken back from review"
    ),
    "feature_view_version.glass_broken": _of_version(
        NewsKind.REVIEW,
        "broke the glass to approve, and somebody has to look at",
        _who_could,
        "was approved by breaking the glass: somebody else has to confirm it",
    ),
    "feature_view_version.glass_confirmed": _of_version(
        NewsKind.DECISION, "confirmed the broken glass of", _who_could, "was confirmed afterwards"
    ),
    "feature_view_version.glass_objected": _of_version(
        NewsKind.DECISION, "objected to the broken glass of", _who_could, "was objected to"
    ),
    "feature_view_version.glass_ended": _of_version(
        NewsKind.DECISION,
        "is deprecated: nobody confirmed its broken glass in its time",
        _who_could,
        "is deprecated: nobody confirmed its broken glass in its time",
    ),
    "review_comment.added": _of_version(
        NewsKind.COMMENT, "commented on", _talking, "was commented on"
    ),
    "review_comment.resolved": _of_version(NewsKind.COMMENT, "resolved a comment on", _of_thread),
    **{
        f"feature_view_version.{verb}": _of_version(NewsKind.DECISION, words, _authors, said)
        for verb, (words, said) in _DECISIONS.items()
    },
    "question.asked": _of_question("asks:", _knowing),
    "question.answered": _of_question("said more to", _in_it),
    "question.accepted": _of_question("took an answer to", _in_it),
    "question.closed": _of_question("closed", _in_it),
    "question.reopened": _of_question("opened again", _in_it),
    "read_grant.asked": _of_grant("asks for a grant:", _givers),
    "read_grant.given": _of_grant("gave a grant:", _askers),
    "read_grant.refused": _of_grant("refused a grant:", _askers),
    "read_grant.revoked": _of_grant("took back a grant:", _askers),
}
