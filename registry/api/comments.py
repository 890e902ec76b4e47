"""What is said about a version over HTTP: on lines and as a whole, answered, resolved.

Not for the comment of a decision: ``versions`` has those.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import answers, pages
from lib.api import API, described
from lib.bodies import BadBody, body_reader
from lib.body_schemas import body_of
from lib.parameters import PAGE, paged
from registry import access
from registry.api.answers import CommentAnswer
from registry.api.serializers import comment_output
from registry.choices import Side
from registry.operations.lifecycle.commenting import On, add_comment, resolve_thread, thread_of
from registry.passages import Fates, texts_of

if TYPE_CHECKING:
    from rest_framework.request import Request


class CommentInput(msgspec.Struct, forbid_unknown_fields=True):
    """``path``, ``line`` and ``side`` say which line, ``thread`` what is answered; or neither."""

    body: str
    path: str = ""
    line: int | None = None
    side: str = Side.NEW
    thread: int | None = None


_read = body_reader(CommentInput, '{"body": "…", "path": "ttl", "line": 1, "side": "new"}')
#: More than any key in a database.
MOST_ID = 2**63 - 1


class CommentsAPI(API):
    """What was said about a version, oldest first; each with what became of the line it is on."""

    attempt = "commenting on {name}@{version}"
    parameters = PAGE

    @extend_schema(
        operation_id="list_comments", parameters=described(PAGE), responses=pages(CommentAnswer)
    )
    def get(self, request: Request, project: str, name: str, version: str) -> Response:
        found = access.access_version(request.user, project, name, version)
        rows = found.comments.select_related("author", "resolved_by").prefetch_related("passage")
        fates = Fates(texts_of(found))
        return paged(request, rows, partial(comment_output, version=found, fates=fates))

    @extend_schema(
        operation_id="add_comment",
        request=body_of(CommentInput),
        responses=answers(CommentAnswer),
    )
    def post(self, request: Request, project: str, name: str, version: str) -> Response:
        found = access.access_version(request.user, project, name, version)
        told = _read(request)
        if bool(told.path) != (told.line is not None) or (told.path and told.thread is not None):
            raise BadBody("send path and line together, or thread, or neither of them.")
        on = On(told.path, told.line, told.side) if told.line is not None else None
        said = add_comment(
            version=found,
            body=told.body,
            actor=access.acting_user(request),
            at=timezone.now(),
            on=on,
            thread_id=None if told.thread is None else max(0, min(told.thread, MOST_ID)),
        )
        return Response(comment_output(said, version=found, fates=Fates(texts_of(found))))


class ResolveCommentAPI(API):
    """Settle the thread that begins with a comment."""

    attempt = "resolving comment {comment_id} on {name}@{version}"

    @extend_schema(operation_id="resolve_comment", request=None, responses=answers(CommentAnswer))
    def post(
        self, request: Request, project: str, name: str, version: str, comment_id: str
    ) -> Response:
        found = access.access_version(request.user, project, name, version)
        thread = thread_of(found, min(int(comment_id), MOST_ID))
        actor = access.acting_user(request)
        resolved = resolve_thread(thread=thread, actor=actor, at=timezone.now())
        return Response(comment_output(resolved, version=found, fates=Fates(texts_of(found))))
