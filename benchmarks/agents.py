"""What an agent waits for: the same reads through ``assay mcp`` over stdio and over HTTP, by the
client itself, which is their floor, and by the command, a process a question.

Run it beside a server, with ``ASSAY_URL``, ``ASSAY_TOKEN`` and ``ASSAY_PROJECT`` as `make demo`
prints them; it asks for the feature service of that example.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import numpy as np
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from assay import FeatureStore
from benchmarks import parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

SERVICE, USERS = "recommender", [1001, 1002, 1003]
READ = {"entities": {"user_id": USERS}, "feature_service": SERVICE}
TOOLS = {"read_features": READ, "get_feature_context": READ, "search_features": {"words": "genre"}}
#: A process for each question is slow enough for fewer of them.
PROCESSES = 10
COMMAND = [sys.executable, "-m", "assay"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=300)
    options = parser.parse_args()
    print(f"{'':<42} {'p50 ms':>8} {'p99 ms':>8}")
    by_client(options.calls)
    asyncio.run(by_agents(options.calls))
    by_command()


def by_client(calls: int) -> None:
    with FeatureStore() as store:
        asked: dict[str, Callable[[], Any]] = {
            "read_features": lambda: store.get_online_features(SERVICE, {"user_id": USERS}),
            "get_feature_context": lambda: store.get_feature_context(SERVICE, {"user_id": USERS}),
            "search_features": lambda: store.search_features("genre"),
        }
        for name, ask in asked.items():
            ask()
            tell(f"client, {name}", [timed(ask) for _ in range(calls)])


async def by_agents(calls: int) -> None:
    async with over_stdio() as client:
        await _tools("stdio", client, calls)
    with http_server() as address:
        async with over_http(address) as client:
            await _tools("http", client, calls)


async def _tools(way: str, client: Client, calls: int) -> None:
    for name, arguments in TOOLS.items():
        took = []
        for _ in range(calls + 1):
            took.append(await awaited(lambda: client.call_tool(name, arguments)))  # noqa: B023
        tell(f"assay mcp over {way}, {name}", took[1:])


async def awaited(ask: Callable[[], Awaitable[Any]]) -> float:
    begun = time.perf_counter()
    answer = await ask()
    assert not answer.is_error, answer.content
    return time.perf_counter() - begun


def by_command() -> None:
    words = ["get-feature-context", "-s", SERVICE, "--entity", "user_id=1001"]
    for name, line in (("--version", ["--version"]), ("get-feature-context", words)):

        def ask(line: list[str] = line) -> None:
            subprocess.run([*COMMAND, *line], check=True, capture_output=True)

        tell(f"command, {name}", [timed(ask) for _ in range(PROCESSES)])


def timed(ask: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    ask()
    return time.perf_counter() - begun


def tell(what: str, seconds: list[float]) -> None:
    p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
    print(f"{what:<42} {p50:>8.2f} {p99:>8.2f}", flush=True)


def over_stdio() -> Client:
    return Client(
        StdioServerParameters(
            command=COMMAND[0], args=[*COMMAND[1:], "mcp"], env=dict(os.environ), cwd=parts.ROOT
        )
    )


@contextmanager
def http_server() -> Iterator[str]:
    command = [*COMMAND, "mcp", "--http", "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        found = next(filter(None, map(re.compile(r"running on (http\S+)").search, process.stderr)))
        yield f"{found[1]}/mcp"
    finally:
        process.terminate()
        process.wait(10)


@asynccontextmanager
async def over_http(address: str) -> AsyncIterator[Client]:
    bearer = {"Authorization": f"Bearer {os.environ['ASSAY_TOKEN']}"}
    async with (
        httpx2.AsyncClient(headers=bearer) as http,
        Client(streamable_http_client(address, http_client=http)) as client,
    ):
        yield client


if __name__ == "__main__":
    main()
