"""Requests to S3-compatible storage that carry their own right, by signature version 4.

For what the other clients have no way to ask: an address that somebody else may read by for a
while, an object that must not be there yet, one to remove without a trace of its folder, and a
folder a page at a time.
"""

from __future__ import annotations

import hashlib
import hmac
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from materialization.stores.s3 import host_of, is_path_style

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from registry.spec.connections import S3Connection

_ALGORITHM = "AWS4-HMAC-SHA256"


def signed_url(
    to: S3Connection,
    secret: str,
    key: str,
    *,
    method: str,
    at: datetime,
    seconds: int,
    query: Mapping[str, str] | None = None,
) -> str:
    """Return an address by which ``method`` may be asked of one object until ``seconds`` from now.

    ``key`` is the object's within the bucket, empty for the bucket itself, of which ``query`` says
    what is asked. Headers are not signed but for the host's.
    """
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{to.region}/s3/aws4_request"
    host = host_of(to)
    path = f"/{quote(f'{to.bucket}/{key}' if is_path_style(to) else key)}"
    asked_for = {
        **(query or {}),
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{to.access_key_id}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
    }
    said = "&".join(
        f"{quote(n, safe='')}={quote(v, safe='')}" for n, v in sorted(asked_for.items())
    )
    lines = (method, path, said, f"host:{urlsplit(host).netloc}", "", "host", "UNSIGNED-PAYLOAD")
    asked = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    to_sign = "\n".join((_ALGORITHM, stamp, scope, asked))
    name = f"AWS4{secret}".encode()
    for part in (stamp[:8], to.region, "s3", "aws4_request"):
        name = hmac.digest(name, part.encode(), "sha256")
    mark = hmac.digest(name, to_sign.encode(), "sha256").hex()
    return f"{host}{path}?{said}&X-Amz-Signature={mark}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What is signed for one place is asked of no other."""

    def redirect_request(self, *_: object) -> None:
        return None


#: Goes where it is sent, by no proxy that our environment names.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def ask(
    url: str,
    *,
    method: str,
    timeout: float,
    headers: Mapping[str, str] | None = None,
    most_bytes: int = 1 << 20,
) -> bytes:
    """Ask by a signed address; return the beginning of the answer.

    :raises HTTPError: it is refused. :raises OSError: nobody answers.
    """
    data = b"" if method == "PUT" else None
    asked = urllib.request.Request(url, data, dict(headers or {}), method=method)  # noqa: S310
    with _OPENER.open(asked, timeout=timeout) as answer:
        found: bytes = answer.read(most_bytes)
    return found
