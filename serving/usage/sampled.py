"""Samples of the values that reads answered: who may see them, and the newest of a feature.

Not for taking them (``sampling``) nor for HTTP (``api``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from lib.errors import Forbidden
from lib.instants import timestamp
from lib.parameters import BadFilter
from registry import access
from registry.choices import SENSITIVE, Right
from registry.grants import Grants
from registry.models import Feature
from serving.on_demand.features import inputs_of
from serving.usage.queries import fitting
from serving.usage.rows import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.contrib.auth.models import User

    from materialization.stores.usage_table import UsageTable
    from registry.models import Project
    from serving.usage.queries import Asked

#: Samples of one answer.
MOST_ASKED = 1_000
_TOLD = pa.schema([("version", pa.string()), *SAMPLE])


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
                " computed of it, are not sampled, and those of before it was so are not shown."
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

    And how many values of its view were to be kept, and had no room. However many there are, so
    many are held, and those that are returned alone become objects.
    """
    found = _TOLD.empty_table()
    unkept = 0
    for batch in table.batches(["version", "samples", "unkept"], fitting(asked)):
        unkept += pc.sum(batch["unkept"]).as_py() or 0
        lists = batch["samples"]
        told = pc.list_flatten(lists)
        of = {name: pc.struct_field(told, name) for name in _TOLD.names if name != "version"}
        versions = batch["version"].take(pc.list_parent_indices(lists))
        rows = pa.table({"version": versions, **of}, _TOLD)
        is_asked = (pc.field("feature") == asked.feature) & (pc.field("at") >= asked.since)
        found = pa.concat_tables([found, rows.filter(is_asked)])
        if found.num_rows > most:
            found = found.take(pc.select_k_unstable(found, most, [("at", "descending")]))
    return found.sort_by([("at", "descending")]).to_pylist(), unkept


def sample_output(sample: dict[str, Any]) -> dict[str, Any]:
    """Describe one; ``value`` is absent where it was too long to be kept."""
    value = sample["value"]
    return {
        "version": sample["version"],
        "at": timestamp(sample["at"]),
        "status": sample["status"],
        **({} if value is None else {"value": msgspec.json.decode(value)}),
    }
