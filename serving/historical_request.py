"""What a get-historical-features request may say, in JSON or in query parameters. [pure]

Not for the entity frame (``frames``) or for whether its features exist (``training_sets``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from registry.errors import Invalid, did_you_mean
from serving.point_in_time import Timing

if TYPE_CHECKING:
    from collections.abc import Mapping


class BadHistoricalRequest(Invalid):
    code = "invalid_request"


class HistoricalRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``entities`` is columnar: entity column → one value a row; None when a frame is uploaded."""

    features: list[str] | None = None
    feature_service: str | None = None
    timing: Timing = Timing.KNOWN
    full_feature_names: bool = False
    explain: bool = False
    entities: dict[str, list[Any]] | None = None


#: What uploads say in query parameters.
PARAMETERS = tuple(name for name in HistoricalRequest.__struct_fields__ if name != "entities")
_decoder = msgspec.json.Decoder(HistoricalRequest)


def parse_body(body: bytes) -> HistoricalRequest:
    """Read a JSON request.

    :raises BadHistoricalRequest: not JSON, unknown keys, wrong types, nothing asked.
    """
    try:
        request = _decoder.decode(body)
    except msgspec.DecodeError as exc:
        raise BadHistoricalRequest(_reason(body, exc)) from exc
    if request.entities is None:
        raise BadHistoricalRequest(
            'send "entities": one list a column, event_timestamp and the join keys among them.'
        )
    return _asks_for_something(request)


def parse_parameters(parameters: Mapping[str, list[str]]) -> HistoricalRequest:
    """Read the query parameters beside an uploaded frame; ``features`` may be repeated.

    :raises BadHistoricalRequest: an unknown parameter or value; names it and what is valid.
    """
    unknown = sorted(set(parameters) - set(PARAMETERS))
    if unknown:
        raise BadHistoricalRequest(
            f"unknown query parameter {unknown[0]!r}.{did_you_mean(unknown[0], PARAMETERS)}"
        )
    # The last of a repeated one counts, as everywhere on the web; features are a list.
    sent: dict[str, Any] = {name: values[-1] for name, values in parameters.items()}
    if "features" in parameters:
        sent["features"] = parameters["features"]
    try:
        request = msgspec.convert(sent, HistoricalRequest, strict=False)
    except msgspec.ValidationError as exc:
        raise BadHistoricalRequest(f"query parameters: {exc}. {_TIMINGS}") from exc
    return _asks_for_something(request)


def _asks_for_something(request: HistoricalRequest) -> HistoricalRequest:
    if bool(request.features) == (request.feature_service is not None):
        raise BadHistoricalRequest(
            'send either "features", as in ["view:feature"], or "feature_service", as in "name".'
        )
    return request


_TIMINGS = f"timing is one of {', '.join(Timing)}; flags are true or false."


def _reason(body: bytes, error: msgspec.DecodeError) -> str:
    if not isinstance(error, msgspec.ValidationError):
        return f"the body is not JSON: {error}."
    sent = msgspec.json.decode(body)
    known = HistoricalRequest.__struct_fields__
    unknown = sorted(set(sent) - set(known)) if isinstance(sent, dict) else []
    if unknown:
        return f"unknown key {unknown[0]!r} in the body.{did_you_mean(unknown[0], known)}"
    return f"the body is not a get-historical-features request: {error}. {_TIMINGS}"
