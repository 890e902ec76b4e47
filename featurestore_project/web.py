"""The web server: granian, whose answering process never outlives its main one.

``python -m featurestore_project.web --port 8000``. Not for what is served: ``wsgi`` is that.
"""

from __future__ import annotations

import multiprocessing
import signal
from argparse import ArgumentParser
from importlib import import_module
from typing import Any

from granian import Granian
from granian.constants import Interfaces

from featurestore_project import processes


def load(module: str) -> Any:
    """Return the application of ``module``; granian calls this in each worker process.

    A worker whose main process was killed would go on answering, on a port nobody else can take.
    """
    if (main := multiprocessing.parent_process()) is not None and main.pid is not None:
        processes.end_with_parent(main.pid, signal.SIGKILL)
    return import_module(module).application


def main() -> None:
    parser = ArgumentParser(description="Serve the admin and the API over HTTP.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="TCP port to listen on")
    parser.add_argument("--workers", type=int, default=1, help="processes that answer")
    parser.add_argument("--threads", type=int, default=4, help="requests each answers at once")
    options = parser.parse_args()
    server = Granian(
        "featurestore_project.wsgi",
        address=options.host,
        port=options.port,
        interface=Interfaces.WSGI,
        websockets=False,
        workers=options.workers,
        blocking_threads=options.threads,
    )
    server.serve(target_loader=load)


if __name__ == "__main__":
    main()
