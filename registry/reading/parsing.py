"""Definitions text to specs, with every problem's file, line, key and value. [pure]

Not for what needs the registry (does the source exist?) or the data (does the column?):
``operations.registration`` and the source look check that.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lib.decoding import converter
from lib.errors import Invalid, TooLarge, did_you_mean
from registry.choices import Kind
from registry.reading.mending import mended, part_of, stand_ins
from registry.reading.rules import rule_problems
from registry.reading.shape import shape_problems
from registry.reading.yaml_documents import BadYaml, Document, Path, load_documents
from registry.spec.base import Described
from registry.spec.model import EntitySpec, FeatureServiceSpec, FeatureViewSpec
from registry.spec.on_demand import OnDemandViewSpec
from registry.spec.sources.kinds import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sized
    from types import UnionType

    from registry.reading.findings import Found

STRUCTS: dict[Kind, type[Described] | UnionType] = {
    Kind.ENTITY: EntitySpec,
    Kind.DATA_SOURCE: Source,
    Kind.FEATURE_VIEW: FeatureViewSpec,
    Kind.ON_DEMAND_FEATURE_VIEW: OnDemandViewSpec,
    Kind.FEATURE_SERVICE: FeatureServiceSpec,
}
_READERS: dict[Kind, Callable[[Any], Any]] = {
    kind: converter(struct) for kind, struct in STRUCTS.items()
}
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
MAX_BYTES = 2_000_000
#: Mistakes that are looked for; a text of nothing else would take as long as it pleases.
MAX_PROBLEMS = 1000


class Problem(NamedTuple):
    """One thing wrong in a definition, where it is and what would be right.

    ``example``: the value of the data it is about, only in what is told to those who may read it.
    """

    file: str
    line: int
    key: str
    value: str
    message: str
    example: str = ""

    def to_json(self) -> dict[str, Any]:
        said = self._asdict()
        return said if self.example else {key: said[key] for key in said if key != "example"}


class InvalidDefinitions(Invalid):
    """Everything found wrong in one request; nothing of it was stored."""

    code = "invalid_definition"

    def __init__(self, problems: list[Problem]) -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(
            f"{first.file}:{first.line}: {first.key}: {first.message}{more}",
            errors=[problem.to_json() for problem in problems],
        )
        self.problems = problems


class TooManyDefinitions(TooLarge):
    code = "too_many_definitions"


class Definition(NamedTuple):
    """One parsed document and where it came from."""

    kind: Kind
    spec: Described
    file: str
    document: Document

    def problem(self, path: Path, message: str, example: str = "") -> Problem:
        return _problem(self.file, self.document, path, message)._replace(example=example)


def parse_files(files: list[tuple[str, str]], *, most: int | None = None) -> list[Definition]:
    """Read ``(name, text)`` pairs of YAML into definitions, in the order in which they apply.

    :raises TooManyDefinitions: more than ``most``; they are counted before one is looked at.
    :raises InvalidDefinitions: listing the problems of all files, ``MAX_PROBLEMS`` of them.
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
    _check_count(documents, most)
    return _definitions(documents, problems, name=files[0][0] if files else "definitions")


def parse_objects(objects: list[Any], *, most: int | None = None) -> list[Definition]:
    """Read already decoded objects (JSON); lines are the object's number, from 1.

    :raises TooManyDefinitions, InvalidDefinitions: as ``parse_files``.
    """
    _check_count(objects, most)
    return _definitions(
        [("definitions", Document(o, {(): n}, set())) for n, o in enumerate(objects, 1)], []
    )


def _check_count(given: Sized, most: int | None) -> None:
    if most is not None and len(given) > most:
        # Registering holds the project, and a small database all of it, for as long as it takes.
        raise TooManyDefinitions(
            f"{len(given)} definitions; one request has at most {most} (DEFINITIONS_MAX_OBJECTS)."
            " Send them in parts, entities and sources first.",
            limit=most,
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
        if len(problems) >= MAX_PROBLEMS:
            break
    problems += _duplicates(definitions)
    if not documents and not problems:
        problems.append(Problem(name, 1, "", "", "there is no definition in what was sent."))
    if problems:
        raise InvalidDefinitions(_first(problems))
    return sorted(definitions, key=lambda definition: list(Kind).index(definition.kind))


def _first(problems: list[Problem]) -> list[Problem]:
    """Return the problems that are told, after many that these may not be all."""
    if len(problems) < MAX_PROBLEMS:
        return problems
    file, line = problems[MAX_PROBLEMS - 1][:2]
    more = f"after {MAX_PROBLEMS} mistakes there may be more; mend those first."
    return [*problems[:MAX_PROBLEMS], Problem(file, line, "", "", more)]


def _definition(file: str, document: Document) -> Definition | list[Problem]:
    """Return the document's definition, or each of its problems in the order of their lines."""
    value = document.value
    if not isinstance(value, dict):
        return [_problem(file, document, (), "a definition is a mapping that begins with `kind:`.")]
    given = value.get("kind")
    if given not in list(Kind):
        unlike = "`kind` is missing." if given is None else f"unknown kind {given!r}."
        hint = did_you_mean(str(given), Kind) if given else f" Valid: {', '.join(Kind)}."
        return [_problem(file, document, ("kind",), unlike + hint)]
    kind = Kind(given)
    body = _normalised({key: item for key, item in value.items() if key != "kind"})
    found = _form_problems(document, kind, body)
    if len(found) >= MAX_PROBLEMS:  # not all are known, so the rules would judge what is wrong
        return [_problem(file, document, *each) for each in found.items()]
    missing = {(key, None) for key in stand_ins(kind, body) if key not in body}
    wrong = missing | {part_of(path) for path in found}
    spec = _READERS[kind](mended(kind, body, wrong))
    rules = [
        each for each in rule_problems(spec) if not wrong & {part_of(each[0]), part_of(each[0][:1])}
    ]
    problems = [_problem(file, document, *each) for each in (*found.items(), *rules)]
    if problems:
        return sorted(problems, key=lambda problem: problem.line)
    return Definition(kind, spec, file, document)


def _form_problems(document: Document, kind: Kind, body: dict[str, Any]) -> dict[Path, str]:
    """Return what keeps the document from being read, by path; the rules are another matter."""
    found: dict[Path, str] = {}
    try:
        _READERS[kind](body)
    except msgspec.ValidationError:
        found |= islice(shape_problems(STRUCTS[kind], body, ()), MAX_PROBLEMS)
    for path in islice(_unstorable(body, ()), MAX_PROBLEMS):
        found[path] = "it holds a character that text cannot be stored with; write the words alone."
    return found | dict(_unquoted_versions(document))


def _normalised(body: dict[str, Any]) -> dict[str, Any]:
    """Give short forms their long one: a time column may be its name alone, an instant its day,
    a function its name, the columns that are equal on both sides one name.

    An instant without a zone is UTC, so that the same one is always written the same way.
    """
    for key in ("event_timestamp", "created_timestamp"):
        if isinstance(body.get(key), str):
            body[key] = {"column": body[key]}
    for key in ("sources", "views"):
        if isinstance(body.get(key), list):
            body[key] = [_join(each) for each in body[key]]
    if isinstance(body.get("python"), str):
        body["python"] = {"function": body["python"]}
    for key in ("start", "as_of"):
        if isinstance(body.get(key), str):
            with suppress(ValueError, OverflowError):
                at = datetime.fromisoformat(body[key])
                body[key] = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    return {key: value for key, value in body.items() if value is not None}


def _join(given: Any) -> Any:
    on = given.get("on") if isinstance(given, dict) else None
    if isinstance(on, list) and all(isinstance(name, str) for name in on):
        return given | {"on": {name: name for name in on}}
    return given


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


def _unquoted_versions(document: Document) -> Iterator[Found]:
    for path in (("version",), ("based_on",)):
        if path in document.plain and (value := document.value[path[0]]) is not None:
            numbers = str(value).split(".")
            padded = ".".join([*numbers, "0", "0"][:3])
            example = padded if all(map(str.isdigit, numbers)) else "1.0.0"
            yield path, f'write it in quotes, as three numbers: "{example}".'


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
