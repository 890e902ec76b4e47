"""Subcommands that find features, and what they come from and what reads them.
Not for describing what was found; that is catalogue.
"""

from __future__ import annotations

import argparse

from assay.cli.arguments import Commands, Context
from assay.shapes import JSON

FILTERS = ("entity", "owner", "tag", "sensitivity", "type", "state", "freshness")
KINDS = ("data-source", "column", "feature-view", "feature", "feature-service", "dataset")
DIRECTIONS = ("upstream", "downstream", "both")
COLUMNS = ("reference", "type", "sensitivity", "state", "freshness", "owner", "description")
#: Values of a facet that a line names.
SHOWN = 6


def add(commands: Commands) -> None:
    search = commands.add("search", run_search, "Search features by words, typos and all.")
    search.add_argument("words", nargs="*", metavar="WORD")
    for option in FILTERS:
        search.add_argument(f"--{option}")
    search.add_argument("--limit", type=int, default=50, help="features, default 50")
    feature = commands.add("feature", run_feature, "Show one feature in full.")
    feature.add_argument("reference", metavar="VIEW[@VERSION]:FEATURE")
    lineage = commands.add(
        "lineage", run_lineage, "Show what something is made of, and what reads it."
    )
    lineage.add_argument("kind", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    lineage.add_argument(
        "name", metavar="NAME", help="as in purchases, purchases.amount, spend, spend:sum_3d"
    )
    lineage.add_argument("--direction", choices=DIRECTIONS, default="both")
    lineage.add_argument("--depth", type=int, help="steps each way; default all")
    lineage.add_argument("--limit", type=int, help="lines; default all")


def run_search(context: Context, args: argparse.Namespace) -> None:
    filters = {name: getattr(args, name) for name in FILTERS}
    found = context.store.search_features(" ".join(args.words), limit=args.limit, **filters)
    if context.out.as_json:
        context.out.json(found)
        return
    for word, near in found["guessed"].items():
        others = f"searched {', '.join(near)}" if near else "nothing is near it"
        context.out.note(f"nothing has {word!r}; {others}")
    rows = [each | {"state": _state(each)} for each in found["results"]]
    context.out.table(rows, COLUMNS)
    if (others := found["count"] - len(found["results"])) > 0:
        context.out.note(f"and {others:,} more; narrow by {_facets(found['facets'])}")


def _state(feature: JSON) -> str:
    marked = ", broken glass" if feature.get("break_glass") else ""
    return f"{feature['state']}{marked}"


def run_feature(context: Context, args: argparse.Namespace) -> None:
    found = context.store.get_feature(args.reference)
    if context.out.as_json:
        context.out.json(found)
        return
    ways = found.pop("how_to_read")
    context.out.describe(found)
    for way in ways:
        context.out.line(f"\n{way['title']}: {way['says']}", "bold")
        context.out.line(way["text"].rstrip())


def _facets(facets: JSON) -> str:
    """Say which filters would leave less than there is."""
    useful = {name: values for name, values in facets.items() if len(values) > 1}
    return "; ".join(f"--{name} {_values(values)}" for name, values in useful.items())


def _values(values: list[JSON]) -> str:
    return ", ".join(f"{each['value']} ({each['count']:,})" for each in values[:SHOWN])


def run_lineage(context: Context, args: argparse.Namespace) -> None:
    steps = context.store.get_lineage(
        args.kind, args.name, direction=args.direction, depth=args.depth, limit=args.limit
    )
    if context.out.as_json:
        context.out.json(steps)
    else:
        ordered = sorted(steps, key=lambda step: int(step["distance"]))
        context.out.table(map(_line, ordered), ("step", "kind", "name", "through", "state"))
        context.out.rest(steps)


def _line(step: JSON) -> JSON:
    far = step["distance"]
    through = [each["name"] for each in step["via"]]
    if (more := step["via_count"] - len(through)) > 0:
        through.append(f"and {more:,} more")
    return {**step, "step": f"{far:+d}" if far else "0", "through": through}
