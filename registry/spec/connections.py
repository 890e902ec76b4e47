"""Connections to other systems as values: a tagged union, one class a kind. [pure]

Whoever runs the server writes them down, outside definitions, which only name them. Not for reading
that file or for who may use one (``registry.connections``). Nothing here shows a secret: a class
that has some says what it is by ``address``, and by nothing else when it is printed.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from registry.spec.http_paths import leads_out

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

    @property
    def parts(self) -> tuple[ConnectionSpec, ...]:
        """It, and what it leads to beside, each with a secret of its own."""
        return (self,)


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


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: What is the request's own, or says who logs in.
_OWN_HEADERS = frozenset({
    "host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "accept-encoding",
    "authorization", "proxy-authorization", "cookie",
})  # fmt: skip


class HttpConnection(ConnectionSpec, frozen=True, kw_only=True, tag="http"):
    """The address below which a server is asked; nothing elsewhere ever is.

    ``token`` logs in: as the password of ``user``, as the value of ``header`` or of the
    ``parameter`` of that name, or as a bearer's.
    """

    url: str
    token: str = ""
    token_env: str = ""
    token_file: str = ""
    user: str = ""
    header: str = ""
    parameter: str = ""
    #: What each request has beside; no secret.
    headers: dict[str, str] = {}
    #: Of each process that asks; 0: as often as it likes.
    requests_per_second: float = 0
    #: Only then a secret and rows may travel where others read along.
    plain_http: bool = False
    #: Certificates to trust in place of the machine's.
    ca_file: str = ""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        extras = parts.query or parts.fragment or parts.username or parts.password
        if parts.scheme not in ("http", "https") or not parts.hostname or extras:
            raise ValueError("url is written as in https://api.example.com/v1")
        if leads_out(parts.path):
            raise ValueError("url leads out of itself")
        _ = parts.port  # raises ValueError
        if parts.scheme == "http" and not self.plain_http and not _is_loopback(parts.hostname):
            raise ValueError("url is https://; say plain_http = true where it cannot be")
        if len([each for each in (self.user, self.header, self.parameter) if each]) > 1:
            raise ValueError("the token is one of: user's password, header's value, parameter's")
        if ":" in self.user or not (self.user.isascii() and self.user.isprintable()):
            raise ValueError("user is ASCII without a colon")
        for name, value in {**self.headers, **({self.header: ""} if self.header else {})}.items():
            if not _TOKEN.fullmatch(name) or not (value.isascii() and value.isprintable()):
                raise ValueError("headers are names and values of printable ASCII")
        if own := sorted(_OWN_HEADERS & {name.lower() for name in self.headers}):
            raise ValueError(f"headers may not have {own[0]}")
        if not 0 <= self.requests_per_second <= 10_000:  # not NaN either
            raise ValueError("requests_per_second is a number from 0 to 10000")

    @property
    def address(self) -> str:
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
        return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"

    @property
    def secret(self) -> Secret:
        return Secret(self.token, self.token_env, self.token_file)

    @property
    def files(self) -> tuple[str, ...]:
        return (*super().files, self.ca_file) if self.ca_file else super().files


_BROKER = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
#: How a program logs in to brokers.
Mechanism = Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class KafkaConnection(ConnectionSpec, frozen=True, kw_only=True, tag="kafka"):
    """The brokers of a Kafka cluster, or of what speaks as one.

    With a ``user`` it logs in by SASL; ``certificate_file`` and ``key_file`` are its own
    certificate, where the brokers ask for one. ``schema_registry`` has the schemas of records in
    Avro, and whatever it leads to, the records are the same.
    """

    brokers: tuple[str, ...]
    #: What the cluster is called whatever brokers it has; empty: it is known by those.
    cluster: str = ""
    #: Only then secrets and rows may travel where others read along.
    plaintext: bool = False
    user: str = ""
    mechanism: Mechanism = ""
    password: str = ""
    password_env: str = ""
    password_file: str = ""
    #: Certificates to trust in place of the machine's.
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    schema_registry: HttpConnection | None = None

    def __post_init__(self) -> None:
        if self.schema_registry is not None and self.schema_registry.projects:
            raise ValueError("schema_registry is for the connection's projects; it has none itself")
        if not self.brokers or not all(_BROKER.fullmatch(each) for each in self.brokers):
            raise ValueError('brokers are written as in ["kafka-1.example.com:9093"]')
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError("certificate_file and key_file are one without the other")
        if self.plaintext and (self.ca_file or self.certificate_file):
            raise ValueError("plaintext has no use for certificates; leave it out")
        if bool(self.user) != bool(self.mechanism):
            raise ValueError("user and mechanism are one without the other")

    @property
    def address(self) -> str:
        return self.cluster or ",".join(sorted(each.lower() for each in self.brokers))

    @property
    def secret(self) -> Secret:
        return Secret(self.password, self.password_env, self.password_file)

    @property
    def files(self) -> tuple[str, ...]:
        own = (self.ca_file, self.certificate_file, self.key_file)
        beside = self.schema_registry.files if self.schema_registry else ()
        return (*super().files, *filter(None, own), *beside)

    @property
    def parts(self) -> tuple[ConnectionSpec, ...]:
        return (self, self.schema_registry) if self.schema_registry else (self,)


class RedisConnection(ConnectionSpec, frozen=True, kw_only=True, tag="redis"):
    """One database of a Redis server."""

    host: str
    port: int = 6379
    db: int = 0
    #: Only then secrets and rows may travel where others read along.
    plaintext: bool = False
    user: str = ""
    password: str = ""
    password_env: str = ""
    password_file: str = ""
    #: Certificates to trust in place of the machine's.
    ca_file: str = ""

    def __post_init__(self) -> None:
        if not self.host or not (0 < self.port < 1 << 16 and 0 <= self.db < 1 << 16):
            raise ValueError("host is a name, port and db are numbers, as in 6379 and 0")
        if self.plaintext and self.ca_file:
            raise ValueError("plaintext has no use for certificates; leave it out")

    @property
    def address(self) -> str:
        return f"{self.host.lower()}:{self.port}/{self.db}"

    @property
    def secret(self) -> Secret:
        return Secret(self.password, self.password_env, self.password_file)

    @property
    def files(self) -> tuple[str, ...]:
        return (*super().files, self.ca_file) if self.ca_file else super().files


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


#: A connection of any kind; further kinds are added with ``|``.
Connection: TypeAlias = (
    PostgresConnection | S3Connection | HttpConnection | KafkaConnection | RedisConnection
)
