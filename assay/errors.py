"""What can go wrong between a program and the server, one class a fact.
Not for the server's own errors: those arrive here as problem+json and become these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class AssayError(Exception):
    """Base of everything this package raises.

    ``code`` is stable and meant for programs, ``data`` holds the facts the message names,
    ``status`` is the HTTP status, or None where the error never reached the server.
    ``retry_after`` is in how many seconds the server says to ask again, where it does;
    ``request_id`` is what its log and its trail call the request.
    """

    code = "error"
    retry_after: float | None = None
    request_id: str | None = None

    def __init__(
        self, message: str, *, code: str | None = None, status: int | None = None, **data: Any
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.status = status
        self.data = data

    def as_dict(self) -> dict[str, Any]:
        known = {} if self.request_id is None else {"request_id": self.request_id}
        said = {"code": self.code, "status": self.status, "message": self.message}
        return {**self.data, **said, **known}


class NotConfigured(AssayError):
    """No token, no project, or a setting that cannot be used."""

    code = "not_configured"


class MissingExtra(AssayError):
    """A library is needed that only an extra of this package installs."""

    code = "missing_extra"


class ServerUnreachable(AssayError):
    """No answer arrived: the server is down, the address is wrong, or it took too long."""

    code = "server_unreachable"
    #: It took the request, and did not answer in time.
    is_slow = False


class ServerError(AssayError):
    """The server failed, or answered something this client does not understand."""

    code = "server_error"


class Invalid(AssayError):
    """The request, or what it names, is not valid."""

    code = "invalid"


class InvalidDefinition(Invalid):
    """Definitions were refused; ``errors`` has one ``{file, line, key, value, message}`` each."""

    code = "invalid_definition"

    @property
    def errors(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self.data.get("errors") or []
        return found


class QualityRejected(Invalid):
    """A blocking check failed, so nothing was published."""

    code = "quality_rejected"


class Unauthenticated(AssayError):
    """The token is missing, unknown, expired or revoked."""

    code = "unauthenticated"


class Forbidden(AssayError):
    """The token's user has no right to do this."""

    code = "forbidden"


class NotFound(AssayError):
    """It does not exist, or the token's user may not see it."""

    code = "not_found"


class Conflict(AssayError):
    """The object is not in a state that allows this."""

    code = "conflict"


class Gone(AssayError):
    """The version was retired."""

    code = "gone"


class TooLarge(AssayError):
    """The request is above a limit of the server."""

    code = "too_large"


class TooManyRequests(AssayError):
    """The server asks to slow down."""

    code = "too_many_requests"


class Unavailable(AssayError):
    """The server answers, but a part it needs does not, or a version is not loaded. Try again."""

    code = "unavailable"


class RunFailed(AssayError):
    """A materialization run ended without success; ``data["runs"]`` are the runs that did."""

    code = "run_failed"


class StoresDiffer(AssayError):
    """A comparison found differences, or could not be made; ``data["certificate"]`` says which."""

    code = "stores_differ"


class DatasetDiffers(AssayError):
    """A dataset computed again is another, or could not be; ``data["check"]`` says where."""

    code = "dataset_differs"


class DatasetFailed(AssayError):
    """The server could not make a dataset; ``data`` is what it says of it."""

    code = "dataset_failed"


class HistoricalJobFailed(AssayError):
    """The server could not make a training set; ``data`` is what it says of it."""

    code = "historical_job_failed"


class Differs(AssayError):
    """What is registered is not what files or commits say, and somebody asked to be told."""

    code = "differs"


class ConnectionFailed(AssayError):
    """The system behind a connection does not answer, or not to this server."""

    code = "connection_failed"


class PlanRefused(AssayError):
    """A plan breaks more than whoever asked for it would take."""

    code = "plan_refused"


class WaitTimedOut(AssayError):
    """Runs were still going when the caller's patience ended; they go on."""

    code = "wait_timed_out"


def another_question(column: str) -> ServerError:
    """Make the error of an answer whose keys are not the ones that were asked about."""
    return ServerError(
        f"the answer is about other entity rows than were asked about: see column {column!r}. "
        "Another process or thread may have read from this connection; ask again",
        column=column,
    )


BY_CODE: dict[str, type[AssayError]] = {
    **{kind.code: kind for kind in (InvalidDefinition, QualityRejected)},
    "rows_refused": QualityRejected,
}
BY_STATUS: dict[int, type[AssayError]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    415: Invalid,
    422: Invalid,
    429: TooManyRequests,
    503: Unavailable,
}


def why_unreadable(error: OSError | ValueError) -> str:
    """Say why a file cannot be read or written; its name is for the caller to say, once."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return getattr(error, "strerror", None) or str(error)


def from_problem(status: int, problem: Mapping[str, Any]) -> AssayError:
    """Make the exception that a problem+json body describes."""
    code = str(problem.get("code") or "")
    kind = BY_CODE.get(code) or BY_STATUS.get(status) or ServerError
    detail = problem.get("detail") or problem.get("title") or f"the server answered {status}"
    known = {"type", "title", "status", "code", "detail"}
    # Only these two would collide with parameters of the constructor; the rest is data.
    data = {k: v for k, v in problem.items() if k not in known and k not in {"self", "message"}}
    return kind(str(detail), code=code or None, status=status, **data)
