# ruff: noqa: S608 - names go through identifier(), the rest are names of our own
"""Rows of a source cast to what a definition declares, as SQL. [pure]

They are ``k0…`` (keys), ``e`` and ``c`` (event and created time as the source says them), ``f0…``
(features). Not for which of them are taken (``columns``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.sql_text import identifier
from materialization.stores.columns import CREATED, EVENT
from materialization.transforms.arrival import known_at
from materialization.transforms.base import base_casts
from materialization.transforms.encoding.staging import encoded
from materialization.transforms.masking import stored_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from registry.spec.version_spec import VersionSpec


def typed_rows(
    spec: VersionSpec, columns: Mapping[str, str], *, relation: str, beside: Sequence[str] = ()
) -> str:
    """Return ``k0…, e, c, f0…`` of a sub-select with ``columns``, cast to the declared types.

    ``beside`` are columns that stand there too, as they are. What is masked is nowhere else: its
    raw value is in no row that leaves this.

    :raises UnknownColumn: a column the source does not have.
    :raises SourceValueInvalid: a column whose type cannot become the declared one.
    """
    base = base_casts(spec, columns)
    features = [stored_value(each, columns) for each in spec.features]
    created = base.created.strict if base.created is not None else "NULL::TIMESTAMPTZ"
    inner = ", ".join(
        [
            *(f"{key.strict} AS k{i}" for i, key in enumerate(base.keys)),
            f"{base.event.strict} AS e, {created} AS c",
            *(f"{feature} AS f{i}" for i, feature in enumerate(features)),
            *map(identifier, beside),
        ]
    )
    beside = ("c", *map(identifier, beside))
    return encoded(spec, f"SELECT {inner} FROM {relation}", beside=beside)


def named_columns(spec: VersionSpec, known_since: datetime | None) -> str:
    """Return typed rows under the names of the table: keys, both times, features."""
    return ", ".join(
        [
            *(f"k{i} AS {identifier(key.name)}" for i, key in enumerate(spec.join_keys)),
            f"e AS {EVENT}, {known_at(known_since)} AS {CREATED}",
            *(f"f{i} AS {identifier(feature.name)}" for i, feature in enumerate(spec.features)),
        ]
    )
