"""What the page of a feature shows: what it means, where from, who reads it, and how to.

Not for what its values look like (apps that have data add panels), nor for finding it
(``features``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from registry import lineage
from registry.admin.addresses import named_url
from registry.admin.lineage_chart import drawing
from registry.admin.questions import questions_context
from registry.choices import SERVED_STATES, State
from registry.facts import facts_of
from registry.lineage import Key, NodeKind
from registry.newest import MOST_SHOWN, NEWEST_FIRST, shown_version
from registry.prose import first_line, rendered
from registry.related import related_to
from registry.snippets import Wanted, snippets
from registry.spec.references import Reference
from registry.spec.row_sql import laid_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest

    from registry.lineage import Graph, Step
    from registry.models import Feature, FeatureViewVersion
    from registry.spec.model import FeatureSpec

#: Of those that read it, and of lines of lineage, so many are named.
MOST_NAMED = 100


class Stage(NamedTuple):
    """One version of the view, and what became of the feature in it."""

    version: FeatureViewVersion
    #: new, changed, removed, or empty: it is as it was before.
    word: str
    changes: list[str]
    reasons: list[str]


def feature_context(request: HttpRequest, feature: Feature) -> dict[str, Any]:
    """Return everything the template shows of ``feature``."""
    version = feature.version
    view, spec = version.feature_view, version.spec
    own = next(each for each in spec.features if each.name == feature.name)
    speaks = shown_version(view)
    reference, project = reference_of(feature), view.project.name
    graph = lineage.graph_of(view.project, also=version.pk)
    return {
        "feature": feature,
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
        "stages": list(stages_of(feature)),
        "not_readable": _not_readable(version),
        "snippets": _snippets(request, feature, reference),
        "related": [
            each._asdict() | {"url": named_url(project, NodeKind.FEATURE, each.reference)}
            for each in related_to(feature)
        ],
        "current_url": named_url(project, NodeKind.FEATURE, f"{view.name}:{feature.name}"),
        "source_url": named_url(project, NodeKind.SOURCE, spec.view.source or "-"),
        **questions_context(request, feature),
        **lineage_context(graph, project, [Key(NodeKind.FEATURE, reference)]),
    }


def reference_of(feature: Feature) -> str:
    """Return how the feature of this very version is read."""
    version = feature.version
    is_default = version.feature_view.default_version_id == version.pk
    pin = None if is_default or version.state == State.DRAFT else version.number
    return str(Reference(version.feature_view.name, pin, feature.name))


def lineage_context(graph: Graph, project: str, starts: list[Key]) -> dict[str, Any]:
    """Return the drawing of what is around some things, and the same as lists."""
    steps = graph.around(starts, up=lineage.MAX_DEPTH, down=lineage.MAX_DEPTH)
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


def stages_of(feature: Feature) -> Iterator[Stage]:
    """Yield the view's newest versions, newest first, with what each made of the feature."""
    view = feature.version.feature_view
    newest = view.versions.order_by(*NEWEST_FIRST).select_related("based_on", "submitted_by")
    for version in newest[:MOST_SHOWN]:
        version.feature_view = view
        before = _found(version.based_on, feature.name)
        now = _found(version, feature.name)
        if now is None and before is None:
            continue
        packet = version.packet if version.state != State.DRAFT else {}
        reasons = [str(each) for each in packet.get("reasons", ())]
        yield Stage(version, _word(before, now), _changes(before, now), reasons)


def _found(version: FeatureViewVersion | None, name: str) -> FeatureSpec | None:
    features = version.spec.features if version else ()
    return next((each for each in features if each.name == name), None)


def _word(before: FeatureSpec | None, now: FeatureSpec | None) -> str:
    if now is None:
        return "removed"
    if before is None:
        return "new"
    return "" if before == now else "changed"


def _changes(before: FeatureSpec | None, now: FeatureSpec | None) -> list[str]:
    if before is None or now is None:
        return []
    found = []
    for name in ("type", "sensitivity", "source_column", "sql", "description"):
        old, new = (first_line(str(getattr(each, name) or "–")) for each in (before, now))
        if old != new:
            found.append(f"{name.replace('_', ' ')}: {old} became {new}")
    if before.checks != now.checks:
        found.append("checks changed")
    return found


def _not_readable(version: FeatureViewVersion) -> str:
    """Say why what is to be copied does not answer yet; empty: it does."""
    if version.is_ready:
        return ""
    if version.state in SERVED_STATES:
        return f"Not answered yet: {version} is approved, and its data are not loaded."
    return f"Not answered: {version} is {version.state.replace('_', ' ')}."


def _snippets(request: HttpRequest, feature: Feature, reference: str) -> Any:
    spec = feature.version.spec
    wanted = Wanted(
        project=feature.version.feature_view.project.name,
        base_url=request.build_absolute_uri("/").rstrip("/"),
        keys={key.name: str(key.value_type) for key in spec.join_keys},
        is_online=spec.view.online,
        is_stored=spec.transform.is_stored,
        reference=reference,
    )
    return snippets(wanted)
