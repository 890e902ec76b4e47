"""What a comparison found: counts, and some examples of each kind of difference. [pure]"""

from __future__ import annotations

from typing import Any

import msgspec

from lib.decoding import converter

#: Examples kept of each kind.
MOST_EXAMPLES = 20
MISSING, EXTRA, DIFFERENT = "missing", "extra", "different"
#: The kinds of difference, as the counts are called.
KINDS = (MISSING, EXTRA, DIFFERENT)


class Example(msgspec.Struct, frozen=True, omit_defaults=True):
    """One difference. ``key`` is a value of the data: for those who may read the view's values.

    ``stored`` and ``online`` are the row's stamps in each store, ``source`` those it would have;
    ``features`` are those that differ.
    """

    kind: str
    key: str
    stored: dict[str, Any] | None = None
    online: dict[str, Any] | None = None
    source: dict[str, Any] | None = None
    features: tuple[str, ...] = ()


read_examples = converter(list[Example])


class Findings(msgspec.Struct):
    """``compared`` rows were looked at; all that is no difference is equal.

    ``expired`` of the equal ones are past every TTL and gone from memory; ``repaired`` of the
    different ones were put right; ``late`` of the source's rows are in files that the next run
    reads; ``gone`` stored rows have none in the source any more, and are not among the compared.
    """

    compared: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    expired: int = 0
    repaired: int = 0
    late: int = 0
    gone: int = 0
    examples: list[Example] = []

    @property
    def differences(self) -> int:
        return self.missing + self.extra + self.different

    @property
    def equal(self) -> int:
        return self.compared - self.differences - self.late

    def note(self, example: Example) -> None:
        """Count one difference; of the first of its kind the example is kept."""
        count = getattr(self, example.kind) + 1
        setattr(self, example.kind, count)
        if count <= MOST_EXAMPLES and self._has_room(example.kind):
            self.examples.append(example)

    def _has_room(self, kind: str) -> bool:
        return sum(each.kind == kind for each in self.examples) < MOST_EXAMPLES

    def put_right(self) -> Findings:
        """Return what stays of these when a comparison begins again: what it changed already."""
        examples = list(self.examples) if self.repaired else []
        return Findings(repaired=self.repaired, examples=examples)
