"""What the server answered: a body read in full, or a problem that becomes an exception.
Not for asking; ``transport`` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay import errors
from assay.sending import Reply


@dataclass(frozen=True)
class Answer:
    """A successful answer, read in full."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "").split(";")[0].strip()

    def json(self) -> Any:
        """Parse the body.

        :raises ServerError: it is not JSON, so something other than the server answered.
        """
        try:
            return json.loads(self.body)
        except ValueError as exc:
            kind = self.content_type or "of no type"
            message = (
                f"the answer is {kind}, not JSON: {_excerpt(self.body)}; "
                "does the address lead to an Assay server?"
            )
            raise errors.ServerError(message, status=self.status) from exc


def raise_for_status(response: Reply) -> None:
    if 200 <= response.status < 300:
        return
    if 300 <= response.status < 400:
        target = response.headers.get("Location", "nowhere")
        message = f"the server redirects to {target}; give that address if you trust it"
        raise errors.ServerError(message, status=response.status, location=target)
    error = errors.from_problem(response.status, _problem(response.status, response.data))
    error.retry_after = _seconds(response.headers.get("Retry-After", ""))
    error.request_id = response.headers.get("X-Request-Id")
    raise error


def _seconds(retry_after: str) -> float | None:
    """Read a Retry-After in seconds; one that is a date is not obeyed: clocks differ."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdecimal() else None


def _problem(status: int, body: bytes) -> dict[str, Any]:
    """Read a problem+json body; what is not one (a proxy's page) becomes its detail."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if isinstance(problem, dict):
        return problem
    return {"detail": f"the server answered {status}: {_excerpt(body)}"}


def _excerpt(body: bytes) -> str:
    text = " ".join(body[:200].decode(errors="replace").split())
    if text.startswith("<"):
        return "markup"
    return repr(text) if text else "an empty body"
