"""Check a definition against the files it names, before it is accepted.

Not for turning problems into answers: the registry's operations map their paths to lines.
"""

from __future__ import annotations

import hashlib
from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from math import inf
from typing import TYPE_CHECKING, Any

import msgspec

from lib.decoding import converter
from lib.errors import Invalid
from lib.instants import from_us
from materialization.errors import (
    PythonChanged,
    PythonFailed,
    PythonRefused,
    RowSqlFailed,
    RowSqlRefused,
    UnknownColumn,
    from_report,
)
from materialization.finding.kinds import against, find_rows
from materialization.sources.inputs import beside_of, own_of
from registry.spec.python_code import PythonCode  # noqa: TC001 - msgspec reads the annotations
from registry.spec.sources.base import SourceSchema

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from lib.errors import AssayError
    from materialization.compute.engine import Engine
    from materialization.compute.reports import Report
    from materialization.finding.fetching import Fetched
    from materialization.finding.schemas import Against
    from materialization.sources.inputs import OneSource, SourceInput
    from materialization.sources.where import Where
    from registry.spec.sources.kinds import Source
    from registry.spec.version_spec import VersionSpec

Path = tuple[str | int, ...]
#: What is wrong with what a view makes of its source.
_OF_TRANSFORM = (
    RowSqlRefused, RowSqlFailed, UnknownColumn, PythonRefused, PythonChanged, PythonFailed,
)  # fmt: skip


class Look(msgspec.Struct, frozen=True):
    """What the source holds now, seen as the version would read it.

    Paths of ``problems`` lead into the view (``("features", 0, "column")``) or, with ``"source"``
    first, into its data source. ``examples`` has, by message, the value of the source that it is
    about. ``rows`` and event times are None when the files cannot be read.
    """

    problems: list[tuple[Path, str]] = []
    examples: dict[str, str] = {}
    warnings: list[str] = []
    rows: int | None = None
    first_event: datetime | None = None
    last_event: datetime | None = None
    columns: dict[str, str] = {}
    schema: SourceSchema | None = None
    #: What is installed of what a Python transform calls.
    code: PythonCode | None = None
    #: Which state each file was in, by its name as it is told: see ``files_in``.
    files: dict[str, str] = {}
    #: As ``schema``, of the sources that are joined, in order.
    joined: tuple[SourceSchema, ...] = ()


class _Found(msgspec.Struct):
    problems: list[tuple[Path, str]]
    examples: dict[str, str]
    warnings: list[str]
    rows: int | None
    first_event: int | None
    last_event: int | None
    columns: dict[str, str]
    schema: SourceSchema | None
    code: PythonCode | None = None
    joined: tuple[SourceSchema, ...] = ()


_read_found = converter(_Found)


def look(
    specs: Sequence[VersionSpec],
    *,
    where: Where,
    engine: Engine,
    unseen: Collection[int] = (),
    at: datetime | None = None,
    until: float = inf,
) -> list[Look]:
    """Look at the files that versions of one source would read; refusals of input are problems.

    A schema that a version has taken already is left aside: what the files hold now is seen. Of
    those at the places ``unseen`` the columns are, and no row. What lies after ``at`` is told. The
    engine has its own limit; whoever else is asked is asked ``until`` then by the monotonic clock.

    :raises EngineLimitExceeded, EngineStopped: as ``Engine.look``.
    """
    try:
        found = find_rows(specs[0], where)
        bare = [spec.untaken for spec in specs]
        seen = engine.look(bare, found, unseen=unseen, at=at)
    except Invalid as exc:
        ended = _ended(exc, place=place_key(specs[0].rows_from))
        return [told_by(ended, where.told)] * len(specs)
    files = files_in(found, where, specs[0])
    looks = [
        _with_against(told_by(each, where.told), said)
        for each, said in zip(seen, against(specs, where, until=until), strict=True)
    ]
    return [msgspec.structs.replace(each, files=files) for each in looks]


def with_fetched(
    looks: Sequence[Look], fetched: Fetched | None, in_part: Sequence[str] = ()
) -> list[Look]:
    """Return reports with what those say who fetched the rows; None: they lay in files.

    Of a part of the rows nobody can say how many there are, nor when they begin and end. Of joined
    sources that are ``in_part`` rows may lack that are there.
    """
    more = [
        f"only some of the rows of {name} were looked at: rows that have none beside them may have"
        " one."
        for name in in_part
    ]
    if fetched is None:
        return [_with_warnings(each, more) for each in looks]
    more += fetched.notes
    if fetched.is_part:
        more.append("only some of the rows were looked at; the first run reads all of them.")
    with_notes = [_with_warnings(each, more) for each in looks]
    if not fetched.is_part:
        return with_notes
    nothing = {"rows": None, "first_event": None, "last_event": None}
    return [msgspec.structs.replace(each, **nothing) for each in with_notes]


def _with_against(seen: Look, against: Against) -> Look:
    problems = [*seen.problems, *against.problems]
    return msgspec.structs.replace(_with_warnings(seen, against.warnings), problems=problems)


def _with_warnings(seen: Look, more: Sequence[str]) -> Look:
    return msgspec.structs.replace(seen, warnings=[*seen.warnings, *more])


def place_key(source: Source) -> str:
    """Return the key of a source by which it says where its rows are."""
    return "connection" if source.link else "path"


def files_in(found: SourceInput, where: Where, spec: VersionSpec) -> dict[str, str]:
    """Return which state each file of a version's sources is in now.

    Another one was swapped or written to. Files of sources that are joined are told with the name
    of theirs. A file that goes while it is looked at is left out: it is none of what was seen.
    """
    files = _files_of(own_of(found), where)
    for side, beside in zip(spec.view.sources, beside_of(found), strict=True):
        files |= {f"{side.name}: {k}": state for k, state in _files_of(beside, where).items()}
    return files


def _files_of(found: OneSource, where: Where) -> dict[str, str]:
    try:
        parts = found.parts()
    except OSError:
        return {}
    return {where.told(part.name): _short(part.identity) for part in parts}


def _short(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def told_by(seen: Look, told: Callable[[str], str]) -> Look:
    """Return the report as it is told, which is not where files lie here."""
    problems = [(path, told(message)) for path, message in seen.problems]
    examples = {told(key): told(value) for key, value in seen.examples.items()}
    warnings = list(map(told, seen.warnings))
    return msgspec.structs.replace(seen, problems=problems, examples=examples, warnings=warnings)


def looks_of(report: Report) -> list[Look]:
    """Return what a child found for each version, with its instants as such."""
    return [_look_of(said) for said in report.looks or ()]


def _look_of(said: dict[str, Any]) -> Look:
    if "error" in said:
        return _ended(from_report(said["error"]), said.get("transform"))
    found = _read_found(said)
    return Look(
        problems=found.problems,
        examples=found.examples,
        warnings=found.warnings,
        rows=found.rows,
        first_event=from_us(found.first_event) if found.first_event is not None else None,
        last_event=from_us(found.last_event) if found.last_event is not None else None,
        columns=found.columns,
        schema=found.schema,
        code=found.code,
        joined=found.joined,
    )


def _ended(error: AssayError, transform: str | None = None, place: str = "path") -> Look:
    """Return the report of a look that an error ended.

    ``transform`` is the key of the view's, ``place`` the one by which its source says where it is.
    """
    examples = {error.message: error.example} if error.example else {}
    return Look(problems=[(_path(error, transform, place), error.message)], examples=examples)


def _path(error: AssayError, transform: str | None, place: str) -> Path:
    """Errors that end the whole look come from what the view computes or from the files."""
    if (path := error.data.get("in_definition")) is not None:
        return tuple(path)
    is_of_view = isinstance(error, _OF_TRANSFORM)
    return (transform or "sql",) if is_of_view else ("source", place)
