"""Samples of the values that reads answered: who may see them, and the newest of a feature.

Not for taking them (``sampling``) nor for HTTP (``api``).
"""

from __future__ import annotations

from heapq import nlargest
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.compute as pc

from lib.errors import Forbidden
from lib.parameters import BadFilter
from registry import access
from registry.choices import SENSITIVE, Right
from registry.grants import Grants
from registry.models import Feature
from serving.on_demand.features import inputs_of
from serving.usage.queries import fitting

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.contrib.auth.models import User

    from materialization.stores.usage_table import UsageTable
    from registry.models import Project
    from serving.usage.queries import Asked

#: Samples of one answer.
MOST_ASKED = 1_000
_newest = itemgetter("at")


class NotSampled(Forbidden):
    code = "not_sampled"


def require_samples(asked: Asked, *, project: Project, user: User, at: datetime) -> list[Feature]:
    """Refuse who may not see values that reads of a feature answered; return it in each version.

    :raises BadFilter: no feature is named, or whose reads or which service's: samples do not tell.
    :raises ActionNotPermitted: its user lacks ``read_offline`` on the view or on one that the
        feature is computed of, or may not see who reads it.
    :raises NotSampled: the feature, or one that it is computed of, is sensitive in any version.
    """
    if not asked.feature:
        raise BadFilter("samples are of one feature; send view and feature, too.")
    for name, given in (("reader", asked.readers), ("service", asked.service)):
        if given:
            raise BadFilter(f"samples are of no one {name}; leave {name} out, or samples.")
    view = access.access_feature_view(user, project.name, asked.view)
    access.require(user, Right.READ_OFFLINE, view)
    if asked.views is not None and asked.view not in asked.views:
        access.require(user, Right.VIEW_AUDITENTRY, view)
    own = _in_versions(project, asked.view, asked.feature)
    computed_of = [each for named in _inputs(own) for each in _in_versions(project, *named)]
    for each in {each.version.feature_view for each in computed_of}:
        access.require(user, Right.READ_OFFLINE, each)
    grants = Grants(user, at=at)
    for feature in (*own, *computed_of):
        level = grants.level(feature.version, feature.name)
        if level in SENSITIVE:
            raise NotSampled(
                f"{feature.version}:{feature.name} is {level}: values of it, and of what is"
                " computed of it, are not sampled, nor are those shown that were before it was."
            )
    return own


def _in_versions(project: Project, view: str, feature: str) -> list[Feature]:
    """Return the feature as each version has it; a reference without one may mean any of them."""
    named = Feature.objects.filter(
        version__feature_view__project=project, version__feature_view__name=view, name=feature
    )
    return list(named.select_related("version__feature_view__project"))


def _inputs(features: Iterable[Feature]) -> set[tuple[str, str]]:
    """Return the view and name of what those that are computed at the request are computed of."""
    return {
        (read.view, read.feature)
        for each in features
        if not each.version.spec.transform.is_stored
        for read in inputs_of(each.version, each.name)
    }


def newest_samples(table: UsageTable, asked: Asked, most: int) -> tuple[list[dict[str, Any]], int]:
    """Return the newest samples of the feature that is asked for, the newest first.

    And how many values of its view were to be kept, and had no room.
    """
    found: list[dict[str, Any]] = []
    unkept = 0
    for batch in table.batches(["version", "samples", "unkept"], fitting(asked)):
        unkept += pc.sum(batch["unkept"]).as_py() or 0
        lists = batch["samples"]
        told = pc.list_flatten(lists)
        versions = batch["version"].take(pc.list_parent_indices(lists))
        chosen = pc.equal(pc.struct_field(told, "feature"), asked.feature)
        rows = [
            {"version": version, **sample}
            for version, sample in zip(
                versions.filter(chosen).to_pylist(), told.filter(chosen).to_pylist(), strict=True
            )
            if sample["at"] >= asked.since
        ]
        found = nlargest(most, (*found, *rows), key=_newest)
    return found, unkept


def sample_output(sample: dict[str, Any]) -> dict[str, Any]:
    """Describe one; ``value`` is absent where it was too long to be kept."""
    value = sample["value"]
    return {
        "version": sample["version"],
        "at": sample["at"].isoformat(),
        "status": sample["status"],
        **({} if value is None else {"value": msgspec.json.decode(value)}),
    }
