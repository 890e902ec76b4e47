"""What an agent can do: find, describe and read features, and propose definitions as drafts.
Not for deciding on them: no tool submits, approves, promotes or retires.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from assay.client import FeatureStore
from assay.encoding import plain
from assay.mcp.bounds import bounded, check_entities, check_limit
from assay.mcp.callers import Callers
from assay.shapes import JSON

Kind = Literal["entity", "data_source", "feature_view", "feature_service", "feature"]
READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
#: A draft of the caller's own is replaced.
DRAFTS = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)
#: What a proposal holds at most.
MAX_DEFINITIONS = 20


def add_tools(server: MCPServer[Any], callers: Callers) -> None:
    _add_finding(server, callers)
    _add_reading(server, callers)
    _add_proposing(server, callers)


def _add_finding(server: MCPServer[Any], callers: Callers) -> None:
    @server.tool(annotations=READS)
    def search_features(
        ctx: Context[Any, Any], words: str = "", entity: str | None = None, limit: int = 20
    ) -> JSON:
        """Find features by words in their names, descriptions, owners and tags, best match first.

        `entity` leaves those of one entity. Start here; `describe` tells more of what is found.
        """
        with callers.tool(ctx) as store:
            found = store.search_features(words, limit=check_limit(limit), entity=entity)
        answer = {name: found.get(name) for name in ("count", "results", "guessed")}
        return bounded(answer, "Ask with a lower limit.")

    @server.tool(annotations=READS)
    def list_feature_services(ctx: Context[Any, Any], words: str = "", limit: int = 20) -> JSON:
        """List feature services: named sets of features that models and prompts read together.

        `count` is how many there are: ask with `words`, or a higher limit, where it is more.
        """
        with callers.tool(ctx) as store:
            found = store.list_feature_services(q=words or None, limit=check_limit(limit))
        return bounded({"count": found.total, "results": found}, "Ask with a lower limit.")

    @server.tool(annotations=READS)
    def describe(ctx: Context[Any, Any], kind: Kind, name: str) -> JSON:
        """Tell all of one object by its name; of a feature the name is `view:feature`."""
        with callers.tool(ctx) as store:
            return bounded(described(store, kind, name), "Ask for one of its features.")


def described(store: FeatureStore, kind: str, name: str) -> JSON:
    asked = {
        "entity": store.get_entity,
        "data_source": store.get_data_source,
        "feature_view": store.get_feature_view,
        "feature_service": store.get_feature_service,
        "feature": store.get_feature,
    }
    return asked[kind](name)


def _add_reading(server: MCPServer[Any], callers: Callers) -> None:
    @server.tool(annotations=READS)
    def read_features(
        ctx: Context[Any, Any],
        entities: dict[str, list[Any]],
        features: list[str] | None = None,
        feature_service: str | None = None,
    ) -> JSON:
        """Read the latest values of each entity, a row each, with a status for each value.

        `entities` is join key → one value an entity, as in {"user_id": [1, 2]}. Ask for `features`
        (view:feature) or for a `feature_service`. Statuses: PRESENT, NULL_VALUE (null is stored),
        NOT_FOUND (nothing is), OUTSIDE_MAX_AGE (too old to be told).
        """
        check_entities(entities)
        with callers.tool(ctx) as store:
            answer = store.get_online_features(
                features, entities, feature_service=feature_service, full_feature_names=True
            )
        values, statuses = plain(answer.to_dict()), answer.statuses()
        rows = [
            {name: {"value": values[name][row], "status": statuses[name][row]} for name in values}
            for row in range(len(answer))
        ]
        told = {"rows": rows, "warnings": answer.warnings}
        return bounded(told, "Ask for fewer entities or features.")

    @server.tool(annotations=READS)
    def get_feature_context(
        ctx: Context[Any, Any],
        entities: dict[str, list[Any]],
        features: list[str] | None = None,
        feature_service: str | None = None,
        max_tokens: int | None = None,
    ) -> JSON:
        """Read the latest values of each entity as one line of text, ready for a prompt.

        As read_features. With `max_tokens` each text has at most so many (estimated) tokens: what
        matters least is left out and named in `dropped`.
        """
        check_entities(entities)
        with callers.tool(ctx) as store:
            answer = store.get_feature_context(
                features, entities, feature_service=feature_service, max_tokens=max_tokens
            )
        told = {"results": [vars(each) for each in answer], "warnings": answer.warnings}
        return bounded(told, "Ask with max_tokens, or for fewer entities.")


def _add_proposing(server: MCPServer[Any], callers: Callers) -> None:
    @server.tool(annotations=READS)
    def plan_definitions(ctx: Context[Any, Any], definitions: list[dict[str, Any]]) -> JSON:
        """Tell what registering these definitions would change, and for whom. Changes nothing.

        Each is an object as in the documentation of definitions: {"kind": "FeatureView", …}.
        """
        _check_number(definitions)
        with callers.tool(ctx) as store:
            return bounded(store.plan(definitions), "Plan fewer definitions at once.")

    @server.tool(annotations=DRAFTS)
    def propose_definitions(ctx: Context[Any, Any], definitions: list[dict[str, Any]]) -> JSON:
        """Register feature views as drafts, with entities and data sources that are new.

        Drafts serve nobody. A person submits them, and another one approves them: tell the user
        to look at them, and to run `assay submit NAME`. An open draft of the caller's own is
        replaced. What would change somebody else's, or something that is in use at once (an
        entity, a data source, a feature service), is refused.
        """
        _check_number(definitions)
        with callers.tool(ctx) as store:
            made = store.apply(definitions, drafts_only=True)
            return bounded(made, "It is registered; ask `describe`.")


def _check_number(definitions: Sequence[Mapping[str, Any]]) -> None:
    if not 1 <= len(definitions) <= MAX_DEFINITIONS:
        raise ToolError(f"{len(definitions)} definitions; send 1 to {MAX_DEFINITIONS}.")
