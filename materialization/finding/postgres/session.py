# ruff: noqa: S608 - constants of our own
"""One read-only transaction on a PostgreSQL server, and what its errors mean in our words.

Not for what is asked in it (``facts``, ``reading``). All that one session reads is of one state of
the database.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode

import adbc_driver_manager
import pyarrow as pa
from adbc_driver_postgresql import StatementOptions

from materialization.errors import TRY_AGAIN, SourceRefused, SourceUnavailable
from materialization.finding.postgres.columns import NESTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adbc_driver_postgresql import dbapi

    from lib.errors import AssayError
    from materialization.finding.links import Link
    from registry.spec.connections import PostgresConnection

#: Seconds until a server that does not answer, or stopped to, counts as gone.
CONNECT_SECONDS, SILENT_SECONDS = 10, 30
#: Bytes of one batch of rows: what is held in memory at a time is a few of them.
_BATCH_BYTES = 4 << 20
_BEGIN = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"


class Session:
    """The open transaction."""

    def __init__(self, connection: dbapi.Connection) -> None:
        self._connection = connection

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a short statement of our own; return its rows."""
        with self._connection.cursor() as cursor:
            # What is no SELECT cannot be read by COPY, which is how rows are read otherwise.
            cursor.adbc_statement.set_options(**{StatementOptions.USE_COPY.value: "false"})
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    def schema(self, sql: str) -> pa.Schema:
        with self._connection.cursor() as cursor:
            return cursor.adbc_execute_schema(sql)

    def cursor(self) -> dbapi.Cursor:
        """Return what rows are streamed by; from another thread ``adbc_cancel`` stops it."""
        cursor = self._connection.cursor()
        hint = {StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(_BATCH_BYTES)}
        cursor.adbc_statement.set_options(**hint)
        return cursor


@contextmanager
def session(link: Link) -> Iterator[Session]:
    """Open a transaction that changes nothing; it ends with the block.

    :raises SourceUnavailable: the server does not answer, takes no log-in, or stopped.
    :raises SourceRefused: it refuses what was asked; says why.
    """
    # Not before it is needed: it loads pandas, which most workers never do.
    from adbc_driver_postgresql import dbapi

    with told(link), dbapi.connect(_uri(link), autocommit=True) as connection:
        opened = Session(connection)
        opened.run(_BEGIN)
        for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
            opened.run(f"SET LOCAL {setting} = {int(link.timeout_s * 1000)}")
        opened.run("SET LOCAL TimeZone = 'UTC'")
        opened.run("SET LOCAL extra_float_digits = 1")
        yield opened


#: What the client would otherwise take from variables of our environment: another address than
#: the one that versions embed, other settings, the certificates of whoever runs the process.
_NOT_OURS = {
    "hostaddr": "",
    "options": "",
    "client_encoding": "UTF8",
    "target_session_attrs": "any",
    "load_balance_hosts": "disable",
    "sslcertmode": "disable",
    "sslcert": "",
    "sslkey": "",
    "sslcrl": "",
    "sslcrldir": "",
    "sslrootcert": "",
    "ssl_min_protocol_version": "TLSv1.2",
    "ssl_max_protocol_version": "",
    "channel_binding": "prefer",
    "gssencmode": "disable",
    "require_auth": "password,md5,scram-sha-256,none",
    "requirepeer": "",
    "passfile": "/dev/null",
}


def _uri(link: Link) -> str:
    """Return the address with everything said: nothing is taken from our own environment."""
    to = cast("PostgresConnection", link.connection)
    options = _NOT_OURS | {
        "host": to.host,
        "port": str(to.port),
        "user": to.user,
        "password": link.secret(),
        "dbname": to.database,
        "sslmode": to.sslmode,
        "application_name": "assay",
        "connect_timeout": str(CONNECT_SECONDS),
        "keepalives": "1",
        "keepalives_idle": str(SILENT_SECONDS // 3),
        "keepalives_interval": str(SILENT_SECONDS // 6),
        "keepalives_count": "4",
        "tcp_user_timeout": str(SILENT_SECONDS * 1000),
    }
    if to.sslrootcert:
        options["sslrootcert"] = to.sslrootcert
    return f"postgresql://?{urlencode(options, quote_via=quote)}"


@contextmanager
def told(link: Link) -> Iterator[None]:
    """Let what the driver raises out in our words, with no secret and no value of a row in it."""
    try:
        yield
    except adbc_driver_manager.Error as exc:
        raise _told(exc, link) from None
    except (pa.ArrowInvalid, OSError) as exc:
        if "[libpq]" not in str(exc):
            raise
        raise _broken(exc, link) from None


def _broken(error: Exception, link: Link) -> AssayError:
    """Return what ended rows that were on their way: here the driver gives words alone."""
    said, where = str(error), f"connection {link.name}"
    for words, state in _PASSING.items():
        if words in said:
            return _away(where, _AWAY[state], state, link)
    if "ERROR:" not in said:
        return SourceUnavailable(
            f"{where}: the server stopped, or went away, in the middle", connection=link.name
        )
    if NESTED in said:
        column = said.partition(NESTED)[2].partition(":")[0]
        return SourceRefused(
            f"{where}: column {column!r} holds a list of lists, which would become one flat list;"
            " choose an item of it in a `query`."
        )
    why, step = _REFUSED["25006" if "read-only transaction" in said else ""]
    return SourceRefused(f"{where}: {why}", step=step)


def _away(where: str, why: str, state: str, link: Link) -> SourceUnavailable:
    step = _AWAY_STEPS.get(state) or _AWAY_STEPS.get(state[:2], TRY_AGAIN)
    return SourceUnavailable(f"{where}: {why}", step=step, connection=link.name)


_CORRECTS = "whoever runs Assay corrects the connection's"
_LOGIN = f"{_CORRECTS} `user` or its secret"
_SEE_VALUE = "leave such rows out in a `query`, or guard the expression there"
#: SQLSTATE, or its class → what is wrong, and what to do; the rest of the first is the server's.
_REFUSED = {
    "42501": ("its user may not read that", "GRANT it SELECT on what is read"),
    "42P01": ("there is no such table", "correct `table`, or `query`"),
    "42703": ("there is no such column", "correct `query`, or the names of the source's times"),
    "3F000": ("there is no such schema", "correct `table`, or `query`"),
    "42883": ("there is no such function or operator", "correct `query`"),
    "42": ("the query cannot be run", "correct `query`"),
    "22": ("a value fails in the query", _SEE_VALUE),
    "25006": ("the query would change something", "write one that only reads"),
    "0A": ("the server cannot do that", "write another `query`"),
    "54": ("the query is more than the server's limits allow", "ask for less in a `query`"),
    "55": (
        "what is asked for is not ready to be read (a materialized view may have no data yet)",
        "have it made ready there",
    ),
    "P0": ("a function that the query calls raised an error", _SEE_VALUE),
    "": ("a value fails in the query, or something that it calls", _SEE_VALUE),
}
_OF_THE_QUERY = frozenset({"42", "3F", "25", "0A"})
_TOO_LONG = "ask for less in a `query`, or have SOURCE_TIME_LIMIT_SECONDS raised"
#: Of what passes, by itself or by whoever runs that server; where it does not, what to do.
_AWAY_STEPS = {"28": _LOGIN, "3D000": f"{_CORRECTS} `database`", "57014": _TOO_LONG}
_AWAY = {
    "28": "the server takes no log-in of its user",
    "3D000": "there is no such database",
    "25P03": "the server ended the transaction, which was idle for too long",
    "55P03": "what is asked for is locked by others",
    "53": "the server is out of connections, memory or disk",
    "57014": "it took longer than one reading may",
    "57": "the server was stopped",
    "08": "the server does not answer, or stopped in the middle",
    "40": "the server gave up because of what others did",
    "58": "the server has trouble with its own disk",
    "XX": "the server has trouble of its own",
}


#: What it says of that while rows are on their way, without a state.
_PASSING = {
    "statement timeout": "57014",
    "conflict with recovery": "40",
    "lock timeout": "55P03",
    "out of memory": "53",
    "No space left": "53",
}
#: What a server says to who is not let in, in its own language or English.
_NOT_IN = {
    "authentication failed": ("the server takes no log-in of its user", _LOGIN),
    "no pg_hba.conf entry": (
        "the server takes no log-in of its user from here",
        "whoever runs it lets this machine in (pg_hba.conf)",
    ),
    "is not permitted to log in": ("the server takes no log-in of its user", _LOGIN),
    "does not support SSL": (
        "the server speaks no TLS, and the connection asks for it (`sslmode`)",
        f"{_CORRECTS} `sslmode`, or has the server speak it",
    ),
    "certificate": (
        "the server's certificate is not one that the connection trusts",
        f"{_CORRECTS} `sslrootcert`",
    ),
    "too many": ("the server is out of connections", TRY_AGAIN),
    "does not exist": (
        "the server has no such database or user", f"{_CORRECTS} `database` or `user`",
    ),
    "starting up": ("the server is starting", TRY_AGAIN),
    "shutting down": ("the server is stopping", TRY_AGAIN),
}  # fmt: skip


def _told(error: adbc_driver_manager.Error, link: Link) -> AssayError:
    state = (error.sqlstate or "").strip("\x00 ")
    where = f"connection {link.name}"
    said = _said(error, link)
    if (why := _AWAY.get(state) or _AWAY.get(state[:2])) is not None:
        return _away(where, f"{why} ({state})", state, link)
    if state:
        why, step = _REFUSED.get(state) or _REFUSED.get(state[:2]) or _REFUSED[""]
        # What the server says of a query names its parts; of other faults it may say a value.
        said = said if state[:2] in _OF_THE_QUERY else f" ({state})"
        return SourceRefused(f"{where}: {why}{said}", step=step, state=state)
    # Without a state the driver itself says it: nobody was let in, or there was no answer.
    there_is_none = (f"the server does not answer{said}", TRY_AGAIN)
    known = (each for text, each in _NOT_IN.items() if text in str(error))
    why, step = next(known, there_is_none)
    return SourceUnavailable(f"{where}: {why}", step=step, connection=link.name)


def _said(error: adbc_driver_manager.Error, link: Link) -> str:
    """Return the first line of what the server says, without what could be a secret."""
    text = str(error).partition("\n")[0].partition(" Query was:")[0]
    text = text.partition("ERROR:")[2].strip() or text.partition("failed:")[2].strip()
    secret = link.secret()
    text = text.replace(secret, "…") if secret else text
    return f" ({text.rstrip('.')[:300]})" if text else ""
