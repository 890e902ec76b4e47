"""Which requests may be answered before Django's stack, at the WSGI door: plain ones to our names.

Not for answering them (``online.door``, ``ingest.door``). See docs/decisions/0005.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http.request import split_domain_port, validate_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Environ = dict[str, Any]
    StartResponse = Callable[..., Any]
    Application = Callable[[Environ, StartResponse], Iterable[bytes]]

#: What a door met, for the view behind it to say: it does not try again.
MET = "assay.met_at_the_door"


def plain_post(environ: Environ, *, most: int) -> int | None:
    """Return how long the body of a plain POST is; None: it is none, or has over ``most`` bytes."""
    length = environ.get("CONTENT_LENGTH", "")
    is_short = length.isdecimal() and int(length) <= most
    is_plain = environ["REQUEST_METHOD"] == "POST" and not (
        environ.get("QUERY_STRING") or environ.get("HTTP_CONTENT_ENCODING")
    )
    if is_short and is_plain and _is_ours(environ.get("HTTP_HOST", "")):
        return int(length)
    return None


def ok_headers(content_type: str, content: bytes) -> list[tuple[str, str]]:
    return [
        ("Content-Type", content_type),
        ("Content-Length", str(len(content))),
        ("X-Content-Type-Options", "nosniff"),
    ]


@lru_cache(maxsize=64)
def _is_ours(host: str) -> bool:
    """Tell whether the server answers to this name; what it does not, Django refuses in words."""
    name, _ = split_domain_port(host)
    return bool(name) and validate_host(name, settings.ALLOWED_HOSTS)
