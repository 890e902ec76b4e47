"""Connections as whoever runs the server writes them down, and who may use which."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from registry.connections import (
    ConnectionMoved,
    ConnectionsUnusable,
    ConnectionUnknown,
    all_connections,
    connection_named,
    connections_of,
    secret_text,
)

WAREHOUSE = """
[warehouse]
kind = "postgres"
host = "db.example.com"
database = "sales"
user = "assay"
password = "hunter2hunter2"
projects = ["rides"]
"""
TOPICS = """
[warehouse]
kind = "kafka"
brokers = ["kafka.example.com:9093"]
projects = ["rides"]
[warehouse.schema_registry]
url = "https://schemas.example.com"
token = "hunter2hunter2"
"""
OTHER = WAREHOUSE.replace("warehouse", "other").replace('"rides"', '"sales"')


@pytest.fixture
def written(settings, tmp_path):
    def write(text: str, mode: int = 0o600) -> Path:
        path = tmp_path / "connections.toml"
        path.write_text(text)
        path.chmod(mode)
        settings.CONNECTIONS_FILE = str(path)
        return path

    return write


@pytest.mark.django_db
def test_a_project_has_the_connections_that_name_it_and_no_others(written, cast):
    written(WAREHOUSE + OTHER)

    assert list(connections_of(cast.project)) == ["warehouse"]
    identity = connections_of(cast.project)["warehouse"].identity
    assert connection_named("warehouse", identity, cast.project).port == 5432
    with pytest.raises(ConnectionUnknown, match="rides has no connection 'other'. Valid: warehou"):
        connection_named("other", "", cast.project)


@pytest.mark.django_db
def test_one_that_names_no_project_is_nobodys(written, cast):
    written(WAREHOUSE.replace('projects = ["rides"]', ""))

    assert connections_of(cast.project) == {}
    assert list(all_connections().by_name) == ["warehouse"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "moves"),
    [
        (("db.example.com", "other.example.com"), True),
        (('"sales"', '"sales2"'), True),
        (('user = "assay"', 'user = "assay"\nport = 6432'), True),
        (('user = "assay"', 'user = "assay2"'), False),
        (("hunter2hunter2", "hunter3"), False),
        (("db.example.com", "DB.example.com"), False),
        (('user = "assay"', 'user = "assay"\nsslmode = "verify-full"'), False),
    ],
)
def test_its_identity_is_where_it_leads(written, cast, change, moves):
    written(WAREHOUSE)
    before = connections_of(cast.project)["warehouse"].identity
    written(WAREHOUSE.replace(*change))

    if moves:
        with pytest.raises(ConnectionMoved, match="'warehouse' leads elsewhere"):
            connection_named("warehouse", before, cast.project)
    else:
        assert connection_named("warehouse", before, cast.project)


@pytest.mark.django_db
def test_a_registry_of_schemas_has_its_own_secret_and_is_no_part_of_the_place(
    written, cast, tmp_path
):
    secret, ca = tmp_path / "secret", tmp_path / "ca.pem"
    written(TOPICS)
    before = connections_of(cast.project)["warehouse"]
    written(
        TOPICS.replace("schemas.", "other.").replace(
            'token = "hunter2hunter2"', f'token_file = "{secret}"\nca_file = "{ca}"'
        )
    )

    after = connections_of(cast.project)["warehouse"]
    assert after.identity == before.identity
    assert after.files == (str(secret), str(ca))
    with pytest.raises(CommandError, match="No such file"):
        call_command("connections")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_a_file_that_others_may_read_is_refused(written, mode):
    path = written(WAREHOUSE, mode)

    found = all_connections()
    assert not found.by_name
    assert found.faults == (
        f"CONNECTIONS_FILE: {path} may be read by others than its owner; chmod 600 {path}.",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[warehouse", "the connections are not TOML"),
        ("[warehouse]\nkind = 'postgres'", "connection 'warehouse': Object missing required field"),
        (WAREHOUSE.replace("host", "hosts"), "connection 'warehouse': Object contains unknown fie"),
        (WAREHOUSE.replace("postgres", "oracle"), "connection 'warehouse': Invalid value 'oracle'"),
        (WAREHOUSE.replace("[warehouse]", "[Ware-House]"), "connection 'Ware-House': use lower-ca"),
        (WAREHOUSE + 'password_env = "PW"', "connection 'warehouse': its secret is given more tha"),
        (TOPICS + 'token_env = "PW"', "connection 'warehouse': its secret is given more tha"),
        (TOPICS + 'projects = ["rides"]', "connection 'warehouse': schema_registry is for the con"),
        (TOPICS + 'kind = "redis"', "connection 'warehouse': Invalid value 'redis' - at `$.schema"),
        (TOPICS.replace("https", "http"), "connection 'warehouse': url is https://; say plain_h"),
        ("warehouse = 1", "connection 'warehouse': Expected `object`"),
    ],
)
def test_what_is_written_wrongly_is_said_and_takes_nothing_else_with_it(written, text, said):
    good = WAREHOUSE.replace("[warehouse]", "[good]")
    written(text if "not TOML" in said else text + good)

    found = all_connections()
    assert found.faults[0].startswith(said)
    assert "hunter2" not in str(found.faults)
    assert list(found.by_name) == ([] if "not TOML" in said else ["good"])


@pytest.mark.django_db
def test_one_that_may_be_there_and_cannot_be_read_is_an_outage(written, cast):
    written(WAREHOUSE.replace("host", "hosts"))

    with pytest.raises(ConnectionsUnusable):
        connection_named("warehouse", "", cast.project)


def test_a_secret_is_read_where_it_is_when_it_is_used(written, monkeypatch, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("from a file\n")
    secret.chmod(0o600)
    by = 'password = "hunter2hunter2"'
    for text, value in (
        (WAREHOUSE, "hunter2hunter2"),
        (WAREHOUSE.replace(by, 'password_env = "PW"'), "from the environment"),
        (WAREHOUSE.replace(by, f'password_file = "{secret}"'), "from a file"),
        (WAREHOUSE.replace(by, ""), ""),
    ):
        monkeypatch.setenv("PW", "from the environment")
        written(text)
        connection = all_connections().by_name["warehouse"]
        assert secret_text(connection) == value
        assert not value or value not in repr(connection)
    monkeypatch.delenv("PW")
    written(WAREHOUSE.replace(by, 'password_env = "PW"'))
    with pytest.raises(ConnectionsUnusable, match="secret of the connection is not there"):
        secret_text(all_connections().by_name["warehouse"])


def test_a_secret_that_is_no_text_is_told_without_a_piece_of_it(written, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"hunter2\xff\xfe")
    secret.chmod(0o600)
    written(WAREHOUSE.replace('password = "hunter2hunter2"', f'password_file = "{secret}"'))

    with pytest.raises(ConnectionsUnusable, match="secret of the connection is not there"):
        secret_text(all_connections().by_name["warehouse"])
    with pytest.raises(CommandError, match="secret is no text in UTF-8") as caught:
        call_command("connections", stdout=StringIO())
    assert "0xff" not in str(caught.value)


def test_what_is_written_down_anew_counts_at_once(written):
    written(WAREHOUSE)
    assert len(all_connections().by_name) == 1
    written(WAREHOUSE + OTHER)
    assert len(all_connections().by_name) == 2


def test_the_environment_may_say_them(settings):
    settings.CONNECTIONS = WAREHOUSE
    assert list(all_connections().by_name) == ["warehouse"]


def test_the_command_lists_them_and_what_is_wrong(written):
    out = StringIO()
    written(WAREHOUSE)
    call_command("connections", stdout=out)
    assert out.getvalue() == "warehouse  postgres  db.example.com:5432/sales  rides\n"

    written(WAREHOUSE.replace('password = "hunter2hunter2"', 'password_env = "NO_SUCH"'))
    with pytest.raises(CommandError, match="'warehouse': the variable NO_SUCH is not set"):
        call_command("connections", stdout=out)
    assert "hunter2" not in out.getvalue()
