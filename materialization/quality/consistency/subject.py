"""What a comparison is of: one table, its stores, and the keys of its entities. [pure]"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from lib.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.compute.engine import Engine
    from materialization.stores.layout import TableLayout
    from materialization.stores.offline_protocol import OfflineStore
    from materialization.stores.offline_values import TableAt
    from materialization.stores.online_protocol import OnlineStore
    from registry.spec.version_spec import VersionSpec


class NotLoaded(Unavailable):
    """Readers are told the same; the sweep loads it."""

    code = "not_loaded"


def not_loaded(uid: str) -> NotLoaded:
    return NotLoaded(
        f"table {uid} is not loaded, and readers are told so; the next sweep loads it. Compare"
        " again then."
    )


class Subject(NamedTuple):
    """One table: what its rows are, where they lie, and which load readers take for its last."""

    spec: VersionSpec
    layout: TableLayout
    place: TableAt
    generation: int


class Stores(NamedTuple):
    offline: OfflineStore
    online: OnlineStore
    engine: Engine


def values_of(subject: Subject, key: bytes) -> tuple[object, ...] | None:
    """Return the join keys that are written as this key of the online store; None: none are."""
    return subject.layout.entity.values(key.removeprefix(subject.layout.key_prefix))


def entities_of(subject: Subject, keys: Sequence[bytes]) -> pa.Table:
    """Return the join keys that are written as these keys, all of which can be read."""
    entity = subject.layout.entity
    rows = [values_of(subject, key) or () for key in keys]
    columns = zip(*rows, strict=True) if rows else [()] * len(entity.names)
    arrays = [
        pa.array(list(column), kind.arrow)
        for column, kind in zip(columns, entity.types, strict=True)
    ]
    return pa.table(arrays, names=list(entity.names))


def shown_key(subject: Subject, key: bytes) -> str:
    """Write a key for people; one that cannot be read is shown as its bytes."""
    values = values_of(subject, key)
    if values is None:
        return repr(key)[:200]
    names = subject.layout.entity.names
    return ", ".join(
        f"{name}={str(value)[:200]}" for name, value in zip(names, values, strict=True)
    )
