"""Run a command with DATABASE_URL naming a PostgreSQL server made for it: ``with_postgres CMD…``.

Not for keeping data: the server lives in a temporary folder and ends with the command. Its binaries
are the machine's, else those of the ``pgserver`` wheel.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from featurestore_project import processes

START_TIMEOUT_SECONDS = 30.0
#: Nothing here must survive a power cut, so nothing waits for the disk.
#: Tables are small and short-lived: neither vacuum nor compiling a query is worth its time.
SPEED = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "autovacuum=off",
    "jit=off",
    "max_connections=100",
)


class NoPostgres(RuntimeError):
    """No server binaries, or the server did not start; says which."""


def find_binaries() -> Path:
    """Return the folder of ``initdb`` and ``postgres``.

    :raises NoPostgres: neither the machine nor a wheel has them.
    """
    machine = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("postgres")
    candidates = [*machine, *([Path(on_path).resolve().parent] if on_path else [])]
    spec = find_spec("pgserver")
    wheel = spec.submodule_search_locations or [] if spec else []
    candidates += [Path(folder) / "pginstall" / "bin" for folder in wheel]
    for folder in candidates:
        if all((folder / name).is_file() for name in ("initdb", "postgres")):
            return folder
    raise NoPostgres(
        "no PostgreSQL server here: neither /usr/lib/postgresql/*/bin, nor postgres on PATH, "
        "nor the pgserver wheel. On Debian: apt-get install postgresql."
    )


def unprivileged_user() -> int | None:
    """Return whom the server runs as; None: as ourselves. It refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise NoPostgres(
        "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`."
    )


def reachable_binaries(binaries: Path, folder: Path, user: int | None) -> Path:
    """Return the binaries where ``user`` may read them: others cannot look below /root."""
    probe = [str(binaries / "postgres"), "--version"]
    try:
        subprocess.run(
            probe,
            user=user,
            extra_groups=[] if user else None,
            check=True,
            capture_output=True,
            cwd="/",
        )
    except (OSError, subprocess.CalledProcessError):
        # The wheel's binaries find their libraries by a relative path, so its layout is kept.
        package = binaries.parent.parent
        shutil.copytree(
            binaries.parent, folder / "wheel" / package.name / binaries.parent.name, symlinks=True
        )
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, folder / "wheel" / libraries.name)
        return folder / "wheel" / package.name / binaries.parent.name / "bin"
    return binaries


def start(folder: Path) -> processes.Child:
    """Start a server on a private socket in ``folder``: superuser ``assay``, no password or TCP."""
    user = unprivileged_user()
    folder.chmod(0o755)  # others may pass through to what is theirs
    binaries = reachable_binaries(find_binaries(), folder, user)
    data, sockets = folder / "data", folder / "run"
    for private in (data, sockets):
        private.mkdir(mode=0o700)
        if user is not None:
            os.chown(private, user, -1)
    initdb = [
        str(binaries / "initdb"),
        "-D",
        str(data),
        "-U",
        "assay",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
        "-N",
    ]
    made = subprocess.run(
        initdb,
        user=user,
        extra_groups=[] if user is not None else None,
        capture_output=True,
        text=True,
        cwd="/",
    )
    if made.returncode:
        raise NoPostgres(f"initdb failed:\n{made.stderr or made.stdout}")
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={sockets}"]
    for setting in SPEED:
        options += ["-c", setting]
    command = [str(binaries / "postgres"), "-D", str(data), *options]
    # INT is PostgreSQL's fast shutdown; TERM would wait for every client to leave.
    return processes.start(
        "postgres", command, log=folder / "postgres.log", death_signal=signal.SIGINT, user=user
    )


def await_socket(child: processes.Child, folder: Path) -> None:
    """:raises NoPostgres: the server ended or is not there in time; with the end of its log."""
    pid_file, deadline = (
        folder / "data" / "postmaster.pid",
        time.monotonic() + START_TIMEOUT_SECONDS,
    )
    while time.monotonic() < deadline and child.process.poll() is None:
        # The last line of its pid file is the server's own word on its state.
        if pid_file.exists() and pid_file.read_text().rstrip().endswith("ready"):
            return
        time.sleep(0.05)
    raise NoPostgres(f"the PostgreSQL server did not start:\n{child.tail()}")


def end(child: processes.Child) -> None:
    if child.process.poll() is None:
        child.process.send_signal(signal.SIGINT)
    processes.stop([child])


def run(command: list[str]) -> int:
    """Return the command's exit code; without a server 0 with a word, or 1 where CI=true."""
    with tempfile.TemporaryDirectory(prefix="assay-pg-") as name:
        folder = Path(name)
        try:
            child = start(folder)
        except NoPostgres as error:
            return without_server(error)
        try:
            await_socket(child, folder)
            url = f"postgresql://assay@/postgres?host={folder}/run"
            # Importing the project named its settings; the command decides that for itself.
            os.environ.pop("DJANGO_SETTINGS_MODULE", None)
            return subprocess.run(command, env={**os.environ, "DATABASE_URL": url}).returncode
        except NoPostgres as error:
            return without_server(error)
        finally:
            end(child)


def without_server(error: NoPostgres) -> int:
    """Say it; a failure in CI, where the suite must have run on both databases."""
    must = os.environ.get("CI") == "true"
    print(
        f"assay: {'FAILED' if must else 'SKIPPED'}, the tests did not run on PostgreSQL: {error}",
        file=sys.stderr,
    )
    return 1 if must else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m scripts.with_postgres COMMAND [ARGUMENT…]")
    sys.exit(run(sys.argv[1:]))
