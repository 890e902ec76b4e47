"""A front whose requests take what their query string says: what granian serves in a test.

So many seconds; until somebody has gone, ``stoppable``; or until there is a file, ``until=PATH``,
beside which lies ``PATH.log`` with a ``+`` for each request that was begun and a ``-`` for its end.
``held`` asks how many bytes of bodies are on their way.

``python -m tests.project.slow_application PORT``; ``… PORT door SOCKET`` hands on to the one that
was started by ``… 0 desk SOCKET``.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from pathlib import Path

from granian import Granian
from granian.constants import Interfaces

from featurestore_project.bodies import BodyReader
from featurestore_project.request_ids import KEY, WithRequestId
from lib.pools import Pool
from lib.readers_gone import while_somebody_waits
from lib.sent_files import PartOfFile, SentOnce
from materialization.compute.scratch import own_folder

BODIES = BodyReader(limit=300_000, budget=400_000)
KNOWN = {f"Bearer {name}": name for name in ("known", "ana", "ben")}
ASKED = ("PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "HTTP_X_FORWARDED_FOR", "HTTP_COOKIE")
POOLS = {f"/{pool}": pool for pool in Pool}


def slow(environ, start_response):
    body = environ["wsgi.input"].read()
    if environ["QUERY_STRING"] == "stoppable":
        stopped = threading.Event()
        with while_somebody_waits(stopped.set):
            stopped.wait(20)
    elif environ["QUERY_STRING"].startswith("until="):
        wait_for(Path(environ["QUERY_STRING"].removeprefix("until=")))
    elif environ["QUERY_STRING"] != "held" and environ["PATH_INFO"] != "/who":
        time.sleep(float(environ["QUERY_STRING"] or 0))
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/memory":
        return [Path("/proc/self/statm").read_bytes().split()[1]]
    if environ["PATH_INFO"] == "/huge":
        return [b"x" * 12_000_000]
    if environ["PATH_INFO"] == "/large":
        return [b"x" * 3_000_000]
    if environ["PATH_INFO"] == "/file":
        with tempfile.NamedTemporaryFile(dir=own_folder(), delete=False) as file:
            file.write(b"y" * 3_000_000)
        return environ["wsgi.file_wrapper"](SentOnce(file.name))
    if environ["PATH_INFO"] == "/kept":
        return environ["wsgi.file_wrapper"](Path(__file__).open("rb"))
    if environ["PATH_INFO"] == "/part":
        return environ["wsgi.file_wrapper"](PartOfFile(Path(__file__).open("rb"), 10, 300))
    if environ["PATH_INFO"] == "/who":
        asked = {name: environ.get(name, "") for name in ASKED}
        return [json.dumps(asked | {"id": str(environ[KEY])}).encode()]
    count = BODIES._held if environ["QUERY_STRING"] == "held" else len(body)
    return [f"{count}".encode()]


def wait_for(gate: Path) -> None:
    log = gate.with_name(f"{gate.name}.log")
    with log.open("a") as said:  # one write each: others write there too
        said.write("+")
    while not gate.exists():
        time.sleep(0.01)
    time.sleep(0.05)  # so that those which run side by side are seen to
    with log.open("a") as said:
        said.write("-")


def load(_module):
    from tests import environment  # noqa: F401, I001 - first: the front needs the apps loaded
    from featurestore_project import desk, front

    part, socket = [*sys.argv[2:], "", ""][:2]
    return front.Front(
        WithRequestId(slow),
        lanes={
            pool: front.Lane(pool, threads=2, waiting=3, is_shared=pool == Pool.PLANS)
            for pool in Pool
            if part != "door" or pool == Pool.ONLINE
        },
        desk=desk.Desk(socket) if part == "door" else None,
        is_desk=part == "desk",
        pool_of=lambda method, path: POOLS.get(path, Pool.DESK),
        known_as=lambda environ: KNOWN.get(environ.get("HTTP_AUTHORIZATION", "")),
        bodies=BODIES,
    )


def main() -> None:
    socket = Path(sys.argv[3]) if sys.argv[2:3] == ["desk"] else None
    server = Granian("tests", port=int(sys.argv[1]), uds=socket, interface=Interfaces.RSGI)
    server.serve(target_loader=load)


if __name__ == "__main__":
    main()
