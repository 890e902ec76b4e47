"""What a get-historical-features request may say, in JSON or in query parameters. [pure]

Not for the entity frame (``forms``) or for whether its features exist (``plan``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from lib.decoding import converter
from lib.errors import SHOWN_LENGTH
from lib.json_bodies import MAX_DEPTH, UNREADABLE, decode, is_too_deep, why_unreadable
from lib.media_types import JSON
from materialization.compute.questions import Timing
from serving.historical.all_entities import AllEntities
from serving.historical.entity_query import EntityQuery
from serving.historical.named_views import NamedView, check_names
from serving.request_body import BadRequest, check_asked, read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

R = TypeVar("R", bound="HistoricalRequest")


class HistoricalRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``entities`` is columnar: entity column → one value a row; None when a frame is uploaded.

    With ``all_entities`` there is no frame, with ``entity_query`` a source has it. ``views`` are
    names that references use as those of views.
    """

    features: list[str] | None = None
    feature_service: str | None = None
    timing: Timing = Timing.KNOWN
    full_feature_names: bool = False
    explain: bool = False
    views: dict[str, NamedView] = {}
    entities: dict[str, list[Any]] | None = None
    all_entities: AllEntities | None = None
    entity_query: EntityQuery | None = None

    @property
    def about(self) -> tuple[object, ...]:
        """The ways of saying whom it is about, of which one is there."""
        return self.entities, self.all_entities, self.entity_query

    @property
    def has_text_keys(self) -> bool:
        """Whether keys of int64 may be text."""
        return False


class ReadRequest(HistoricalRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One that is answered at once, as JSON too."""

    #: Write 64-bit whole numbers as text, and read keys of int64 so too: JavaScript's do not hold
    #: them.
    int64_as_text: bool = False

    @property
    def has_text_keys(self) -> bool:
        return self.int64_as_text

    def require_form(self, form: str) -> None:
        """:raises BadRequest: the answer is to have a form that has whole numbers itself."""
        if self.int64_as_text and form != JSON:
            raise BadRequest(
                f"int64_as_text is for {JSON}: {form} has whole numbers. Leave one out."
            )


#: What uploads say in query parameters.
PARAMETERS = {
    "features": "Repeat it for each; uploads only.",
    "feature_service": "Uploads only.",
    "timing": "known (default) or event; uploads only.",
    "full_feature_names": "true or false; uploads only.",
    "explain": "true or false; uploads only.",
    "views": "The JSON object that a body has under this name; uploads only.",
}
#: The same of those that are answered at once.
READ_PARAMETERS = {**PARAMETERS, "int64_as_text": "true or false; uploads only."}
_read = converter(HistoricalRequest)
_read_parameters = converter(HistoricalRequest, strict=False)
_read_at_once = converter(ReadRequest)
_read_at_once_parameters = converter(ReadRequest, strict=False)
_TIMINGS = f"timing is one of {', '.join(Timing)}; flags are true or false."
_BAD_WORD = re.compile(r"Invalid enum value (.+) - at `\$\.timing`")


def parse_body(body: bytes) -> HistoricalRequest:
    """Read a JSON request.

    :raises BadRequest: not JSON, unknown keys, wrong types, nothing asked.
    """
    return parsed_body(body, HistoricalRequest, _read, what="get-historical-features")


def parse_read_body(body: bytes) -> ReadRequest:
    """Read a JSON request that is answered at once; errors as ``parse_body``."""
    return parsed_body(body, ReadRequest, _read_at_once, what="get-historical-features")


def parse_read_parameters(parameters: Mapping[str, list[str]]) -> ReadRequest:
    """Read ``READ_PARAMETERS``, as ``parse_parameters`` does."""
    return parsed_parameters(parameters, _read_at_once_parameters)


def parsed_body(body: bytes, kind: type[R], read: Callable[[Any], R], *, what: str) -> R:
    """Read a JSON request for ``what``, of this or of a kind that says more.

    :raises BadRequest: not JSON, unknown keys, wrong types, without a frame, nothing asked.
    """
    try:
        request = read_json(body, kind, read, what=what, valid=_TIMINGS)
    except BadRequest as exc:
        _refuse_timing(exc.message)
        raise
    if sum(each is not None for each in request.about) != 1:
        raise BadRequest(
            'send "entities": one list a column, event_timestamp and the join keys among them; or'
            ' "all_entities", with the times asked about; or "entity_query", a source and a SELECT.'
        )
    for name, column in (request.entities or {}).items():
        _check_column(name, column)
    check_asked(request.features, request.feature_service)
    check_names(request.views, of_service=request.feature_service is not None)
    return request


def parse_parameters(parameters: Mapping[str, list[str]]) -> HistoricalRequest:
    """Read the query parameters beside an uploaded frame: ``PARAMETERS``, of which ``features`` is
    a list.

    :raises BadRequest: a value that is none; names it and what is valid.
    """
    return parsed_parameters(parameters, _read_parameters)


def parsed_parameters(parameters: Mapping[str, list[str]], read: Callable[[Any], R]) -> R:
    """Read query parameters as ``read`` does, of this or of a kind that says more.

    :raises BadRequest: a value that is none, or nothing asked; names it and what is valid.
    """
    sent: dict[str, Any] = {name: values[-1] for name, values in parameters.items()}
    if "features" in parameters:
        sent["features"] = parameters["features"]
    for name in ("views", "split"):
        if name in parameters:
            sent[name] = _json_parameter(name, sent[name])
    try:
        request = read(sent)
    except msgspec.ValidationError as exc:
        _refuse_timing(str(exc))
        raise BadRequest(f"query parameters: {exc}. {_TIMINGS}") from exc
    check_asked(request.features, request.feature_service)
    check_names(request.views, of_service=request.feature_service is not None)
    return request


def _json_parameter(name: str, text: str) -> Any:
    try:
        return decode(text.encode())
    except UNREADABLE as exc:
        reason = why_unreadable(exc)
        raise BadRequest(f"query parameter {name} is not JSON: {reason}.", parameter=name) from exc


def _refuse_timing(reason: str) -> None:
    """Say a timing that does not exist in our own words; other reasons stay the reader's."""
    if found := _BAD_WORD.search(reason):
        given = found[1].strip("'")[:SHOWN_LENGTH]
        raise BadRequest(f"timing: {given!r} is not one of the timings, {' and '.join(Timing)}.")


def _check_column(name: str, column: list[Any]) -> None:
    """Refuse what no frame can hold, before a library that does not expect it meets it."""
    shown = name[:SHOWN_LENGTH]
    if "\x00" in name:
        raise BadRequest(f"entities: column {shown!r} holds a NUL; no column's name has one.")
    if is_too_deep(column):
        raise BadRequest(
            f"entities: column {shown!r} is nested deeper than {MAX_DEPTH} levels;"
            " send plain values."
        )
