"""Brokers behind TLS, to whom one says who one is: read, or refused in words."""

from __future__ import annotations

import pytest
from django.utils import timezone

from materialization.edges.sources import try_connection
from materialization.streams import kafka
from materialization.streams.reader import StreamUnavailable
from tests.brokers import Broker, running_broker
from tests.kafka_doors import Door, opened
from tests.materialization.run_world import online
from tests.servers import free_port
from tests.serving.streams.stream_world import consumer, ready_view, trip, turn_until
from tests.sites import certificate

pytestmark = pytest.mark.django_db
SECRET = "Corr3ct-horse"
KEYS = {"driver_id": [1001]}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A door that everybody is led to, a broker behind it with one topic, and certificates."""
    folder = tmp_path_factory.mktemp("guarded")
    certified, other = certificate(folder), folder / "other"
    other.mkdir()
    certificate(other)
    door = Door(free_port(), free_port(), certified)
    with running_broker(folder, port=door.broker, door=door.port):
        with opened(door._replace(certified="")):
            plain = Broker(f"127.0.0.1:{door.port}")
            plain.create("trips")
            plain.send("trips", trip(1001, 12.5))
        yield door, folder


def connection(door, folder, **changed):
    keys = {
        "brokers": f'["127.0.0.1:{door.port}"]',
        "ca_file": f'"{folder}/ca.pem"',
        **({"user": '"assay"', "mechanism": f'"{door.mechanism}"', "password": f'"{SECRET}"'}
           if door.mechanism else {}),
        **changed,
    }  # fmt: skip
    said = "\n".join(f"{key} = {value}" for key, value in keys.items() if value)
    return f'[events]\nkind = "kafka"\nprojects = ["rides"]\n{said}\n'


def test_records_are_read_by_whoever_logs_in(guarded, cast, settings):
    door, folder = guarded
    door = door._replace(user="assay", password=SECRET, mechanism="SCRAM-SHA-512")
    settings.CONNECTIONS = connection(door, folder)
    with opened(door):
        version = ready_view(cast, "trips")
        with consumer() as one:
            turn_until(one, lambda: online(version, KEYS, at=timezone.now())["fare"] == [12.5])


def test_a_door_that_asks_for_a_certificate_is_shown_ours(guarded, cast, settings, monkeypatch):
    door, folder = guarded
    monkeypatch.setattr(kafka, "ANSWER_SECONDS", 1.0)
    own = dict.fromkeys(("certificate_file", "key_file"), f'"{folder}/server.pem"')
    others = dict.fromkeys(own, f'"{folder}/other/server.pem"')
    with opened(door._replace(asks_for=f"{folder}/ca.pem")):
        settings.CONNECTIONS = connection(door, folder, **own)
        try_connection(name="events", project=cast.project)
        for changed in (others, {}):
            settings.CONNECTIONS = connection(door, folder, **changed)
            with pytest.raises(StreamUnavailable, match=r"certificate|speak TLS"):
                try_connection(name="events", project=cast.project)


def test_a_connection_is_let_in_or_says_what_to_correct(
    guarded, cast, settings, monkeypatch, caplog
):
    door, folder = guarded
    monkeypatch.setattr(kafka, "ANSWER_SECONDS", 1.0)
    certificate_words, login_words = (
        "names in `ca_file` who signed it",
        "corrects `user`, `mechanism`",
    )
    for mechanism in ("", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        one = door._replace(user="assay", password=SECRET, mechanism=mechanism)
        with opened(one):
            settings.CONNECTIONS = connection(one, folder)
            try_connection(name="events", project=cast.project)
            wrong = [({"password": '"wr0ng-horse"'}, login_words)] if mechanism else [
                ({"ca_file": f'"{folder}/other/ca.pem"'}, certificate_words),
                ({"ca_file": ""}, certificate_words),
                ({"brokers": f'["localhost:{door.port}"]'}, certificate_words),
                ({"ca_file": "", "plaintext": "true"}, "whether they speak TLS"),
                ({"brokers": f'["nobody.invalid:{door.port}"]'}, "no machine has the name"),
            ]  # fmt: skip
            if mechanism == "SCRAM-SHA-256":
                wrong.append(({"mechanism": '"PLAIN"'}, login_words))
            for changed, words in wrong:
                settings.CONNECTIONS = connection(one, folder, **changed)
                with pytest.raises(StreamUnavailable, match=words) as refused:
                    try_connection(name="events", project=cast.project)
                assert "horse" not in refused.value.message + caplog.text
