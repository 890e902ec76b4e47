"""Storage that is S3-compatible as it is opened, and what its clients' errors mean. [pure]

Not for whose it is: sources lie in some (``finding.bucket_storage``), the offline store in another
(``objects``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.spec.connections import Connection, S3Connection

#: Seconds until storage that does not answer, or stopped to, counts as gone; and how often it is
#: asked again, as storage that is asked too much wants to be.
_CONNECT_SECONDS, SILENT_SECONDS, _ATTEMPTS = 10, 30, 4


class Way(Protocol):
    """Where storage is, the secret of its key, and how long somebody waits for it."""

    @property
    def connection(self) -> Connection: ...
    @property
    def secret(self) -> Callable[[], str]: ...
    @property
    def timeout_s(self) -> float: ...


def opened(way: Way) -> S3FileSystem:
    """Return the storage, which is asked once where somebody waits and again otherwise."""
    to = bucket_of(way)
    address = urlsplit(to.endpoint)
    is_hurried = way.timeout_s <= SILENT_SECONDS
    keys = {}
    if to.access_key_id:
        keys = {"access_key": to.access_key_id, "secret_key": way.secret()}
    return S3FileSystem(
        **keys,
        region=to.region,
        scheme=address.scheme or "https",
        endpoint_override=address.netloc or None,
        force_virtual_addressing=not is_path_style(to),
        connect_timeout=min(_CONNECT_SECONDS, way.timeout_s / 2),
        request_timeout=min(SILENT_SECONDS, way.timeout_s / 2),
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=1 if is_hurried else _ATTEMPTS),
    )


def table_options(way: Way) -> dict[str, str]:
    """Return the same for the library that reads and writes Delta tables.

    All that it would else take from our environment is said, where its words for that are known.
    """
    to = bucket_of(way)
    seconds = min(float(SILENT_SECONDS), way.timeout_s / 2)
    keys = {}
    if to.access_key_id:
        keys = {"aws_access_key_id": to.access_key_id, "aws_secret_access_key": way.secret()}
    address = host_of(to)
    return keys | {
        "aws_region": to.region,
        "aws_endpoint": address,
        "aws_virtual_hosted_style_request": str(not is_path_style(to)).lower(),
        "allow_http": str(address.startswith("http://")).lower(),
        # A commit is made by an object that must not be there yet, and by nothing else.
        "aws_conditional_put": "etag",
        "aws_s3_allow_unsafe_rename": "false",
        "timeout": f"{seconds:.0f}s",
        "connect_timeout": f"{min(_CONNECT_SECONDS, seconds):.0f}s",
        "max_retries": str(_ATTEMPTS - 1),
        "retry_timeout": f"{4 * seconds:.0f}s",
    }


def bucket_of(way: Way) -> S3Connection:
    """:raises TypeError: it leads to no bucket."""
    to = way.connection
    if to.kind != "s3":
        raise TypeError(f"{to!r} leads to no bucket")
    return to  # type: ignore[return-value]


def is_path_style(to: S3Connection) -> bool:
    return bool(to.endpoint) if to.path_style is None else to.path_style


def host_of(to: S3Connection) -> str:
    """Return the address that requests for the bucket go to; with its name where hosts have it."""
    address = urlsplit(to.endpoint or f"https://s3.{to.region}.amazonaws.com")
    host = address.netloc if is_path_style(to) else f"{to.bucket}.{address.netloc}"
    return f"{address.scheme}://{host}"


def base_of(to: S3Connection) -> str:
    return "/".join(filter(None, (to.bucket, to.prefix.strip("/"))))


class Why(NamedTuple):
    """What the storage's word for an error means, and whether asking again may help."""

    words: str
    #: What to do about it.
    step: str
    is_refusal: bool = True


#: Nobody need do anything about what passes.
_AGAIN = "runs try again by themselves; if it stays so,"
_OPERATOR = "whoever runs Assay corrects"
GONE = Why(
    "an object is gone",
    f"{_AGAIN} restore it, or keep what is replaced for longer",
    is_refusal=False,
)
NO_BUCKET = Why("there is no such bucket", f"{_OPERATOR} `bucket`, or makes it")
SILENT = Why(
    "the storage does not answer",
    f"{_AGAIN} see whether it is up, and whether this machine reaches its `endpoint`",
    is_refusal=False,
)
_UNKNOWN_KEY = Why("the storage does not know its access key", f"{_OPERATOR} `access_key_id`")
_WRONG_SECRET = Why(
    "its secret key is not that of its access key", f"{_OPERATOR} the secret, or `access_key_id`"
)
_NO_RIGHT = Why("its keys may not do that", "whoever runs the storage gives them the right to")
_ELSEWHERE = Why("the bucket is in another region", f"{_OPERATOR} `region`")
_BUSY = Why(
    "the storage is asked too much, or down",
    f"{_AGAIN} ask whoever runs the storage for its limits, and what it is doing",
    is_refusal=False,
)
#: What the client for objects says, in the order it is looked for.
_SAID_OF_OBJECTS = {
    "NO_SUCH_BUCKET": NO_BUCKET,
    "NO_SUCH_KEY": GONE,
    "INVALID_ACCESS_KEY_ID": _UNKNOWN_KEY,
    "SIGNATURE_DOES_NOT_MATCH": _WRONG_SECRET,
    "ACCESS_DENIED": _NO_RIGHT,
    "HTTP status 403": _NO_RIGHT,
    "HTTP status 301": _ELSEWHERE,
    "SLOW_DOWN": _BUSY,
    "HTTP status 503": _BUSY,
}
#: And the library for Delta tables.
_SAID_OF_TABLES = {
    "NoSuchBucket": NO_BUCKET,
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "SignatureDoesNotMatch": _WRONG_SECRET,
    "AccessDenied": _NO_RIGHT,
    "403 Forbidden": _NO_RIGHT,
    "301 Moved": _ELSEWHERE,
    "SlowDown": _BUSY,
    "503 Service": _BUSY,
    "S3 error": SILENT,
    "sending request": SILENT,
    "timed out": SILENT,
}
#: How the client says an error, first of all or after what was asked: names of keys are no part.
_ERROR = re.compile(r"(?:^|bucket '[^']*': )AWS Error (\w+)(?: \((HTTP status \d+)\))?")


def why(error: OSError) -> Why:
    """Return what the client for objects means; its own words name the bucket and the request."""
    if isinstance(error, FileNotFoundError):
        return GONE
    said = _ERROR.search(str(error))
    words = [] if said is None else [word for word in said.groups() if word]
    return next((why for word, why in _SAID_OF_OBJECTS.items() if word in words), SILENT)


def why_of_table(words: str) -> Why | None:
    """Return what the library for tables means of the storage; None: it means the table."""
    return next((why for word, why in _SAID_OF_TABLES.items() if word in words), None)


def why_of_status(status: int, said: str) -> Why:
    """Return what an answer means that is no yes: by the word it has for the error, or its status.

    What else it says quotes the request.
    """
    found = next((why for word, why in _SAID_OF_TABLES.items() if f"<Code>{word}<" in said), None)
    return found or _SAID_OF_OBJECTS.get(f"HTTP status {status}", SILENT)
