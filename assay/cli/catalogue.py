"""Subcommands that list and describe what is defined, the trail, and who one is.
Not for changing anything.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

from assay.cli.arguments import Commands, Context
from assay.client import FeatureStore
from assay.errors import ConnectionFailed, NotFound
from assay.references import split_reference
from assay.shapes import JSON

#: Versions of one view that its line in a list names.
SHOWN = 5
WORDS = ("q", "tag", "owner")


class Kind(NamedTuple):
    """One kind of object: how it is listed, fetched and shown in a table."""

    help: str
    list: Callable[..., list[JSON]]
    get: Callable[[FeatureStore, str], JSON]
    columns: tuple[str, ...]
    filters: tuple[str, ...] = WORDS
    row: Callable[[JSON], dict[str, Any]] = dict
    #: Options without a value, and which of what was listed they leave.
    flags: Mapping[str, Callable[[JSON], bool]] = {}


def add(commands: Commands) -> None:
    for name, kind in KINDS.items():
        group = commands.group(name, kind.help)
        listing = group.add("list", partial(run_list, kind=kind), f"List {kind.help.lower()}")
        for option in kind.filters:
            listing.add_argument(f"--{option}")
        for flag in kind.flags:
            listing.add_argument(f"--{flag}", action="store_true", help=f"those that are {flag}")
        describe = group.add("describe", partial(run_describe, kind=kind), "Show one in full.")
        describe.add_argument("name", metavar="NAME")
        if name == "feature-views":
            versions = group.add("versions", run_versions, "List the versions of one.")
            versions.add_argument("name", metavar="NAME")
            versions.add_argument("--state", help="only those in this state")
            versions.add_argument("--limit", type=int, default=50, help="versions, default 50")
    commands.add("roots", run_roots, "List the directories that file sources can name.")
    group = commands.group("connections", "Connections that sources of other systems can name.")
    group.add("list", run_connections, "List them, and what came of the last try of each.")
    test = group.add("test", run_connection_test, "Ask whether the system behind one answers.")
    test.add_argument("name", metavar="NAME")
    commands.add("whoami", run_whoami, "Show whose token this is and what it may do where.")


def run_list(context: Context, args: argparse.Namespace, *, kind: Kind) -> None:
    found = kind.list(context.store, **{name: getattr(args, name) for name in kind.filters})
    for flag, is_meant in kind.flags.items():
        found = list(filter(is_meant, found)) if getattr(args, flag) else found
    context.out.rows(found, kind.columns, row=kind.row)


def run_describe(context: Context, args: argparse.Namespace, *, kind: Kind) -> None:
    _show(context, kind.get(context.store, args.name))


def run_versions(context: Context, args: argparse.Namespace) -> None:
    found = context.store.list_versions(args.name, state=args.state, limit=args.limit)
    if context.out.as_json:
        context.out.json(found)
    else:
        columns = ("version", "state", "ready", "default", "class", "broken_glass")
        marked = any(each.get("break_glass") for each in found)
        rows = [each | {"broken_glass": _mark(each)} for each in found]
        context.out.table(rows, columns if marked else columns[:-1])
        context.out.rest(found)


def run_roots(context: Context, args: argparse.Namespace) -> None:
    roots = context.store.list_roots()
    context.out.rows(roots, ("name", "path", "identity", "since"))


def run_connections(context: Context, args: argparse.Namespace) -> None:
    found = context.store.list_connections()
    if context.out.as_json:
        context.out.json(found)
    else:
        _table_of_connections(context, found)


def run_connection_test(context: Context, args: argparse.Namespace) -> None:
    tried = context.store.test_connection(args.name)
    if context.out.as_json:
        context.out.json(tried)
    elif tried["ok"]:
        context.out.note(f"{args.name} answers")
    if not tried["ok"]:
        raise ConnectionFailed(f"{args.name}: {tried['error']}")


def _table_of_connections(context: Context, found: list[JSON]) -> None:
    words = {True: "ok", False: "failed", None: "not tried"}
    rows = [each | {"state": words[each["ok"]]} for each in found]
    context.out.table(rows, ("name", "kind", "address", "state", "last_tried", "error"))


def run_whoami(context: Context, args: argparse.Namespace) -> None:
    _show(context, context.store.whoami())


def _show(context: Context, found: JSON) -> None:
    if context.out.as_json:
        context.out.json(found)
    else:
        context.out.describe(found)


def _view_row(view: JSON) -> dict[str, Any]:
    shown = view["versions"][:SHOWN]
    versions = [
        f"{v['version'] or '(no number)'} {v['state']}{', broken glass' if _mark(v) else ''}"
        for v in shown
    ]
    if (others := view.get("version_count", len(view["versions"])) - len(shown)) > 0:
        versions.append(f"and {others:,} more")
    names = [feature["name"] for feature in view["features"]]
    return {
        **view,
        "default": view.get("default_version"),
        "versions": versions,
        "features": names,
        "freshness": _freshness_words(view),
    }


def _mark(version: JSON) -> str:
    """Say who broke the glass of a version that nobody confirmed; empty: it has no mark."""
    glass = version.get("break_glass")
    return f"by {glass['by']}, until {glass['until']}" if glass else ""


def _freshness(view: JSON) -> JSON:
    """Return the promise and age of what is read without a version; empty: nothing is."""
    for version in view["versions"]:
        if version["version"] == view.get("default_version"):
            found: JSON = version.get("freshness") or {}
            return found
    return {}


def _freshness_words(view: JSON) -> str | None:
    found = _freshness(view)
    if not found:
        return None
    seconds = found["age_seconds"]
    age = "no rows yet" if seconds is None else f"{timedelta(seconds=int(seconds))} old"
    promise = f", promised {found['promise']}" if found["promise"] else ""
    return f"{age}{promise}{', overdue' if found['overdue'] else ''}"


def _get_view(store: FeatureStore, reference: str) -> JSON:
    _, version = split_reference(reference)
    return (
        store.get_feature_view_version(reference) if version else store.get_feature_view(reference)
    )


def _get_project(store: FeatureStore, name: str) -> JSON:
    projects = store.list_projects()
    for project in projects:
        if project["name"] == name:
            return project
    known = ", ".join(project["name"] for project in projects) or "none"
    raise NotFound(f"there is no project {name!r} that you may see; there are: {known}")


KINDS = {
    "entities": Kind(
        "Entities.",
        FeatureStore.list_entities,
        FeatureStore.get_entity,
        ("name", "join_keys", "owner", "description"),
    ),
    "data-sources": Kind(
        "Data sources.",
        FeatureStore.list_data_sources,
        FeatureStore.get_data_source,
        ("name", "type", "path", "event_timestamp", "created_timestamp", "owner"),
    ),
    "feature-views": Kind(
        "Feature views.",
        FeatureStore.list_feature_views,
        _get_view,
        ("name", "default", "freshness", "entities", "features", "versions", "owner"),
        (*WORDS, "entity", "sensitivity", "state"),
        _view_row,
        {"overdue": lambda view: bool(_freshness(view).get("overdue"))},
    ),
    "feature-services": Kind(
        "Feature services.",
        FeatureStore.list_feature_services,
        FeatureStore.get_feature_service,
        ("name", "version", "features", "owner"),
    ),
    "projects": Kind(
        "Projects.", FeatureStore.list_projects, _get_project, ("name", "title"), filters=()
    ),
}
