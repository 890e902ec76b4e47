"""JSON answers in the OpenAPI schema, from the typed dictionaries that views answer with.

What builds an answer returns one of these, so a type checker holds it to what the schema
says; not for bodies that are sent (``body_schemas``) or for problems, which have one shape.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias, TypedDict

import msgspec
from drf_spectacular.utils import OpenApiResponse

from lib.body_schemas import with_nullable

#: An instant as RFC 3339 in UTC with Z.
Instant: TypeAlias = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
Tags: TypeAlias = dict[str, str]
#: What has a form of its own that this schema does not tell: a spec, a packet, a manifest.
Document: TypeAlias = dict[str, Any]
COMPONENTS = "#/components/schemas/"
#: Where a schema has what it refers to, until ``hoisted`` has put it where all are.
DEFINED = "$defs"


class Page(TypedDict):
    count: int
    next: str | None
    previous: str | None


def answers(kind: Any, status: int = 200, says: str = "") -> dict[Any, OpenApiResponse]:
    """Return what ``extend_schema(responses=…)`` takes for a JSON answer that is a ``kind``."""
    (schema,), named = msgspec.json.schema_components([kind], ref_template=COMPONENTS + "{name}")
    said = {name: with_nullable(each) for name, each in named.items()}
    whole = {**with_nullable(schema), DEFINED: said}
    return {status: OpenApiResponse(whole, description=says)}


def pages(kind: Any, **more: Any) -> dict[Any, OpenApiResponse]:
    """Return the same for a page of a list, as ``paged`` answers; ``more`` stands beside it."""
    fields = {**Page.__annotations__, "results": list[kind], **more}
    make: Any = TypedDict  # by a name that is known only now
    return answers(make(f"{kind.__name__}Page", fields))


def hoisted(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of ``answers`` without its definitions, which go to the components.

    :raises ValueError: another one has that name there.
    """
    for name, said in schema.get(DEFINED, {}).items():
        if components.setdefault(name, said) != said:
            raise ValueError(f"two kinds of answers are called {name}")
    return {key: value for key, value in schema.items() if key != DEFINED}
