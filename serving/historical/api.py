"""``POST get-historical-features`` over HTTP: translate, one call, translate.

Not for what a training set is: ``read`` says that. Online reads: ``serving.online.api``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.conf import settings
from django.http import FileResponse, HttpResponse
from django.utils import timezone
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer

from lib.accepting import acceptable, takes
from lib.api import API
from lib.bodies import read_body, require_length
from lib.content_codings import COMPRESSED
from lib.media_types import ARROW, CSV, JSON
from lib.pools import Pool
from lib.sent_files import AT_ONCE_BYTES, SentOnce
from materialization.edges.engines import engine
from materialization.edges.stores import offline_store
from registry import access
from serving.edges import answer_limits, historical_limits
from serving.historical.answer_files import gzip_file, write_file
from serving.historical.answers import ANSWERS
from serving.historical.forms import UPLOADS
from serving.historical.openapi import documented
from serving.historical.read import read_training_set
from serving.historical.request import (
    READ_PARAMETERS,
    HistoricalRequest,
    parse_read_body,
    parse_read_parameters,
)
from serving.request_body import BadRequest
from serving.said_headers import MOST_BYTES, said_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from serving.historical.training_set import TrainingSet

Asked = TypeVar("Asked", bound=HistoricalRequest)
EXPLAIN_HEADER = "Assay-Explain"
#: Where that has no room.
NOT_EXPLAINED = "explain: the counts of {} views are longer than a header may be; ask for JSON."
NEXT_HEADER = "Assay-Next"


class AnswerNegotiation(BaseContentNegotiation):
    """Leave ``Accept`` to the view: it does not answer through DRF's renderers."""

    def select_parser(self, request: Request, parsers: Any) -> None:
        return None

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], JSON


class HistoricalFeaturesAPI(API):
    """Training sets: what was known of each entity at each row's time."""

    attempt = "reading a training set"
    pool = Pool.TRAINING_SETS
    parameters = READ_PARAMETERS
    repeatable: ClassVar[frozenset[str]] = frozenset({"features"})
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = AnswerNegotiation

    @documented
    def post(self, request: Request, project: str) -> HttpResponseBase:
        """Join the latest known feature values to each row of an entity frame.

        The frame is JSON or an upload (Parquet, Arrow stream, CSV); ``Accept`` chooses the answer's
        form. Rows keep their order and duplicates, other columns stay as they are.
        """
        found = access.access_project(request.user, project)
        media_type, accepted = (
            frame_type(request),
            acceptable(request.META.get("HTTP_ACCEPT", ""), ANSWERS),
        )
        body = frame_body(request, media_type)
        said = asked(request, media_type, body, parse_read_body, parse_read_parameters)
        said.require_form(accepted)
        answer = read_training_set(
            body,
            media_type,
            request=said,
            project=found,
            actor=request.user,
            engine=engine(bounded=True),
            store=offline_store(),
            limits=historical_limits(),
            at=timezone.now(),
        )
        response = _response(answer, accepted, request, int64_as_text=said.int64_as_text)
        warnings = answer.warnings
        if said.explain and accepted != JSON:  # which has it in its metadata
            counts = json.dumps([part.counts().to_json() for part in answer.parts])
            if len(counts) <= MOST_BYTES:
                response[EXPLAIN_HEADER] = counts
            else:
                warnings = (NOT_EXPLAINED.format(len(answer.parts)), *warnings)
        for name, value in said_headers(warnings, answer.deprecation):
            response[name] = value
        if answer.next is not None:
            response[NEXT_HEADER] = json.dumps(answer.next)
        return response


def _response(
    answer: TrainingSet, media_type: str, request: Request, *, int64_as_text: bool
) -> HttpResponseBase:
    """Return the answer: a small one as it is, a large one as the file that it lies in.

    The file is gzip where the caller takes that; what is small is compressed on its way.
    """
    limits = answer_limits()
    path = write_file(
        answer,
        media_type,
        folder=limits.folder,
        most_mb=limits.most_mb,
        int64_as_text=int64_as_text,
    )
    if Path(path).stat().st_size <= AT_ONCE_BYTES:
        with SentOnce(path) as file:
            return HttpResponse(file.read(), content_type=media_type)
    wanted = request.META.get("HTTP_ACCEPT_ENCODING", "")
    is_gzip = bool(settings.GZIP_FROM_BYTES) and media_type in COMPRESSED and takes(wanted, "gzip")
    if is_gzip:
        path = gzip_file(path, folder=limits.folder)
    response = FileResponse(SentOnce(path), content_type=media_type)
    if is_gzip:
        response["Content-Encoding"], response["Vary"] = "gzip", "Accept-Encoding"
    del response["Content-Disposition"]  # it has a name only here
    return response


def frame_type(request: Request) -> str:
    """Return the media type of the body; without the header it is JSON.

    :raises UnsupportedMediaType: naming the valid ones.
    """
    media_type = (request.content_type or JSON).partition(";")[0].strip().lower()
    if media_type not in (JSON, *UPLOADS):
        raise UnsupportedMediaType(
            media_type,
            f"Content-Type {media_type!r} is not read here. Send {', '.join((JSON, *UPLOADS))}.",
        )
    return media_type


def frame_body(request: Request, media_type: str) -> bytes:
    if media_type in (ARROW, CSV):
        require_length(request, media_type)
    setting = "HISTORICAL_MAX_JSON_BYTES" if media_type == JSON else "HISTORICAL_MAX_BYTES"
    advice = "Send Parquet instead of text, or split the frame."
    return read_body(request, limit=getattr(settings, setting), setting=setting, advice=advice)


def asked(
    request: Request,
    media_type: str,
    body: bytes,
    of_body: Callable[[bytes], Asked],
    of_parameters: Callable[[dict[str, list[str]]], Asked],
) -> Asked:
    """Return what is asked: a JSON body says it all, beside an upload the query does.

    :raises BadRequest: as the readers of both, or a JSON body with a query beside it.
    """
    if media_type != JSON:
        return of_parameters(dict(request.query_params.lists()))
    refuse_query(request)
    return of_body(body)


def refuse_query(request: Request) -> None:
    """:raises BadRequest: the query says something, beside a body of JSON that says it all."""
    if name := next(iter(request.query_params), None):
        raise BadRequest(
            f"the query has {name!r} and the body is JSON: it goes into the body, beside entities.",
            parameter=name,
        )
