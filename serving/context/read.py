"""Text for prompts: an online read, told in the words of the service's template.

Not for HTTP or JSON. There is no second way to values: rights, grants and trail are the read's.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from registry.spec.context import full_name, named, parse_template, places_of
from serving.choices import Door
from serving.context.rendering import Context, Told, default_clauses, render
from serving.online.read import NOWHERE, get_online_features
from serving.online.request import OnlineRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from registry.spec.context import Clause
    from registry.spec.references import Reference
    from serving.context.request import ContextRequest
    from serving.limits import ReadLimits
    from serving.online.plans import ReadPlan
    from serving.online.read import OnlineAnswer


class ContextAnswer(NamedTuple):
    """One text an entity, with its keys; ``is_template``: the service says how it is told."""

    entities: list[dict[str, Any]]
    contexts: list[Context]
    is_template: bool
    warnings: tuple[str, ...]
    plan: ReadPlan


def get_feature_context(
    *,
    project: str,
    token: str,
    request: ContextRequest,
    at: datetime,
    limits: ReadLimits,
    environ: Mapping[str, Any] = NOWHERE,
) -> ContextAnswer:
    """Tell of each entity what a prompt should know, as of ``at``.

    :raises AssayError: as ``get_online_features``.
    """
    answer = get_online_features(
        project=project,
        token=token,
        request=OnlineRequest(
            entities=request.entities,
            features=request.features,
            feature_service=request.feature_service,
            full_feature_names=True,
        ),
        at=at,
        limits=limits,
        environ=environ,
        door=Door.CONTEXT,
    )
    keys = answer.names[: len(request.entities)]
    references = answer.plan.references
    clauses, meant = _clauses(answer.plan.context, references)
    rows = len(answer.columns[0].values) if answer.columns else 0
    contexts = [
        render(
            clauses,
            {name: _told(answer, len(keys), index, row) for name, index in meant.items()},
            at=at,
            max_tokens=request.max_tokens,
        )
        for row in range(rows)
    ]
    entities = [
        {name: answer.columns[index].values[row] for index, name in enumerate(keys)}
        for row in range(rows)
    ]
    return ContextAnswer(
        entities, contexts, answer.plan.context is not None, answer.warnings, answer.plan
    )


def _clauses(
    template: str | None, references: Sequence[Reference]
) -> tuple[Sequence[Clause], Mapping[str, int]]:
    """Return the clauses, and which feature of the answer each of their names is."""
    if template is not None:
        clauses = parse_template(template)
        return clauses, named([place.name for place in places_of(clauses)], references)
    counts = Counter(each.feature for each in references)
    names = [each.feature if counts[each.feature] == 1 else full_name(each) for each in references]
    return default_clauses(names), {name: index for index, name in enumerate(names)}


def _told(answer: OnlineAnswer, keys: int, index: int, row: int) -> Told:
    column, plan = answer.columns[keys + index], answer.plan
    return Told(
        column.values[row],
        column.statuses[row],
        column.event_timestamps[row],
        plan.types[index],
        plan.ttl_micros(index),
        plan.units[index],
    )
