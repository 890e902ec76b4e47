"""The connections of this server, and which of them a project may use.

``settings.CONNECTIONS_FILE`` (TOML, read again when it changes) or the text in
``settings.CONNECTIONS`` says them, and only whoever runs the server writes either. Not for what a
connection is (``spec.connections``) or for using one (materialization).
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from django.conf import settings

from lib.decoding import converter
from lib.errors import Invalid, Unavailable, did_you_mean
from registry.spec.connections import Connection, SecretMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from registry.models import Project
    from registry.spec.connections import ConnectionSpec


_read: Callable[[Any], Connection] = converter(Connection)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class ConnectionUnknown(Invalid):
    """The project has no such connection; also where another project has."""

    code = "connection_unknown"


class ConnectionMoved(Invalid):
    """A version was approved for another server or database; it is never read there."""

    code = "connection_moved"


class ConnectionsUnusable(Unavailable):
    """What the server was told of its connections cannot be read; nobody's request mends that."""

    code = "connections_unusable"


class Connections(NamedTuple):
    """What was read: the connections by name, and what is wrong, for whoever runs the server."""

    by_name: Mapping[str, Connection] = MappingProxyType({})
    faults: tuple[str, ...] = ()


def all_connections() -> Connections:
    """Return all connections of this server, as they are written down now."""
    if not settings.CONNECTIONS_FILE:
        return _read_text(settings.CONNECTIONS)
    try:
        found = Path(settings.CONNECTIONS_FILE).stat()
    except OSError as exc:
        return Connections(faults=(f"CONNECTIONS_FILE cannot be read: {exc.strerror}.",))
    return _read_file(settings.CONNECTIONS_FILE, found.st_mtime_ns, found.st_size, found.st_ino)


def connections_of(project: Project) -> dict[str, Connection]:
    """Return the connections that definitions of a project may name."""
    found = all_connections().by_name
    return {name: each for name, each in sorted(found.items()) if project.name in each.projects}


def connection_named(name: str, identity: str, project: Project, *, kind: str = "") -> Connection:
    """Return the connection a version's source is read by: the place it embeds, and no other.

    ``kind`` is the one it has to be of; empty: any.

    :raises ConnectionUnknown: the project may use none of that name.
    :raises ConnectionMoved: it leads elsewhere than when the version was written.
    :raises ConnectionsUnusable: nothing can be said of any.
    """
    mine = connections_of(project)
    if (found := mine.get(name)) is None:
        _refuse_unread(name)
        hint = did_you_mean(name, mine) or " It has none: whoever runs the server adds one."
        raise ConnectionUnknown(
            f"project {project} has no connection {name!r}.{hint}", known=list(mine)
        )
    if kind and found.kind != kind:
        raise ConnectionUnknown(
            f"connection {name!r} is of kind {found.kind}, and a source of `type: {kind}` is read"
            f" by one of kind {kind}.",
            known=[each for each, one in mine.items() if one.kind == kind],
        )
    if found.identity != identity:
        raise ConnectionMoved(
            f"connection {name!r} leads elsewhere than when this version was written, and another"
            " place holds other data: nothing is read. Submit the view's new draft (or plan it"
            " again), or let whoever runs the server point it back.",
            connection=name,
        )
    return found


def secret_text(connection: ConnectionSpec) -> str:
    """Return a connection's secret, read where it is now; empty: it has none.

    :raises ConnectionsUnusable: what it is named by is not there; names that.
    """
    secret = connection.secret
    try:
        if secret.env:
            if (value := os.environ.get(secret.env)) is None:
                raise SecretMissing(f"the variable {secret.env} is not set")
            return value
        if secret.file:
            _refuse_open(Path(secret.file))
            return _text_of(Path(secret.file)).strip()
    except (SecretMissing, OSError) as exc:
        raise ConnectionsUnusable(
            "the secret of the connection is not there; whoever runs the server finds what is"
            " lacking by manage.py connections."
        ) from exc
    return secret.value


def files_named() -> list[str]:
    """Return the files of this server that its connections name: no source's data."""
    return [file for each in all_connections().by_name.values() for file in each.files]


def _text_of(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError:  # whose message has a piece of the secret
        raise SecretMissing(f"{path} is no text in UTF-8") from None


def _refuse_unread(name: str) -> None:
    """:raises ConnectionsUnusable: there may be one of that name, which could not be read."""
    found = all_connections()
    if found.faults and name not in found.by_name:
        raise ConnectionsUnusable(
            "not all connections of this server can be read; whoever runs it finds why by"
            " manage.py connections."
        )


@lru_cache(maxsize=4)
def _read_file(path: str, *_: int) -> Connections:
    """Read a file; whatever tells that it changed is part of the key it is kept by."""
    try:
        _refuse_open(Path(path))
        return _read_text(Path(path).read_text())
    except SecretMissing as exc:
        return Connections(faults=(f"CONNECTIONS_FILE: {exc}.",))
    except (OSError, UnicodeDecodeError) as exc:
        return Connections(faults=(f"CONNECTIONS_FILE cannot be read: {type(exc).__name__}.",))


def _refuse_open(path: Path) -> None:
    """:raises SecretMissing: others than its owner may read it, or the owner is somebody else."""
    found = path.stat()
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SecretMissing(f"{path} may be read by others than its owner; chmod 600 {path}")
    if found.st_uid not in (os.geteuid(), 0):
        raise SecretMissing(f"{path} belongs to another user than the server runs as")


@lru_cache(maxsize=4)
def _read_text(text: str) -> Connections:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        return Connections(faults=(f"the connections are not TOML: {exc}.",))
    found: dict[str, Connection] = {}
    faults = []
    for name, table in tables.items():
        try:
            found[name] = _connection(name, table)
        except (msgspec.ValidationError, ValueError) as exc:
            faults.append(f"connection {name!r}: {exc}.")
    return Connections(MappingProxyType(found), tuple(faults))


def _connection(name: str, table: object) -> Connection:
    """:raises ValueError: what is wrong with it; names keys, and quotes no value."""
    if not _NAME.fullmatch(name):
        raise ValueError("use lower-case letters, digits and _, beginning with a letter")
    made = _read(table)
    for part in made.parts:
        given = [key for key in ("value", "env", "file") if getattr(part.secret, key)]
        if len(given) > 1:
            raise ValueError("its secret is given more than once; give it in one way")
    return made
