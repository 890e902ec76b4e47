"""The subcommand that serves agents over the Model Context Protocol.
Not for what they can do; assay.mcp has that.
"""

from __future__ import annotations

import argparse

from assay.cli.arguments import Commands, Context
from assay.extras import require

DEFAULT_PORT = 8765


def add(commands: Commands) -> None:
    mcp = commands.add("mcp", run, "Serve agents: find, describe and read features, propose some.")
    mcp.add_argument(
        "--http",
        action="store_true",
        help="over HTTP, where each request has its caller's token; without it over stdio",
    )
    mcp.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    mcp.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"({DEFAULT_PORT})")
    mcp.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="it is called by, too"
    )
    mcp.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="whose pages may call it from a browser, as in https://chat.example.org",
    )


def run(context: Context, args: argparse.Namespace) -> None:
    require("mcp", "assay mcp")
    from assay.mcp import server  # not before it is known to be there

    url, project = context.store.url, context.store.project
    if not args.http:
        server.serve_stdio(context.store, url=url, project=project)
        return
    context.out.note(f"agents reach it at http://{args.host}:{args.port}{server.PATH}")
    server.serve_http(
        url=url,
        project=project,
        host=args.host,
        port=args.port,
        hosts=args.allow_host,
        origins=args.allow_origin,
    )
