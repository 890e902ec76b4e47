"""Streams that tables are fed from: how far each part was read, and what could not be taken.

Not for reading records: consumers do.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Count, Q
from django.utils.html import format_html
from unfold.decorators import display

from lib.clock import database_now
from lib.errors import Forbidden, Invalid
from materialization.choices import OPEN_LETTERS, LetterState
from materialization.models import DeadLetter, StreamPart
from materialization.requests.letters import dismiss_letters, open_alike, replay_letter
from materialization.requests.streams import OLDEST, read_on
from materialization.streams.places import NEWEST
from registry import access
from registry.admin.attempts import attempt
from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter, column_filter
from registry.choices import Right
from registry.markup import badge, breakable, link, muted, utc_stacked

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    from registry.models import FeatureView

_WORDS = {"oldest": OLDEST, "newest": NEWEST}


def _lag_of(part: StreamPart) -> str:
    """Return how many records wait, in words; empty: nobody knows."""
    if part.lag is None:
        return ""
    return f"{'at least ' if part.lag_is_least else ''}{part.lag:,}"


@admin.register(StreamPart)
class StreamPartAdmin(ScopedAdmin):
    """One line a partition and table. Its page says where to read on."""

    project_path = "table__feature_view__project"
    page = "materialization/admin/stream_part.html"
    posts: ClassVar[dict[str, str]] = {"read_on": "saying where to read on in part {object_id}"}
    list_display = ("title", "view", "state_badge", "read_up_to", "letters_waiting", "seen")
    list_filter = (column_filter("state"), ProjectFilter)
    search_fields = ("stream", "table__feature_view__name")
    search_help_text = "Search by stream or view"
    ordering = ("table__feature_view__name", "stream", "partition", "pk")
    empty_hint = "No ready version is over a stream, or no consumer has looked yet"

    def get_queryset(self, request: HttpRequest) -> QuerySet[StreamPart]:
        rows: QuerySet[StreamPart] = super().get_queryset(request)
        waiting = Count("letters", filter=Q(letters__state__in=OPEN_LETTERS))
        return rows.select_related("table__feature_view__project").annotate(waiting=waiting)

    def content(self, request: HttpRequest, obj: StreamPart) -> dict[str, Any]:
        view = obj.table.feature_view
        letters = obj.letters.filter(state__in=OPEN_LETTERS).order_by("-id")[:20]
        may_run = _may_run(request, view)
        return {"part": obj, "lag": _lag_of(obj), "letters": letters, "may_run": may_run}

    def read_on(self, request: HttpRequest, obj: StreamPart) -> None:
        actor, at = access.acting_user(request), database_now()
        said, reason = request.POST.get("place", "").strip(), request.POST.get("reason", "").strip()

        def move() -> StreamPart:
            access.require(actor, Right.MATERIALIZE_FEATUREVIEW, obj.table.feature_view)
            if said not in _WORDS and not (said.isdecimal() and said.isascii() and len(said) < 20):
                raise Invalid(f"{said[:100]!r} is no place: write an offset, oldest or newest.")
            place = _WORDS[said] if said in _WORDS else int(said)
            return read_on(part=obj, place=place, actor=actor, reason=reason, at=at)

        attempt(request, move, done="A consumer reads on there within seconds.")

    @display(description="Stream", ordering="stream")
    def title(self, part: StreamPart) -> SafeString:
        return format_html("{}<br>{}", link(part, str(part)), breakable(part.table.uid))

    @display(description="Feature view", ordering="table__feature_view__name")
    def view(self, part: StreamPart) -> SafeString:
        return link(part.table.feature_view)

    @display(description="State")
    def state_badge(self, part: StreamPart) -> SafeString:
        said = breakable(part.words[:160]) if part.words else ""
        return format_html('{}<br><small class="as-muted">{}</small>', badge(part.state), said)

    @display(description="Read")
    def read_up_to(self, part: StreamPart) -> SafeString | str:
        if part.place is None:
            return muted("nobody looked yet")
        unknown = muted("it is not known how many wait")
        known = f"{_lag_of(part)} wait" if part.lag else muted("nothing waits")
        behind = unknown if part.lag is None else known
        return format_html("up to {}<br>{}", part.place, behind)

    @display(description="Dead letters", ordering="waiting")
    def letters_waiting(self, part: StreamPart) -> SafeString | str:
        waiting: int = part.waiting  # type: ignore[attr-defined]
        gone = f", and {part.letters_removed:,} gave way" if part.letters_removed else ""
        return f"{waiting:,}{gone}" if waiting or gone else muted("none")

    @display(description="Looked at", ordering="seen_at")
    def seen(self, part: StreamPart) -> SafeString:
        return utc_stacked(part.seen_at)


@admin.register(DeadLetter)
class DeadLetterAdmin(ScopedAdmin):
    """Where a record lies that could not be taken, why, and the button to try it again."""

    project_path = "part__table__feature_view__project"
    page = "materialization/admin/dead_letter.html"
    posts: ClassVar[dict[str, str]] = {
        "replay": "having dead letter {object_id} read again",
        "dismiss": "dismissing dead letter {object_id}",
    }
    list_display = ("title", "view", "state_badge", "why", "noted")
    list_filter = (column_filter("state"), ProjectFilter)
    search_fields = ("part__stream", "part__table__feature_view__name", "words")
    search_help_text = "Search by stream, view or reason"
    ordering = ("-pk",)
    empty_hint = "Every record that was read could be taken"

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        rows: QuerySet[DeadLetter] = super().get_queryset(request)
        return rows.select_related("part__table__feature_view__project", "dismissed_by")

    def content(self, request: HttpRequest, obj: DeadLetter) -> dict[str, Any]:
        may_run = _may_run(request, obj.part.table.feature_view)
        return {
            "letter": obj,
            "may_replay": may_run
            and obj.state in (LetterState.WAITING, LetterState.DISMISSED)
            and not obj.is_left_behind,
            "may_dismiss": may_run and obj.state in OPEN_LETTERS,
            "alike": open_alike(obj).count(),
        }

    def replay(self, request: HttpRequest, obj: DeadLetter) -> None:
        actor, at = access.acting_user(request), database_now()
        again = partial(replay_letter, letter=obj, actor=actor, at=at)
        attempt(request, again, done="A consumer reads it again within seconds.")

    def dismiss(self, request: HttpRequest, obj: DeadLetter) -> None:
        done = attempt(
            request,
            partial(
                dismiss_letters,
                letter=obj,
                alike="alike" in request.POST,
                actor=access.acting_user(request),
                reason=request.POST.get("reason", ""),
                at=database_now(),
            ),
        )
        if done is not None:
            more = f"; {done.still_alike:,} alike wait still" if done.still_alike else ""
            messages.success(request, f"Dismissed: {done.dismissed:,}{more}.")

    @display(description="Record")
    def title(self, letter: DeadLetter) -> SafeString:
        return link(letter, str(letter))

    @display(description="Feature view")
    def view(self, letter: DeadLetter) -> SafeString:
        return link(letter.part.table.feature_view)

    @display(description="State")
    def state_badge(self, letter: DeadLetter) -> SafeString:
        return badge(letter.state)

    @display(description="Why")
    def why(self, letter: DeadLetter) -> SafeString:
        return format_html('<span class="as-small">{}</span>', breakable(why_of(letter)))

    @display(description="Noted", ordering="created_at")
    def noted(self, letter: DeadLetter) -> SafeString:
        return utc_stacked(letter.created_at)


def why_of(letter: DeadLetter) -> str:
    return f"{letter.column}: {letter.words}" if letter.column else letter.words


def _may_run(request: HttpRequest, view: FeatureView) -> bool:
    try:
        access.require(request.user, Right.MATERIALIZE_FEATUREVIEW, view)
    except Forbidden:
        return False
    return True
