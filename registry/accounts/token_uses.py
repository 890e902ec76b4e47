"""When a token was last used: noted in Redis at most once a minute, put into its row by the sweep.

Not for who did what: that is the trail. A request that finds Redis away leaves no note.
"""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import Q

from lib.connections import RedisUnavailable, get_redis, translated
from registry.models import ApiToken

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Token → the instant, until the sweep takes it up: a hash.
KEY = b"a:tokens:used"
NOTED_EVERY = timedelta(minutes=1)
#: Forgets notes that are still what was recorded of them: a use of meanwhile is the next sweep's.
RECORDED = """
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
"""
#: Tokens that a process remembers to have noted.
MOST_REMEMBERED = 10_000

_noted: dict[int, datetime] = {}


def note_uses(uses: Mapping[int, datetime]) -> None:
    """Note when these tokens were used, of each once a minute."""
    if len(_noted) > MOST_REMEMBERED:
        _noted.clear()
    due = {pk: at for pk, at in uses.items() if abs(at - _noted.get(pk, at)) >= NOTED_EVERY}
    due |= {pk: at for pk, at in uses.items() if pk not in _noted}
    if not due:
        return
    _noted.update(due)
    with contextlib.suppress(RedisUnavailable), translated():
        get_redis().hset(KEY, mapping={str(pk): at.isoformat() for pk, at in due.items()})


def record_uses(*, at: datetime) -> None:  # noqa: ARG001 - a duty of the sweep
    """Put what was noted into the tokens' rows; of two notes the later stands."""
    with translated():
        noted: dict[bytes, bytes] = get_redis().hgetall(KEY)  # type: ignore[assignment]
    for pk, text in noted.items():
        used = datetime.fromisoformat(text.decode())
        is_older = Q(last_used_at=None) | Q(last_used_at__lt=used)
        ApiToken.objects.filter(is_older, pk=int(pk)).update(last_used_at=used)
    if noted:
        with translated():
            get_redis().eval(RECORDED, 1, KEY, *(each for pair in noted.items() for each in pair))
