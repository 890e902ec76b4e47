"""Typed reads of the environment: what is taken, what is refused, in which words."""

from __future__ import annotations

import sqlite3

import pytest

from featurestore_project import env


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("1", True), (" On ", True), ("false", False), ("0", False), ("", False)],
)
def test_a_yes_or_no_is_read(monkeypatch, text, value):
    monkeypatch.setenv("DEBUG", text)

    assert env.env_bool("DEBUG", not value) is value


def test_an_unset_variable_gives_the_default(monkeypatch):
    monkeypatch.delenv("DEBUG", raising=False)

    assert env.env_bool("DEBUG", True) is True
    assert env.env_int("LIMIT", 7) == 7
    assert env.env_list("HOSTS", "a, b,,") == ["a", "b"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: env.env_bool("X", False), "X='maybe' is not a yes or no. Valid: true, false."),
        (lambda: env.env_int("X", 1), "X='maybe' is not a whole number."),
        (
            lambda: env.database_from_url("mysql://u:secret@h/db"),
            "DATABASE_URL has the scheme 'mysql'. Valid: sqlite:///path/db.sqlite3, "
            "postgresql://user:password@host:5432/name.",
        ),
    ],
)
def test_what_cannot_be_used_is_named_with_what_can(monkeypatch, call, message):
    monkeypatch.setenv("X", "maybe")

    with pytest.raises(env.BadEnvironment) as caught:
        call()
    assert str(caught.value) == message


def test_a_number_below_the_least_is_refused(monkeypatch):
    monkeypatch.setenv("SWEEP_EVERY_SECONDS", "0")

    with pytest.raises(env.BadEnvironment, match="Valid: 1 or more"):
        env.env_int("SWEEP_EVERY_SECONDS", 10, minimum=1)


def test_a_secret_comes_from_its_file(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("s3cret\n")
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.delenv("SECRET_KEY", raising=False)

    assert env.env_secret("SECRET_KEY") == "s3cret"


def test_a_secret_given_twice_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("SECRET_KEY", "other")

    with pytest.raises(env.BadEnvironment, match="both set"):
        env.env_secret("SECRET_KEY")


def test_a_postgresql_url_becomes_a_database():
    url = "postgresql://ann:p%40ss@db.local:6432/store?sslmode=require"

    assert env.database_from_url(url) == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "store",
        "USER": "ann",
        "PASSWORD": "p@ss",
        "HOST": "db.local",
        "PORT": "6432",
        "OPTIONS": {"sslmode": "require"},
    }


def test_a_socket_folder_in_the_query_is_the_host():
    database = env.database_from_url("postgresql://assay@/store?host=/run/postgresql")

    assert (database["HOST"], database["OPTIONS"]) == ("/run/postgresql", {})


def test_a_sqlite_url_gives_a_database_several_processes_can_write(tmp_path):
    database = env.database_from_url(f"sqlite:///{tmp_path}/db.sqlite3")

    assert database["NAME"] == f"{tmp_path}/db.sqlite3"
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    with sqlite3.connect(database["NAME"]) as connection:
        connection.executescript(database["OPTIONS"]["init_command"])
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_password_is_not_repeated_in_an_error():
    with pytest.raises(env.BadEnvironment) as caught:
        env.database_from_url("postgresql://ann:s3cret@db.local")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", ""),
        ("https://assay.example.com", "https://assay.example.com"),
        ("http://10.0.0.1:8000/", "http://10.0.0.1:8000"),
    ],
)
def test_the_address_of_a_server_has_no_path(monkeypatch, text, address):
    monkeypatch.setenv("PUBLIC_URL", text)

    assert env.env_url("PUBLIC_URL") == address


@pytest.mark.parametrize(
    "text",
    [
        "assay.example.com",
        "https://a.example.com/x",
        "ftp://a",
        "https:/",
        "https://[",
        "https://a?x",
    ],
)
def test_what_is_no_address_of_a_server_is_refused(monkeypatch, text):
    monkeypatch.setenv("PUBLIC_URL", text)

    with pytest.raises(env.BadEnvironment, match=r"PUBLIC_URL is .*https://assay\.example\.com"):
        env.env_url("PUBLIC_URL")


def test_a_bucket_is_named_with_its_key_and_where_it_is(monkeypatch, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    for name, value in (
        ("", "s3://far/store"), ("_ENDPOINT", "http://s3:9000"),
        ("_ACCESS_KEY_ID", "assay"), ("_SECRET_ACCESS_KEY_FILE", str(secret)),
    ):  # fmt: skip
        monkeypatch.setenv(f"OFFLINE_STORE{name}", value)

    found = env.env_bucket("OFFLINE_STORE")

    assert found == {
        "bucket": "far", "prefix": "store", "endpoint": "http://s3:9000", "region": "us-east-1",
        "path_style": True, "access_key_id": "assay", "secret_access_key": "hunter2",
    }  # fmt: skip


def test_a_folder_is_no_bucket(monkeypatch):
    monkeypatch.setenv("OFFLINE_STORE", "/srv/offline")

    assert env.env_bucket("OFFLINE_STORE") is None


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://", "is no bucket"),
        ("s3:///store", "is no bucket"),
        ("s3://far/a?b", "is no bucket"),
        ("s3://key:secret@far/a", "is no bucket"),
        ("s3://far/a b", "is no bucket"),
        ("s3://far/store", "set OFFLINE_STORE_ACCESS_KEY_ID and OFFLINE_STORE_SECRET_ACCESS_KEY"),
    ],
)
def test_an_address_of_no_bucket_or_without_a_key_is_told(monkeypatch, address, said):
    monkeypatch.setenv("OFFLINE_STORE", address)

    with pytest.raises(env.BadEnvironment, match=said):
        env.env_bucket("OFFLINE_STORE")
