"""Definitions text to specs, with every problem's file, line, key and value. [pure]

Not for what needs the registry (does the source exist?) or the data (does the column?):
``operations.definitions`` and the source probe check that.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from registry.choices import Kind
from registry.errors import Invalid, did_you_mean
from registry.spec import Described, EntitySpec, FeatureServiceSpec, FeatureViewSpec, SourceSpec
from registry.spec_rules import rule_problems
from registry.spec_shape import fields_of, struct_of, valid_words
from registry.yaml_documents import BadYaml, Document, Path, load_documents

if TYPE_CHECKING:
    from collections.abc import Iterator

STRUCTS: dict[Kind, type[Described]] = {
    Kind.ENTITY: EntitySpec,
    Kind.DATA_SOURCE: SourceSpec,
    Kind.FEATURE_VIEW: FeatureViewSpec,
    Kind.FEATURE_SERVICE: FeatureServiceSpec,
}
_AT = re.compile(r" - at `\$(.*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_MISSING = re.compile(r"missing required field `(\w+)`")
MAX_BYTES = 2_000_000


class Problem(NamedTuple):
    """One thing wrong in a definition, where it is and what would be right."""

    file: str
    line: int
    key: str
    value: str
    message: str


class InvalidDefinitions(Invalid):
    """Everything found wrong in one request; nothing of it was stored."""

    code = "invalid_definition"

    def __init__(self, problems: list[Problem]) -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(
            f"{first.file}:{first.line}: {first.key}: {first.message}{more}",
            errors=[problem._asdict() for problem in problems],
        )
        self.problems = problems


class Definition(NamedTuple):
    """One parsed document and where it came from."""

    kind: Kind
    spec: Described
    file: str
    document: Document

    def problem(self, path: Path, message: str) -> Problem:
        return _problem(self.file, self.document, path, message)


def parse_files(files: list[tuple[str, str]]) -> list[Definition]:
    """Read ``(name, text)`` pairs of YAML into definitions, in the order in which they apply.

    :raises InvalidDefinitions: listing every problem of every file.
    """
    documents: list[tuple[str, Document]] = []
    problems: list[Problem] = []
    for file, text in files:
        try:
            if len(text.encode()) > MAX_BYTES:
                raise BadYaml(f"a definitions file has at most {MAX_BYTES} bytes.", 1)
            documents += [(file, document) for document in load_documents(text)]
        except BadYaml as exc:
            problems.append(Problem(file, exc.line, exc.key, exc.value, exc.message))
    return _definitions(documents, problems, name=files[0][0] if files else "definitions")


def parse_objects(objects: list[Any]) -> list[Definition]:
    """Read already decoded objects (JSON); lines are the object's number, from 1."""
    return _definitions(
        [("definitions", Document(o, {(): n}, set())) for n, o in enumerate(objects, 1)], []
    )


def _definitions(
    documents: list[tuple[str, Document]], problems: list[Problem], *, name: str = "definitions"
) -> list[Definition]:
    definitions: list[Definition] = []
    for file, document in documents:
        found = _definition(file, document)
        if isinstance(found, Definition):
            definitions.append(found)
        else:
            problems += found
    problems += _duplicates(definitions)
    if not documents and not problems:
        problems.append(Problem(name, 1, "", "", "there is no definition in what was sent."))
    if problems:
        raise InvalidDefinitions(problems)
    return sorted(definitions, key=lambda definition: list(Kind).index(definition.kind))


def _definition(file: str, document: Document) -> Definition | list[Problem]:
    value = document.value
    if not isinstance(value, dict):
        return [_problem(file, document, (), "a definition is a mapping that begins with `kind:`.")]
    given = value.get("kind")
    if given not in list(Kind):
        hint = did_you_mean(str(given), Kind) if given else f" Valid: {', '.join(Kind)}."
        return [_problem(file, document, ("kind",), f"unknown kind {given!r}.{hint}")]
    if unstorable := list(_unstorable(value, ())):
        message = "it holds a character that text cannot be stored with; write the words alone."
        return [_problem(file, document, path, message) for path in unstorable]
    kind = Kind(value["kind"])
    body = _normalised({key: item for key, item in value.items() if key != "kind"})
    problems = [
        *_unknown_keys(file, document, STRUCTS[kind], body, ()),
        *_unquoted_versions(file, document),
    ]
    if problems:
        return problems
    return _converted(file, document, kind, body)


def _converted(
    file: str, document: Document, kind: Kind, body: dict[str, Any]
) -> Definition | list[Problem]:
    try:
        spec = msgspec.convert(body, STRUCTS[kind], strict=True)
    except msgspec.ValidationError as exc:
        message = str(exc)
        path = _path_of(message, body)
        text = _AT.sub("", message).replace("Object missing", "missing")
        if missing := _MISSING.search(text):
            path = (*path, missing[1])
        words = valid_words(STRUCTS[kind], path)
        valid = f" Valid: {', '.join(words)}." if words else ""
        return [_problem(file, document, path, f"{text[0].lower()}{text[1:]}.{valid}")]
    definition = Definition(kind, spec, file, document)
    broken = [definition.problem(path, message) for path, message in rule_problems(spec)]
    return broken or definition


def _normalised(body: dict[str, Any]) -> dict[str, Any]:
    """Give short forms their long one: a time column may be its name alone, a start its day.

    A start without a zone is UTC, so that the same instant is always written the same way.
    """
    for key in ("event_timestamp", "created_timestamp"):
        if isinstance(body.get(key), str):
            body[key] = {"column": body[key]}
    if isinstance(body.get("start"), str):
        with suppress(ValueError, OverflowError):
            start = datetime.fromisoformat(body["start"])
            body["start"] = (start if start.tzinfo else start.replace(tzinfo=UTC)).astimezone(UTC)
    return {key: value for key, value in body.items() if value is not None}


def _unstorable(value: Any, path: Path) -> Iterator[Path]:
    """Find texts no database takes: with a NUL, or half of a surrogate pair."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _unstorable(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unstorable(item, (*path, index))
    elif isinstance(value, str) and _UNSTORABLE.search(value):
        yield path


def _unknown_keys(
    file: str, document: Document, struct: Any, value: Any, path: Path
) -> list[Problem]:
    """Return a problem for each key no struct along the way has, naming the nearest known one."""
    struct, many = struct_of(struct)
    if struct is None:
        return []
    if many:
        items = value if isinstance(value, list) else []
        found = (
            _unknown_keys(file, document, struct, item, (*path, i)) for i, item in enumerate(items)
        )
        return list(chain.from_iterable(found))
    if not isinstance(value, dict):
        return []
    fields = fields_of(struct)
    problems = []
    for key, item in value.items():
        if key not in fields:
            message = f"unknown key {key!r}.{did_you_mean(key, fields)}"
            problems.append(_problem(file, document, (*path, key), message))
        else:
            problems += _unknown_keys(file, document, fields[key], item, (*path, key))
    return problems


def _unquoted_versions(file: str, document: Document) -> list[Problem]:
    paths = (("version",), ("based_on",))
    return [
        _problem(file, document, path, f'write the version in quotes: "{document.value[path[0]]}".')
        for path in paths
        if path in document.plain and document.value[path[0]] is not None
    ]


def _path_of(message: str, body: dict[str, Any]) -> Path:
    """Return the path a message of msgspec names, which leaves out the keys of mappings."""
    match = _AT.search(message)
    steps = list(_STEP.finditer(match[1])) if match else []
    path = tuple(step[1] or int(step[2]) for step in steps if step[1] or step[2])
    if len(path) == len(steps):
        return path
    # The only mappings there are hold texts by name.
    tags = body.get(str(path[0]), {})
    return (*path, next((name for name, text in tags.items() if not isinstance(text, str)), ""))


def _problem(file: str, document: Document, path: Path, message: str) -> Problem:
    known = path
    while known not in document.lines:
        known = known[:-1]
    value: Any = document.value
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            value = ""
            break
    shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    shown = _UNSTORABLE.sub("\ufffd", shown[:200]) if path else ""
    return Problem(file, document.lines[known], dotted(path), shown, message)


def dotted(path: Path) -> str:
    """Write a path as ``features[0].type``."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).lstrip(".")


def _duplicates(definitions: list[Definition]) -> list[Problem]:
    first: dict[tuple[Kind, str], Definition] = {}
    problems = []
    for definition in definitions:
        earlier = first.setdefault((definition.kind, definition.spec.name), definition)
        if earlier is not definition:
            what = f"{definition.kind} {definition.spec.name!r}"
            where = f"{earlier.file}:{earlier.document.lines[()]}"
            message = f"{what} is already defined at {where}."
            problems.append(definition.problem(("name",), message))
    return problems
