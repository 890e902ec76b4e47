"""Servers that mean no good, or are broken: each reading ends, in words, and gives nothing."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from lib.errors import AssayError
from materialization.errors import SourceRefused, SourceTooLarge, SourceUnavailable
from materialization.finding.fetching import Wanted
from materialization.finding.http import asking, reading
from materialization.finding.http.reading import HttpFinder
from materialization.sources.inputs import LinkedRows, Part
from registry.spec.paging import CursorPaging, LinkPaging, OffsetPaging
from tests.sites import TOKEN, Said, certificate, make_source
from tests.sites import site as site_of

ROWS = [{"k": "a", "event": "2024-01-01T10:00:00Z", "x": "1"}]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("materialization.finding.http.waiting._FIRST_WAIT_S", 0.001)
    monkeypatch.setattr("materialization.finding.http.line.SILENT_SECONDS", 1)


def fetch(site, tmp_path, *, watch=lambda: None, limits=None, link=None, **keys):
    source = make_source(**keys)
    used = link or site.link(limits={"timeout_s": 20.0, **(limits or {})})
    part = Part(used.words(source), "x", 0.0, grows=True)
    rows = LinkedRows(source, "rides", used.connection.identity, (part,))
    HttpFinder().fetch(rows, Wanted(), str(tmp_path), watch, used)
    return (tmp_path / "rows.jsonl").read_text().splitlines()


def refusal(site, tmp_path, kind, **keys) -> str:
    with pytest.raises(kind) as caught:
        fetch(site, tmp_path, **keys)
    assert TOKEN not in f"{caught.value}{caught.value.data}{caught.value.__cause__}"
    assert threading.active_count() < 40
    return str(caught.value)


def test_a_server_that_drips_ends_with_the_time(site, tmp_path):
    def drip(out):
        for byte in json.dumps(ROWS * 1000).encode():
            out.write(bytes([byte]))
            out.flush()
            time.sleep(0.05)

    site.put("/v1/rows", Said(write=drip))
    begun = time.monotonic()

    told = refusal(site, tmp_path, SourceUnavailable, limits={"timeout_s": 1.0})

    assert "took longer than" in told
    assert time.monotonic() - begun < 30


def test_a_server_that_drips_its_greeting_ends_with_the_time(site, tmp_path):
    """Before TLS is spoken there is no answer whose time could be looked at."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet():
            with suppress(OSError):
                there, _ = listening.accept()
                there.sendall(b"\x16\x03\x03\x40\x00")
                for _ in range(1000):
                    there.sendall(b"\x02")
                    time.sleep(0.1)

        threading.Thread(target=greet, daemon=True).start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/v1"
        begun = time.monotonic()
        link = site.link(url=url, limits={"timeout_s": 1.0})

        assert "took longer" in refusal(site, tmp_path, SourceUnavailable, link=link)
        assert time.monotonic() - begun < 30


def test_whoever_waits_may_stop_it(site, tmp_path, monkeypatch):
    monkeypatch.setattr("materialization.finding.http.line.SILENT_SECONDS", 60)
    stopped = threading.Event()
    site.put("/v1/rows", Said(write=lambda out: stopped.wait(60)))
    begun = time.monotonic()

    def watch():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        fetch(site, tmp_path, watch=watch)
    assert time.monotonic() - begun < 30
    stopped.set()


def test_a_server_that_says_nothing_any_more_is_gone(site, tmp_path, monkeypatch):
    monkeypatch.setattr("materialization.finding.http.line.SILENT_SECONDS", 0.5)
    gone = threading.Event()
    site.put("/v1/rows", Said(write=lambda out: gone.wait(60)))

    assert "stopped in the middle" in refusal(site, tmp_path, SourceUnavailable)
    assert len(site.asked) == asking.TRIES
    gone.set()


def test_pages_without_an_end_end(site, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_PAGES", 5)
    numbers = count()
    site.put("/v1/rows", lambda _: Said({"r": [{"k": next(numbers)}], "n": next(numbers)}))
    told = refusal(
        site, tmp_path, SourceRefused, rows="r", paging=CursorPaging(parameter="c", next="n")
    )
    assert "has more than 5 pages" in told


def test_pages_that_lead_back_are_noticed(site, tmp_path):
    cycle = {None: "a", "a": "b", "b": "a"}
    numbers = count()

    def answer(asked):
        return Said({"r": [{"k": next(numbers)}], "n": cycle[asked.query.get("c")]})

    site.put("/v1/rows", answer)
    paging = CursorPaging(parameter="c", next="n")

    told = refusal(site, tmp_path, SourceRefused, rows="r", paging=paging)

    assert "leads back to a page that was read already" in told


def test_an_offset_that_a_server_does_not_know_is_noticed(site, tmp_path):
    site.put("/v1/rows", Said(ROWS))

    told = refusal(site, tmp_path, SourceRefused, paging=OffsetPaging(parameter="skip"))

    assert "gives the same page again" in told


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("https://evil.example/v1/rows", "sends to 'evil.example' for the next page"),
        ("http://127.0.0.1:1/v1/rows", "sends to '127.0.0.1'"),
        ("//evil.example/v1/rows", "sends to 'evil.example'"),
        ("http://a:b@{host}/v1/rows", "only the connection's server"),
        ("http://{host}@evil.example/v1/rows", "sends to 'evil.example'"),
        ("/v2/rows", "out of where the connection leads"),
        ("/v1/../v2/rows", "out of where the connection leads"),
        ("/v1/%2e%2e/v2/rows", "out of where the connection leads"),
        ("/v1%2f..%2fv2", "out of where the connection leads"),
        ("/v1/%2e%252e/v2", "out of where the connection leads"),
        ("/v1/..;/v2", "out of where the connection leads"),
        ("/v1/..%5cv2", "out of where the connection leads"),
        ("/v1x/rows", "out of where the connection leads"),
        ("file:///etc/passwd", "only the connection's server is"),
        ("http://[::1/rows", "no address"),
    ],
)
def test_a_link_leads_nowhere_else(site, tmp_path, link, said):
    link = link.format(host=site.url.removeprefix("http://"))
    site.put("/v1/rows", Said(ROWS, headers={"Link": f"<{link}>; rel=next"}))

    assert said in refusal(site, tmp_path, SourceRefused, paging=LinkPaging())
    assert len(site.asked) == 1


def test_an_answer_that_is_taken_apart_may_be_stopped(site, tmp_path, monkeypatch):
    """All of it arrived, and is looked at for long: nobody waits for its end."""
    monkeypatch.setattr(reading, "_LOOKED_AT_EVERY_S", 0.001)
    many, written = 300_000, tmp_path / "rows.jsonl"
    site.put("/v1/rows", Said(json.dumps(ROWS * many)))

    def watch():
        if written.exists() and written.stat().st_size:
            raise InterruptedError("the lease is lost")

    with pytest.raises(InterruptedError, match="the lease is lost"):
        fetch(site, tmp_path, watch=watch)
    assert written.read_text().count("\n") < many


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_told_and_not_followed(site, tmp_path, status):
    to = f"{site.url}/v1/elsewhere?token=abcdef"
    site.put("/v1/rows", Said(status=status, headers={"Location": to}))
    site.put("/v1/elsewhere", Said(ROWS))

    told = refusal(site, tmp_path, SourceRefused)

    assert f"sends elsewhere ({status}), to 127.0.0.1; redirects are not followed" in told
    assert "abcdef" not in told
    assert [each.path for each in site.asked] == ["/v1/rows"]


def test_a_bomb_of_gzip_is_too_large(site, tmp_path):
    bomb = gzip.compress(b"[" + b" " * (64 << 20))
    site.put("/v1/rows", Said(bomb, headers={"Content-Encoding": "gzip"}))

    told = refusal(site, tmp_path, SourceTooLarge, limits={"most_bytes": 1 << 20})

    assert "more than 1 MB to read at once" in told
    assert Path(tmp_path, "answer").stat().st_size <= 1 << 20


def test_rows_of_all_pages_together_are_bounded(site, tmp_path):
    numbers = count()
    site.put("/v1/rows", lambda _: Said([{"k": next(numbers), "x": "y" * 100_000}]))
    paging = OffsetPaging(parameter="o")

    told = refusal(site, tmp_path, SourceTooLarge, limits={"most_bytes": 1 << 20}, paging=paging)

    assert "more than 1 MB" in told
    assert len(site.asked) < 13


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Said("<html>log in</html>", headers={"Content-Type": "text/html"}), "'text/html', which"),
        (Said(ROWS, status=404), "the server has nothing there (404)"),
        (Said(ROWS, status=401), "takes no log-in with the connection's token (401)"),
        (Said(ROWS, status=418), "does not take what it is asked (418)"),
        (Said(ROWS, status=206), "answers 206, and rows come with a 200"),
        (Said(""), "the answer is empty"),
        (Said("{}"), "has no array of rows as the whole of it"),
        (Said("null null"), "something follows its JSON"),
        (Said("[1]"), "has a row that is no object"),
        (Said("[{},]"), "has a row that is no object"),
        (Said("[{}}"), "is no JSON, at its byte"),
        (Said("\x00[]"), "has no array of rows"),
        (Said(b"\xff\xfe["), "has no array of rows"),
        (Said("[" * 200_000), "has a row that is no object"),
        (Said('[{"a":' + "[" * 200_000), "more than 100 deep"),
        (Said("[]]"), "something follows its JSON"),
    ],
)
def test_what_is_no_answer_is_refused_in_words(site, tmp_path, answer, said):
    site.put("/v1/rows", answer)

    assert said in refusal(site, tmp_path, SourceRefused)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1}', "has no 'd.r' with rows"),
        ('{"d": {"rr": []}}', "has no 'd.r' with rows. Did you mean 'd.rr'"),
        ('{"d": {"r": []}, "d": {"r": []}}', "has the key 'd' twice"),
        ('{"d": {"r": [], "\\u0072": []}}', "has the key 'r' twice"),
        ('{"d": {"r": {}}}', "has no array of rows at 'd.r'"),
        ('{"d": {"r": 1}}', "has no array of rows at 'd.r'"),
        ('{"d": {"r": []} "e": 1}', "is no JSON"),
        ('{"d": {"r": [],}}', "is no JSON"),
        ('{"d": {"r": []}, n: 1}', "is no JSON"),
        ('{"d": [{"r": []}]}', "has no 'd.r' with rows"),
    ],
)
def test_rows_are_where_they_are_said_to_be(site, tmp_path, text, said):
    site.put("/v1/rows", Said(text))

    assert said in refusal(site, tmp_path, SourceRefused, rows="d.r")


@pytest.mark.parametrize("value", ["[1]", "{}", "true", '"\\ud800"', '"' + "x" * 9000 + '"'])
def test_what_names_no_page_is_no_last_page(site, tmp_path, value):
    site.put("/v1/rows", Said(f'{{"r": [], "n": {value}}}'))
    paging = CursorPaging(parameter="c", next="n")

    refusal(site, tmp_path, SourceRefused, rows="r", paging=paging)


@pytest.mark.parametrize("body", ['[{"k": "a"}, {"k"', '[{"k": "a"}', '[{"k": "a"},', "["])
@pytest.mark.parametrize("length", [True, False])
def test_what_is_cut_off_is_tried_again_and_never_taken(site, tmp_path, body, length):
    headers = {"Content-Length": str(len(body) + 10)} if length else {}
    site.put("/v1/rows", Said(headers=headers, write=lambda out: out.write(body.encode())))

    refusal(site, tmp_path, SourceUnavailable)


def test_a_gzip_that_is_cut_off_is_never_taken(site, tmp_path):
    whole = gzip.compress(json.dumps(ROWS).encode())
    for body in (whole[:-9], b"", b"PK" + whole):
        site.put("/v1/rows", Said(body, headers={"Content-Encoding": "gzip"}))
        refusal(site, tmp_path, SourceUnavailable)
    site.put("/v1/rows", Said(whole, headers={"Content-Encoding": "br"}))
    assert "'br', which was not asked for" in refusal(site, tmp_path, SourceUnavailable)


def test_headers_without_end_are_no_answer(site, tmp_path):
    site.put("/v1/rows", Said(ROWS, headers={f"X-{n}": "y" for n in range(500)}))
    refusal(site, tmp_path, SourceUnavailable)
    site.put("/v1/rows", Said(ROWS, headers={"X": "y" * 100_000}))
    refusal(site, tmp_path, SourceUnavailable)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_pass_is_tried_again(site, tmp_path, status):
    answers = iter([Said(status=status), Said(status=status, headers={"Retry-After": "0"})])
    site.put("/v1/rows", lambda _: next(answers, Said(ROWS)))

    assert len(fetch(site, tmp_path)) == 1
    assert len(site.asked) == 3


def test_what_never_passes_ends(site, tmp_path):
    site.put("/v1/rows", Said(status=429))
    assert "answers 429" in refusal(site, tmp_path, SourceUnavailable)
    assert len(site.asked) == asking.TRIES


def test_a_server_that_asks_to_wait_is_waited_for_as_long_as_is_sound(site, tmp_path):
    answers = iter([Said(status=503, headers={"Retry-After": "1"})])
    site.put("/v1/rows", lambda _: next(answers, Said(ROWS)))
    begun = time.monotonic()
    fetch(site, tmp_path)
    assert time.monotonic() - begun >= 1

    site.put("/v1/rows", Said(status=503, headers={"Retry-After": "86400"}))
    assert "asks to wait 86,400 s" in refusal(site, tmp_path, SourceUnavailable)


def test_a_server_of_its_own_trouble_is_away(site, tmp_path):
    site.put("/v1/rows", Said({"token": TOKEN}, status=500))
    assert "answers 500" in refusal(site, tmp_path, SourceUnavailable)


def test_a_server_that_is_not_there_is_away(site, tmp_path):
    link = site.link(url="http://127.0.0.1:9/v1", limits={"timeout_s": 5.0})
    assert "does not answer" in refusal(site, tmp_path, SourceUnavailable, link=link)


def test_proxies_of_our_environment_are_not_used(site, tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    site.put("/v1/rows", Said(ROWS))

    assert len(fetch(site, tmp_path)) == 1


def test_a_certificate_that_nobody_trusts_is_told(site, tmp_path):
    link = site.link(url=site.url.replace("http:", "https:") + "/v1", limits={"timeout_s": 5.0})
    assert "no TLS" in refusal(site, tmp_path, SourceUnavailable, link=link)


def test_no_log_has_the_token(site, tmp_path, caplog):
    """Clients log addresses, and a parameter is part of one."""
    caplog.set_level(logging.DEBUG)
    broken = "a: b\r\n c\r\n: d"
    site.put("/v1/rows", Said(ROWS, headers={"X": broken}))
    link = site.link(parameter="api_key")

    fetch(site, tmp_path, link=link)
    site.put("/v1/rows", Said(status=500))
    refusal(site, tmp_path, SourceUnavailable, link=link)

    assert all(each.query == {"api_key": TOKEN} for each in site.asked)
    assert TOKEN not in caplog.text
    assert "urllib3" not in caplog.text


def test_a_certificate_of_ones_own_authority_is_trusted_for_its_name(tmp_path):
    with site_of(certificate(tmp_path)) as secure:
        secure.put("/v1/rows", Said(ROWS))
        trusting = secure.link(ca_file=str(tmp_path / "ca.pem"), limits={"timeout_s": 9.0})
        assert len(fetch(secure, tmp_path, link=trusting)) == 1
        other = {"url": f"{secure.url.replace('127.0.0.1', 'localhost')}/v1"}
        for link in (secure.link(), secure.link(ca_file=str(tmp_path / "ca.pem"), **other)):
            told = refusal(secure, tmp_path, SourceUnavailable, link=link)
            assert "its certificate is not one that the connection trusts" in told
        assert len(secure.asked) == 1
        nowhere = secure.link(ca_file=str(tmp_path / "none.pem"))
        assert "ca_file" in refusal(secure, tmp_path, SourceUnavailable, link=nowhere)


def test_a_token_that_cannot_be_sent_is_not_said(site, tmp_path):
    secret = "päss\r\nX: y"
    link = site.link(limits={"secret": lambda: secret})
    with pytest.raises(AssayError) as caught:
        fetch(site, tmp_path, link=link)
    assert "characters that cannot be sent" in str(caught.value)
    assert "ss" + "\r" not in repr(caught.value)
