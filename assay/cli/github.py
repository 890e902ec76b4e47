"""A plan as the comment of a pull request, and as annotations of its lines.
Not for what a plan means (``plans``), nor for posting it: a workflow does.

Everything that comes from definitions is written so that it is text and nothing else: no markup, no
link, no mention of anybody.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from assay import plans
from assay.progress import printable
from assay.shapes import JSON

#: What GitHub takes as a comment, in characters; bytes are never fewer.
MOST_BYTES = 65_536
#: For the line that says what was left out.
_RESERVED = 400
#: Lines around a change that are shown with it.
_AROUND = 3
_LONGEST = 400
#: Annotations of one kind that GitHub shows of a step.
MOST_ANNOTATIONS = 10
_PLAIN = re.compile(r"[A-Za-z0-9 ]")


def marker(project: str) -> str:
    """Return the first line of a comment, by which the next run finds it to write it anew."""
    return f"<!-- assay plan of {re.sub('[^a-z0-9_]', '', project)} -->"


def plan_comment(plan: JSON) -> str:
    """Write a plan as Markdown of at most ``MOST_BYTES``; what does not fit is counted."""
    page = _Page(f"{marker(plan['project'])}\n## Assay plan for {code(plan['project'])}\n")
    found = plans.summary(plan)
    page.add(f"\n{_in_short(found)}\n", "headings")
    changed = [change for change in plan["changes"] if change["change"] != "unchanged"]
    page.listed("\n### Breaks\n\n", "breaks", _broken(plan["changes"]))
    head = "\n| object | change | class | version | why |\n|---|---|---|---|---|\n"
    page.listed(head, "objects", map(_row, changed))
    page.listed("\n### Warnings\n\n", "warnings", _warnings(plan["changes"]))
    page.listed("\n### Readers\n\n", "readers", _readers(changed))
    page.listed("\n### Differences\n", "differences", _differences(changed))
    if unlooked := plan.get("not_looked_at"):
        said = f"{unlooked} objects are registered as sent: their data were not looked at."
        page.add(f"\n{said}\n", "notes")
    return page.text()


def problems_comment(project: str, errors: Sequence[Mapping[str, Any]]) -> str:
    """Write what is wrong with definitions as Markdown of at most ``MOST_BYTES``."""
    page = _Page(f"{marker(project)}\n## Assay plan for {code(project)}\n")
    noun = "problem" if len(errors) == 1 else "problems"
    head = f"\n**Refused: {len(errors)} {noun}.** Nothing of it can be registered.\n\n"
    page.listed(head, "problems", map(_problem, errors))
    return page.text()


def plan_annotations(plan: JSON) -> Iterator[str]:
    """Yield workflow commands that show breaks and warnings at the lines of their definitions."""
    shown: Counter[str] = Counter()
    for change in plan["changes"]:
        told = [("error", f"breaks {each}") for each in plans.breaks(change)]
        told += [("warning", each) for each in plans.warnings(change)]
        for level, message in told:
            shown[level] += 1
            if change.get("file") and shown[level] <= MOST_ANNOTATIONS:
                yield _command(level, change, f"{plans.named(change)}: {message}")


def problem_annotations(errors: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for found in list(errors)[:MOST_ANNOTATIONS]:
        key = f"{found['key']}: " if found.get("key") else ""
        yield _command("error", found, f"{key}{found.get('message', '')}")


def code(text: str) -> str:
    """Write text from elsewhere within a line: every sign by its number, so that none means more.

    Within ``<code>`` nobody is mentioned and nothing is linked.
    """
    said = " ".join(printable(text).split())
    cut = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"
    signs = (sign if _PLAIN.match(sign) or ord(sign) > 127 else f"&#{ord(sign)};" for sign in cut)
    return f"<code>{''.join(signs)}</code>"


class _Page:
    """Markdown that grows block by block until no more fits."""

    def __init__(self, head: str) -> None:
        self._blocks, self._left_out = [head], Counter[str]()
        self._room = MOST_BYTES - _RESERVED - len(head.encode())

    def add(self, block: str, what: str) -> bool:
        size = len(block.encode())
        if size > self._room:
            self._left_out[what] += 1
            return False
        self._blocks.append(block)
        self._room -= size
        return True

    def listed(self, head: str, what: str, blocks: Iterable[str]) -> None:
        """Add the blocks that fit, the first behind its heading."""
        for block in blocks:
            if self.add(head + block, what):
                head = ""

    def text(self) -> str:
        if self._left_out:
            counted = ", ".join(f"{number} {what}" for what, number in self._left_out.items())
            line = (
                f"\n_Left out, as a comment holds no more: {counted}. `assay plan` shows them._\n"
            )
            self._blocks.append(line)
        return "".join(self._blocks)


def _in_short(found: plans.Summary) -> str:
    if not found.changed:
        noun = "object says" if found.objects == 1 else "objects say"
        broken = f" **As they are, {found.breaking} of them break.**" if found.breaking else ""
        return f"Nothing changes: {found.objects} {noun} what is registered.{broken}"
    said = [f"**{found.changed} of {found.objects} objects change**"]
    if found.major:
        said.append(f"{found.major} of the class major")
    what = "breaks what reads it" if found.breaking == 1 else "break what reads them"
    said.append(f"**{found.breaking} {what}**" if found.breaking else "nothing breaks")
    return ", ".join(said) + "."


def _broken(changes: Iterable[JSON]) -> Iterator[str]:
    for change in changes:
        for each in plans.breaks(change):
            yield f"- {code(plans.named(change))} breaks {code(each)}\n"


def _row(change: JSON) -> str:
    why = [*(change.get("reasons") or []), *_because(change)]
    cells = [
        code(plans.named(change)),
        change["change"],
        change.get("class") or "",
        change.get("version") or "",
        "<br>".join(map(code, why)),
    ]
    return f"| {' | '.join(cells)} |\n"


def _because(change: JSON) -> Iterator[str]:
    if names := change.get("because_of"):
        yield f"follows {', '.join(names)}"


def _warnings(changes: Iterable[JSON]) -> Iterator[str]:
    for change in changes:
        for each in plans.warnings(change):
            yield f"- {code(plans.named(change))}: {code(each)}\n"


def _readers(changes: Iterable[JSON]) -> Iterator[str]:
    for change in changes:
        said = []
        if following := change.get("following"):
            said.append(f"follow its default: {code(', '.join(following))}")
        if pinned := change.get("pinned"):
            said.append(f"pinned, and go on as they are: {code(', '.join(pinned))}")
        if said:
            yield f"- {code(plans.named(change))}: {'; '.join(said)}\n"


def _differences(changes: Iterable[JSON]) -> Iterator[str]:
    for change in changes:
        found = change.get("differences") or []
        if not found:
            continue
        lines = [line for each in found for line in (f"@@ {each['path']} @@", *_folded(each))]
        shown = "\n".join(printable(line) for line in lines)
        longest = max((len(run) for run in re.findall("`+", shown)), default=0)
        fence = "`" * max(longest + 1, 3)
        name = code(plans.named(change))
        head = f"\n<details><summary>{name}: {len(found)} of its values</summary>\n\n"
        yield f"{head}{fence}diff\n{shown}\n{fence}\n\n</details>\n"


def _folded(difference: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that went and came, with a few around them."""
    lines = difference["lines"].split("\n")
    near = {
        number
        for at, line in enumerate(lines)
        if line[:1] in "+-"
        for number in range(at - _AROUND, at + _AROUND + 1)
    }
    skipped = 0
    for number, line in enumerate(lines):
        if number not in near:
            skipped += 1
            continue
        if skipped:
            yield f"@@ {skipped} lines as before @@"
        skipped = 0
        yield line


def _problem(found: Mapping[str, Any]) -> str:
    place = code(f"{found.get('file', '')}:{found.get('line', '')}")
    key = f" {code(str(found['key']))}" if found.get("key") else ""
    return f"- {place}{key}: {code(str(found.get('message', '')))}\n"


def _command(level: str, place: Mapping[str, Any], message: str) -> str:
    file = _escaped(str(place["file"])).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} file={file},line={place.get('line') or 1}::{_escaped(message)}"


def _escaped(text: str) -> str:
    """Write text so that it cannot end a workflow command and begin another."""
    shown = "".join(sign if sign in "\r\n" else printable(sign) for sign in text)
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
