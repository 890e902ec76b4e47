"""Connections to other systems as values: a tagged union, one class a kind. [pure]

Whoever runs the server writes them down, outside definitions, which only name them. Not for reading
that file or for who may use one (``registry.connections``). Nothing here shows a secret: a class
that has some says what it is by ``address``, and by nothing else when it is printed.
"""

from __future__ import annotations

import hashlib
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

SslMode = Literal["disable", "require", "verify-ca", "verify-full"]


class SecretMissing(ValueError):
    """What a connection names its secret by is not there; the message names it, never a value."""


class Secret(msgspec.Struct, frozen=True):
    """A secret in place, or where it is: a variable of the environment or a file."""

    value: str = ""
    env: str = ""
    file: str = ""

    def __repr__(self) -> str:
        return "Secret(…)"  # what quotes a connection, quotes no secret


class ConnectionSpec(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True
):
    """What connections of every kind say; each kind adds keys of its own."""

    #: The projects whose definitions may name it; none: nobody's.
    projects: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r}, …)"

    @property
    def kind(self) -> str:
        return str(type(self).__struct_config__.tag)

    @property
    def address(self) -> str:
        """Where it leads, without who logs in or with what."""
        raise NotImplementedError

    @property
    def identity(self) -> str:
        """Which place it is: what versions embed. Another user or secret is the same place."""
        return hashlib.sha256(f"{self.kind}://{self.address}".encode()).hexdigest()[:16]

    @property
    def secret(self) -> Secret:
        raise NotImplementedError

    @property
    def files(self) -> tuple[str, ...]:
        """The files of our own machine that it names."""
        return (self.secret.file,) if self.secret.file else ()


class PostgresConnection(ConnectionSpec, frozen=True, kw_only=True, tag="postgres"):
    """A database of a PostgreSQL server; ``host`` may be the folder of its socket."""

    host: str
    database: str
    user: str
    port: int = 5432
    password: str = ""
    password_env: str = ""
    password_file: str = ""
    #: Without TLS only where that is said; sockets need none.
    sslmode: SslMode = "require"
    sslrootcert: str = ""

    @property
    def address(self) -> str:
        host = self.host if self.host.startswith("/") else self.host.lower()
        return f"{host}:{self.port}/{self.database}"

    @property
    def secret(self) -> Secret:
        return Secret(self.password, self.password_env, self.password_file)

    @property
    def files(self) -> tuple[str, ...]:
        return (*super().files, self.sslrootcert) if self.sslrootcert else super().files


class S3Connection(ConnectionSpec, frozen=True, kw_only=True, tag="s3"):
    """A bucket of S3-compatible storage, or what lies under a prefix of it.

    Without ``access_key_id`` its keys are those that the server's environment has for it, or its
    machine.
    """

    bucket: str
    prefix: str = ""
    #: As in https://minio.example.com:9000; empty: Amazon's own.
    endpoint: str = ""
    region: str = "us-east-1"
    #: Whether the bucket is in the address's path, or in its host; by default where there is an
    #: endpoint.
    path_style: bool | None = None
    access_key_id: str = ""
    secret_access_key: str = ""
    secret_access_key_env: str = ""
    secret_access_key_file: str = ""

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        plain = not (parts.path.strip("/") or parts.query or parts.username or parts.password)
        if self.endpoint and not (parts.scheme in ("http", "https") and parts.hostname and plain):
            raise ValueError("endpoint is written as in https://minio.example.com:9000")
        if not self.bucket or "/" in self.bucket:
            raise ValueError("bucket is a name alone; what is before its files is the prefix")
        if ".." in self.prefix.split("/"):
            raise ValueError("prefix leads out of itself")

    @property
    def address(self) -> str:
        within = "/".join(filter(None, (self.bucket, self.prefix.strip("/"))))
        return f"{self.endpoint.lower().rstrip('/') or 'amazonaws.com'}/{within}"

    @property
    def secret(self) -> Secret:
        return Secret(
            self.secret_access_key, self.secret_access_key_env, self.secret_access_key_file
        )


#: A connection of any kind; further kinds are added with ``|``.
Connection: TypeAlias = PostgresConnection | S3Connection
