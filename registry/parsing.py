"""Definitions text to specs, with every problem's file, line, key and value. [pure]

Not for what needs the registry (does the source exist?) or the data (does the column?):
``operations.definitions`` and the source probe check that.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from registry.choices import Kind
from registry.errors import Invalid, did_you_mean
from registry.spec import Described, EntitySpec, FeatureServiceSpec, FeatureViewSpec, SourceSpec
from registry.spec_rules import rule_problems
from registry.yaml_documents import BadYaml, Document, Path, load_documents

STRUCTS: dict[Kind, type[Described]] = {
    Kind.ENTITY: EntitySpec,
    Kind.DATA_SOURCE: SourceSpec,
    Kind.FEATURE_VIEW: FeatureViewSpec,
    Kind.FEATURE_SERVICE: FeatureServiceSpec,
}
_AT = re.compile(r" - at `\$(.*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")
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
        problems.append(
            Problem(name, 1, "", "", "there is no definition in what was sent.")
        )
    if problems:
        raise InvalidDefinitions(problems)
    return sorted(definitions, key=lambda definition: list(Kind).index(definition.kind))


def _definition(file: str, document: Document) -> Definition | list[Problem]:
    value = document.value
    if not isinstance(value, dict):
        return [_problem(file, document, (), "a definition is a mapping that begins with `kind:`.")]
    if value.get("kind") not in list(Kind):
        given = value.get("kind")
        hint = did_you_mean(str(given), Kind) if given else f" Valid: {', '.join(Kind)}."
        return [_problem(file, document, ("kind",), f"unknown kind {given!r}.{hint}")]
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
        path = _path_of(message)
        text = _AT.sub("", message).replace("Object missing", "missing")
        if missing := _MISSING.search(text):
            path = (*path, missing[1])
        return [_problem(file, document, path, f"{text[0].lower()}{text[1:]}.")]
    definition = Definition(kind, spec, file, document)
    return [
        definition.problem(path, message) for path, message in rule_problems(spec)
    ] or definition


def _normalised(body: dict[str, Any]) -> dict[str, Any]:
    """Give the short forms their long one: a time column may be written as its name alone."""
    for key in ("event_timestamp", "created_timestamp"):
        if isinstance(body.get(key), str):
            body[key] = {"column": body[key]}
    return {key: value for key, value in body.items() if value is not None}


def _unknown_keys(
    file: str, document: Document, struct: Any, value: Any, path: Path
) -> list[Problem]:
    """Return a problem for each key no struct along the way has, naming the nearest known one."""
    struct, many = _struct_of(struct)
    if struct is None:
        return []
    if many:
        items = value if isinstance(value, list) else []
        return [
            p
            for i, item in enumerate(items)
            for p in _unknown_keys(file, document, struct, item, (*path, i))
        ]
    if not isinstance(value, dict):
        return []
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    problems = []
    for key, item in value.items():
        if key not in fields:
            problems.append(
                _problem(
                    file, document, (*path, key), f"unknown key {key!r}.{did_you_mean(key, fields)}"
                )
            )
        else:
            problems += _unknown_keys(file, document, fields[key], item, (*path, key))
    return problems


def _struct_of(annotation: Any) -> tuple[Any, bool]:
    """Return the struct inside ``X``, ``X | None`` or ``tuple[X, ...]`` and whether there are many."""
    arguments = getattr(annotation, "__args__", ())
    for candidate in (annotation, *arguments):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate, getattr(annotation, "__origin__", None) is tuple
    return None, False


def _unquoted_versions(file: str, document: Document) -> list[Problem]:
    paths = (("version",), ("based_on",))
    return [
        _problem(file, document, path, f'write the version in quotes: "{document.value[path[0]]}".')
        for path in paths
        if path in document.plain and document.value[path[0]] is not None
    ]


def _path_of(message: str) -> Path:
    match = _AT.search(message)
    steps = _STEP.finditer(match[1]) if match else ()
    return tuple(step[1] or int(step[2] or 0) for step in steps)


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
    return Problem(file, document.lines[known], dotted(path), shown[:200] if path else "", message)


def dotted(path: Path) -> str:
    """Write a path as ``features[0].type``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(
        "."
    )


def _duplicates(definitions: list[Definition]) -> list[Problem]:
    first: dict[tuple[Kind, str], Definition] = {}
    problems = []
    for definition in definitions:
        earlier = first.setdefault((definition.kind, definition.spec.name), definition)
        if earlier is not definition:
            where = f"{earlier.file}:{earlier.document.lines[()]}"
            problems.append(
                definition.problem(
                    ("name",),
                    f"{definition.kind} {definition.spec.name!r} is already defined at {where}.",
                )
            )
    return problems
