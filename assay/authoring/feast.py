"""A Feast repository as ours: entities, sources, views and services; a report of the rest.

Not for how the registry is got (feast_repository) or read (feast_registry).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from assay.authoring.carried import FILL, LOST, TODO, Carried
from assay.authoring.feast_registry import read_registry
from assay.authoring.feast_repository import registry_bytes
from assay.authoring.feast_sources import carry_source, tags_of
from assay.encoding import plain
from assay.objects import Entity, FeatureService, FeatureView
from assay.parts import Aggregation, Feature, JoinKey, Schedule

#: ``feast.types`` by number → ours; lists and sets of them are lists.
_SCALARS = {1: "bytes", 2: "string", 3: "int32", 4: "int64", 5: "float64", 6: "float32", 7: "bool"}
TYPES = {
    **_SCALARS,
    8: "timestamp",
    **{number + 10: f"list<{kind}>" for number, kind in _SCALARS.items()},
    18: "list<timestamp>",
    **{number + 21: f"list<{kind}>" for number, kind in _SCALARS.items()},
    29: "list<timestamp>",
    **dict.fromkeys((20, 21, 32, 33, 34, 35, 42, 43, 47), "json"),
    **dict.fromkeys((36, 37), "string"),
    **dict.fromkeys((38, 39, 40, 41), "list<string>"),
    48: "timestamp",
}
#: The entity of views without one.
_DUMMY = "__dummy"
_FUNCTIONS = {"avg": "mean", "std": "stddev", "nunique": "count_distinct"}


def carry(path: Path, python: str | None = None) -> Carried:
    """Read a repository or a registry file and give what it becomes.

    ``python``: the interpreter of an environment that has Feast; by default that of the ``feast``
    command.

    :raises Invalid: there is none, it fails, or the file is no registry.
    """
    registry = read_registry(registry_bytes(path, python))
    carried = Carried(str(path))
    for kind, found in registry.items():
        if found:
            carried.count(kind.replace("_", " "), len(found))
    _Carrying(carried, registry).all()
    return carried


class _Carrying:
    """One registry on its way into ``carried``."""

    def __init__(self, carried: Carried, registry: Mapping[str, Any]) -> None:
        self._carried = carried
        self._registry = registry
        self._entities = {
            spec["name"]: spec
            for each in registry.get("entities", ())
            if (spec := each.get("spec", {})).get("name")
        }
        self._views: dict[str, str] = {}

    def all(self) -> None:
        for kind in ("feature_views", "stream_feature_views"):
            specs = [each.get("spec", {}) for each in self._registry.get(kind, ())]
            # Feast keeps them in sets, whose order is another one each time.
            for spec in sorted(specs, key=lambda spec: spec.get("name", "")):
                self._view(spec, is_stream=kind == "stream_feature_views")
        for each in self._registry.get("on_demand_feature_views", ()):
            self._on_demand(each.get("spec", {}))
        for each in self._registry.get("feature_services", ()):
            self._service(each.get("spec", {}))
        for kind in ("saved_datasets", "validation_references", "permissions", "label_views"):
            if found := self._registry.get(kind):
                what = kind.replace("_", " ")
                self._carried.say(LOST, what, f"({len(found)}) have no definition here")

    def _say(self, part: str, what: str, sentence: str) -> None:
        self._carried.say(part, what, sentence)

    def _view(self, spec: Mapping[str, Any], *, is_stream: bool = False) -> None:
        given = spec.get("name", "")
        what = f"view {given}"
        name = self._carried.name(given, what)
        source = carry_source(self._carried, spec, what)
        keys = {each["name"]: each for each in spec.get("entity_columns", ()) if each.get("name")}
        entities = [self._entity(each, keys) for each in spec.get("entities", ()) if each != _DUMMY]
        if not entities:
            self._say(FILL, what, "has no entity; here each view is about one")
        if spec.get("transformation"):
            self._say(LOST, what, "computes its rows by Python; say it as `sql` or `aggregations`")
        if spec.get("source_views"):
            self._say(LOST, what, "reads other views; name their source")
        if is_stream:
            self._say(LOST, what, "is fed by a stream; it is carried with its batch source")
        mapped = {
            each["value"]: each["key"]
            for each in (spec.get("batch_source") or {}).get("field_mapping", ())
        }
        aggregates = self._aggregates(spec, mapped, what)
        columns = {name: _output(each) for name, each in aggregates.items()} or mapped
        default = TODO if aggregates else None
        features = [
            self._feature(each, columns, what, default=default) for each in spec.get("features", ())
        ]
        if not features:
            self._say(FILL, what, "names no features; they were those of the source's columns")
        self._views[given] = name
        self._carried.objects.append(
            FeatureView(
                name,
                entities=entities or [TODO.lower()],
                source=source,
                aggregations=list(aggregates.values()) or None,
                features=features,
                ttl=_ttl(spec.get("ttl")),
                schedule=Schedule(every="1h") if aggregates else None,
                online=None if spec.get("online") else False,
                description=spec.get("description") or None,
                owner=spec.get("owner") or None,
                tags=tags_of(spec) or None,
            )
        )

    def _entity(self, given: str, keys: Mapping[str, Any]) -> str:
        spec = self._entities.get(given, {"name": given})
        name = self._carried.name(given, f"entity {given}")
        key = spec.get("join_key") or given
        number = (keys.get(key) or {}).get("value_type") or spec.get("value_type") or 0
        if any(each.name == name and isinstance(each, Entity) for each in self._carried.objects):
            return name
        kind = TYPES.get(number)
        if kind is None:
            self._say(FILL, f"entity {given}", f"does not say the type of its key `{key}`")
        self._carried.objects.append(
            Entity(
                name,
                join_keys=[JoinKey(key, kind or TODO)],
                description=spec.get("description") or None,
                owner=spec.get("owner") or None,
                tags=tags_of(spec) or None,
            )
        )
        return name

    def _feature(
        self,
        said: Mapping[str, Any],
        columns: Mapping[str, str],
        what: str,
        *,
        default: str | None = None,
    ) -> Feature:
        given = said.get("name", "")
        name = self._carried.name(given, f"{what}: {given}", among=what)
        number = said.get("value_type", 0)
        kind = TYPES.get(number)
        if kind is None:
            self._say(FILL, f"{what}: {given}", f"has a type ({number}) that none of ours is")
        if kind == "list<float32>" and said.get("vector_length"):
            kind = f"vector<{said['vector_length']}>"
        if tags := tags_of(said):
            self._say(LOST, f"{what}: {given}", f"has tags of its own: {json.dumps(tags)}")
        column = columns.get(given, default or given)
        return Feature(
            name,
            kind or TODO,
            column=column if column != name else None,
            description=said.get("description") or None,
        )

    def _aggregates(
        self, spec: Mapping[str, Any], mapped: Mapping[str, str], what: str
    ) -> dict[str, Aggregation]:
        """Give the aggregations by what their features are called."""
        found: dict[str, Aggregation] = {}
        for said in spec.get("aggregations", ()):
            column, function = said.get("column", ""), said.get("function", "").lower()
            window = _ttl(said.get("time_window"))
            if window is None:
                self._say(LOST, what, f"aggregates `{column}` without a window")
                continue
            ours = _FUNCTIONS.get(function, function)
            name = said.get("name") or f"{function}_{column}"
            found[name] = Aggregation(
                mapped.get(column, column), functions=[ours], windows=[plain(window)]
            )
        if found:
            given = ", ".join(map(_output, found.values()))
            self._say(FILL, what, f"has the aggregates {given}: each feature's `column` is one")
            self._say(FILL, what, "needs a `schedule`, which says when windows are closed; 1h")
        return found

    def _on_demand(self, spec: Mapping[str, Any]) -> None:
        names = ", ".join(each.get("name", "") for each in spec.get("features", ()))
        mode = spec.get("mode") or "pandas"
        sentence = (
            f"computes {names} by a function ({mode}); say each as `sql` of an OnDemandFeatureView"
        )
        self._say(LOST, f"on-demand view {spec.get('name', '')}", sentence)

    def _service(self, spec: Mapping[str, Any]) -> None:
        given = spec.get("name", "")
        what = f"service {given}"
        references: list[str] = []
        for each in spec.get("features", ()):
            view = each.get("view", "")
            if view not in self._views:
                self._say(LOST, what, f"reads `{view}`, which is not carried")
                continue
            if each.get("alias") or each.get("join_key_map"):
                self._say(
                    LOST, what, f"reads `{view}` under another name or key; say it in requests"
                )
            names = [
                self._carried.name(field.get("name", ""), what, among=f"view {view}")
                for field in each.get("features", ())
            ]
            references += [f"{self._views[view]}:{name}" for name in names or ["*"]]
        if spec.get("logging"):
            self._say(LOST, what, "logs what it serves to a place of its own")
        if not references:
            self._say(LOST, what, "reads nothing that is carried, so it is not either")
            return
        self._carried.objects.append(
            FeatureService(
                self._carried.name(given, what),
                features=references,
                description=spec.get("description") or None,
                owner=spec.get("owner") or None,
                tags=tags_of(spec) or None,
            )
        )


def _output(aggregation: Aggregation) -> str:
    return f"{aggregation.column}_{aggregation.functions[0]}_{aggregation.windows[0]}"


def _ttl(said: Mapping[str, int] | None) -> timedelta | None:
    seconds = (said or {}).get("seconds", 0)
    return timedelta(seconds=seconds) if 0 < seconds < 2**31 else None
