"""An address that takes each seal as a POST: somebody else's log, a notary, a chat of auditors."""

from __future__ import annotations

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from registry.seals.channels.base import MOST_BYTES, TIMEOUT_SECONDS, SealChannelFailed


def publish(address: str, line: str, name: str) -> None:
    _ask("POST", address, line.encode())


def fetch(address: str) -> str:
    """Return what a GET there answers: where seals were put to be read."""
    return _ask("GET", address, None).decode(errors="replace")


def _ask(method: str, address: str, body: bytes | None) -> bytes:
    headers = {"Content-Type": "application/json"} if body is not None else {}
    host = urllib3.util.parse_url(address).host or "the webhook"
    try:
        with urllib3.PoolManager(retries=False, timeout=Timeout(TIMEOUT_SECONDS)) as pool:
            answer = pool.request(
                method, address, body=body, headers=headers, redirect=False, preload_content=False
            )
            content = answer.read(MOST_BYTES)
    except HTTPError as exc:
        # An address can be a secret, so only its host is told.
        raise SealChannelFailed(f"{host} cannot be reached: {type(exc).__name__}") from exc
    if not 200 <= answer.status < 300:
        raise SealChannelFailed(f"{host} answered {answer.status}")
    return content
