"""Agents over stdio and over HTTP, and what they are told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import Implementation

from tests import servers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


#: What an agent's host calls itself.
HOST = Implementation(name="Scribe <ada@example.org>", version="1.2")


def environment(url: str, token: str | None) -> dict[str, str]:
    own = {"ASSAY_URL": url, "ASSAY_PROJECT": "rides"}
    here = {"PATH": os.environ["PATH"], "PYTHONPATH": str(servers.ROOT)}
    return {**here, **own, **({"ASSAY_TOKEN": token} if token else {})}


def over_stdio(url: str, token: str) -> Client:
    asked = StdioServerParameters(
        command=sys.executable, args=["-m", "assay", "mcp"], env=environment(url, token)
    )
    return Client(asked, client_info=HOST)


@contextmanager
def http_server(url: str) -> Iterator[str]:
    """Give the address of a process that serves HTTP and has no token of its own."""
    command = [sys.executable, "-m", "assay", "mcp", "--http", "--port", "0"]
    process = subprocess.Popen(
        command, env=environment(url, None), stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"running on (http://127\.0\.0\.1:\d+)", line):
                yield f"{found[1]}/mcp"
                break
        else:
            pytest.fail("it did not start")
    finally:
        process.terminate()
        process.wait(60)


@asynccontextmanager
async def over_http(
    address: str, token: str, *, own: str = "127.0.0.1", **more: str
) -> AsyncIterator[Client]:
    bearer = {"Authorization": f"Bearer {token}", **more}
    by = httpx2.AsyncHTTPTransport(local_address=own)
    async with (
        httpx2.AsyncClient(headers=bearer, transport=by) as http,
        Client(streamable_http_client(address, http_client=http), client_info=HOST) as client,
    ):
        yield client


async def said(client: Client, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return json.loads(text_of(result.content[0]))


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.content
    return text_of(result.content[0])


def text_of(content: Any) -> str:
    return str(content.text)
