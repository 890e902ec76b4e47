"""The frame that stored rows make of all entities, where a request sends none.

Not for what a request may say of it (``all_entities``) or how rows are found: the engine does that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from lib.errors import SHOWN_LENGTH
from lib.instants import sent_instant, to_us
from materialization.compute.questions import EntitiesQuestion, StoredEntities
from materialization.stores.columns import EVENT
from serving.historical.all_entities import asked_times
from serving.historical.entity_frame import EntityFrame
from serving.request_body import BadRequest
from serving.values import json_ready, parse_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.compute.engine import Engine
    from materialization.compute.questions import Timing
    from serving.historical.all_entities import AllEntities
    from serving.historical.plan import ViewUse
    from serving.historical.training_set import ViewPart
    from serving.limits import ReadLimits
    from serving.values import KeyColumn


class FoundFrame(NamedTuple):
    """``frame`` has the keys and the time of each row; ``next`` is the last row if there are more.

    It is written as a request says ``after``.
    """

    frame: EntityFrame
    next: dict[str, Any] | None


def common_keys(uses: Sequence[ViewUse]) -> list[KeyColumn]:
    """Return the join keys that all of the views have.

    :raises BadRequest: two have others, so that no row could be one of both; names them. Or there
        are no views: what is computed of nothing stored is about no entities.
    """
    if not uses:
        raise BadRequest(
            "all_entities: nothing of what is asked for reads stored features, so there are no"
            " entities to find. Send a frame, or ask for a stored feature beside it."
        )
    first, *others = ((use, use.asked_keys()) for use in uses)
    names = {(key.name, key.type) for key in first[1]}
    for use, keys in others:
        if {(key.name, key.type) for key in keys} != names:
            listed = " and ".join(
                f"{each.label} {', '.join(f'{key.name} ({key.type})' for key in its)}"
                for each, its in (first, (use, keys))
            )
            raise BadRequest(
                f"all_entities: the views have different join keys: {listed}. Ask about them apart,"
                ' call their keys alike in "views", or send a frame.'
            )
    return first[1]


def find_entities(
    asked: AllEntities,
    keys: Sequence[KeyColumn],
    parts: Sequence[ViewPart],
    *,
    engine: Engine,
    timing: Timing,
    limits: ReadLimits,
) -> FoundFrame:
    """Return the rows a request asks about: of each entity and instant that ``parts`` tell of.

    :raises BadRequest, BadKeyValue: the times, the limit or the row to go on after mean nothing.
    :raises TooManyRows: there are more than one answer may have, and no ``limit`` was said.
    :raises EngineLimitExceeded, OfflineStoreUnavailable: as ``Engine.entity_rows``.
    """
    times, most = asked_times(asked), _limit(asked, limits)
    question = EntitiesQuestion(
        tuple(
            StoredEntities(part.spec, part.files_for(*map(to_us, times.bounds)), part.key_columns)
            for part in parts
        ),
        pa.schema([(key.name, key.type.arrow) for key in keys]),
        times.bounds,
        times.instants,
        most + 1,
        timing,
    )
    if asked.after is not None:
        question = question._replace(after=_after(asked.after, keys, question.answer_schema))
    found = engine.entity_rows(question)
    if found.num_rows > most and asked.limit is None:
        raise limits.too_many_rows(
            f'all_entities: there are more than {most} rows (pages are asked for with "limit")'
        )
    table = found.slice(0, most)
    columns = {(key.name, key.type): table[key.name] for key in keys}
    return FoundFrame(EntityFrame(table, columns), _next(found, most))


def _limit(asked: AllEntities, limits: ReadLimits) -> int:
    if asked.limit is None:
        return limits.rows
    if not 1 <= asked.limit <= limits.rows:
        raise BadRequest(
            f"all_entities: limit {asked.limit} is not 1 to {limits.rows} (HISTORICAL_MAX_ROWS)."
        )
    return asked.limit


def _after(sent: dict[str, Any], keys: Sequence[KeyColumn], schema: pa.Schema) -> pa.Table:
    if set(sent) != set(schema.names):
        has = ", ".join(sorted(sent))[:SHOWN_LENGTH]
        raise BadRequest(
            f"all_entities: after has {has or 'nothing'}; it is a row of an answer:"
            f" {', '.join(schema.names)}."
        )
    row = {key.name: [parse_key(sent[key.name], key.type, name=key.name)] for key in keys}
    row[EVENT] = [sent_instant(f"all_entities: after: {EVENT}", sent[EVENT], BadRequest)]
    if missing := next((name for name, [value] in row.items() if value is None), None):
        raise BadRequest(f"all_entities: after: {missing} is null, which no row of an answer has.")
    return pa.table(row, schema=schema)


def _next(found: pa.Table, most: int) -> dict[str, Any] | None:
    if found.num_rows <= most:
        return None
    last = found.slice(most - 1, 1).to_pylist()[0]
    return {name: json_ready(value) for name, value in last.items()}
