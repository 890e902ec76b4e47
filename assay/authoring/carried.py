"""What another store's definitions became: ours, and a report of what did not come along.
Not for reading theirs; there is a module for each store.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from assay.authoring import documents
from assay.authoring.proposals import snake
from assay.errors import Invalid, why_unreadable
from assay.objects import KINDS, Definition

DEFINITIONS, REPORT = "imported.yaml", "report.md"
TODO = "TODO"
#: The report's parts, in its order: what to do first comes first.
FILL, LOST, CHANGED = "To fill in", "Does not carry over", "Written differently"
_ABOUT = {
    FILL: "Assay asks for it and it is not said there; the definitions have `TODO` in its place.",
    LOST: "Nothing of ours says it; decide whether it is missed.",
    CHANGED: "The same is meant in other words.",
}


@dataclass
class Carried:
    """Collects definitions and what is to be said of them, each about one thing by name."""

    origin: str
    objects: list[Definition] = field(default_factory=list)
    said: dict[str, list[tuple[str, str]]] = field(
        default_factory=lambda: {FILL: [], LOST: [], CHANGED: []}
    )
    seen: dict[str, int] = field(default_factory=dict)
    #: Where → theirs → ours.
    names: dict[str, dict[str, str]] = field(default_factory=dict)

    def say(self, part: str, what: str, sentence: str) -> None:
        line = (what, sentence)
        if line not in self.said[part]:
            self.said[part].append(line)

    def count(self, kind: str, number: int = 1) -> None:
        self.seen[kind] = self.seen.get(kind, 0) + number

    def name(self, given: str, what: str, among: str = "") -> str:
        """Give the nearest name that ours may have, and say so where it is another.

        Two of theirs are two of ours: ``among`` says where a name may be taken, by default among
        what ``what`` begins with, as in *source x*.
        """
        names = self.names.setdefault(among or what.partition(" ")[0], {})
        if given not in names:
            ours = nearest = snake(given) or "unnamed"
            number = 2
            while ours in names.values():
                ours, number = f"{nearest[:59]}_{number}", number + 1
            names[given] = ours
            if ours != given:
                why = "names are lower-case words"
                why += f", and another is `{nearest}`" if ours != nearest else ""
                self.say(CHANGED, what, f"is called `{ours}` here: {why}")
        return names[given]

    def definitions(self) -> str:
        """Write all of it as one stream of documents."""
        if not self.objects:
            return documents.comment([f"Nothing in {self.origin} could be carried over."])
        ordered = sorted(self.objects, key=lambda each: list(KINDS).index(each.kind))
        return "---\n".join(documents.document(each.to_dict()) for each in ordered)

    def report(self) -> str:
        """Write what came along and what did not, in Markdown."""
        lines = [f"# Imported from {self.origin}", "", "| there | count |", "|---|---|"]
        lines += [f"| {kind} | {count} |" for kind, count in self.seen.items()]
        kinds: dict[str, int] = {}
        for each in self.objects:
            kinds[each.kind] = kinds.get(each.kind, 0) + 1
        lines += ["", "| here | count |", "|---|---|"]
        lines += [f"| {kind} | {count} |" for kind, count in kinds.items()]
        for part, about in _ABOUT.items():
            if self.said[part]:
                lines += ["", f"## {part}", "", about, ""]
                lines += [f"- **{what}** {sentence}." for what, sentence in self.said[part]]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> list[Path]:
        """Write both into new files of a folder.

        :raises Invalid: one of them is there already, or none can be written.
        """
        texts = {DEFINITIONS: self.definitions(), REPORT: self.report()}
        paths = [folder / name for name in texts]
        _refuse_those_there(paths)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path, text in zip(paths, texts.values(), strict=True):
                path.write_text(text, encoding="utf-8", newline="\n")
        except OSError as exc:
            raise Invalid(f"{folder} cannot be written: {why_unreadable(exc)}") from exc
        return paths


def _refuse_those_there(paths: Iterable[Path]) -> None:
    if there := next((path for path in paths if path.exists()), None):
        raise Invalid(f"{there} is there already; name another folder with --output")
