"""Lineage drawn as SVG: from sources on the left to what reads the features on the right.

Drawn here and shown without any script; whoever does not see it has the same as a list. Not for
finding it out: ``registry.lineage`` does.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from django.utils.html import format_html, format_html_join

from registry.lineage_graph import NodeKind, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from django.utils.safestring import SafeString

    from registry.lineage_graph import Graph, Key, Step

    Address = Callable[[Key], str]

WIDE, TALL, ACROSS, DOWN = 140, 40, 166, 50
#: Things of one column that are drawn; the list below has all.
MOST_IN_COLUMN = 12
#: Columns of features that are made of features; what is further is drawn in the last.
MOST_LEVELS = 8
#: Characters that a box has room for.
ROOM = 19
COMPUTED, READER = "computed", "reader"
#: What stands above each other, from left to right.
COLUMNS = {
    NodeKind.SOURCE: "Sources",
    NodeKind.COLUMN: "Columns",
    NodeKind.FEATURE: "Features",
    COMPUTED: "Computed at the request",
    NodeKind.SERVICE: "Services",
    READER: "Readers",
}


#: A column by what stands in it, and its number among those of features made of features.
Place = tuple[str, int]
#: The sign between a thing's name and that of what it belongs to.
BETWEEN: dict[str, str] = {NodeKind.COLUMN: ".", NodeKind.FEATURE: ":"}


class Drawing(NamedTuple):
    """The picture, how much of all it has, and all of it in lines."""

    svg: SafeString
    shown: int
    steps: list[Step]


class _Box(NamedTuple):
    x: int
    y: int

    @property
    def middle(self) -> int:
        return self.y + TALL // 2


def drawing(graph: Graph, steps: Sequence[Step], address: Address) -> Drawing:
    """Draw what was met around the first of ``steps``, which are nearest first."""
    columns: defaultdict[Place, list[Key]] = defaultdict(list)
    levels = _levels(graph, [step.key for step in steps])
    for step in steps:
        columns[_column(graph, step.key), levels.get(step.key, 0)].append(step.key)
    ordered = ((name, level) for name in COLUMNS for level in range(MOST_LEVELS))
    kept = {place: columns[place][:MOST_IN_COLUMN] for place in ordered if columns[place]}
    _untangle(graph, kept)
    boxes = {
        key: _Box(8 + place * ACROSS, 34 + row * DOWN)
        for place, keys in enumerate(kept.values())
        for row, key in enumerate(keys)
    }
    starts = {step.key for step in steps if step.distance == 0}
    wide = 16 + ACROSS * (len(kept) - 1) + WIDE
    height = 34 + DOWN * max((len(keys) for keys in kept.values()), default=1)
    parts = [
        *_headings(kept, columns),
        *_lines(graph, boxes),
        *(_drawn(graph, key, box, address, is_start=key in starts) for key, box in boxes.items()),
    ]
    svg = format_html(
        '<svg class="as-graph" viewBox="0 0 {0} {1}" role="group"'
        ' style="max-width: {0}px; min-width: {4}px" aria-label="{2}">{3}</svg>',
        wide,
        height,
        "Lineage, from sources on the left to readers on the right; below as a list",
        format_html_join("", "{}", ((part,) for part in parts)),
        round(0.85 * wide),
    )
    return Drawing(svg, len(boxes), list(steps))


def _column(graph: Graph, key: Key) -> str:
    if not graph.facts.get(key, {}).get("stored", True):
        return COMPUTED
    return key.kind if key.kind in COLUMNS else READER


def _levels(graph: Graph, keys: Sequence[Key]) -> dict[Key, int]:
    """Return how many features each stored feature is made of one after the other, at most."""
    features = {key for key in keys if _column(graph, key) == NodeKind.FEATURE}
    levels = dict.fromkeys(features, 0)
    # So often and no longer: two drafts may be drawn as if each were made of the other.
    for _ in range(MOST_LEVELS - 1):
        found = {
            key: max(
                (levels[each] + 1 for each in graph.above.get(key, ()) if each in levels), default=0
            )
            for key in features
        }
        if found == levels:
            break
        levels = {key: min(level, MOST_LEVELS - 1) for key, level in found.items()}
    return levels


def _untangle(graph: Graph, columns: dict[Place, list[Key]]) -> None:
    """Put what is connected beside each other: each column in the order of the one before it."""
    places: dict[Key, float] = {}

    def middle(key: Key) -> float:
        above = [places[each] for each in graph.above.get(key, ()) if each in places]
        return sum(above) / len(above) if above else 0.0

    for keys in columns.values():
        keys.sort(key=lambda key: (middle(key), key))
        places.update((key, place) for place, key in enumerate(keys))


def _headings(
    kept: dict[Place, list[Key]], columns: dict[Place, list[Key]]
) -> Iterable[SafeString]:
    for place, ((name, level), keys) in enumerate(kept.items()):
        more = len(columns[name, level]) - len(keys)
        yield format_html(
            '<text class="as-graph-head" x="{}" y="18">{}{}</text>',
            8 + place * ACROSS,
            "of features" if level else COLUMNS[name],
            f", {len(keys)} of {len(keys) + more:,}" if more else "",
        )


def _lines(graph: Graph, boxes: dict[Key, _Box]) -> Iterable[SafeString]:
    for key, start in boxes.items():
        for other, role in graph.below.get(key, {}).items():
            if (end := boxes.get(other)) is None:
                continue
            bend = max(24, (end.x - start.x - WIDE) // 2)
            yield format_html(
                '<path class="as-graph-line{}" d="M{} {} C{} {} {} {} {} {}"></path>',
                " as-graph-filter" if role == Role.FILTER else "",
                start.x + WIDE, start.middle, start.x + WIDE + bend, start.middle,
                end.x - bend, end.middle, end.x, end.middle,
            )  # fmt: skip


def _drawn(graph: Graph, key: Key, box: _Box, address: Address, *, is_start: bool) -> SafeString:
    above, _, name = key.name.partition(BETWEEN.get(key.kind, "\n"))
    facts = graph.facts.get(key, {})
    sensitivity = facts.get("sensitivity", "")
    return format_html(
        '<a href="{}" class="as-graph-node as-graph-{}{}" aria-current="{}"><title>{}</title>'
        '<rect x="{}" y="{}" width="{}" height="{}" rx="6"></rect>'
        '<text x="{}" y="{}">{}</text><text class="as-graph-of" x="{}" y="{}">{}</text></a>',
        address(key),
        key.kind if key.kind in COLUMNS else READER,
        " as-graph-start" if is_start else "",
        "true" if is_start else "false",
        f"{key.kind.replace('-', ' ')} {key.name}{f', {sensitivity}' if sensitivity else ''}",
        box.x, box.y, WIDE, TALL,
        box.x + 10, box.y + (17 if name else 24), _short(name or above),
        box.x + 10, box.y + 32, _short(f"of {above}") if name else "",
    )  # fmt: skip


def _short(text: str) -> str:
    return text if len(text) <= ROOM else f"{text[: ROOM - 1]}…"
