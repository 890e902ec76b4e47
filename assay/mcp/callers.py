"""Who calls: over stdio whoever started the process, over HTTP the token of each request.
Not for what may be asked; the Assay server decides that, as of everybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, ToolError

from assay.client import FeatureStore
from assay.errors import AssayError, InvalidDefinition
from assay.transport import ASKED_FROM

#: Things wrong with definitions that one answer names.
MAX_PROBLEMS = 20
BEARER = "bearer "
#: What of a program's name goes into a header, and so into the trail, and how much of it.
ODD = re.compile(r"[^A-Za-z0-9 ._/()+-]+")
MAX_NAME = 80


class Callers:
    """Gives the store of whoever calls; ``own`` is the process's, None where each brings one."""

    def __init__(self, *, url: str, project: str | None, own: FeatureStore | None) -> None:
        self._url, self._project, self._own = url, project, own

    def tool(self, ctx: Context[Any, Any]) -> AbstractContextManager[FeatureStore]:
        """Give the caller's store; what it is refused is told to the model in words."""
        return self._telling(ctx, ToolError)

    def resource(self, ctx: Context[Any, Any]) -> AbstractContextManager[FeatureStore]:
        """Give the caller's store; what it is refused is told to the host in words."""
        return self._telling(ctx, ResourceError)

    @contextmanager
    def _telling(
        self, ctx: Context[Any, Any], refusal: type[ToolError | ResourceError]
    ) -> Iterator[FeatureStore]:
        try:
            with self._store(ctx) as store:
                yield store
        except AssayError as exc:
            raise refusal(in_words(exc)) from exc

    @contextmanager
    def _store(self, ctx: Context[Any, Any]) -> Iterator[FeatureStore]:
        through = program_of(ctx)
        if self._own is not None:
            yield self._own.passing_on(through=through)
            return
        headers = ctx.headers or {}
        token = token_in(headers)
        if not token:
            # The door refuses such requests; nothing else may stand in for a caller's token.
            raise ToolError("the request has no token: send it as `Authorization: Bearer …`.")
        with FeatureStore(self._url, token, self._project) as store:
            addresses = headers.get(ASKED_FROM.lower(), "?")
            yield store.passing_on(asked_from=addresses, through=through)


def program_of(ctx: Context[Any, Any]) -> str:
    """Return what the model's host calls itself, as in ``mcp Scribe 1.2``; ``mcp`` says nothing."""
    asked = ctx.session.client_params
    name = f"{asked.client_info.name} {asked.client_info.version}" if asked else ""
    return f"mcp {ODD.sub('?', name).strip()}"[:MAX_NAME].strip()


def token_in(headers: Mapping[str, str]) -> str:
    """Return the bearer token of a request's headers; empty: it has none."""
    said = headers.get("authorization", "")
    return said[len(BEARER) :].strip() if said.lower().startswith(BEARER) else ""


def in_words(error: AssayError) -> str:
    """Return what the server refused, its code, and each thing that is wrong with definitions."""
    lines = [f"{error.code}: {error.message}"]
    if isinstance(error, InvalidDefinition):
        lines += [f"- {each.get('key')}: {each.get('message')}" for each in error.errors]
        if len(lines) > MAX_PROBLEMS + 1:
            lines[MAX_PROBLEMS + 1 :] = [f"and {len(error.errors) - MAX_PROBLEMS} more."]
    return "\n".join(lines)
