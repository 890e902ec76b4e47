"""A folder of YAML with one feature a document, as teams keep who have no store yet, as ours.

A feature has ``feature_name``, ``version``, ``data_type``, ``entity_key``, ``source_data:
{service, field}``, ``transformation_logic_ref``, ``online_ttl_seconds``, ``tags`` and ``owner``.
Not for running what ``transformation_logic_ref`` points to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

from assay.authoring.carried import CHANGED, FILL, LOST, TODO, Carried
from assay.authoring.proposals import snake
from assay.encoding import plain
from assay.errors import Invalid, why_unreadable
from assay.extras import require
from assay.objects import DataSource, Entity, FeatureView
from assay.parts import Feature, JoinKey

KEYS = (
    "feature_name",
    "version",
    "data_type",
    "entity_key",
    "source_data",
    "transformation_logic_ref",
    "online_ttl_seconds",
    "tags",
    "owner",
    "description",
)
MAX_FILES, MAX_BYTES = 10_000, 2_000_000
#: What types are called → ours.
TYPES = {
    **dict.fromkeys(("int", "integer", "int64", "long", "bigint"), "int64"),
    **dict.fromkeys(("int32", "smallint"), "int32"),
    **dict.fromkeys(("float", "double", "float64", "number", "numeric"), "float64"),
    **dict.fromkeys(("float32", "real"), "float32"),
    **dict.fromkeys(("str", "string", "text", "varchar", "category", "categorical"), "string"),
    **dict.fromkeys(("bool", "boolean"), "bool"),
    **dict.fromkeys(("timestamp", "datetime"), "timestamp"),
    **dict.fromkeys(("json", "object", "dict", "map"), "json"),
    **dict.fromkeys(("bytes", "binary", "blob"), "bytes"),
    "date": "date",
}
_OF_ITEMS = re.compile(r"(?:list|array)\s*[<\[(]\s*(.+?)\s*[>\])]")
_VECTOR = re.compile(r"(?:vector|embedding)\s*[<\[(]\s*(?:float\w*\s*,\s*)?(\d+)\s*[>\])]")
#: What YAML takes for null; the last is what nothing after the colon is read as.
_NULLS = ("null", "Null", "NULL", "~", "")
_NUMBERED = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?")


Group: TypeAlias = tuple[tuple[str, ...], str, Any]


@dataclass(frozen=True)
class Found:
    """One feature as it is said there, with what can be read of it."""

    said: Mapping[str, Any]
    where: str

    @property
    def name(self) -> str:
        return str(self.said["feature_name"])

    @property
    def service(self) -> str:
        return str(_inner(self.said, "source_data").get("service") or "unknown")

    @property
    def field(self) -> str:
        return str(_inner(self.said, "source_data").get("field") or self.name)

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that identify its entity: one, or a list of several."""
        said = self.said.get("entity_key") or TODO
        return tuple(map(str, said)) if isinstance(said, list) else (str(said),)

    @property
    def group(self) -> Group:
        """Features of one view: of one entity, from one place, with one time to live."""
        return self.keys, self.service, self.said.get("online_ttl_seconds")


def carry(folder: Path) -> Carried:
    """Read the folder and give what it becomes.

    :raises Invalid: it is not there, a file is no YAML, or there is no feature in it.
    :raises MissingExtra: without PyYAML.
    """
    carried = Carried(str(folder))
    groups: dict[Group, list[Found]] = {}
    for found in _features(folder, carried):
        groups.setdefault(found.group, []).append(found)
    if not groups:
        raise Invalid(f"{folder} has no YAML document with a feature_name", path=str(folder))
    for group, features in groups.items():
        several = sum(each[:2] == group[:2] for each in groups) > 1
        _carry_group(carried, group, features, several=several)
    return carried


def _features(folder: Path, carried: Carried) -> Iterator[Found]:
    paths = [folder] if folder.is_file() else sorted(folder.rglob("*.y*ml"))
    if not folder.exists():
        raise Invalid(f"{folder}: there is no such file or folder", path=str(folder))
    if len(paths) > MAX_FILES:
        raise Invalid(f"{folder} has {len(paths):,} files; at most {MAX_FILES:,} are read at once")
    for path in paths:
        for said in _documents(path):
            if not isinstance(said, Mapping) or said.get("feature_name") in (None, *_NULLS):
                carried.say(LOST, path.name, "has a document without `feature_name`")
                continue
            carried.count("features")
            for key in sorted(set(map(str, said)) - set(KEYS)):
                carried.say(LOST, str(said["feature_name"]), f"has `{key}`, which is not known")
            yield Found(_without_nulls(said), path.name)


def _without_nulls(said: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is said to be nothing: read as text, a null is the word for it."""
    kept = {key: value for key, value in said.items() if value not in _NULLS}
    if inner := _inner(said, "source_data"):
        kept["source_data"] = {key: value for key, value in inner.items() if value not in _NULLS}
    return kept


def _documents(path: Path) -> Iterator[Any]:
    yaml = require("yaml", "reading YAML")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Invalid(f"{path} has more than {MAX_BYTES:,} bytes", path=str(path))
        # The base loader takes every scalar for the text that it is.
        for document in yaml.load_all(path.read_text("utf-8"), Loader=yaml.BaseLoader):
            yield from document if isinstance(document, list) else [document]
    except (OSError, UnicodeDecodeError) as exc:
        raise Invalid(f"{path} cannot be read: {why_unreadable(exc)}", path=str(path)) from exc
    except (yaml.YAMLError, RecursionError) as exc:
        problem = " ".join(str(exc).split())
        raise Invalid(f"{path} is no YAML: {problem}", path=str(path)) from exc


def _carry_group(
    carried: Carried, group: Group, features: Sequence[Found], *, several: bool
) -> None:
    keys, service, ttl = group
    entity = _entity(carried, keys)
    if keys == (TODO,):
        names = ", ".join(each.name for each in features)
        carried.say(FILL, names, "does not say its `entity_key`")
    source = _source(carried, service)
    lasts = _ttl(carried, ttl, features)
    words = [entity, source]
    if several:
        words.append(plain(lasts) if lasts else "kept")
    name = snake("_".join(words))
    ours, owners, tags = _view_features(carried, name, features)
    carried.objects.append(
        FeatureView(
            name,
            entities=[entity],
            source=source,
            features=ours,
            ttl=lasts,
            owner=owners[0] if owners else None,
            tags=tags or None,
        )
    )


def _entity(carried: Carried, keys: Sequence[str]) -> str:
    nearest = name = snake("_".join(key.removesuffix("_id") for key in keys)) or "row"
    join_keys = tuple(JoinKey(key, TODO) for key in keys)
    entities = {each.name: each for each in carried.objects if isinstance(each, Entity)}
    number = 2
    while name in entities and entities[name].join_keys != join_keys:
        name, number = f"{nearest}_{number}", number + 1
    if name not in entities:
        carried.objects.append(Entity(name, join_keys=join_keys))
        for key in keys:
            carried.say(FILL, f"entity {name}", f"does not say the type of its key `{key}`")
    return name


def _source(carried: Carried, service: str) -> str:
    name = carried.name(service, f"service {service}")
    source = DataSource(name, path=f"{TODO}/{name}/*.parquet", event_timestamp=TODO)
    if source not in carried.objects:
        carried.objects.append(source)
        carried.say(FILL, f"source {name}", "needs the `path` of its files, and `event_timestamp`")
    return name


def _ttl(carried: Carried, ttl: Any, features: Sequence[Found]) -> timedelta | None:
    if ttl in (None, "", "0"):
        return None
    try:
        return timedelta(seconds=int(ttl)) if int(ttl) > 0 else None
    except (ValueError, OverflowError):
        names = ", ".join(each.name for each in features)
        carried.say(LOST, names, f"has online_ttl_seconds {ttl!r}, which is no number of seconds")
        return None


def _view_features(
    carried: Carried, view: str, features: Sequence[Found]
) -> tuple[list[Feature], list[str], dict[str, str]]:
    ours: dict[str, Feature] = {}
    owners: dict[str, int] = {}
    tags: dict[str, str] = {}
    versions: dict[str, list[Found]] = {}
    for found in features:
        versions.setdefault(found.name, []).append(found)
    for found in features:
        name = _feature_name(carried, view, found, versions[found.name])
        if name in ours:
            carried.say(LOST, found.name, f"is said twice, again in {found.where}; the first stays")
            continue
        ours[name] = _feature(carried, name, found)
        if owner := found.said.get("owner"):
            owners[str(owner)] = owners.get(str(owner), 0) + 1
        for key, value in _tags(found).items():
            if tags.setdefault(key, value) != value:
                carried.say(
                    LOST, found.name, f"has the tag {key}: {value}; the view's is {tags[key]}"
                )
    ranked = sorted(owners, key=lambda owner: -owners[owner])
    if len(ranked) > 1:
        other = ", ".join(ranked[1:])
        carried.say(
            LOST, f"view {view}", f"belongs to {ranked[0]}; some of its features to {other}"
        )
    return list(ours.values()), ranked, tags


def _feature_name(carried: Carried, view: str, found: Found, versions: Sequence[Found]) -> str:
    """Give a name; of a feature in several versions one that carries the version."""
    name = carried.name(found.name, found.name, among=f"view {view}")
    version = str(found.said.get("version") or "")
    if len({str(each.said.get("version")) for each in versions}) == 1:
        if version:
            carried.say(CHANGED, found.name, f"is version {version} there; here views are numbered")
        return name
    number = _NUMBERED.fullmatch(version)
    end = "_".join(part for part in number.groups() if part) if number else snake(version)
    carried.say(CHANGED, found.name, f"has several versions there; {version} is `{name}_v{end}`")
    return f"{name}_v{end}"


def _feature(carried: Carried, name: str, found: Found) -> Feature:
    if logic := found.said.get("transformation_logic_ref"):
        carried.say(
            LOST, found.name, f"is computed by `{logic}`; say it as `sql` or `aggregations`"
        )
    kind = _type(str(found.said.get("data_type") or ""))
    if kind is None:
        given = found.said.get("data_type")
        carried.say(FILL, found.name, f"has the type {given!r}, which is not known")
    description = found.said.get("description")
    return Feature(
        name,
        kind or TODO,
        column=found.field if found.field != name else None,
        description=str(description) if description else None,
    )


def _type(given: str) -> str | None:
    text = given.strip().lower()
    if vector := _VECTOR.fullmatch(text):
        return f"vector<{vector[1]}>"
    if items := _OF_ITEMS.fullmatch(text):
        inner = _type(items[1])
        return inner and f"list<{inner}>"
    return TYPES.get(text)


def _tags(found: Found) -> dict[str, str]:
    tags = found.said.get("tags") or {}
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in tags.items()}
    return {str(tag): "" for tag in (tags if isinstance(tags, list) else [tags])}


def _inner(said: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = said.get(key)
    return inner if isinstance(inner, Mapping) else {}
