"""A front whose requests take as long as their query string says: what granian serves in a test.

``python -m tests.project.slow_application PORT``.
"""

from __future__ import annotations

import sys
import time

from granian import Granian
from granian.constants import Interfaces

from featurestore_project.bodies import BodyReader
from lib.pools import Pool

BODIES = BodyReader(limit=300_000, budget=400_000)
KNOWN = {f"Bearer {name}": name for name in ("known", "ana", "ben")}
POOLS = {f"/{pool}": pool for pool in Pool}


def slow(environ, start_response):
    body = environ["wsgi.input"].read()
    time.sleep(float(environ["QUERY_STRING"] or 0))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{len(body)}".encode()]


def load(_module):
    from tests import environment  # noqa: F401, I001 - first: the front needs the apps loaded
    from featurestore_project import front

    return front.Front(
        slow,
        lanes={
            pool: front.Lane(pool, threads=2, waiting=3, is_shared=pool == Pool.PLANS)
            for pool in Pool
        },
        pool_of=lambda method, path: POOLS.get(path, Pool.DESK),
        known_as=lambda environ: KNOWN.get(environ.get("HTTP_AUTHORIZATION", "")),
        bodies=BODIES,
    )


def main() -> None:
    server = Granian("tests", port=int(sys.argv[1]), interface=Interfaces.RSGI)
    server.serve(target_loader=load)


if __name__ == "__main__":
    main()
