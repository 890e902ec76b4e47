"""A real PostgreSQL server as a source: its database is empty when a test begins.

Not for the server that the tests themselves may run on (``scripts.with_postgres``).
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from materialization.finding.kinds import FETCHERS
from materialization.finding.links import Link
from registry.spec.connections import PostgresConnection
from registry.spec.sources.base import TimeColumn
from registry.spec.sources.postgres import PostgresSource
from scripts import with_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

#: Its user reads what is granted to it, and logs in by this.
USER, PASSWORD = "reader", "Tr0ub4dor-and-3"  # noqa: S105 - of a server that lives for the tests


class Server(NamedTuple):
    """Where its socket is; the user ``assay`` may do everything there, without a password."""

    socket: str

    def url(self, database: str) -> str:
        return f"postgresql://assay@/{database}?host={self.socket}"


class Database:
    """The database that a test fills, empty at first, and the connection by which it is read."""

    name = "sales"

    def __init__(self, server: Server) -> None:
        self.server = server
        schemas = self.run(
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema'"
        )
        self.run(
            *(f'DROP SCHEMA "{name}" CASCADE' for (name,) in schemas),
            "CREATE SCHEMA public",
            "GRANT USAGE ON SCHEMA public TO reader",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader",
        )

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @property
    def connection(self) -> PostgresConnection:
        return PostgresConnection(
            projects=("rides",),
            host=self.server.socket,
            database=self.name,
            user=USER,
            password=PASSWORD,
        )

    @property
    def toml(self) -> str:
        """What whoever runs the server writes down of it."""
        return (
            f'[warehouse]\nkind = "postgres"\nhost = "{self.server.socket}"\n'
            f'database = "{self.name}"\nuser = "{USER}"\npassword = "{PASSWORD}"\n'
            'projects = ["rides"]\n'
        )

    def link(self, **changed: Any) -> Link:
        made = self.connection
        return Link(
            **{
                "name": "warehouse",
                "project": "rides",
                "connection": made,
                "secret": lambda: made.password,
                "timeout_s": 60.0,
                **changed,
            }
        )

    def fetch(self, rows, wanted, folder, watch):
        """Fetch as the engine has it done."""
        return FETCHERS[type(rows.source)].fetch(rows, wanted, folder, watch, self.link())


def make_source(*, event="event", created=None, unit="timestamp", **keys) -> PostgresSource:
    return PostgresSource(
        name="rows",
        connection="warehouse",
        event_timestamp=TimeColumn(column=event, unit=unit),
        created_timestamp=TimeColumn(column=created) if created else None,
        **keys,
    )


@contextmanager
def postgres_server(folder: Path) -> Iterator[Server]:
    """Run a server in a folder; its user ``reader`` has to give a password."""
    child = with_postgres.start(folder)
    try:
        with_postgres.await_socket(child, folder)
        server = Server(f"{folder}/run")
        rules = Path(folder, "data", "pg_hba.conf")
        rules.write_text(f"local all {USER} scram-sha-256\n{rules.read_text()}")
        with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
            admin.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
            admin.execute("SELECT pg_reload_conf()")
            admin.execute(f"CREATE DATABASE {Database.name}")
        yield server
    finally:
        child.process.send_signal(signal.SIGQUIT)  # at once: nobody needs what it holds
        with_postgres.end(child)
