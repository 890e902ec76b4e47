"""Lineage over HTTP: what something is made of, and what is made of it, step by step.

Not for finding it out: ``registry.lineage`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import pages
from lib.api import API, described
from lib.parameters import PAGE, BadFilter, one_of, paged
from registry import access
from registry.lineage import KINDS, graph_of, starts_of
from registry.lineage_graph import MAX_DEPTH, Key
from registry.scopes import views_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.request import Request

    from registry.lineage_graph import Graph, Step

DIRECTIONS = ("upstream", "downstream", "both")
#: Of what leads to a thing, so many are named; the others are counted.
MOST_VIA = 50


# ``as`` is no name of Python's.
ViaAnswer = TypedDict("ViaAnswer", {"kind": str, "name": str, "as": str})


class StepAnswer(TypedDict):
    """One thing, how far away, and through what; what else there is to say of it stands beside."""

    kind: str
    name: str
    distance: int
    via: list[ViaAnswer]
    via_count: int


class LineageAPI(API):
    """What one thing comes from and what reads it, nearest first."""

    attempt = "looking at the lineage of {name}"
    parameters = {
        "direction": "upstream (what it is made of), downstream (what is made of it) or both",
        "depth": f"steps each way, 1 to {MAX_DEPTH}, default {MAX_DEPTH}",
        **PAGE,
    }

    @extend_schema(
        operation_id="get_lineage",
        description=f"What something is made of and what reads it. `kind` is one of"
        f" {', '.join(KINDS)}; a column is named `source.column`, a feature by its reference. Each"
        " line says how many steps away it is (below zero: upstream), and through what (`via`);"
        " `complete` is false where more lies beyond the depth.",
        parameters=described(parameters),
        responses=pages(StepAnswer, complete=bool),
    )
    def get(self, request: Request, project: str, kind: str, name: str) -> Response:
        found = access.access_project(request.user, project)
        sent = request.query_params
        direction, depth = one_of(sent, "direction", DIRECTIONS) or "both", _depth(sent)
        graph = graph_of(found, named=Key(kind, name))
        if (views := views_of(request.user)) is not None:
            graph = graph.only(views)
        up = depth if direction != "downstream" else 0
        down = depth if direction != "upstream" else 0
        steps = graph.around(starts_of(graph, kind, name), up=up, down=down)
        response = paged(request, steps, lambda step: step_output(graph, step))
        response.data["complete"] = not graph.goes_on(steps, up=up, down=down)
        return response


def _depth(sent: Mapping[str, str]) -> int:
    text = sent.get("depth") or str(MAX_DEPTH)
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_DEPTH))
    if not (is_number and 1 <= int(text) <= MAX_DEPTH):
        raise BadFilter(f"depth={text[:20]!r}: write a whole number from 1 to {MAX_DEPTH}.")
    return int(text)


def step_output(graph: Graph, step: Step) -> dict[str, Any]:
    return {
        "kind": step.key.kind,
        "name": step.key.name,
        "distance": step.distance,
        "via": [
            {"kind": key.kind, "name": key.name, "as": role} for key, role in step.via[:MOST_VIA]
        ],
        "via_count": len(step.via),
        **graph.facts.get(step.key, {}),
    }
