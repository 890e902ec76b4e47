"""A git remote: each seal is a line of a file, and a commit that others have fetched."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from registry.seals.channels.base import MOST_BYTES, SealChannelFailed

FILE = "seals.jsonl"
#: Seconds for which one command may take: a remote is cloned without its past.
COMMAND_SECONDS = 60
#: Another seal may be pushed at the same time: it is fetched, and ours put behind it.
ATTEMPTS = 3
_AS = ("-c", "user.name=Assay", "-c", "user.email=assay@localhost", "-c", "commit.gpgsign=false")


def publish(address: str, line: str, name: str) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        with tempfile.TemporaryDirectory(prefix="assay-seals-") as folder:
            _clone(address, folder)
            with (Path(folder) / FILE).open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
            _run("add", FILE, folder=folder)
            _run(*_AS, "commit", "--quiet", "--message", f"seal: {name}", folder=folder)
            try:
                _run("push", "--quiet", "origin", "HEAD", folder=folder)
            except SealChannelFailed:
                if attempt == ATTEMPTS:
                    raise
            else:
                return


def fetch(address: str) -> str:
    with tempfile.TemporaryDirectory(prefix="assay-seals-") as folder:
        _clone(address, folder)
        path = Path(folder) / FILE
        if not path.exists():
            raise SealChannelFailed(f"the repository has no {FILE}")
        return path.read_bytes()[:MOST_BYTES].decode(errors="replace")


def _clone(address: str, folder: str) -> None:
    _run("clone", "--quiet", "--depth", "1", "--", address.removeprefix("git+"), folder)


def _run(*command: str, folder: str | None = None) -> None:
    # Nobody is there to be asked for a password, and no file of the server's user decides.
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
    try:
        subprocess.run(  # noqa: S603 - git, with an address of the operator's
            ["git", *command],  # noqa: S607 - as the server's PATH has it
            cwd=folder, env=environment, check=True, capture_output=True, text=True,
            timeout=COMMAND_SECONDS,
        )  # fmt: skip
    except FileNotFoundError as exc:
        raise SealChannelFailed("there is no git on this machine; install it") from exc
    except subprocess.TimeoutExpired as exc:
        raise SealChannelFailed(f"git {command[0]} took over {COMMAND_SECONDS} s") from exc
    except subprocess.CalledProcessError as exc:
        said = (exc.stderr or "").strip().splitlines()[-1:] or ["it failed"]
        raise SealChannelFailed(f"git: {said[0]}") from exc
