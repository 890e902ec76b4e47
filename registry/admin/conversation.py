"""What a version's page shows of what people say about it: threads beside the lines they are on.

Not for saying or settling anything (``review`` takes that), nor for where lines are (``passages``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from registry.admin.changes import change_row, text_row
from registry.choices import Fate, Side, State
from registry.operations.lifecycle.asking import may_ask
from registry.operations.lifecycle.commenting import may_resolve_all
from registry.passages import DEFINITION, SQL, Fates, difference_of, texts_of

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from registry.models import FeatureViewVersion, ReviewComment
    from registry.passages import Place


class Thread(NamedTuple):
    """What began it, the answers, and what became of the line since; ``fate`` empty: nothing."""

    first: ReviewComment
    answers: list[ReviewComment]
    fate: str
    may_resolve: bool


def conversation(version: FeatureViewVersion, user: User) -> dict[str, Any]:
    """Return the version's texts as lines, and by line what is said of it.

    ``loose`` is what is said of no line, or of one that is gone.
    """
    texts = texts_of(version)
    placed: dict[Place, list[Thread]] = {}
    loose: list[Thread] = []
    for thread, place in _threads(version, user, texts):
        placed.setdefault(place, []).append(thread) if place else loose.append(thread)
    threads = [thread for found in (*placed.values(), loose) for thread in found]
    is_open = version.state in (State.DRAFT, State.IN_REVIEW)
    return {
        "changed_rows": [change_row(each, placed) for each in difference_of(version)],
        "sql_row": text_row(SQL, texts[SQL][Side.NEW]) if SQL in texts else None,
        "definition_row": text_row(DEFINITION, texts[DEFINITION][Side.NEW]),
        "definition_is_discussed": any(path == DEFINITION for path, _, _ in placed),
        "threads": placed,
        "loose": loose,
        "thread_count": len(threads),
        "unresolved": sum(thread.first.resolved_at is None for thread in threads),
        "may_comment": is_open and may_ask(user, version),
    }


def _threads(
    version: FeatureViewVersion, user: User, texts: dict[str, dict[Side, str]]
) -> list[tuple[Thread, Place | None]]:
    """Return each thread, oldest first, and where it is now."""
    people = version.comments.select_related("author", "resolved_by")
    comments = list(people.prefetch_related("passage"))
    fates, may_all = Fates(texts), may_resolve_all(user, version)
    answers: dict[int, list[ReviewComment]] = {}
    for comment in comments:
        if comment.thread_id is not None:
            answers.setdefault(comment.thread_id, []).append(comment)
    found: list[tuple[Thread, Place | None]] = []
    for first in comments:
        if first.thread_id is not None:
            continue
        now = fates.of(first)
        is_current = first.packet_hash == version.packet_hash
        fate = now.fate if now and not (is_current and now.fate is Fate.UNCHANGED) else ""
        thread = Thread(
            first, answers.get(first.pk, []), fate, may_all or first.author_id == user.pk
        )
        place = (first.path, first.side, now.line) if now and now.line else None
        found.append((thread, place))
    return found
