"""Commands of one round trip, sent together on a connection of redis-py's, and what they answer.

Not for making connections (``connections``), nor for what goes wrong in words: what is raised here
is what redis-py raises. Its own way to send and to read costs as much as an online read does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
from redis._parsers.hiredis import NOT_ENOUGH_DATA

if TYPE_CHECKING:
    from collections.abc import Sequence


def round_trip(connection: Any, commands: Sequence[bytes]) -> list[Any]:
    """Send packed commands, then read all answers: one that is an error leaves none unread.

    :raises redis.RedisError: the first answer that is one; the connection does not answer, and is
        closed then.
    """
    if connection._sock is None:
        connection.connect()
    try:
        found = _exchanged(connection, commands)
    except TimeoutError as exc:
        connection.disconnect()
        raise redis.TimeoutError("no answer in time") from exc
    except OSError as exc:
        connection.disconnect()
        raise redis.ConnectionError(str(exc)) from exc
    except BaseException:
        connection.disconnect()  # of what was sent something may be unread
        raise
    for each in found:
        if isinstance(each, redis.RedisError):
            raise each
    return found


def _exchanged(connection: Any, commands: Sequence[bytes]) -> list[Any]:
    sock, parser = connection._sock, connection._parser
    reader, buffer = parser._reader, parser._buffer
    sock.sendall(commands[0] if len(commands) == 1 else b"".join(commands))
    found: list[Any] = []
    while len(found) < len(commands):
        answer = reader.gets()
        if answer is not NOT_ENOUGH_DATA:
            found.append(answer)
            continue
        length = sock.recv_into(buffer)
        if not length:
            raise ConnectionError("the server closed the connection")
        reader.feed(buffer, 0, length)
    return found
