"""Some of a table's entities, for a comparison that does not look at all of them.

Not for comparing them (``online``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from materialization.quality.consistency.subject import entities_of, values_of

if TYPE_CHECKING:
    from materialization.quality.consistency.subject import Stores, Subject
    from materialization.stores.offline_values import Snapshot


class Sample(NamedTuple):
    """The entities that are looked at, and the keys of those that the online store gave."""

    entities: pa.Table
    keys: list[bytes]


def chosen_of(subject: Subject, stores: Stores, snapshot: Snapshot, sample: int) -> Sample:
    stored = stores.engine.some_entities(snapshot.files, subject.spec, sample)
    keys = stores.online.some_keys_of(subject.layout.uid, sample)
    online = entities_of(subject, [key for key in keys if values_of(subject, key) is not None])
    return Sample(pa.concat_tables([stored, online.select(stored.schema.names)]), keys)
