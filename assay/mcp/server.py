"""The server: what it has, and the two ways to it.
Not for whose token is used; see callers.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from inspect import getdoc
from typing import Any, TypeAlias

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import CallToolResult, InputRequiredResult
from pydantic import ValidationError

from assay.client import FeatureStore
from assay.mcp.arguments import MAX_VALUE, check_names, in_words
from assay.mcp.callers import Callers, token_in
from assay.mcp.reading import GUIDE, add_prompts, add_resources
from assay.mcp.tools import add_tools
from assay.transport import ASKED_FROM
from assay.version import __version__

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
#: The names a browser on this machine knows it by; a page elsewhere has another.
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
PATH = "/mcp"


class Server(MCPServer[Any]):
    """Refuses arguments that do not fit in words that a model can go on with."""

    def add_tool(self, fn: Callable[..., Any], *args: Any, **options: Any) -> None:
        """Describe a tool by its docstring, without the margin that it has in the source."""
        super().add_tool(fn, *args, **{**options, "description": getdoc(fn)})

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        known = {tool.name: [*tool.input_schema["properties"]] for tool in await self.list_tools()}
        if name not in known:
            raise ToolError(f"there is no tool {name[:MAX_VALUE]!r}; there are {', '.join(known)}.")
        check_names(name, arguments, known[name])
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as exc:
            if isinstance(exc.__cause__, ValidationError):
                raise ToolError(in_words(name, exc.__cause__, known[name])) from exc
            raise


def make_server(callers: Callers) -> MCPServer[Any]:
    """Make a server that asks as whoever calls."""
    server = Server(
        "assay", title="Assay", instructions=GUIDE, version=__version__, log_level="WARNING"
    )
    add_tools(server, callers)
    add_resources(server, callers)
    add_prompts(server)
    return server


def serve_stdio(store: FeatureStore, *, url: str, project: str | None) -> None:
    """Serve whoever started this process, with the token it was given, until its input ends."""
    make_server(Callers(url=url, project=project, own=store)).run("stdio")


def serve_http(
    *,
    url: str,
    project: str | None,
    host: str,
    port: int,
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
) -> None:
    """Serve callers who each send a token of their own; the process has none.

    ``hosts`` are names it is called by beside the machine's own, ``origins`` those of browsers'
    pages that may call it: none may unless named.
    """
    uvicorn.run(
        http_application(url=url, project=project, host=host, hosts=hosts, origins=origins),
        host=host,
        port=port,
        log_level="info",
    )


def http_application(
    *,
    url: str,
    project: str | None,
    host: str,
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
) -> Application:
    named = [each for name in (*LOOPBACK, *hosts) for each in (name, f"{name}:*")]
    server = make_server(Callers(url=url, project=project, own=None))
    application = server.streamable_http_app(
        streamable_http_path=PATH,
        # Nothing is kept between requests, so no session can be somebody else's.
        stateless_http=True,
        json_response=True,
        host=host,
        transport_security=TransportSecuritySettings(
            allowed_hosts=named, allowed_origins=list(origins)
        ),
    )
    return TokenFirst(application)


class TokenFirst:
    """Refuses whoever sends no token, before anything is read of what they ask, and notes where
    the others call from: the Assay server sees this process's address, not theirs.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}
        if token_in(headers):
            await self._application(_with_address(scope), receive, send)
            return
        said = "send your own token of the Assay server as `Authorization: Bearer assay_…`."
        body = json.dumps({"code": "token_missing", "detail": said}).encode()
        sent = [(b"content-type", b"application/problem+json"), (b"www-authenticate", b"Bearer")]
        sent.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": 401, "headers": sent})
        await send({"type": "http.response.body", "body": body})


def _with_address(scope: Scope) -> Scope:
    """Add whoever calls to those that they, too, may pass on a call for."""
    name, headers = ASKED_FROM.lower().encode(), scope["headers"]
    client = scope.get("client") or ("?",)  # of a socket that has none, no network is known
    addresses = [*(value for key, value in headers if key == name), client[0].encode()]
    others = [(key, value) for key, value in headers if key != name]
    return {**scope, "headers": [*others, (name, b", ".join(addresses))]}
