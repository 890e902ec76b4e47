"""Which rows of a dataset are for training and which for testing: by chance, time or entity. [pure]

The same rows and the same split give the same answer for ever, on any machine and in any version of
a library: chance is a hash of the seed and the row's place, or of the entity's keys.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from lib.decoding import converter
from lib.errors import SHOWN_LENGTH
from lib.instants import sent_instant
from serving.datasets.content import row_texts
from serving.historical.entity_frame import EVENT_TIMESTAMP
from serving.request_body import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
MOST_PARTS = 10
_EXAMPLE = '{"by": "random", "shares": {"train": 0.8, "test": 0.2}, "seed": 7}'
#: How far shares may be from 1 together: a third three times is not exactly that.
CLOSE = 1e-9


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parts by name, in order; ``column`` is the last of the rows and says which part each is of.

    ``random`` and ``entity`` have ``shares`` that are 1 together, and a ``seed``; ``entity`` has
    the ``keys`` whose rows stay together. ``time`` has ``before``: a row is of the first part whose
    instant its ``event_timestamp`` is before; the last has null, and what is left.
    """

    by: Literal["random", "time", "entity"]
    shares: dict[str, float] = {}
    before: dict[str, str | None] = {}
    keys: list[str] = []
    seed: int = 0
    column: str = "split"


_read = converter(Split)


def check_split(split: Split) -> None:
    """Return if a split says what it needs and nothing else.

    :raises BadRequest: it does not; says what would be valid.
    """
    parts = split.before if split.by == "time" else split.shares
    if not 2 <= len(parts) <= MOST_PARTS or not all(map(_NAME.fullmatch, parts)):
        raise _bad(f"it has 2 to {MOST_PARTS} parts, named like train or test.")
    if not _NAME.fullmatch(split.column):
        raise _bad(f"column {split.column[:SHOWN_LENGTH]!r}: a name is like split or part.")
    if not -(2**63) <= split.seed < 2**63:
        raise _bad("the seed is a whole number of 64 bits.")
    if split.by == "time":
        _check_time(split)
    else:
        _check_shares(split)
    if bool(split.keys) is not (split.by == "entity"):
        raise _bad('"keys" are columns of the frame, for "by": "entity" and for that alone.')


def check_columns(split: Split, frame: Sequence[str], features: Iterable[str]) -> None:
    """Return if a frame has the keys of a split, and nothing has the name of its column.

    :raises BadRequest: naming the column.
    """
    if split.column in {*frame, *features}:
        raise _bad(f"there is a column {split.column!r} already; say another in column.")
    if lacking := next((key for key in split.keys if key not in frame), None):
        columns = ", ".join(frame[:10])
        raise _bad(f"the frame has no column {lacking[:SHOWN_LENGTH]!r}. Its columns: {columns}.")


def stored(split: Split) -> dict[str, Any]:
    """Return a split as it is kept: its parts in a list, for a database may not keep keys' order.

    Which part comes first decides where chance puts a row.
    """
    said: dict[str, Any] = msgspec.to_builtins(split)
    return {**said, "shares": [*split.shares.items()], "before": [*split.before.items()]}


def read_stored(said: dict[str, Any]) -> Split:
    """Return the split that ``stored`` made this of."""
    return _read({**said, "shares": dict(said["shares"]), "before": dict(said["before"])})


def with_split(rows: pa.Table, split: Split) -> pa.Table:
    """Return the rows with the column that says which part each is of."""
    parts = _by_time(rows, split) if split.by == "time" else _by_chance(rows, split)
    return rows.append_column(split.column, parts)


def _by_time(rows: pa.Table, split: Split) -> pa.ChunkedArray:
    times, found = rows[EVENT_TIMESTAMP], pa.scalar([*split.before][-1])
    for name, instant in [*reversed(split.before.items())][1:]:
        bound = pa.scalar(sent_instant("split", str(instant), BadRequest), times.type)
        found = pc.if_else(pc.less(times, bound), name, found)
    return found


def _by_chance(rows: pa.Table, split: Split) -> pa.Array:
    texts: Iterable[bytes] = (b"%d" % place for place in range(rows.num_rows))
    if split.by == "entity":
        texts = row_texts(rows.select(split.keys))
    bounds, reached = [], 0.0
    for name, share in split.shares.items():
        reached += share
        bounds.append((reached, name))
    seed = b"%d:" % split.seed
    return pa.array([_part(seed + text, bounds) for text in texts], pa.string())


def _part(text: bytes, bounds: Sequence[tuple[float, str]]) -> str:
    chance = int.from_bytes(hashlib.sha256(text).digest()[:8]) / 2**64
    return next((name for bound, name in bounds if chance < bound), bounds[-1][1])


def _check_time(split: Split) -> None:
    if split.shares:
        raise _bad('"shares" are for "random" and "entity"; "time" has "before".')
    *first, last = split.before.values()
    if last is not None or None in first:
        raise _bad("the last part has null, for what is left, and every other an instant.")
    instants = [sent_instant("split: before", str(each), BadRequest) for each in first]
    if instants != sorted(set(instants)):
        raise _bad("its instants are in order, each later than the one before.")


def _check_shares(split: Split) -> None:
    if split.before:
        raise _bad(f'"before" is for "by": "time", not for {split.by!r}.')
    shares = split.shares.values()
    if min(shares) <= 0 or abs(sum(shares) - 1) > CLOSE:
        raise _bad(f"the shares are {sum(shares):g} together; each is above 0, all of them are 1.")


def _bad(why: str) -> BadRequest:
    return BadRequest(f"split: {why} As in {_EXAMPLE}.")
