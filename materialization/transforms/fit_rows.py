# ruff: noqa: S608 - columns are names of our own
"""The rows that encodings of views whose rows stand alone are fitted on: those of a range. [pure]

Not for those of aggregates (``aggregation.fit_rows``), nor for fitting (``sandbox.fitting``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from lib.sql_text import instant
from materialization.transforms.base import no_key_sql
from materialization.transforms.typed_rows import typed_rows
from registry.spec.encode_steps import Target
from registry.spec.model import FeatureSpec
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from materialization.sources.reading import OpenedSource
    from materialization.transforms.rows import Path
    from registry.spec.encodes import FitRange
    from registry.spec.version_spec import VersionSpec

LABEL_TYPE = parse_type("float64")


def labels_of(features: Sequence[FeatureSpec]) -> Iterator[tuple[Path, str]]:
    """Yield where a definition names the label of each feature that has one, and the label."""
    for index, feature in enumerate(features):
        for number, step in enumerate(feature.encode.all_steps if feature.encode else ()):
            if isinstance(step, Target):
                yield ("features", index, "encode", "steps", number, "label"), step.label


def rows_in_range(
    spec: VersionSpec, features: Sequence[FeatureSpec], at: FitRange, opened: OpenedSource
) -> str:
    """Return the query that ``TransformKind.fit_rows`` promises: each row counts."""
    labels = list(dict.fromkeys(each.label for each in features if each.label is not None))
    made = [FeatureSpec(name=f"label_{n}", type="float64", column=y) for n, y in enumerate(labels)]
    view = replace(spec.view, features=(*(each.unencoded for each in features), *made))
    typed = typed_rows(replace(spec, view=view), opened.columns, relation=opened.relation)
    columns = [*(f"k{n}" for n, _ in enumerate(spec.join_keys)), "e"]
    for n, each in enumerate(features):
        columns.append(f"f{n}, TRUE AS t{n}")
        if each.label is not None:
            columns.append(f"f{len(features) + labels.index(each.label)} AS y{n}")
    start, to = at.window
    within = f"e >= {instant(start)} AND e < {instant(to)} AND NOT ({no_key_sql(spec)})"
    return f"SELECT {', '.join(columns)} FROM ({typed}) WHERE {within}"
