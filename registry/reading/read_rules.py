"""What a view's reading of other views must satisfy on its own. [pure]

Not for whether what it names is there and approved: registering it asks the registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.reading.findings import error_of, repeated, too_many
from registry.reading.names import name_problems
from registry.spec.references import parse_reference
from registry.spec.row_sql import check_row_sql
from registry.spec.view_reads import use_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reading.findings import Found
    from registry.spec.model import FeatureViewSpec
    from registry.spec.view_reads import ViewRead

#: Views that one view reads, and features of each.
MAX_READS, MAX_READ_FEATURES = 20, 100


def read_problems(spec: FeatureViewSpec) -> Iterator[Found]:
    """Yield what is wrong with what a view reads of other views."""
    if not spec.views:
        return
    if excess := too_many(("views",), "views", spec.views, MAX_READS):
        yield excess
        return
    if spec.sql is None:
        message = (
            "features of other views stand beside each row for `sql` to name, and the view has"
            " none; write `sql`, as in SELECT …, profile.segment FROM purchases."
        )
        yield ("views",), message
        return
    problems = [each for index, read in enumerate(spec.views) for each in _of_read(index, read)]
    yield from problems
    if problems or error_of(lambda sql: check_row_sql(sql, source=spec.source), spec.sql):
        return
    named = {_called(read): [_feature(text) for text in read.features] for read in spec.views}
    names = [_called(read).lower() for read in spec.views]
    yield from repeated(("views",), names)
    if len(set(names)) == len(names):
        for message in use_problems(spec.sql, spec.source, named):
            yield ("sql",), message


def _of_read(index: int, read: ViewRead) -> Iterator[Found]:
    path = ("views", index, "features")
    if read.name is not None:
        yield from name_problems(("views", index, "name"), read.name)
    if not read.features:
        yield path, "name at least one feature, as in [profile:segment]."
    if excess := too_many(path, "features", read.features, MAX_READ_FEATURES):
        yield excess
        return
    versions = set()
    for place, text in enumerate(read.features):
        if error := error_of(parse_reference, text):
            yield (*path, place), error
            continue
        reference = parse_reference(text)
        versions.add((reference.view, reference.pin))
        if reference.feature == "*":
            yield (
                (*path, place),
                f"{text!r}: name each feature that is read.",
            )
        elif len(versions) > 1:
            yield (*path, place), f"{text!r}: one entry reads one version of one view; add another."
            return
    yield from repeated(path, read.features)


def _called(read: ViewRead) -> str:
    return read.name or parse_reference(read.features[0]).view


def _feature(text: str) -> str:
    return parse_reference(text).feature
