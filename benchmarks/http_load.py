"""Closed-loop HTTP load from a process of its own: each connection asks again when it was answered.

By wrk where it is installed: this generator is Python, costs more than what it asks and so becomes
the limit itself. Not for open-loop latency: it says how much a server can do, and what that costs
each caller.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple


class Load(NamedTuple):
    """What one run saw; latencies in milliseconds."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float


def measure(
    *,
    port: int,
    path: str,
    bodies: Path,
    headers: dict[str, str],
    connections: int,
    seconds: float,
    pause: float = 0.0,
) -> Load:
    """Load a server on loopback from another process; ``bodies`` has one JSON body a line.

    Each connection asks again ``pause`` seconds after it was answered.

    :raises RuntimeError, subprocess.CalledProcessError: a request was refused or not answered.
    """
    if generator(seconds=seconds, pause=pause) == "wrk":
        return _by_wrk(port, path, bodies, headers, connections, int(seconds))
    command = [
        sys.executable,
        __file__,
        "--port",
        str(port),
        "--path",
        path,
        "--bodies",
        str(bodies),
    ]
    command += ["--headers", json.dumps(headers)]
    command += ["--connections", str(connections), "--seconds", str(seconds)]
    command += ["--pause", str(pause)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Load(**json.loads(done.stdout))


def generator(*, seconds: float, pause: float = 0.0) -> str:
    """Return what makes the load: wrk counts whole seconds and does not pause."""
    return "wrk" if shutil.which("wrk") and seconds >= 1 and not pause else "Python"


def _by_wrk(
    port: int, path: str, bodies: Path, headers: dict[str, str], connections: int, seconds: int
) -> Load:
    said = {"Content-Type": "application/json", **headers}
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    command += ["-s", str(Path(__file__).with_suffix(".lua"))]
    for name, value in said.items():
        command += ["-H", f"{name}: {value}"]
    command += [f"http://127.0.0.1:{port}{path}", "--", str(bodies)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.rpartition("{")[1] + done.stdout.rpartition("{")[2])
    if found["refused"] or found["broken"]:
        raise RuntimeError(
            f"of {found['requests']} requests by {connections} connections {found['refused']} were"
            f" refused and {found['broken']} not answered"
        )
    rate = found["requests"] / found["microseconds"] * 1e6
    return Load(rate, found["p50"] / 1e3, found["p99"] / 1e3)


def requests_of(arguments: argparse.Namespace) -> list[bytes]:
    extra = "".join(f"{name}: {value}\r\n" for name, value in json.loads(arguments.headers).items())
    requests = []
    for body in Path(arguments.bodies).read_bytes().splitlines():
        head = f"POST {arguments.path} HTTP/1.1\r\nHost: localhost\r\n{extra}"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        requests.append(head.encode() + body)
    return requests


def ask(connection: socket.socket, request: bytes) -> None:
    """Send one request and read its whole answer.

    :raises RuntimeError: the answer is not 200; shows its beginning.
    """
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        if not (part := connection.recv(65_536)):
            raise RuntimeError("the server closed the connection")
        answer += part
    head, _, received = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(answer[:600].decode(errors="replace"))
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(lengths[0].split(b":")[1]) - len(received)
    while missing > 0:
        missing -= len(connection.recv(65_536))


def caller(
    arguments: argparse.Namespace, requests: list[bytes], first: int, taken: list[float]
) -> None:
    end = time.perf_counter() + arguments.seconds
    with socket.create_connection(("127.0.0.1", arguments.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        turn, before = first, time.perf_counter()
        while before < end:
            ask(connection, requests[turn % len(requests)])
            turn, after = turn + 1, time.perf_counter()
            taken.append(after - before)
            if arguments.pause:
                time.sleep(arguments.pause)
                after = time.perf_counter()
            before = after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("path", "bodies", "headers"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("port", "connections"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--pause", type=float, default=0.0)
    arguments = parser.parse_args()
    requests, taken = requests_of(arguments), [[] for _ in range(arguments.connections)]
    step = max(len(requests) // arguments.connections, 1)
    threads = [
        threading.Thread(target=caller, args=(arguments, requests, step * i, times))
        for i, times in enumerate(taken)
    ]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    times = sorted(t for part in taken for t in part)
    load = Load(
        len(times) / seconds, times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3
    )
    print(json.dumps(load._asdict()))


if __name__ == "__main__":
    main()
