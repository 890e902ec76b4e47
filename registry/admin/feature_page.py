"""What the page of a feature shows: what it means, where from, who reads it, and how to.

Not for what its values look like (apps that have data add panels), nor for finding it
(``features``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from registry import lineage
from registry.admin.addresses import named_url
from registry.admin.lineage_chart import drawing
from registry.admin.questions import questions_context
from registry.catalogue.facts import facts_of
from registry.catalogue.named import reference_of, spec_of, wanted_of
from registry.catalogue.related import related_to
from registry.catalogue.snippets import snippets
from registry.catalogue.stages import stages_of
from registry.choices import SERVED_STATES
from registry.glass import in_words, marks_of
from registry.lineage_graph import MAX_DEPTH, Key, NodeKind
from registry.newest import shown_version
from registry.prose import rendered
from registry.spec.row_sql import laid_out

if TYPE_CHECKING:
    from django.http import HttpRequest

    from registry.lineage_graph import Graph, Step
    from registry.models import Feature, FeatureViewVersion

#: Of those that read it, and of lines of lineage, so many are named.
MOST_NAMED = 100


def feature_context(request: HttpRequest, feature: Feature) -> dict[str, Any]:
    """Return everything the template shows of ``feature``."""
    version = feature.version
    view, spec = version.feature_view, version.spec
    own = spec_of(feature)
    speaks = shown_version(view)
    reference, project = reference_of(feature), view.project.name
    graph = lineage.graph_of(view.project, also=version.pk)
    stages = list(stages_of(view, feature.name))
    marks = marks_of({version.pk, *(stage.version.pk for stage in stages)})
    mark = marks.get(version.pk)
    return {
        "feature": feature,
        "mark": mark,
        "mark_words": in_words(mark) if mark else "",
        "marks": marks,
        "own": own,
        "spec": spec,
        "version": version,
        "reference": reference,
        "description": rendered(own.description),
        "about_view": rendered(spec.view.description),
        "checks": list(own.checks.in_words()),
        "sql": laid_out(own.sql) if own.sql else "",
        "speaks": speaks if speaks and speaks.pk != version.pk else None,
        "facts": facts_of([version])[version.pk] if version.state in SERVED_STATES else {},
        "stages": stages,
        "not_readable": _not_readable(version),
        "snippets": snippets(wanted_of(feature, request.build_absolute_uri("/").rstrip("/"))),
        "related": [
            each._asdict() | {"url": named_url(project, NodeKind.FEATURE, each.reference)}
            for each in related_to(feature)
        ],
        "current_url": named_url(project, NodeKind.FEATURE, f"{view.name}:{feature.name}"),
        "source_url": named_url(project, NodeKind.SOURCE, spec.view.source or "-"),
        "joined_urls": [
            (join.name, named_url(project, NodeKind.SOURCE, join.name))
            for join in spec.view.sources
        ],
        **questions_context(request, feature),
        **lineage_context(graph, project, [Key(NodeKind.FEATURE, reference)]),
    }


def lineage_context(graph: Graph, project: str, starts: list[Key]) -> dict[str, Any]:
    """Return the drawing of what is around some things, and the same as lists."""
    steps = graph.around(starts, up=MAX_DEPTH, down=MAX_DEPTH)
    drawn = drawing(graph, steps, lambda key: named_url(project, key.kind, key.name))
    line = partial(_line, project=project)
    readers = [step for step in steps if step.distance > 0 and _reads(step.key)]
    return {
        "drawing": drawn,
        "steps": [line(step) for step in steps[:MOST_NAMED]],
        "steps_count": len(steps),
        "lineage_of": " ".join(starts[0]) if len(starts) == 1 else "",
        "readers": [line(step) for step in readers[:MOST_NAMED]],
        "readers_count": len(readers),
    }


def _reads(key: Key) -> bool:
    return key.kind not in (NodeKind.SOURCE, NodeKind.COLUMN, NodeKind.FEATURE)


def _line(step: Step, project: str) -> dict[str, Any]:
    return {
        "kind": step.key.kind.replace("-", " "),
        "name": step.key.name,
        "url": named_url(project, step.key.kind, step.key.name),
        "distance": step.distance,
        "distance_words": abs(step.distance),
        "via": [key.name for key, _ in step.via[:5]],
        "more": max(0, len(step.via) - 5),
    }


def _not_readable(version: FeatureViewVersion) -> str:
    """Say why what is to be copied does not answer yet; empty: it does."""
    if version.is_ready:
        return ""
    if version.state in SERVED_STATES:
        return f"Not answered yet: {version} is approved, and its data are not loaded."
    return f"Not answered: {version} is {version.state.replace('_', ' ')}."
