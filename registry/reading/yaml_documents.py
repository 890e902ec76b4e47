"""YAML 1.2 core-schema documents with the line of every key. [pure]

Not for what the keys mean: ``parsing`` knows. Duplicate keys and aliases are errors, because both
hide what a reviewer reads; YAML 1.1's ``yes``, ``010`` and sexagesimals are plain strings here.
Source: YAML 1.2.2, section 10.3.2 (tag resolution of the core schema).
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import yaml

from lib.errors import Invalid

Path = tuple[str | int, ...]
_INTEGERS = (
    (re.compile(r"[-+]?[0-9]+"), 10),
    (re.compile(r"0o[0-7]+"), 8),
    (re.compile(r"0x[0-9a-fA-F]+"), 16),
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
#: Far beyond any definition; keeps a hostile file from costing more than it should.
MAX_DEPTH = 40
#: An integer of any length would be quadratic to read or to write; a longer one stays a text.
MAX_INTEGER_LENGTH = 20
#: libyaml's parser where PyYAML has it: fifteen times as fast, in other words about mistakes.
_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class BadYaml(Invalid):
    code = "malformed_yaml"

    def __init__(self, message: str, line: int, key: str = "", value: str = "") -> None:
        super().__init__(message)
        self.line, self.key, self.value = line, key, value


class Document(NamedTuple):
    """One YAML document; ``lines`` (from 1) by path, ``plain``: the scalars without quotes."""

    value: Any
    lines: dict[Path, int]
    plain: set[Path]


def load_documents(text: str) -> list[Document]:
    """Return the documents of ``text``, empty ones left out.

    :raises BadYaml: with the line, for malformed YAML, duplicate keys, aliases and unknown tags.
    """
    try:
        _check_events(text)
        nodes = list(yaml.compose_all(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        # A mistake noticed at the very end of the text is reported on the line after its last.
        line = min(mark.line + 1, max(len(text.splitlines()), 1)) if mark else 1
        raise BadYaml(f"malformed YAML: {_reason(exc, text)}.", line) from exc
    except yaml.YAMLError as exc:
        raise BadYaml(f"malformed YAML: {str(exc).splitlines()[0]}.", 1) from exc
    documents = (_document(node) for node in nodes if node is not None)
    return [document for document in documents if document.value is not None]


def reads_as_text(plain: str) -> bool:
    """Return whether text without quotes is read as itself, and not as a number or a word."""
    return bool(_plain(plain) == plain)


def _reason(error: yaml.MarkedYAMLError, text: str) -> str:
    """Return what is wrong, in words about the text rather than about the parser."""
    reason = str(error.problem or error.context)
    mark, lines = error.problem_mark, text.splitlines()
    line = lines[mark.line][: mark.column + 1] if mark and mark.line < len(lines) else ""
    if "tab character" in reason or ("cannot start" in reason and line.isspace()):
        return "a tab at the beginning of the line; indent with spaces"
    if "cannot start" in reason:
        return f"a value cannot begin with {line[-1:]!r}; put it in quotes"
    if "mapping values are not allowed" in reason:
        return "a `:` where no key can be; look at the indentation, or put the text in quotes"
    return "a quote is not closed" if "quoted scalar" in str(error.context) else reason


def _check_events(text: str) -> None:
    """Refuse what shows only before nodes are composed: aliases, and depths that cost a stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            hides = "write the value out, aliases hide what is reviewed."
            raise BadYaml(f"alias *{event.anchor}: {hides}", line)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise BadYaml(f"nested deeper than {MAX_DEPTH} levels.", line)


def _document(node: yaml.Node) -> Document:
    document = Document(None, {(): node.start_mark.line + 1}, set())
    return document._replace(value=_value(node, (), document))


def _value(node: yaml.Node, path: Path, document: Document) -> Any:
    line = node.start_mark.line + 1
    if not node.tag.startswith("tag:yaml.org,2002:") or "/" in node.tag:
        raise BadYaml(f"tag {node.tag}: definitions have no tags; write a plain value.", line)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            document.lines[(*path, index)] = item.start_mark.line + 1
        return [_value(item, (*path, index), document) for index, item in enumerate(node.value)]
    if getattr(node, "style", None):
        return node.value
    document.plain.add(path)
    return _plain(node.value)


def _mapping(node: yaml.MappingNode, path: Path, document: Document) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise BadYaml("a key must be a plain word.", line)
        key = key_node.value
        if key in result:
            raise BadYaml(f"key {key!r} stands twice; keep one.", line, key=key)
        document.lines[(*path, key)] = line
        result[key] = _value(value_node, (*path, key), document)
    return result


def _plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    for form, base in _INTEGERS:
        if form.fullmatch(text):
            return int(text, base) if len(text) <= MAX_INTEGER_LENGTH else text
    if _FLOAT.fullmatch(text):
        return float(text)
    if match := _INFINITY.fullmatch(text):
        return -math.inf if match[1] == "-" else math.inf
    return text
