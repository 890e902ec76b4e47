"""A real, small OpenID provider on loopback, in a process of its own, and the way through it."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import requests

from featurestore_project import processes
from tests import servers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from django.test import Client

START_SECONDS = 120


class Provider(NamedTuple):
    url: str

    def has(self, subject: str, **claims: Any) -> None:
        """Let the provider know somebody, and what it says of them."""
        answer = requests.put(f"{self.url}/users/{subject}", json=claims, timeout=10)
        assert answer.status_code == 204, answer.text

    def agree(self, address: str, subject: str) -> str:
        """Log in at the provider, as its page does; return where it sends the browser then."""
        answer = requests.post(address, data={"sub": subject}, allow_redirects=False, timeout=10)
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]

    def log_in(self, client: Client, subject: str, *, wanted: str = "") -> Any:
        """Go the whole way with a browser; return our answer to who comes back."""
        query = {"next": wanted} if wanted else {}
        sent = client.get("/admin/openid/login", query)
        assert sent.status_code == 302, sent.content
        return client.get(self.agree(sent["Location"], subject).replace("http://testserver", ""))

    def token_for(self, subject: str, *, audience: str) -> str:
        """Return an ID token that the provider gave to a client of its own."""
        asked = {
            "response_type": "code", "client_id": audience, "scope": "openid profile email",
            "redirect_uri": "http://127.0.0.1:1/", "state": "s", "nonce": str(time.monotonic_ns()),
        }  # fmt: skip
        address = (
            requests.Request("GET", f"{self.url}/oauth2/authorize", params=asked).prepare().url
        )
        code = self.agree(str(address), subject).partition("code=")[2].partition("&")[0]
        form = {
            "grant_type": "authorization_code", "code": code, "client_id": audience,
            "client_secret": "x", "redirect_uri": asked["redirect_uri"],
        }  # fmt: skip
        answer = requests.post(f"{self.url}/oauth2/token", data=form, timeout=10)
        return str(answer.json()["id_token"])


@contextmanager
def running(folder: Path) -> Iterator[Provider]:
    port = servers.free_port()
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    child = processes.start("provider", command, log=folder / "provider.log")
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(url):
            assert time.monotonic() < deadline, child.tail()
            assert child.process.poll() is None, child.tail()
            time.sleep(0.05)
        yield Provider(url)
    finally:
        processes.stop([child])


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/.well-known/openid-configuration", timeout=5).ok
    except requests.ConnectionError:
        return False
