"""A door before a broker that has neither TLS nor anybody who logs in: it asks for both.

It speaks TLS with a certificate of the tests, and SASL as RFC 4616 (PLAIN) and RFC 5802 (SCRAM)
have it, and hands everything else on. The broker behind it has to advertise the door's address.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import ssl
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_API_VERSIONS, _HANDSHAKE, _AUTHENTICATE = 18, 17, 36
_REFUSED = 58


class Door(NamedTuple):
    """Where it is, where its broker is, and who may come in by which mechanism (none: all)."""

    port: int
    broker: int
    certified: str = ""
    user: str = ""
    password: str = ""
    mechanism: str = ""
    #: Who has to have signed the certificates that clients come with; empty: they need none.
    asks_for: str = ""


@contextmanager
def opened(door: Door) -> Iterator[None]:
    """Let clients through until the block ends."""
    context = None
    if door.certified:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(door.certified)
        if door.asks_for:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(door.asks_for)
    with socket.create_server(("127.0.0.1", door.port)) as server:
        thread = threading.Thread(target=_accept, args=(server, context, door), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(server: socket.socket, context: ssl.SSLContext | None, door: Door) -> None:
    with suppress(OSError):
        while True:
            client, _ = server.accept()
            threading.Thread(target=_serve, args=(client, context, door), daemon=True).start()


def _serve(client: socket.socket, context: ssl.SSLContext | None, door: Door) -> None:
    with suppress(OSError, EOFError, ValueError):
        if context is not None:
            client = context.wrap_socket(client, server_side=True)
        with client, socket.create_connection(("127.0.0.1", door.broker)) as broker:
            if door.mechanism and not _let_in(client, broker, door):
                return
            threading.Thread(target=_hand_on, args=(broker, client), daemon=True).start()
            _hand_on(client, broker)


def _hand_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def _let_in(client: socket.socket, broker: socket.socket, door: Door) -> bool:
    """Return whether the client logs in; of what it asks before only versions are answered."""
    said: list[bytes] = []
    while True:
        frame = _frame(client)
        api, version, number = struct.unpack(">hhi", frame[:8])
        body = frame[10 + max(0, struct.unpack(">h", frame[8:10])[0]) :]
        if api == _API_VERSIONS:
            broker.sendall(struct.pack(">i", len(frame)) + frame)
            answer = _frame(broker)
            client.sendall(struct.pack(">i", len(answer)) + answer)
        elif api == _HANDSHAKE:
            name = door.mechanism.encode()
            wrong = 0 if body[2:] == name else 33
            _answer(client, number, struct.pack(">hih", wrong, 1, len(name)) + name)
        elif api == _AUTHENTICATE:
            said.append(body[4:])
            told = _told(said, door)
            error = struct.pack(">hh", 0, -1)
            if told is None:
                words = b"who that is nobody knows"
                error = struct.pack(">hh", _REFUSED, len(words)) + words
            more = struct.pack(">q", 0) if version else b""
            told_bytes = told or b""
            _answer(client, number, error + struct.pack(">i", len(told_bytes)) + told_bytes + more)
            if told is None:
                return False
            said.append(told)
            if len(said) == (2 if door.mechanism == "PLAIN" else 4):
                return True
        else:
            return False


def _told(said: list[bytes], door: Door) -> bytes | None:
    """Return what the server says in its turn; None: it lets nobody in."""
    if door.mechanism == "PLAIN":
        return b"" if said[0] == f"\0{door.user}\0{door.password}".encode() else None
    name = door.mechanism.removeprefix("SCRAM-").replace("-", "").lower()
    if len(said) == 1:
        asked = dict(part.split("=", 1) for part in said[0].decode().split(",")[2:])
        salt = base64.b64encode(secrets.token_bytes(16)).decode()
        known = asked["n"] == door.user
        return f"r={asked['r']}{secrets.token_hex(8)},s={salt},i=4096".encode() if known else None
    first, server, last = said
    bare, _, proof = last.decode().rpartition(",p=")
    parts = dict(part.split("=", 1) for part in server.decode().split(","))
    salted = hashlib.pbkdf2_hmac(
        name, door.password.encode(), base64.b64decode(parts["s"]), int(parts["i"])
    )
    talk = b",".join((first.split(b",", 2)[2], server, bare.encode()))
    key = hmac.digest(salted, b"Client Key", name)
    signature = hmac.digest(hashlib.new(name, key).digest(), talk, name)
    expected = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    if not hmac.compare_digest(expected, base64.b64decode(proof)):
        return None
    told = hmac.digest(hmac.digest(salted, b"Server Key", name), talk, name)
    return b"v=" + base64.b64encode(told)


def _frame(source: socket.socket) -> bytes:
    (size,) = struct.unpack(">i", _exactly(source, 4))
    return _exactly(source, size)


def _exactly(source: socket.socket, count: int) -> bytes:
    made = b""
    while len(made) < count:
        if not (piece := source.recv(count - len(made))):
            raise EOFError
        made += piece
    return made


def _answer(client: socket.socket, number: int, body: bytes) -> None:
    frame = struct.pack(">i", number) + body
    client.sendall(struct.pack(">i", len(frame)) + frame)
