"""What a well-formed HTTP source must satisfy: what it asks, what with, and its columns. [pure]

Not for whether anybody answers: a look at the source says that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from registry.reading.schema_rules import schema_problems
from registry.spec.http_paths import leads_out
from registry.spec.paging import CursorPaging, LinkPaging, OffsetPaging, PagePaging
from registry.spec.sources.http import TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reading.findings import Found
    from registry.spec.sources.http import HttpSource

MAX_PATH, MAX_PARAMETERS, MAX_VALUE = 500, 50, 1_000
#: Of how many names a path into an answer may be made.
MAX_DEPTH = 8
#: Encoded is only what has to be: another text for the same address would be another source.
_ENCODED = r"%(?!4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a]|3[0-9]|2[de]|5f|7e)[0-9a-f]{2}"
_PATH = re.compile(rf"(?i)(?:[a-z0-9._~!$&'()*+,;=:@/-]|{_ENCODED})+", re.ASCII)
_TEMPLATE = re.compile(r"\{[a-z_]+\}")
_SECRETS = re.compile(
    r"(?i)(.*[_-])?(secret|passw(or)?d|api[_-]?key|access[_-]?key|token|auth(orization)?|signature)"
)
#: Words that say a place among pages, and no secret.
_CURSORS = re.compile(r"(?i)(.*[_-])?(page|next|continuation|cursor|sync)[_-]?token")


def http_problems(spec: HttpSource) -> Iterator[Found]:
    yield from _path_rules(spec.path)
    yield from schema_problems(spec)
    yield from _parameter_rules(spec)
    yield from _place_rules(("rows",), spec.rows, needed=False)
    yield from _paging_rules(spec)


def _path_rules(path: str) -> Iterator[Found]:
    if len(path) > MAX_PATH:
        yield ("path",), f"{len(path)} characters; a path has at most {MAX_PATH}."
    elif leads_out(path) or "//" in path or path.startswith("/"):
        yield ("path",), f"{path!r} leaves where the connection leads; write it relative to that."
    elif not _PATH.fullmatch(path):
        yield (
            ("path",),
            f"{path!r} is no path; write it as in orders or sales/orders, relative to where the"
            " connection leads, with % before what has to be encoded only (%20, not %41), and what"
            " follows a ? as `parameters`.",
        )


def _parameter_rules(spec: HttpSource) -> Iterator[Found]:
    if len(spec.parameters) > MAX_PARAMETERS:
        message = f"{len(spec.parameters)} parameters; there are at most {MAX_PARAMETERS}."
        yield ("parameters",), message
    for name, value in spec.parameters.items():
        said = str(value)
        if not name or not (name + said).isprintable() or len(name + said) > MAX_VALUE:
            message = f"{name[:100]!r}: names and values are text of at most {MAX_VALUE} characters"
            yield ("parameters",), f"{message}."
        if _SECRETS.fullmatch(name) and not _CURSORS.fullmatch(name):
            # The value may be one, and is not said again.
            yield (
                ("parameters", name),
                "this is called as a secret is; none stands in a definition. Whoever runs the"
                " server writes it into the connection.",
            )
        for template in _TEMPLATE.findall(said):
            if template not in TEMPLATES:
                message = f"{template!r} stands for nothing; {' and '.join(TEMPLATES)} do."
                yield ("parameters", name), message
    if spec.asks_by == "created_timestamp":
        yield from _arrival_rules(spec)


def _arrival_rules(spec: HttpSource) -> Iterator[Found]:
    if spec.created_timestamp is None:
        yield ("asks_by",), "the source has no created_timestamp to ask by."
    if any("{until}" in str(value) for value in spec.parameters.values()):
        message = "{until} bounds event times; leave it out where a run asks by when rows came."
        yield ("parameters",), message


def _paging_rules(spec: HttpSource) -> Iterator[Found]:
    paging = spec.paging
    if isinstance(paging, CursorPaging | LinkPaging):
        is_cursor = isinstance(paging, CursorPaging)
        yield from _place_rules(("paging", "next"), paging.next, needed=is_cursor)
        if paging.next and not spec.rows:
            message = "where an answer is the array of rows itself it has no field beside them."
            yield ("paging", "next"), message
    if isinstance(paging, CursorPaging | OffsetPaging | PagePaging):
        if not paging.parameter or not paging.parameter.isprintable():
            yield ("paging", "parameter"), "name the parameter that says which page it is."
        if paging.parameter in spec.parameters:
            message = f"{paging.parameter[:100]!r} is one of the parameters already; say it once."
            yield ("paging", "parameter"), message
    if isinstance(paging, PagePaging) and paging.first not in (0, 1):
        yield ("paging", "first"), f"{paging.first} is no first page; 0 and 1 are."


def _place_rules(at: tuple[str, ...], place: str, *, needed: bool) -> Iterator[Found]:
    names = place.split(".") if place else []
    if not names and needed:
        yield at, "name the field that has it, as in meta.next."
    if len(names) > MAX_DEPTH or len(place) > MAX_VALUE or "" in names or not place.isprintable():
        message = f"{place[:100]!r} is no place in an answer; write names with dots between them"
        yield at, f"{message}, as in data.orders, at most {MAX_DEPTH}."
