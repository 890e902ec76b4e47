"""Channels: where they may lead, what is sent, once, and what a silent or hostile one can do."""

from __future__ import annotations

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from email import message_from_string
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from lib.attempts import UNENDED
from materialization import tasks
from materialization.choices import AlertKind
from materialization.models import AlertChannel, AlertNotice
from materialization.quality.alerts import notices
from materialization.quality.alerts.channels import (
    KINDS,
    BadChannel,
    ChannelHostNotAllowed,
    open_channel,
    send,
    where_of,
)
from materialization.quality.alerts.opening import (
    About,
    Trouble,
    about_version,
    close_alert,
    raise_alert,
)
from materialization.requests import watch
from materialization.requests.channels import add_channel, change_channel, try_channel
from registry.models import AuditEntry
from tests.factories import AT, make_version

if TYPE_CHECKING:
    from collections.abc import Iterator

MINUTE = timedelta(minutes=1)
SECRET = "s3cr3t-path"


class Peer:
    """A real HTTP server and what it was sent; ``status`` is its answer."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.status, self.location, self.silent = 200, "", threading.Event()
        self.is_silent = False
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                peer.got.append((self.path, json.loads(self.rfile.read(length))))
                if peer.is_silent:
                    peer.silent.wait(20)
                    return
                self.send_response(peer.status)
                if peer.location:
                    self.send_header("Location", peer.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"json://{self.host}/{SECRET}"


@contextmanager
def serving() -> Iterator[Peer]:
    peer = Peer()
    threading.Thread(target=peer.server.serve_forever, daemon=True).start()
    try:
        yield peer
    finally:
        peer.silent.set()
        peer.server.shutdown()
        peer.server.server_close()


@pytest.fixture
def peer(settings) -> Iterator[Peer]:
    with serving() as found:
        settings.ALERT_HOSTS = [found.host]
        yield found


# --- Where a channel may lead ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("json://evil.example/x", "evil.example"),
        ("jsons://good.example@evil.example/x", "evil.example"),
        ("json://good.example:99/x", "good.example:99"),
        ("json://2130706433/x", "2130706433"),
        ("json://[::1]:80/x", "[::1]:80"),
        ("json://169.254.169.254/latest/meta-data", "169.254.169.254"),
        ("mailtos://a:b@good.example?smtp=evil.example&to=x@y.example", "evil.example:587"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#c", "hooks.slack.com"),
        ("mmosts://evil.example/3ccdd113474722377935511fc85d3dd4", "evil.example"),
    ],
)
def test_a_host_that_the_operator_does_not_allow_is_named(url, host):
    with pytest.raises(ChannelHostNotAllowed, match="ALERT_HOSTS") as found:
        open_channel(url, allowed=["good.example:443"])

    assert f"may not lead to {host};" in found.value.message


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://good.example/x",
        "file:///etc/passwd",
        "dbus://",
        "syslog://localhost",
        "windows://",
        "json://",
        "slack://short",
        "json://good.example/x?redirect=yes",
        "json://good.example/x?rto=9999",
        "json://good.example/x?retry=100",
        "json://good.example/x?attach=/etc/passwd",
        "mailtos://a:b@good.example?pgpkey=http://evil.example/x",
        "json://good.example/" + "x" * 2_000,
    ],
)
def test_what_is_no_address_of_a_known_kind_is_refused_without_repeating_it(url):
    with pytest.raises(BadChannel) as found:
        open_channel(url, allowed=["good.example", "localhost"])

    assert "evil" not in found.value.message
    assert "passwd" not in found.value.message


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("jsons://user:pw@good.example/secret?method=PUT", "webhook, good.example"),
        ("json://GOOD.example:81/x", "webhook, good.example:81"),
        ("mailtos://me:pw@good.example?to=x@y.example", "e-mail, good.example:587"),
        ("mmosts://good.example/3ccdd113474722377935511fc85d3dd4", "Mattermost, good.example"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#c", "Slack, hooks.slack.com"),
    ],
)
def test_of_an_address_only_kind_and_host_are_shown(url, where):
    allowed = ["good.example", "hooks.slack.com", "slack.com"]

    assert where_of(url, allowed=allowed).lower() == where.lower()


def test_with_no_host_allowed_there_is_no_channel(settings):
    assert settings.ALERT_HOSTS == []
    with pytest.raises(ChannelHostNotAllowed, match="allowed: none"):
        open_channel("json://localhost/x", allowed=settings.ALERT_HOSTS)


def test_an_allowed_host_cannot_send_us_on_to_another(peer):
    with serving() as other:
        peer.status, peer.location = 307, f"http://{other.host}/inside"

        error = send(peer.url, "t", "b", allowed=[peer.host])

        assert error == "it answered HTTP 307"
        assert (len(peer.got), other.got) == (1, [])


def test_a_host_that_was_allowed_once_is_not_used_any_more(peer):
    assert "may not lead to" in send(peer.url, "t", "b", allowed=[])
    assert peer.got == []


def test_nothing_of_the_address_is_logged(peer, caplog, capfd):
    peer.status = 500
    caplog.set_level(logging.DEBUG)

    assert send(peer.url, "t", "b", allowed=[peer.host]) == "it answered HTTP 500"
    gone = "json://127.0.0.1:1/" + SECRET
    said = send(gone, "t", "b", allowed=["127.0.0.1"])
    assert said == "nothing listens at that host and port"

    assert SECRET not in caplog.text
    assert SECRET not in "".join(capfd.readouterr())


def test_messages_that_are_sent_at_the_same_time_hear_each_their_own_answer(peer):
    with serving() as other, ThreadPoolExecutor(8) as threads:
        peer.status, other.status = 500, 404

        def say(to: Peer) -> str:
            return send(to.url, "t", "b", allowed=[to.host])

        answers = list(threads.map(say, [peer, other] * 20))

    assert answers == ["it answered HTTP 500", "it answered HTTP 404"] * 20


class MailServer(StreamRequestHandler):
    """As much of SMTP as a message needs; nobody has no mailbox."""

    got: ClassVar[list[str]] = []

    def handle(self) -> None:
        self.wfile.write(b"220 mail\r\n")
        for line in self.rfile:
            verb = line.split(b":")[0].strip().upper()
            answer = b"550 no such mailbox" if b"<nobody@" in line else b"250 ok"
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                self.got.append(b"".join(lines).decode())
            self.wfile.write(answer + b"\r\n")
            if verb == b"QUIT":
                return


@pytest.fixture
def mail(settings) -> Iterator[str]:
    """The address of a mail server as channels have it, without a recipient."""
    MailServer.got.clear()
    with ThreadingTCPServer(("127.0.0.1", 0), MailServer) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_address[1]}"
        settings.ALERT_HOSTS = [host]
        yield f"mailto://{host}?from=assay@a.example&mode=insecure&to="
        server.shutdown()


def test_a_mail_has_its_lines_as_they_were_written(mail, settings):
    body = "Severity <critical>.\nCode: checks_failed."

    assert send(f"{mail}jo@a.example", "A title", body, allowed=settings.ALERT_HOSTS) == ""

    message = message_from_string(MailServer.got[0])
    (part,) = [part for part in message.walk() if not part.is_multipart()]
    assert part.get_content_type() == "text/plain"
    assert part.get_payload(decode=True).decode().split("\r\n")[:2] == body.split("\n")
    assert (message["Subject"], message["X-Application"]) == ("A title", "Assay")


def test_a_recipient_that_is_refused_is_no_server_that_is_silent(mail, settings):
    said = send(f"{mail}nobody@a.example", "t", "b", allowed=settings.ALERT_HOSTS)

    assert said == "the mail server refused it (550)"


def test_a_chat_shows_us_and_no_picture_from_elsewhere(peer):
    url = f"mmost://{peer.host}/3ccdd113474722377935511fc85d3dd4"

    assert send(url, "A title", "<b> _x_", allowed=[peer.host]) == ""

    ((_, sent),) = peer.got
    assert sent["username"] == "Assay"
    assert "<b> _x_" in sent["text"]
    assert "http" not in json.dumps(sent)


@pytest.mark.parametrize("url", ["mailto://", "json://", "slack://a", "tgram://x", "mmosts://"])
def test_half_an_address_is_refused_with_a_whole_one(url):
    kind = KINDS[url.partition(":")[0]]

    with pytest.raises(BadChannel) as refused:
        open_channel(url, allowed=[])

    assert refused.value.message.endswith(f"it is written like {kind.like}")
    with pytest.raises(ChannelHostNotAllowed):
        open_channel(kind.like, allowed=[])


# --- What is sent ---------------------------------------------------------------------------------


@pytest.fixture
def channel(cast, peer) -> AlertChannel:
    return add_channel(
        project=cast.project,
        name="chat",
        url=peer.url,
        severity="critical",
        actor=cast.operator,
        at=AT,
    )


def sweep(at=AT) -> None:
    """Do what a sweep does for messages, and at once what a worker then does."""
    watch.wake_notices(at=at)
    for notice in AlertNotice.objects.filter(sent_at=None, given_up_at=None):
        if notice.attempts > notice.begun:
            notices.deliver(notice.pk, notice.attempts, allowed=_hosts(), clock=lambda: at)


def _hosts() -> list[str]:
    from django.conf import settings

    return list(settings.ALERT_HOSTS)


@pytest.mark.django_db
def test_an_opening_and_a_closing_are_sent_once_each(cast, channel, peer):
    version = make_version(cast)
    about, trouble = about_version(version), Trouble("secret.csv: jane@x is bad", "checks_failed")
    raise_alert(AlertKind.BLOCKED, about, trouble, at=AT)
    for _ in range(3):
        sweep()
        raise_alert(AlertKind.BLOCKED, about, trouble, at=AT)
    assert len(peer.got) == 1

    close_alert(AlertKind.BLOCKED, about, at=AT + MINUTE)
    for _ in range(3):
        sweep(AT + MINUTE)

    (path, opened), (_, closed) = peer.got
    assert path == f"/{SECRET}"
    assert opened["title"] == "Assay: blocked: rides, driver_hourly@1.0.0"
    assert opened["message"].startswith("Severity critical, since 2026-03-01 12:00 UTC.")
    assert "Code: checks_failed." in opened["message"]
    assert (opened["type"], closed["type"]) == ("failure", "success")
    assert closed["title"] == "Assay: closed, blocked: rides, driver_hourly@1.0.0"
    sent = json.dumps(peer.got)
    for private in ("secret.csv", "jane", "operator"):
        assert private not in sent
    channel.refresh_from_db()
    assert (channel.last_sent_at, channel.error) == (AT + MINUTE, "")


@pytest.mark.django_db
def test_a_channel_hears_of_its_project_its_severity_and_while_it_is_on(cast, channel, peer):
    raise_alert(AlertKind.FAILED, About("a", cast.project), Trouble("x"), at=AT)  # a warning
    raise_alert(AlertKind.STORE_NEARLY_FULL, About("online store"), Trouble("x"), at=AT)
    assert not AlertNotice.objects.exists()

    change_channel(channel=channel, severity="warning", enabled=True, actor=cast.operator, at=AT)
    raise_alert(AlertKind.DRIFTED, About("b", cast.project), Trouble("x"), at=AT)
    assert AlertNotice.objects.count() == 1
    change_channel(channel=channel, severity="warning", enabled=False, actor=cast.operator, at=AT)
    raise_alert(AlertKind.DRIFTED, About("c", cast.project), Trouble("x"), at=AT)
    close_alert(AlertKind.FAILED, About("a", cast.project), at=AT)  # its opening was not told

    assert AlertNotice.objects.count() == 1


@pytest.mark.django_db
def test_one_that_does_not_take_messages_is_tried_again_ever_later_and_then_given_up(
    cast, channel, peer
):
    peer.status = 503
    raise_alert(AlertKind.OVERDUE, About("v", cast.project), Trouble("x"), at=AT)
    tried, at = [], AT
    for _ in range(200):
        before = len(peer.got)
        sweep(at)
        tried += [(at - AT) // MINUTE] * (len(peer.got) - before)
        at += MINUTE

    assert tried == [0, 1, 6, 21, 81]
    notice = AlertNotice.objects.get()
    assert (notice.attempts, notice.error) == (5, "it answered HTTP 503")
    assert notice.given_up_at == AT + 81 * MINUTE
    channel.refresh_from_db()
    assert (channel.error, channel.failing_since) == ("it answered HTTP 503", AT)

    peer.status = 200
    close_alert(AlertKind.OVERDUE, About("v", cast.project), at=at)
    sweep(at)
    channel.refresh_from_db()
    assert (channel.error, channel.failing_since, channel.last_sent_at) == ("", None, at)


@pytest.mark.django_db
def test_a_test_goes_before_what_waits_for_a_channel_that_fails(cast, channel, peer):
    peer.status = 503
    for name in ("a", "b", "c"):
        raise_alert(AlertKind.OVERDUE, About(name, cast.project), Trouble("x"), at=AT)
    sweep()
    try_channel(channel=channel, actor=cast.operator, at=AT)
    sweep()

    titles = [sent["title"] for _, sent in peer.got]
    assert titles == ["Assay: overdue: rides, a", "Assay: a test"]


@pytest.mark.django_db
def test_one_that_never_answers_costs_seconds(cast, channel, peer, monkeypatch):
    monkeypatch.setattr("materialization.quality.alerts.channels.TIMEOUT_SECONDS", 0.3)
    peer.is_silent = True
    raise_alert(AlertKind.OVERDUE, About("v", cast.project), Trouble("x"), at=AT)

    sweep()

    assert "no answer within" in AlertNotice.objects.get().error


@pytest.mark.django_db
def test_one_that_answers_byte_by_byte_is_ended_and_said_to_fail(cast, channel, monkeypatch):
    def slow(*_: object, **__: object) -> str:
        raise SoftTimeLimitExceeded

    raise_alert(AlertKind.OVERDUE, About("v", cast.project), Trouble("x"), at=AT)
    watch.wake_notices(at=AT)
    monkeypatch.setattr(notices, "send", slow)

    tasks.deliver_notice(notice_id=AlertNotice.objects.get().pk, attempt=1)

    channel.refresh_from_db()
    assert channel.error == UNENDED
    assert channel.failing_since is not None


@pytest.mark.django_db
def test_a_worker_that_dies_with_the_last_attempt_leaves_it_given_up(cast, channel, peer):
    raise_alert(AlertKind.OVERDUE, About("v", cast.project), Trouble("x"), at=AT)
    AlertNotice.objects.update(attempts=5, begun=5, error=UNENDED)

    sweep(AT + MINUTE)

    assert AlertNotice.objects.get().given_up_at == AT + MINUTE
    assert peer.got == []


@pytest.mark.django_db
def test_a_message_that_arrives_twice_is_sent_once(cast, channel, peer):
    raise_alert(AlertKind.OVERDUE, About("v", cast.project), Trouble("x"), at=AT)
    watch.wake_notices(at=AT)
    notice = AlertNotice.objects.get()
    for _ in range(2):
        tasks.deliver_notice(notice_id=notice.pk, attempt=1)

    assert len(peer.got) == 1


@pytest.mark.django_db
def test_what_is_due_is_given_to_a_worker_one_at_a_time_while_a_channel_fails(cast, channel, peer):
    for subject in "abcdefghijkl":
        raise_alert(AlertKind.OVERDUE, About(subject, cast.project), Trouble("x"), at=AT)

    def woken() -> int:
        before = AlertNotice.objects.filter(attempts__gt=0).count()
        watch.wake_notices(at=AT)
        return AlertNotice.objects.filter(attempts__gt=0).count() - before

    assert woken() == 1  # nobody knows yet that it works
    AlertChannel.objects.update(last_sent_at=AT)
    assert woken() == 4
    AlertChannel.objects.update(failing_since=AT)
    assert woken() == 1


@pytest.mark.django_db
def test_a_clock_that_went_back_does_not_keep_a_message_waiting(cast, channel, peer):
    raise_alert(AlertKind.OVERDUE, About("v", cast.project), Trouble("x"), at=AT + 9000 * MINUTE)

    sweep(AT)

    assert len(peer.got) == 1


@pytest.mark.django_db
def test_a_test_is_sent_once_and_says_what_became_of_it(cast, channel, peer):
    try_channel(channel=channel, actor=cast.operator, at=AT)
    sweep()

    assert peer.got[0][1]["message"] == "The channel chat works."
    peer.status = 404
    try_channel(channel=channel, actor=cast.operator, at=AT + MINUTE)
    for minute in range(1, 5):
        sweep(AT + minute * MINUTE)

    assert len(peer.got) == 2  # nobody waits for a test that failed
    assert AlertNotice.objects.get().error == "it answered HTTP 404"


@pytest.mark.django_db
def test_the_trail_never_has_the_address(cast, channel, peer):
    change_channel(
        channel=channel,
        url=peer.url + "/other",
        severity="warning",
        enabled=True,
        actor=cast.operator,
        at=AT,
    )

    entries = AuditEntry.objects.filter(verb__startswith="alert_channel.")
    assert [entry.verb for entry in entries.order_by("id")] == [
        "alert_channel.created",
        "alert_channel.changed",
    ]
    said = json.dumps([[e.before, e.after, e.data, e.subject_label] for e in entries])
    assert SECRET not in said
    assert peer.host in said
    assert "another" in said


@pytest.mark.django_db
def test_what_was_sent_long_ago_is_forgotten(cast, channel, peer):
    raise_alert(AlertKind.OVERDUE, About("v", cast.project), Trouble("x"), at=AT)
    sweep()

    sweep(AT + timedelta(days=31))

    assert not AlertNotice.objects.exists()


def test_a_worker_that_starts_loads_neither_the_library_nor_pandas():
    import subprocess
    import sys

    from tests.environment import VARIABLES

    code = (
        f"import os, sys; os.environ.update({VARIABLES!r}); import django; django.setup();"
        "import materialization.tasks; assert not {'apprise', 'pandas'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
