"""What windows that are computed at each online read must satisfy: over pushed rows, or events
that runs load.

Not for aggregations at the ticks of a schedule (``aggregation_rules``), nor for which columns a
function can take: the look at the source says that. [pure]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from registry.choices import Accuracy
from registry.reading.findings import error_of
from registry.spec.derived import derived_scalar, derived_sql
from registry.spec.encode_steps import NOT_AT_READS
from registry.spec.row_sql import check_expression, columns_under
from registry.spec.scalar.kinds import Untyped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reading.findings import Found
    from registry.reading.yaml_documents import Path
    from registry.spec.model import FeatureSpec, FeatureViewSpec
    from registry.spec.sources.arriving import ArrivingSource
    from registry.spec.version_spec import VersionSpec

#: What to write in place of a step that is not laid over windows of reads.
_OTHER_STEPS = "take another step, or leave it out and encode what is read."


def window_problems(spec: VersionSpec, source: ArrivingSource) -> Iterator[Found]:
    """Find what of a view's aggregations cannot be made of rows that arrive."""
    view = spec.view
    if not view.aggregations:
        return
    if view.accuracy is not Accuracy.TEMPORAL:
        message = (
            f"windows over the {source.called} {source.name!r} are as of each read and of each row"
            " of a training set, for its rows come without runs that could make ticks: write"
            " `accuracy: temporal`, and no schedule."
        )
        yield ("accuracy",), message
        return
    if view.is_unbounded:
        message = (
            f"an unbounded window over rows of a {source.called} would keep every row in memory for"
            " ever; name a window that ends, as in 365d."
        )
        yield ("aggregations",), message
    if view.where is not None:
        message = (
            "a row that it leaves out could not correct the one before it; give each aggregation"
            " this `where`: rows that do not count there are known all the same."
        )
        yield ("where",), message
    yield from _made_at_reads(view)
    for place, feature in enumerate(view.features):
        if feature.is_fitted:
            message = (
                f"{feature.name}: steps over windows are fitted to their values at ticks, and rows"
                f" of a {source.called} make none; take steps that are not fitted, as log, clip,"
                " bucketize with edges or hashed."
            )
            yield ("features", place, "encode", "fit"), message
        if feature.checks != type(feature.checks)():
            message = (
                f"{feature.name} has no value until it is asked for, so nothing is checked as a"
                f" row is {source.arrives}; leave its checks out."
            )
            yield ("features", place, "checks"), message


def loaded_window_problems(spec: VersionSpec) -> Iterator[Found]:
    """Find what of a view with `accuracy: exact` cannot be made of events that runs load."""
    view = spec.view
    if view.accuracy is not Accuracy.EXACT or not view.aggregations:
        return
    if not view.online:
        message = (
            "exact says how online reads are made, and the view has `online: false`; write"
            " `accuracy: temporal`, which is as exact in training sets."
        )
        yield ("accuracy",), message
    if view.is_unbounded:
        message = (
            "an unbounded window would keep every row in memory for ever; name a window that ends,"
            " as in 365d, or write `accuracy: temporal`."
        )
        yield ("aggregations",), message
    yield from _made_at_reads(view)


def _made_at_reads(view: FeatureViewSpec) -> Iterator[Found]:
    for place, feature in enumerate(view.features):
        if feature.sql is not None:
            yield from _computed_problems(view, feature, feature.sql, ("features", place, "sql"))
        if feature.mask is not None:
            message = f"{feature.name} is made at each read, where no mask is laid over it yet"
            yield ("features", place, "mask"), f"{message}; leave it out."
        for step in feature.encode.all_steps if feature.encode is not None else ():
            if isinstance(step, NOT_AT_READS):
                message = (
                    f"{feature.name} is made at each read, where a value is encoded by itself:"
                    f" {step.name} is not; {_OTHER_STEPS}"
                )
                yield ("features", place, "encode", "steps"), message


def _computed_problems(
    view: FeatureViewSpec, feature: FeatureSpec, sql: str, path: Path
) -> Iterator[Found]:
    """Find what of an expression is not computed alike at a read and in a training set."""
    known = {each.name for each in view.features if each.sql is None}
    if error_of(check_expression, sql) or not known.issuperset(columns_under(sql)):
        return  # said by the rules of all aggregations
    try:
        # As it is stored: what is written anew lacks what has no meaning.
        stored = replace(feature, sql=check_expression(sql))
        for each in (stored, feature):
            derived_scalar(view, each)
        derived_sql(view, stored)
    except Untyped as exc:
        message = f"{feature.name} is computed at each read: {exc.message}"
        yield path, message
