"""Reading the environment: typed values, secrets from files, database URLs. [pure]

Not for defaults or meanings: ``settings.py`` states both beside each read.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from materialization.confined.system_calls import WALLS

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}
#: Characters of a secret that signs sessions.
SECRET_LENGTH = 50
#: What the keys of examples and of development say of themselves.
KNOWN = ("insecure", "changeme", "changethis", "replaceme", "yoursecret", "secretkey", "example")


class BadEnvironment(ValueError):
    """A variable holds what cannot be used: names it, what it holds and what would be valid."""


def env(name: str, default: str = "") -> str:
    return os.environ.get(name, default).strip()


def env_bool(name: str, default: bool) -> bool:
    """:raises BadEnvironment: neither a word for true nor for false."""
    text = os.environ.get(name)
    if text is None:
        return default
    if text.strip().lower() not in TRUE | FALSE:
        raise BadEnvironment(f"{name}={text!r} is not a yes or no. Valid: true, false.")
    return text.strip().lower() in TRUE


def env_int(name: str, default: int, *, minimum: int = 0) -> int:
    """:raises BadEnvironment: not a whole number of at least ``minimum``."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        raise BadEnvironment(f"{name}={text!r} is not a whole number.") from None
    if value < minimum:
        raise BadEnvironment(f"{name}={value} is too small. Valid: {minimum} or more.")
    return value


def env_url(name: str) -> str:
    """Return the address of a server without a slash at its end, empty when absent.

    :raises BadEnvironment: not http or https, or more than a host and its port.
    """
    text = env(name).rstrip("/")
    if text and not re.fullmatch(r"https?://[^\s/?#@\[\]]+|https?://\[[0-9a-f:]+\](:\d+)?", text):
        raise BadEnvironment(f"{name} is {text!r}: write it as https://assay.example.com.")
    return text


def env_bucket(name: str) -> dict[str, Any] | None:
    """Return what leads to a bucket and a place in it; None: the variable is no address of one.

    ``NAME_ENDPOINT``, ``NAME_REGION``, ``NAME_PATH_STYLE``, ``NAME_ACCESS_KEY_ID`` and
    ``NAME_SECRET_ACCESS_KEY`` say the rest.

    :raises BadEnvironment: it is not written as one, or there is no key for it.
    """
    text = env(name)
    if not text.startswith("s3://"):
        return None
    bucket, _, prefix = text.removeprefix("s3://").rstrip("/").partition("/")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", bucket) or not re.fullmatch(
        r"([A-Za-z0-9._-]+/?)*", prefix
    ):
        raise BadEnvironment(
            f"{name} is no bucket: write it as s3://bucket/prefix, of letters, digits,"
            " dots, - and _."
        )
    key, secret = env(f"{name}_ACCESS_KEY_ID"), env_secret(f"{name}_SECRET_ACCESS_KEY")
    if not (key and secret):
        raise BadEnvironment(
            f"{name} is a bucket, and there is no key for it: set {name}_ACCESS_KEY_ID and"
            f" {name}_SECRET_ACCESS_KEY (or {name}_SECRET_ACCESS_KEY_FILE)."
        )
    return {
        "bucket": bucket,
        "prefix": prefix,
        "endpoint": env_url(f"{name}_ENDPOINT"),
        "region": env(f"{name}_REGION", "us-east-1"),
        "path_style": env_bool(f"{name}_PATH_STYLE", bool(env(f"{name}_ENDPOINT"))),
        "access_key_id": key,
        "secret_access_key": secret,
    }


def env_umask(name: str, default: str) -> int:
    """Return the permissions, in octal, that no file of ours has.

    :raises BadEnvironment: not three octal digits, or it would take something from the owner.
    """
    text = env(name) or default
    if not re.fullmatch("0*[0-7]{2}", text):
        raise BadEnvironment(
            f"{name}={text!r} is no mask that leaves our files to us. Valid: 077 (nobody else),"
            " 027 (the group reads), 022 (everybody reads)."
        )
    return int(text, 8)


def env_roles(name: str) -> list[tuple[str, str, str]]:
    """Return ``group=project:role``, comma-separated, as (group, project, role).

    :raises BadEnvironment: a part of another shape; names it.
    """
    roles = []
    for part in env_list(name):
        found = re.fullmatch(r"(.+)=([a-z0-9_]+):([a-z]+)", part)
        if found is None:
            raise BadEnvironment(f"{name} has {part!r}; write it as group=project:role.")
        roles.append((found[1].strip(), found[2], found[3]))
    return roles


def env_walls(name: str, default: str) -> list[str]:
    """Return what a kernel is to hold a process with; an empty text asks for nothing.

    :raises BadEnvironment: a word that names no such thing.
    """
    walls = env_list(name, default)
    if wrong := sorted(set(walls) - set(WALLS)):
        raise BadEnvironment(f"{name} has {wrong[0]!r}. Valid: {', '.join(WALLS)}.")
    return walls


def env_issuer(name: str) -> str:
    """Return a provider's address, empty where there is none.

    :raises BadEnvironment: it is not asked by HTTPS, and not on this machine either.
    """
    url = env(name)
    host = urlsplit(url).hostname or ""
    is_local = host in {"localhost", "127.0.0.1", "::1"}
    if url and (not host or not (url.startswith("https://") or is_local)):
        raise BadEnvironment(f"{name}={url!r} is no address of a provider. Valid: https://…")
    return url


def env_origins(name: str) -> list[str]:
    """Return the origins of pages, exactly as browsers send them.

    :raises BadEnvironment: one has a path, a ``*``, another scheme, or is not written as by them.
    """
    origins = env_list(name)
    for origin in origins:
        parts = urlsplit(origin)
        plain = f"{parts.scheme}://{parts.netloc}"
        known = parts.scheme in {"https", "http"} and parts.hostname and "*" not in origin
        if not known or origin != plain.lower() or "@" in origin:
            raise BadEnvironment(
                f"{name} has {origin!r}. Valid: whole origins in small letters, each with its"
                " scheme and nothing after its host and port, as in https://app.example."
            )
    return origins


def env_list(name: str, default: str = "") -> list[str]:
    """Return the comma-separated parts, without blanks and without empty ones."""
    return [part.strip() for part in env(name, default).split(",") if part.strip()]


def env_numbers(name: str) -> dict[str, int]:
    """Return comma-separated ``name=number`` pairs.

    :raises BadEnvironment: a part is no such pair, or a name is there twice.
    """
    numbers: dict[str, int] = {}
    for part in env_list(name):
        key, _, number = (each.strip() for each in part.rpartition("="))
        if not key or not (number.isascii() and number.isdecimal()) or key in numbers:
            raise BadEnvironment(
                f"{name} has {part!r}. Valid: each name once, as in ana=60, ben=0."
            )
        numbers[key] = int(number)
    return numbers


def env_secret(name: str, default: str = "") -> str:
    """Return the variable, or the content of the file that ``NAME_FILE`` names.

    :raises BadEnvironment: the file cannot be read; or both are set, and either could be meant.
    """
    file = env(f"{name}_FILE")
    if not file:
        return env(name, default)
    if env(name):
        raise BadEnvironment(f"{name} and {name}_FILE are both set. Unset one of them.")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadEnvironment(f"{name}_FILE={file!r} cannot be read: {error.strerror}.") from None


def weakness_of(secret: str) -> str:
    """Return in words why a secret can be guessed, without repeating it; empty where it cannot.

    Random text of ``SECRET_LENGTH`` has hardly a run of three characters twice; what people type
    to make up the length has many.
    """
    if len(secret) < SECRET_LENGTH:
        return f"it has {len(secret)} characters, fewer than {SECRET_LENGTH}"
    plain = "".join(letter for letter in secret.lower() if letter.isalnum())
    if word := next((word for word in KNOWN if word in plain), ""):
        return f"it has {word!r} in it, as the keys of examples do"
    runs = {secret[start : start + 3] for start in range(len(secret) - 2)}
    if len(runs) < SECRET_LENGTH * 0.8:
        return "it repeats itself"
    return ""


def database_from_url(url: str) -> dict[str, Any]:
    """Return Django's ``DATABASES`` entry for a URL.

    ``sqlite:///path`` or ``postgresql://user:password@host:port/name``; the query of the latter
    becomes connection options (``?sslmode=require``, ``?host=/run/postgresql``).

    :raises BadEnvironment: another scheme, or no database name.
    """
    parts = urlsplit(url)
    name = unquote(parts.path)[1:]
    # The URL itself may hold a password, so messages show its scheme only.
    if not name:
        raise BadEnvironment(
            f"DATABASE_URL ({parts.scheme}://…) names no database: it ends in /NAME."
        )
    if parts.scheme == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": sqlite_options()}
    if parts.scheme not in {"postgres", "postgresql"}:
        raise BadEnvironment(
            f"DATABASE_URL has the scheme {parts.scheme!r}. Valid: sqlite:///path/db.sqlite3, "
            "postgresql://user:password@host:5432/name."
        )
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", "") or parts.hostname or "",
        "PORT": str(parts.port or ""),
        "OPTIONS": options,
    }


def sqlite_options() -> dict[str, Any]:
    """Return what lets several processes write one SQLite file.

    IMMEDIATE takes the write lock when a transaction begins: a later upgrade from reader to writer
    fails at once under contention, however long the time-out.
    """
    return {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,  # seconds to wait for another writer
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
