"""Rows that are online already and not in the offline store yet: what training sets say of them.

Not for storing them. What arrives is stored within a minute; until then an answer lacks what an
online read at the same instant had, and its reader is to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow.compute as pc

from lib.errors import Unavailable
from materialization.compute.questions import Timing
from materialization.edges.stores import push_log
from serving.historical.entity_frame import EVENT_TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    import pyarrow as pa

    from registry.models import FeatureViewVersion


class Waiting(NamedTuple):
    """How many rows of a version wait, the first since when; ``since`` None: Redis is silent."""

    version: str
    rows: int
    since: datetime | None


def rows_that_wait(versions: Iterable[FeatureViewVersion]) -> list[Waiting]:
    """Return what waits of each version, if anything; ask before its table is opened."""
    found = []
    for version in versions:
        if version.table is None or not version.spec.is_pushed:
            continue
        try:
            log = push_log().standing(version.table.uid)
        except Unavailable:
            found.append(Waiting(str(version), 0, None))
            continue
        if log.since is not None:
            found.append(Waiting(str(version), log.rows, log.since))
    return found


def waiting_words(waiting: Iterable[Waiting], frame: pa.Table, timing: Timing) -> list[str]:
    """Say which of them an answer about ``frame`` may lack.

    By known timing no row is in an answer to an earlier instant than it arrived at.
    """
    latest = pc.max(frame[EVENT_TIMESTAMP]).as_py()
    if latest is None:
        return []
    return [
        f"{each.version}: {each.rows:,} row{'' if each.rows == 1 else 's'} that arrived since"
        f" {each.since:%Y-%m-%dT%H:%M:%S.%fZ} {'is' if each.rows == 1 else 'are'} online and not"
        " stored yet: the answer may lack what arrived. Ask again in a minute."
        if each.since is not None
        else f"{each.version}: Redis does not answer; what arrived lately may not be stored yet."
        for each in waiting
        if timing is Timing.EVENT or each.since is None or latest >= each.since
    ]
