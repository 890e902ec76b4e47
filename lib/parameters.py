"""Query parameters: texts, words and flags out of a request, and lists answered in pages.

Not for what a list holds: each door knows its own rows and filters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from rest_framework.response import Response

from lib.errors import SHOWN_LENGTH, Invalid, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from django.http import QueryDict
    from rest_framework.request import Request

MAX_LIMIT = 500
#: More rows than any list has; keeps an offset inside what databases can count to.
MAX_OFFSET = 1_000_000_000
#: What every list takes beside its filters.
PAGE = {"limit": f"1 to {MAX_LIMIT}, default 50", "offset": "rows to pass over"}
FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


class BadFilter(Invalid):
    code = "invalid_filter"


class UnknownParameter(Invalid):
    code = "unknown_parameter"


class RepeatedParameter(Invalid):
    code = "repeated_parameter"


def check_parameters(
    sent: QueryDict, known: Collection[str], repeatable: Collection[str] = ()
) -> None:
    """Return if a request has only known parameters, each once unless it is ``repeatable``.

    :raises UnknownParameter: naming the nearest known one: ignored, it would seem to be obeyed.
    :raises RepeatedParameter: one that is there twice; only one of its values could count.
    """
    for name, values in sent.lists():
        shown = name[:SHOWN_LENGTH]
        if name not in known:
            hint = did_you_mean(shown, known) or " This call takes none."
            raise UnknownParameter(f"unknown query parameter {shown!r}.{hint}", parameter=shown)
        if len(values) > 1 and name not in repeatable:
            raise RepeatedParameter(
                f"the query parameter {shown!r} is there {len(values)} times; send it once.",
                parameter=shown,
            )


def stored_text(parameters: Mapping[str, str], name: str) -> str:
    """Return a parameter that a query compares with stored text; empty when absent.

    :raises BadFilter: it holds a NUL, which no stored text can, so databases refuse the question.
    """
    value = parameters.get(name, "")
    if "\x00" in value:
        raise BadFilter(
            f"{name}={value[:SHOWN_LENGTH]!r} holds a NUL, which no text here has; leave it out."
        )
    return value


def one_of(parameters: Mapping[str, str], name: str, known: Iterable[str]) -> str:
    """Return a parameter that is one of a few words; empty when absent.

    :raises BadFilter: another word, which would find nothing; names the nearest.
    """
    value = parameters.get(name, "")
    if value and value not in (valid := list(known)):
        raise BadFilter(
            f"unknown {name} {value[:SHOWN_LENGTH]!r}.{did_you_mean(value[:SHOWN_LENGTH], valid)}"
        )
    return value


def flag(parameters: Mapping[str, str], name: str) -> bool:
    """Return a yes-or-no parameter, False when absent.

    :raises BadFilter: neither; a plan misread as an order would register what was only asked about.
    """
    value = parameters.get(name, "false").lower()
    if value not in FLAGS:
        raise BadFilter(f"{name}={value!r}: write true or false.")
    return FLAGS[value]


def page_bounds(parameters: Mapping[str, str], *, default: int = 50) -> tuple[int, int]:
    """Return (limit, offset); the limit is ``default`` when absent.

    :raises BadFilter: not whole numbers in range.
    """
    try:
        limit, offset = int(parameters.get("limit", default)), int(parameters.get("offset", 0))
    except ValueError as exc:
        raise BadFilter("limit and offset are whole numbers.") from exc
    if not (1 <= limit <= MAX_LIMIT and 0 <= offset <= MAX_OFFSET):
        raise BadFilter(f"limit is 1 to {MAX_LIMIT} and offset at least 0; see the count.")
    return limit, offset


def paged(
    request: Request,
    rows: list[Any] | QuerySet[Any],
    output: Callable[[Any], Mapping[str, object]] | None = None,
) -> Response:
    """Answer one page of rows already in order, each described by ``output``."""
    limit, offset = page_bounds(request.query_params)
    count = rows.count() if isinstance(rows, QuerySet) else len(rows)
    page = list(rows[offset : offset + limit])

    def link(to: int) -> str:
        query = request.query_params.copy()
        query["limit"], query["offset"] = str(limit), str(to)
        return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")

    return Response(
        {
            "count": count,
            "next": link(offset + limit) if offset + limit < count else None,
            "previous": link(max(offset - limit, 0)) if offset else None,
            "results": [output(row) for row in page] if output else page,
        }
    )
