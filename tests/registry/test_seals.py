"""Seals of the trail: signed, published at real places, and what they find out."""

from __future__ import annotations

import subprocess
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import CommandError, call_command
from django.db import connection
from pyarrow.fs import FileSystem

from registry import audit
from registry.models import AuditEntry, AuditHead, AuditSeal
from registry.seals.channels.base import SealChannelFailed
from registry.seals.channels.kinds import KINDS, UnknownSealChannel, channel_of
from registry.seals.keys import BadSealKey, key_id, public_pem, read_public, signing_key
from registry.seals.making import make_seal, seal_if_due, seal_now
from registry.seals.sealed import BadSeal, parse_seals
from registry.triggers import REMOVAL
from tests.factories import AT, make_version
from tests.servers import s3_server

pytestmark = pytest.mark.django_db

#: Of the operator of a bucket; it stands in no message.
SECRET = "secret-of-the-operator"  # noqa: S105


@pytest.fixture(autouse=True)
def own_key(settings, tmp_path):
    settings.STATE_DIR, settings.SEAL_KEY, settings.SEAL_CHANNELS = tmp_path / "state", "", []


@pytest.fixture
def trail(cast):
    """A trail of some length, whose triggers are gone."""
    make_version(cast)
    unguard()
    return AuditEntry.objects.order_by("pk")


def unguard():
    with connection.cursor() as cursor:
        for statement in REMOVAL[connection.vendor]:
            cursor.execute(statement)


def verify(*addresses, **options):
    """Return what the command finds, beside the triggers that the fixture took away."""
    try:
        call_command("verify_audit", seal=[str(each) for each in addresses], **options)
    except CommandError as error:
        return [line.strip() for line in str(error).splitlines() if "trigger" not in line]
    return []


def sealed(path):
    seal = make_seal(at=AT)
    with path.open("a") as file:
        file.write(f"{seal.line}\n")
    return seal


def written_again(entries):
    """Chain these entries anew, as somebody does who changed one of them."""
    previous = entries[0].previous_hash
    for entry in entries:
        entry.previous_hash = previous
        previous = entry.hash = audit.entry_hash(entry)
        AuditEntry.objects.filter(pk=entry.pk).update(
            previous_hash=entry.previous_hash, hash=entry.hash, data=entry.data
        )
    AuditHead.objects.update(hash=previous)


# --- What a seal finds out -----------------------------------------------------------------------


def test_a_trail_that_grew_fits_every_seal_that_was_made_of_it(cast, tmp_path, capsys):
    path = tmp_path / "seals.jsonl"
    first = sealed(path)
    make_version(cast)
    last = sealed(path)

    call_command("verify_audit", seal=[str(path)])

    assert first.count < last.count == AuditEntry.objects.count()
    assert f"2 seals fit; the newest, of {last.at}, is of the first {last.count}" in (
        capsys.readouterr().out
    )


def test_a_place_that_was_emptied_does_not_pass_for_one_that_fits(cast, tmp_path):
    path = tmp_path / "seals.jsonl"
    path.write_text("\n")

    assert any("there is no seal at that place" in line for line in verify(path))


def test_a_tail_that_was_cut_off_is_found_by_the_seal_alone(trail, tmp_path):
    path = tmp_path / "seals.jsonl"
    seal = sealed(path)
    *kept, gone = list(trail)
    gone_review = AuditEntry.objects.filter(pk=gone.pk)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM registry_review")
    gone_review._raw_delete("default")
    AuditHead.objects.update(hash=kept[-1].hash, count=len(kept))

    assert audit.verify() is None
    assert any(
        f"has {seal.count} entries, and the trail has {seal.count - 1}: its end was cut off" in line
        for line in verify(path)
    )


def test_a_suffix_that_was_written_again_is_found_by_the_seal_alone(trail, tmp_path):
    path = tmp_path / "seals.jsonl"
    older = sealed(path)
    audit.record(actor=None, verb="project.changed", subject=None, at=AT, data={"comment": "a"})
    sealed(path)
    entry = AuditEntry.objects.latest("pk")
    entry.data = {"comment": "b"}
    written_again([entry])

    assert audit.verify() is None
    found = [line for line in verify(path) if "seal" in line]
    assert len(found) == 1  # the older one still fits: it is of what came before
    assert f"at entry number {older.count + 1}" in found[0]
    assert "entries up to it were written again" in found[0]


@pytest.mark.parametrize("change", [{"count": 3}, {"hash": "0" * 64}, {"at": "2020-01-01"}])
def test_a_seal_that_was_changed_is_none(cast, tmp_path, change):
    path = tmp_path / "seals.jsonl"
    seal = sealed(path)
    [(name, value)] = change.items()
    old = getattr(seal, name)
    path.write_text(path.read_text().replace(str(old), str(value), 1))

    assert any("is not what the key" in line for line in verify(path))


def test_a_seal_of_another_key_is_none_unless_that_key_is_given(cast, tmp_path, settings):
    path, public = tmp_path / "seals.jsonl", tmp_path / "public.pem"
    sealed(path)
    public.write_text(public_pem(signing_key().public_key()))
    settings.STATE_DIR = tmp_path / "elsewhere"

    assert any("--public-key FILE" in line for line in verify(path))
    assert verify(path, public_key=[public]) == []


def test_what_is_no_seal_is_said_with_its_line(cast, tmp_path):
    path = tmp_path / "seals.jsonl"
    sealed(path)
    path.write_text(path.read_text() + "nothing\n")

    assert any("line 2 is no seal of a trail" in line for line in verify(path))
    with pytest.raises(BadSeal):
        list(parse_seals('{"count": 1}'))


# --- Keys ----------------------------------------------------------------------------------------


def test_the_key_is_made_once_and_only_its_owner_reads_it(settings):
    first = key_id(signing_key().public_key())

    path = settings.STATE_DIR / "seal-key.pem"
    assert key_id(signing_key().public_key()) == first
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_of_the_operators_is_taken_and_another_kind_refused(settings):
    key = Ed25519PrivateKey.generate()
    plain, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    settings.SEAL_KEY = key.private_bytes(serialization.Encoding.PEM, plain, none).decode()
    assert key_id(signing_key().public_key()) == key_id(key.public_key())

    settings.SEAL_KEY = "nonsense"
    with pytest.raises(BadSealKey, match="no private key in PEM"):
        signing_key()


def test_the_public_key_is_printed_and_read_again(capsys):
    call_command("seal_audit", public_key=True)

    assert [*read_public(capsys.readouterr().out * 2)] == [key_id(signing_key().public_key())]
    with pytest.raises(BadSealKey):
        read_public("nothing")


# --- Places --------------------------------------------------------------------------------------


class Kept(BaseHTTPRequestHandler):
    """Keeps what is posted, and answers it to a GET; ``status`` is of the next POST."""

    lines: list[str] = []
    status = 204

    def do_POST(self):
        type(self).lines.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(type(self).status)
        self.end_headers()

    def do_GET(self):
        body = "\n".join(type(self).lines).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def webhook():
    Kept.lines, Kept.status = [], 204
    server = ThreadingHTTPServer(("127.0.0.1", 0), Kept)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/seals"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def repository(tmp_path):
    path = tmp_path / "seals.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(path)], check=True)
    return f"git+file://{path}"


@pytest.fixture
def bucket(monkeypatch):
    with s3_server() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_REGION", "eu-west-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "operator")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        store, _ = FileSystem.from_uri("s3://far?allow_bucket_creation=true")
        store.create_dir("far")
        yield "s3://far/of/ours"


#: Of every kind of place: the fixture that makes its address.
PLACES = {"file": "far_file", "webhook": "webhook", "git": "repository", "bucket": "bucket"}


@pytest.fixture
def far_file(tmp_path):
    return f"{tmp_path}/far/seals.jsonl"


@pytest.mark.parametrize("kind", PLACES)
def test_seals_of_each_place_are_read_back_and_fit(request, cast, settings, kind, capsys):
    settings.SEAL_CHANNELS = [address] = [request.getfixturevalue(PLACES[kind])]

    call_command("seal_audit")
    audit.record(actor=None, verb="project.changed", subject=None, at=AT)
    call_command("seal_audit")

    seals = list(parse_seals(channel_of(address).fetch(address)))
    assert [seal.count for seal in seals] == [
        each.count for each in AuditSeal.objects.order_by("pk")
    ]
    assert len(seals) == 2
    call_command("verify_audit", seal=[address])
    assert "2 seals fit" in capsys.readouterr().out
    assert AuditSeal.objects.filter(missing=[]).count() == 2


def test_a_bucket_has_an_object_for_each_seal(cast, bucket):
    publish, fetch = KINDS["s3://"]
    seals = [make_seal(at=AT)]
    audit.record(actor=None, verb="project.changed", subject=None, at=AT)
    seals.append(make_seal(at=AT))

    for seal in seals:
        publish(f"{bucket}/", seal.line, f"seal-{seal.count:012}")

    assert list(parse_seals(fetch(bucket))) == seals
    one = f"{bucket}/seal-{seals[0].count:012}.json"
    assert list(parse_seals(fetch(one))) == seals[:1]


def test_a_cut_tail_and_a_rewritten_suffix_are_found_by_a_bucket(trail, bucket, settings):
    settings.SEAL_CHANNELS = [bucket]
    call_command("seal_audit")
    audit.record(actor=None, verb="project.changed", subject=None, at=AT, data={"comment": "a"})
    call_command("seal_audit")
    assert not any("seal" in line for line in verify(bucket))

    entry = AuditEntry.objects.latest("pk")
    entry.data = {"comment": "b"}
    written_again([entry])
    assert any("entries up to it were written again" in line for line in verify(bucket))

    AuditEntry.objects.filter(pk=entry.pk)._raw_delete("default")
    last = AuditEntry.objects.latest("pk")
    AuditHead.objects.update(hash=last.hash, count=AuditEntry.objects.count())
    assert any("its end was cut off" in line for line in verify(bucket))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/proc/nowhere/seals.jsonl", "/proc/nowhere"),
        ("http://127.0.0.1:9/secret-path", "127.0.0.1 cannot be reached"),
        ("git+file:///nowhere/seals.git", "git:"),
        ("s3://operator:secret@nowhere/seals", "nowhere/seals: "),
        ("s3://far/seals?endpoint_override=127.0.0.1:9&scheme=http", "s3://far/seals: "),
    ],
)
def test_a_place_that_cannot_be_reached_is_named_without_its_secrets(
    cast, bucket, settings, address, said
):
    settings.SEAL_CHANNELS = [address]

    with pytest.raises(CommandError, match="not published") as refused:
        call_command("seal_audit")

    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


def test_an_address_of_no_kind_says_which_there_are():
    with pytest.raises(UnknownSealChannel, match="git\\+"):
        channel_of("ftp://somewhere")
    with pytest.raises(SealChannelFailed):
        channel_of("/nowhere/at/all").fetch("/nowhere/at/all")


# --- By the sweep --------------------------------------------------------------------------------


def test_the_sweep_seals_what_grew_when_its_time_has_come(cast, settings, tmp_path):
    settings.SEAL_CHANNELS = [f"{tmp_path}/seals.jsonl"]
    hour = timedelta(hours=1)

    seal_if_due(at=AT)
    seal_if_due(at=AT + hour / 2)  # too early
    seal_if_due(at=AT + hour)  # nothing new
    assert AuditSeal.objects.count() == 1
    audit.record(actor=None, verb="project.changed", subject=None, at=AT)
    seal_if_due(at=AT + 2 * hour)

    assert AuditSeal.objects.count() == 2
    assert len((tmp_path / "seals.jsonl").read_text().splitlines()) == 2


def test_without_a_place_nothing_is_sealed(cast):
    seal_if_due(at=AT)

    assert not AuditSeal.objects.exists()


def test_a_seal_that_was_not_taken_is_sent_again_and_said_meanwhile(
    cast, settings, webhook, client, caplog
):
    settings.SEAL_CHANNELS, Kept.status = [webhook], 500
    seal_if_due(at=AT)

    said = client.get("/readyz?deep=1").json()["checks"]["seals"]
    assert said == "ok, but a seal of the trail is not published: 127.0.0.1 answered 500"
    assert "is not published: 127.0.0.1 answered 500" in caplog.text

    Kept.status = 204
    seal_if_due(at=AT + timedelta(minutes=1))  # it is given time
    assert len(Kept.lines) == 1
    seal_if_due(at=AT + timedelta(minutes=6))
    assert len(Kept.lines) == 2
    assert AuditSeal.objects.get().missing == []


def test_a_trail_that_is_not_sealed_any_more_is_said(cast, settings, client, tmp_path):
    settings.SEAL_CHANNELS = [f"{tmp_path}/seals.jsonl"]

    def said():
        return client.get("/readyz?deep=1").json()["checks"]["seals"]

    assert said() == "ok, but the trail has no seal of late: see to the sweep process"
    seal_now(at=AT)  # long ago, and nothing came since
    assert said() == "ok"
    audit.record(actor=None, verb="project.changed", subject=None, at=AT)
    assert said() == "ok, but the trail has no seal of late: see to the sweep process"
