"""The entity columns of an online read: whether they are those it needs, and what they hold.

Not for what is read for them: ``read`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.errors import Invalid, TooLarge
from serving import values
from serving.online.rows import AnswerColumn, key_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.online.plans import ReadPlan
    from serving.online.request import OnlineRequest
    from serving.values import KeyColumn

Entities = dict[str, list[Any]]


class TooManyEntityRows(TooLarge):
    code = "too_many_entity_rows"


class UnequalLengths(Invalid):
    code = "unequal_lengths"


class UnknownEntityColumn(Invalid):
    code = "unknown_entity_column"


class MissingJoinKey(Invalid):
    code = "missing_join_key"


class MissingRequestValue(Invalid):
    code = "missing_request_value"


def require_rectangle(entities: Entities, max_rows: int) -> None:
    """Return if all columns have one length, of ``max_rows`` at most.

    :raises UnequalLengths: naming each column and its length.
    :raises TooManyEntityRows: naming the limit.
    """
    lengths = set(map(len, entities.values()))
    if len(lengths) > 1:
        found = {name: len(column) for name, column in entities.items()}
        shown = ", ".join(f"{name} has {length}" for name, length in found.items())
        raise UnequalLengths(
            f"entity columns differ in length: {shown}. Send one value a row.", lengths=found
        )
    rows = max(lengths, default=0)
    if rows > max_rows:
        raise TooManyEntityRows(
            f"{rows} entity rows; one call takes at most {max_rows} (ONLINE_MAX_ENTITY_ROWS)."
            " Send several, or ask get-historical-features.",
            rows=rows,
            limit=max_rows,
        )


def require_entities(plan: ReadPlan, entities: Entities) -> None:
    """Return if the request has each column that the plan needs, and no other.

    :raises MissingJoinKey, MissingRequestValue, UnknownEntityColumn: naming column and view.
    """
    if entities.keys() == plan.entity_columns.keys():
        return
    for key in plan.keys:
        if key.name not in entities:
            raise MissingJoinKey(
                f"feature view {key.view} needs the entity column {key.name!r} ({key.type});"
                f" the request has {', '.join(entities) or 'none'}.",
                column=key.name,
                feature_view=key.view,
            )
    for key in plan.request:
        if key.name not in entities:
            raise MissingRequestValue(
                f"on-demand view {key.view} computes with the request value {key.name!r}"
                f" ({key.type}); send it as a column of entities, beside the join keys. The request"
                f" has {', '.join(entities) or 'none'}.",
                column=key.name,
                feature_view=key.view,
            )
    name = min(entities.keys() - plan.entity_columns.keys())
    known = ", ".join(map(repr, plan.entity_columns)) or "none"
    raise UnknownEntityColumn(
        f"no requested feature view has the join key {name!r}; theirs are {known}.", column=name
    )


def typed(keys: Sequence[KeyColumn], request: OnlineRequest) -> list[list[Any]]:
    """Return the columns that have these, as what they are declared to be.

    :raises BadKeyValue: naming column and value.
    """
    parse = values.parse_exact_keys if request.int64_as_text else values.parse_keys
    given = request.entities
    return [parse(given[key.name], key.type, name=key.name, what=key.what) for key in keys]


def entity_columns(
    plan: ReadPlan,
    entities: Entities,
    keys: list[list[Any]],
    request: list[list[Any]],
    *,
    stored: bool,
) -> list[AnswerColumn]:
    """Return the entity columns as they were understood, in the order of the request."""
    understood = {}
    pairs = zip((*plan.request, *plan.keys), (*request, *keys), strict=True)
    for key, column in pairs:
        encode = None if stored else values.encoder(key.type)
        understood[key.name] = column if encode is None else [encode(value) for value in column]
    return [key_column(understood[name], stored=stored) for name in entities]
