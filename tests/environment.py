"""The environment the tests run in: state of their own, never the developer's servers or files.

Not for fixtures. ``conftest`` imports it before anything reads the settings, in every worker.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

# Whatever the machine says: every process of a session would compile the project anew, and pytest
# rewrite every test.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import django  # noqa: E402
from django.conf import settings  # noqa: E402

if "featurestore_project.settings" in sys.modules:
    raise RuntimeError(
        "the settings were read before the tests set theirs. Unset DJANGO_SETTINGS_MODULE."
    )

#: One worker's folder; short, because sockets live in it.
STATE_DIR = Path(tempfile.mkdtemp(prefix="assay-test-"))
atexit.register(shutil.rmtree, STATE_DIR, ignore_errors=True)

#: Long and varied enough for a server in production; of no use to anybody.
SECRET_KEY = "u8jzPde0IgxLd6GncfBAepfJBd0Kh8oOOL8dKLzdocJ2isAjIhKtJ0Rl"

#: What the session runs with; a server that a test starts has an environment of its own.
VARIABLES = {
    "STATE_DIR": str(STATE_DIR),
    "SECRET_KEY": SECRET_KEY,
    "SECURE_COOKIES": "false",
    "FILE_ROOTS": f"{STATE_DIR}-sources",
    # Some tests play another user of the machine.
    "FILE_UMASK": "022",
    "LOG_LEVEL": "WARNING",
    # Tests read what they have just written.
    "SOURCE_SETTLE_SECONDS": "0",
    # Every transaction of every test keeps to the order of ``registry.locks``, or fails.
    "LOCK_ORDER_CHECKED": "true",
    "ENGINE_THREADS": "2",
    "ENGINE_MEMORY_LIMIT_MB": "512",
    "DJANGO_SETTINGS_MODULE": "featurestore_project.settings",
}

for name in ("REDIS_URL", "BROKER_URL", "OFFLINE_STORE", "DEBUG", "EMBEDDED"):
    os.environ.pop(name, None)
os.environ.update(VARIABLES)
django.setup()


def without_ours() -> dict[str, str]:
    """Return the environment without what the tests set and without a database's URL."""
    return {n: value for n, value in os.environ.items() if n not in {*VARIABLES, "DATABASE_URL"}}


# A slow hash is what production wants and ten people a test do not.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
